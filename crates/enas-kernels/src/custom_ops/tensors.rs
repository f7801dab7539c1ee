//! Conversion between candle's tensors and slices, with the checks that all operations share.

use std::borrow::Cow;

use candle_core::{CpuStorage, Layout, Result, Shape, Storage, Tensor, bail};

use crate::feature_map::{Activation, FeatureMap};

/// A tensor argument with its role, for error messages.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a> {
    pub(super) op: &'static str,
    pub(super) name: &'static str,
    pub(super) storage: &'a CpuStorage,
    pub(super) layout: &'a Layout,
}

impl<'a> Argument<'a> {
    /// The numbers in logical order, whatever the strides. Copied only if they do not lie in that order.
    pub(super) fn numbers(&self) -> Result<Cow<'a, [f32]>> {
        let CpuStorage::F32(data) = self.storage else {
            let dtype = candle_core::backend::BackendStorage::dtype(self.storage);
            bail!("{}: {} is {dtype:?} {:?}, expected F32", self.op, self.name, self.layout.shape());
        };
        Ok(match self.layout.contiguous_offsets() {
            Some((from, to)) => Cow::Borrowed(&data[from..to]),
            None => Cow::Owned(offsets(self.layout).into_iter().map(|i| data[i]).collect()),
        })
    }

    /// `(n, c, h, w)`, none of them zero.
    pub(super) fn image_dims(&self) -> Result<(usize, usize, usize, usize)> {
        image_dims(self.op, self.name, self.layout.dims())
    }

    /// The images in the blocked layout.
    pub(super) fn map(&self) -> Result<FeatureMap> {
        let (n, c, h, w) = self.image_dims()?;
        Ok(FeatureMap::from_nchw(&self.numbers()?, n, c, h, w))
    }

    /// The numbers of a tensor that must have the dimensions `expected`.
    pub(super) fn numbers_of(&self, expected: &[usize]) -> Result<Cow<'a, [f32]>> {
        if self.layout.dims() != expected {
            bail!("{}: {} is {:?}, expected {expected:?}", self.op, self.name, self.layout.shape());
        }
        self.numbers()
    }

    /// The number of outputs of a 1×1 weight `[outputs, inputs, 1, 1]`, and its matrix, `[inputs, outputs]`.
    pub(super) fn matrix(&self, inputs: usize) -> Result<(usize, Vec<f32>)> {
        let outputs = matrix_dims(self.op, self.name, self.layout.dims(), inputs)?;
        Ok((outputs, transpose(&self.numbers()?, outputs)))
    }

    /// The size `k` of depthwise filters `[channels, 1, k, k]`, and their numbers as `[k, k, channels]`.
    pub(super) fn filter(&self, channels: usize) -> Result<(usize, Vec<f32>)> {
        let k = filter_dims(self.op, self.name, self.layout.dims(), channels)?;
        Ok((k, transpose(&self.numbers()?, channels)))
    }
}

/// `(n, c, h, w)`, none of them zero.
pub(super) fn image_dims(op: &str, name: &str, dims: &[usize]) -> Result<(usize, usize, usize, usize)> {
    match *dims {
        [n, c, h, w] if n * c * h * w > 0 => Ok((n, c, h, w)),
        _ => bail!("{op}: {name} is {dims:?}, expected [n, c, h, w], none empty"),
    }
}

/// The number of outputs of a 1×1 weight.
pub(super) fn matrix_dims(op: &str, name: &str, dims: &[usize], inputs: usize) -> Result<usize> {
    match *dims {
        [outputs, i, 1, 1] if i == inputs && outputs > 0 => Ok(outputs),
        _ => bail!("{op}: {name} is {dims:?}, expected [outputs, {inputs}, 1, 1]"),
    }
}

/// The size of depthwise filters.
pub(super) fn filter_dims(op: &str, name: &str, dims: &[usize], channels: usize) -> Result<usize> {
    match *dims {
        [c, 1, k @ (3 | 5), other] if c == channels && other == k => Ok(k),
        _ => bail!("{op}: {name} is {dims:?}, expected [{channels}, 1, k, k] with k 3 or 5"),
    }
}

/// The offsets of a layout's elements, in logical order.
fn offsets(layout: &Layout) -> Vec<usize> {
    layout.dims().iter().zip(layout.stride()).fold(vec![layout.start_offset()], |starts, (dim, stride)| {
        starts.iter().flat_map(|start| (0..*dim).map(move |i| start + i * stride)).collect()
    })
}

/// Calls `body` with a tensor's numbers as an [`Argument`].
pub(super) fn with<R>(
    op: &'static str,
    name: &'static str,
    tensor: &Tensor,
    body: impl FnOnce(Argument<'_>) -> Result<R>,
) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => body(Argument { op, name, storage, layout }),
        _ => bail!("{op}: {name} is on {:?}, expected the CPU", tensor.device()),
    }
}

/// The images of a tensor as a value without pending normalisation.
pub(super) fn value(op: &'static str, name: &'static str, tensor: &Tensor) -> Result<Activation> {
    with(op, name, tensor, |argument| argument.map().map(Activation::plain))
}

/// Transposes `[rows, n]` to `[n, rows]`.
pub(super) fn transpose(numbers: &[f32], rows: usize) -> Vec<f32> {
    let columns = numbers.len() / rows;
    (0..numbers.len()).map(|i| numbers[i % rows * columns + i / rows]).collect()
}

/// A map as the result of a forward pass.
pub(super) fn output(map: &FeatureMap) -> (CpuStorage, Shape) {
    (CpuStorage::F32(map.to_nchw()), Shape::from(map.shape()))
}

/// Numbers as the gradient of `like`.
pub(super) fn gradient(numbers: Vec<f32>, like: &Tensor) -> Result<Option<Tensor>> {
    Tensor::from_vec(numbers, like.shape(), like.device()).map(Some)
}

/// The gradient of an input map, if there is one, as that of `like`.
pub(super) fn map_gradient(map: Option<FeatureMap>, like: &Tensor) -> Result<Option<Tensor>> {
    map.map_or(Ok(None), |map| gradient(map.to_nchw(), like))
}
