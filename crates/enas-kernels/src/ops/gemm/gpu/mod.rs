//! The two matrix products of a 1×1 convolution on a GPU.

pub(crate) mod product;
pub(crate) mod weight_gradient;
