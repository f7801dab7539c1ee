//! A convolution block as its callers state it, and its gradients.

use crate::feature_map::Activation;
use crate::ops::im2row::Im2row;

/// A convolution block for one call: its inputs, whether it rectifies them, and its matrix products.
#[derive(Clone, Copy, Debug)]
pub struct ConvBlock<'a> {
    /// The maps it reads, `[n, c_i, h, w]` each; their channels follow one another. All have the same `n`, `h` and `w`.
    pub inputs: &'a [Activation],
    /// Whether a ReLU is applied to the inputs.
    pub relu: bool,
    /// One product, or several whose output channels follow one another (a factorised reduction has two).
    pub branches: &'a [ConvBranch<'a>],
}

/// One matrix product of a [`ConvBlock`].
#[derive(Clone, Copy, Debug)]
pub struct ConvBranch<'a> {
    /// How the rows are gathered from the inputs.
    pub rows: Im2row<'a>,
    /// The matrix, `[rows, outputs]`, where `rows` is the number of gathered rows.
    pub weight: &'a [f32],
    /// Number of output channels.
    pub outputs: usize,
}

/// Gradients of the loss with respect to a conv block's parameters.
#[derive(Clone, Debug, Default)]
pub struct ConvBlockGradient {
    /// `∂L/∂γ` of the batch norm, `[outputs]`.
    pub gamma: Vec<f32>,
    /// `∂L/∂β` of the batch norm, `[outputs]`.
    pub beta: Vec<f32>,
    /// Gradient of each branch's matrix, `[rows, outputs]`.
    pub weights: Vec<Vec<f32>>,
    /// Gradient of each branch's depthwise filters, `[k, k, c]`; empty for other rows.
    pub filters: Vec<Vec<f32>>,
}
