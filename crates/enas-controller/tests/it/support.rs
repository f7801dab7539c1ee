//! Named tensors as numbers that a test can look at and change.
#![allow(dead_code, reason = "not every test target needs all of it")]

use candle_core::{Device, Tensor};
use enas_controller::NamedTensor;

/// Name, shape and values.
pub(crate) type Numbers = (String, Vec<usize>, Vec<f32>);

pub(crate) fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn numbers(tensors: Vec<NamedTensor>) -> Vec<Numbers> {
    tensors.into_iter().map(|(name, tensor)| (name, tensor.dims().to_vec(), flat(&tensor))).collect()
}

pub(crate) fn tensors(numbers: Vec<Numbers>) -> Vec<NamedTensor> {
    let tensor = |(name, shape, values)| (name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    numbers.into_iter().map(tensor).collect()
}
