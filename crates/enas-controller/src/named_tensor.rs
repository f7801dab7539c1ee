//! Named tensors: their names in a saved state, and checks of their values.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::Error;

/// A tensor and its name.
pub type NamedTensor = (String, Tensor);

/// Prefix of a variable's second moment in Adam.
pub(crate) const SECOND_MOMENT: &str = "adam/v/";
/// Number of updates so far.
pub(crate) const UPDATES: &str = "adam/step";
/// Moving average of the rewards.
pub(crate) const BASELINE: &str = "baseline";
/// 1 after the first reward, before that 0.
pub(crate) const STARTED: &str = "baseline/started";

/// Largest number of updates that a saved state can represent exactly, because counts are stored as `f32`.
///
/// Adam's bias correction is 1 long before, so larger counts are saved as this one.
pub(crate) const MOST_UPDATES: f32 = 16_777_216.0;

pub(crate) fn named(name: String, shape: &[usize], values: &[f32]) -> NamedTensor {
    (name, Tensor::from_slice(values, shape, &Device::Cpu).expect("as many numbers as the shape has"))
}

/// A condition on each value of a tensor.
#[derive(Clone, Copy)]
pub(crate) struct Condition {
    holds: fn(f32) -> bool,
    description: &'static str,
}

pub(crate) const FINITE: Condition = Condition { holds: f32::is_finite, description: "must be finite" };
pub(crate) const NOT_NEGATIVE: Condition =
    Condition { holds: |x| x.is_finite() && x >= 0.0, description: "must be finite and not negative" };
pub(crate) const COUNT: Condition = Condition {
    holds: |x| (0.0..=MOST_UPDATES).contains(&x) && x.fract() == 0.0,
    description: "must be a whole number",
};
pub(crate) const FLAG: Condition =
    Condition { holds: |x| x == 0.0 || x == 1.0, description: "must be 0 or 1" };

/// Takes a tensor out of `given` and checks its shape, type and values.
pub(crate) fn take(
    given: &mut BTreeMap<String, Tensor>,
    name: String,
    expected: &[usize],
    condition: Condition,
) -> Result<Vec<f32>, Error> {
    let Some(tensor) = given.remove(&name) else { return Err(Error::MissingTensor(name)) };
    if tensor.dims() != expected {
        return Err(Error::Shape { name, expected: expected.to_vec(), got: tensor.dims().to_vec() });
    }
    if tensor.dtype() != DType::F32 {
        return Err(Error::DType { name, got: tensor.dtype() });
    }
    let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
    match values.iter().position(|&value| !(condition.holds)(value)) {
        Some(position) => {
            Err(Error::Value { name, position, value: values[position], expected: condition.description })
        }
        None => Ok(values),
    }
}
