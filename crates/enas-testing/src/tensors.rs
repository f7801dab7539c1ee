//! Tensors as numbers that a test can look at and change, and the other way round.

use candle_core::{Device, Tensor};

/// A named tensor's numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub data: Vec<f32>,
}

/// The numbers of a tensor of F32, row-major.
pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("numbers of F32")
}

/// The numbers of named tensors.
pub fn numbers(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Vec<Numbers> {
    let of = |(name, tensor): (String, Tensor)| Numbers {
        name,
        shape: tensor.dims().to_vec(),
        data: flat(&tensor),
    };
    tensors.into_iter().map(of).collect()
}

/// Named tensors of these numbers, on the CPU.
pub fn tensors(numbers: &[Numbers]) -> Vec<(String, Tensor)> {
    let tensor = |Numbers { name, shape, data }: &Numbers| (name.clone(), shaped(data.clone(), shape));
    numbers.iter().map(tensor).collect()
}

/// A tensor of a shape, on the CPU.
pub fn shaped(data: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(data, shape, &Device::Cpu).expect("as many numbers as the shape says")
}

/// Images `[n, c, h, w]` of the size `[c, h, w]`, on the CPU.
pub fn images(data: Vec<f32>, [channels, height, width]: [usize; 3]) -> Tensor {
    let n = data.len() / (channels * height * width);
    shaped(data, &[n, channels, height, width])
}

/// Labels `[n]` of U32, on the CPU.
pub fn labels(labels: &[u32]) -> Tensor {
    Tensor::new(labels, &Device::Cpu).expect("labels are a tensor")
}

/// Numbers `[n]`, on the CPU.
pub fn vector(numbers: &[f32]) -> Tensor {
    Tensor::new(numbers, &Device::Cpu).expect("numbers are a tensor")
}
