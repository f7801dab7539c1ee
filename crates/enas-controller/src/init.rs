//! The source of a policy's variables.

use std::sync::PoisonError;

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder, VarMap};
use enas_rng::{Seed, Stream};

/// The source of a policy's variables: a seed, with a device if it is not the CPU, or a candle `VarBuilder`. The
/// builder may be [`seeded()`], read a file, or make variables as candle does.
pub struct VariableSource<'a>(Source<'a>);

enum Source<'a> {
    Seed(Seed, Device),
    Builder(VarBuilder<'a>),
}

impl From<Seed> for VariableSource<'_> {
    fn from(seed: Seed) -> Self {
        Self::from((seed, &Device::Cpu))
    }
}

impl From<(Seed, &Device)> for VariableSource<'_> {
    fn from((seed, device): (Seed, &Device)) -> Self {
        Self(Source::Seed(seed, device.clone()))
    }
}

impl<'a> From<VarBuilder<'a>> for VariableSource<'a> {
    fn from(builder: VarBuilder<'a>) -> Self {
        Self(Source::Builder(builder))
    }
}

impl<'a> VariableSource<'a> {
    /// Whether other code may hold the variables.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.0, Source::Builder(_))
    }

    pub(crate) fn into_builder(self) -> VarBuilder<'a> {
        match self.0 {
            Source::Seed(seed, device) => seeded(&VarMap::new(), seed, &device),
            Source::Builder(builder) => builder,
        }
    }
}

/// A builder of variables for policies. Each variable that `varmap` lacks gets initial values from its own stream of
/// random numbers, named after it. So they depend only on its name and the seed, not on the device. Candle's
/// generator is not used, because it cannot be seeded on the CPU.
///
/// ```
/// use candle_core::Device;
/// use candle_nn::VarMap;
/// use enas_controller::{Config, Controller, Seed, seeded};
///
/// # fn main() -> Result<(), enas_controller::Error> {
/// let varmap = VarMap::new();
/// let controller = Controller::new(&Config::improved(), 5, seeded(&varmap, Seed::new(1), &Device::Cpu))?;
/// assert_eq!(varmap.all_vars().len(), 8);
/// assert_eq!(controller.n_params(), 41_733);
/// # Ok(())
/// # }
/// ```
pub fn seeded(varmap: &VarMap, seed: Seed, device: &Device) -> VarBuilder<'static> {
    let backend = SeededBackend { varmap: varmap.clone(), seed };
    VarBuilder::from_backend(Box::new(backend), DType::F32, device.clone())
}

struct SeededBackend {
    varmap: VarMap,
    seed: Seed,
}

impl SimpleBackend for SeededBackend {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut all = self.varmap.data().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(var) = all.get(name) {
            if *var.shape() != shape {
                bail!("shape mismatch: {name} is {:?}, expected {shape:?}", var.shape());
            }
            return Ok(var.as_tensor().clone());
        }
        if dtype != DType::F32 {
            bail!("{name} was asked for as {dtype:?}; policies compute in F32");
        }
        let mut stream = self.seed.stream(&format!("controller/{name}"), &[]);
        let var = Var::from_vec(initial_values(&shape, init, &mut stream), shape, device)?;
        let tensor = var.as_tensor().clone();
        all.insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        SimpleBackend::get_unchecked(&self.varmap, name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        SimpleBackend::contains_tensor(&self.varmap, name)
    }
}

/// The initial values of a variable.
fn initial_values(shape: &Shape, init: Init, stream: &mut Stream) -> Vec<f32> {
    let mut numbers = vec![0.0; shape.elem_count()];
    let mut uniform = |lo: f64, up: f64| numbers.fill_with(|| stream.range(lo as f32, up as f32));
    match init {
        Init::Const(value) => numbers.fill(value as f32),
        Init::Uniform { lo, up } => uniform(lo, up),
        Init::Randn { mean, stdev } => {
            numbers.fill_with(|| (mean + stdev * f64::from(stream.normal())) as f32)
        }
        Init::Kaiming { dist, fan, non_linearity } => {
            let deviation = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Uniform => uniform(-deviation * 3f64.sqrt(), deviation * 3f64.sqrt()),
                NormalOrUniform::Normal => {
                    numbers.fill_with(|| (deviation * f64::from(stream.normal())) as f32);
                }
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(vb: &VarBuilder, name: &str, init: Init) -> Vec<f32> {
        vb.get_with_hints((50, 80), name, init).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_variable_depends_on_the_seed_and_its_name_alone() {
        let init = Init::Uniform { lo: -0.1, up: 0.1 };
        let alone = numbers(&seeded(&VarMap::new(), Seed::new(1), &Device::Cpu), "b", init);
        let varmap = VarMap::new();
        let vb = seeded(&varmap, Seed::new(1), &Device::Cpu);
        let a = numbers(&vb, "a", init);
        assert_eq!(numbers(&vb, "b", init), alone);
        assert_ne!(a, alone);
        assert_ne!(numbers(&seeded(&VarMap::new(), Seed::new(2), &Device::Cpu), "b", init), alone);
        assert_eq!(varmap.data().lock().unwrap().len(), 2);
        // Existing variables are kept, whatever the seed.
        assert_eq!(numbers(&seeded(&varmap, Seed::new(9), &Device::Cpu), "b", init), alone);
        assert!(vb.get((3, 3), "b").unwrap_err().to_string().contains("shape mismatch"));
    }

    #[test]
    fn every_kind_of_start_has_its_moments() {
        let vb = seeded(&VarMap::new(), Seed::new(4), &Device::Cpu);
        let kinds = [
            ("const", Init::Const(0.5), 0.5, 0.0),
            ("uniform", Init::Uniform { lo: 1.0, up: 3.0 }, 2.0, 2.0 / 12f64.sqrt()),
            ("normal", Init::Randn { mean: -1.0, stdev: 0.25 }, -1.0, 0.25),
            ("kaiming uniform", candle_nn::init::DEFAULT_KAIMING_UNIFORM, 0.0, (2.0f64 / 80.0).sqrt()),
            ("kaiming normal", candle_nn::init::DEFAULT_KAIMING_NORMAL, 0.0, (2.0f64 / 80.0).sqrt()),
        ];
        for (name, init, mean, deviation) in kinds {
            let numbers: Vec<f64> = numbers(&vb, name, init).into_iter().map(f64::from).collect();
            let got = numbers.iter().sum::<f64>() / numbers.len() as f64;
            let square = numbers.iter().map(|x| (x - got).powi(2)).sum::<f64>() / numbers.len() as f64;
            assert!((got - mean).abs() < 0.03, "{name}: mean {got}");
            assert!((square.sqrt() - deviation).abs() < 0.03 * deviation.max(0.1), "{name}: {square}");
        }
    }
}
