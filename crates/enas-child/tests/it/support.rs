//! Tensors as numbers that a test can look at and change, and the other way round.
#![allow(dead_code, reason = "not every test binary needs all of it")]

use candle_core::{Device, Tensor};
use enas_child::{InputShape, NamedTensor};

/// A named tensor's numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

pub(crate) fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("numbers of F32")
}

pub(crate) fn numbers(tensors: Vec<NamedTensor>) -> Vec<Numbers> {
    let of =
        |(name, tensor): NamedTensor| Numbers { name, shape: tensor.dims().to_vec(), data: flat(&tensor) };
    tensors.into_iter().map(of).collect()
}

pub(crate) fn tensors(numbers: &[Numbers]) -> Vec<NamedTensor> {
    let tensor = |Numbers { name, shape, data }: &Numbers| (name.clone(), shaped(data.clone(), shape));
    numbers.iter().map(tensor).collect()
}

pub(crate) fn shaped(data: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(data, shape, &Device::Cpu).expect("as many numbers as the shape says")
}

/// Images `[n, c, h, w]`.
pub(crate) fn images(data: Vec<f32>, InputShape { channels, height, width }: InputShape) -> Tensor {
    let n = data.len() / (channels * height * width);
    shaped(data, &[n, channels, height, width])
}

/// Labels `[n]`.
pub(crate) fn labels(labels: &[u32]) -> Tensor {
    Tensor::new(labels, &Device::Cpu).expect("labels are a tensor")
}

/// Numbers `[n]`.
pub(crate) fn vector(numbers: &[f32]) -> Tensor {
    Tensor::new(numbers, &Device::Cpu).expect("numbers are a tensor")
}
