//! Arcs as candle tensors: the integer form, `u32 [decisions]`.

use candle_core::{DType, Device, Tensor};

use crate::{Arc, ArcError, MacroArc, MacroArcError};

/// Why a tensor is not an arc.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError<E: std::error::Error + 'static> {
    /// The tensor does not have exactly one dimension.
    #[error("a tensor of shape {shape:?} is not an arc: it needs one dimension, the decisions")]
    Shape {
        /// The tensor's shape.
        shape: Vec<usize>,
    },
    /// The tensor does not hold integers.
    #[error("a tensor of {dtype:?} is not an arc: it needs integers, u32, u8 or i64")]
    DType {
        /// The type that it holds.
        dtype: DType,
    },
    /// The numbers do not make an arc.
    #[error(transparent)]
    Arc(E),
    /// Candle could not copy the numbers from the tensor's device.
    #[error("cannot read the tensor of an arc: {0}")]
    Candle(#[from] candle_core::Error),
}

impl Arc {
    /// The integer form as a tensor `u32 [8 * n_nodes]`.
    ///
    /// ```
    /// use candle_core::Device;
    /// use enas_arc::Arc;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let arc: Arc = "1 2 0 0 2 4 1 0  0 1 1 3 0 0 0 4".parse()?;
    /// let tensor = arc.to_tensor(&Device::Cpu)?;
    /// assert_eq!(tensor.to_vec1::<u32>()?[..4], [1, 2, 0, 0]);
    /// assert_eq!(Arc::from_tensor(&tensor)?, arc);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the device is out of memory.
    pub fn to_tensor(&self, device: &Device) -> candle_core::Result<Tensor> {
        tensor_of(&self.to_ints(), device)
    }

    /// Reads the integer form from a one-dimensional tensor of `u32`, `u8` or `i64`, for any number of nodes.
    ///
    /// # Errors
    ///
    /// If the tensor has another shape or type, or as for [`from_ints`](Self::from_ints).
    pub fn from_tensor(tensor: &Tensor) -> Result<Self, TensorError<ArcError>> {
        Self::from_ints(&ints_of(tensor)?).map_err(TensorError::Arc)
    }
}

impl MacroArc {
    /// The integer form as a tensor `u32 [L + L(L−1)/2]` for `L` layers.
    ///
    /// # Errors
    ///
    /// If the device is out of memory.
    pub fn to_tensor(&self, device: &Device) -> candle_core::Result<Tensor> {
        tensor_of(&self.to_ints(), device)
    }

    /// Reads the integer form from a one-dimensional tensor of `u32`, `u8` or `i64`, for any number of layers.
    ///
    /// # Errors
    ///
    /// If the tensor has another shape or type, or as for [`from_ints`](Self::from_ints).
    pub fn from_tensor(tensor: &Tensor) -> Result<Self, TensorError<MacroArcError>> {
        Self::from_ints(&ints_of(tensor)?).map_err(TensorError::Arc)
    }
}

fn tensor_of(ints: &[usize], device: &Device) -> candle_core::Result<Tensor> {
    let ints: Vec<u32> =
        ints.iter().map(|&int| u32::try_from(int).expect("states and operations are few")).collect();
    let n = ints.len();
    Tensor::from_vec(ints, n, device)
}

fn ints_of<E: std::error::Error>(tensor: &Tensor) -> Result<Vec<i64>, TensorError<E>> {
    if tensor.rank() != 1 {
        return Err(TensorError::Shape { shape: tensor.dims().to_vec() });
    }
    match tensor.dtype() {
        DType::U8 | DType::U32 | DType::I64 => {
            Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::I64)?.to_vec1()?)
        }
        dtype => Err(TensorError::DType { dtype }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARC: &str = "1 2 0 0 2 4 1 0 0 1 1 3 0 0 0 4";

    #[test]
    fn an_arc_comes_back_from_its_tensor() {
        let arc: Arc = ARC.parse().unwrap();
        let tensor = arc.to_tensor(&Device::Cpu).unwrap();
        assert_eq!((tensor.dims(), tensor.dtype()), (&[16][..], DType::U32));
        assert_eq!(Arc::from_tensor(&tensor).unwrap(), arc);
        for dtype in [DType::U8, DType::I64] {
            assert_eq!(Arc::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap(), arc, "{dtype:?}");
        }
    }

    #[test]
    fn an_arc_may_be_a_strided_part_of_a_tensor() {
        let arc: Arc = ARC.parse().unwrap();
        let tensor = arc.to_tensor(&Device::Cpu).unwrap();
        let pair = Tensor::stack(&[&tensor, &tensor.zeros_like().unwrap()], 1).unwrap();
        let column = pair.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
        assert!(!column.is_contiguous());
        assert_eq!(Arc::from_tensor(&column).unwrap(), arc);
    }

    #[test]
    fn a_macro_arc_comes_back_from_its_tensor() {
        let arc: MacroArc = "0 1 0 3 1 0".parse().unwrap();
        let tensor = arc.to_tensor(&Device::Cpu).unwrap();
        assert_eq!(tensor.to_vec1::<u32>().unwrap(), [0, 1, 0, 3, 1, 0]);
        assert_eq!(MacroArc::from_tensor(&tensor).unwrap(), arc);
    }

    #[test]
    fn what_is_not_an_arc_is_refused_with_the_reason() {
        let tensor = |ints: &[i64]| Tensor::new(ints, &Device::Cpu).unwrap();
        let message = |tensor: Tensor| Arc::from_tensor(&tensor).unwrap_err().to_string();
        let row = tensor(&[0; 8]).reshape((1, 8)).unwrap();
        assert!(message(row).contains("shape [1, 8] is not an arc"));
        assert!(message(tensor(&[0; 8]).to_dtype(DType::F32).unwrap()).contains("a tensor of F32"));
        assert!(message(tensor(&[0; 7])).contains("7 integers do not make an arc"));
        assert!(message(tensor(&[-1, 0, 0, 0, 0, 0, 0, 0])).contains("-1 is negative, allowed 0..=1"));
        assert!(matches!(Arc::from_tensor(&tensor(&[])), Err(TensorError::Arc(ArcError::Empty))));
        let error = MacroArc::from_tensor(&tensor(&[0, 0])).unwrap_err();
        assert!(matches!(error, TensorError::Arc(_)), "{error}");
    }
}
