//! The convolution block: gather rows (im2row), multiply by a matrix, normalise; the counterpart of
//! [`crate::ConvBlock`].
//!
//! Rows are gathered into memory, a whole map at a time. The exception is a 1×1 convolution of a single input: its
//! product reads the input directly. Batch statistics come from the registers of the product. The backward pass gathers
//! the rows again instead of storing them.

use crate::gpu::buffer::Span;
use crate::gpu::feature_map::{GpuActivation, GpuFeatureMap};
use crate::ops::batch_norm::gpu::batch_stats::{GpuBatchStats, Partials};
use crate::ops::batch_norm::gpu::gradient::Gradient;
use crate::ops::gemm::gpu::product::{Channels, Matrix, Operand, multiply};
use crate::ops::gemm::gpu::weight_gradient::add_weight_gradient;
use crate::ops::im2row::gpu::GpuIm2row;

/// A convolution block for one call: its inputs, whether it rectifies them, and its matrix products.
#[derive(Clone, Copy, Debug)]
pub struct GpuConvBlock<'a> {
    /// The maps it reads, `[n, c_i, h, w]` each; their channels follow one another. All have the same `n`, `h` and `w`.
    pub inputs: &'a [GpuActivation],
    /// Whether a ReLU is applied to the inputs.
    pub relu: bool,
    /// One product, or several whose output channels follow one another (a factorised reduction has two).
    pub branches: &'a [GpuConvBranch<'a>],
}

/// One matrix product of a [`GpuConvBlock`].
#[derive(Clone, Copy, Debug)]
pub struct GpuConvBranch<'a> {
    /// How the rows are gathered from the inputs.
    pub rows: GpuIm2row<'a>,
    /// The matrix, `[rows, outputs]`.
    pub weight: Span<'a>,
    /// Number of output channels.
    pub outputs: usize,
}

/// The targets to which the gradients of a conv block's parameters are added.
#[derive(Clone, Debug)]
pub struct GpuConvBlockGradient<'a> {
    /// `∂L/∂γ` of the batch norm, `[outputs]`.
    pub gamma: Option<Span<'a>>,
    /// `∂L/∂β` of the batch norm, `[outputs]`.
    pub beta: Option<Span<'a>>,
    /// Gradient of each branch's matrix, `[rows, outputs]`, and of its depthwise filters, `[k, k, c]`, if it has any.
    pub branches: Vec<(Span<'a>, Option<Span<'a>>)>,
}

impl GpuConvBlock<'_> {
    /// Returns the raw output `[n, Σ outputs, h_out, w_out]` (before batch norm) and, if `with_stats`, its batch
    /// statistics.
    ///
    /// Reads the inputs once and writes the output; gathered rows are written and read in between.
    ///
    /// # Panics
    /// If shapes do not fit, or there is no branch: callers build conv blocks from a checked network description.
    pub fn forward(&self, with_stats: bool) -> (GpuFeatureMap, Option<GpuBatchStats>) {
        let outputs = self.branches.iter().map(|b| b.outputs).sum();
        let mut result = None;
        let mut first = 0;
        for branch in self.branches {
            let gathered = self.gather(branch);
            let rows = self.operand(gathered.as_ref());
            let (n, k, h, w) = rows.channels.map.shape();
            let (z, partials) = result.get_or_insert_with(|| {
                let z = rows.channels.map.another((n, outputs, h, w));
                let partials = with_stats.then(|| Partials::of(&z));
                (z, partials)
            });
            assert_eq!(z.shape(), (n, outputs, h, w), "branches of one conv block have one output size");
            let channels = Channels { map: z, first, count: branch.outputs };
            multiply(Matrix::new(branch.weight, k, branch.outputs), rows, channels, partials.as_ref());
            first += branch.outputs;
        }
        let (z, partials) = result.expect("a conv block has a branch");
        let stats = partials.map(|partials| partials.merge(&z));
        (z, stats)
    }

    /// Propagates the gradient `gy`, `[n, Σ outputs, h_out, w_out]`, of the normalised output.
    ///
    /// `z` and `stats` are what [`forward`](Self::forward) returned; `gamma` is the scale of the batch norm,
    /// `[Σ outputs]`. The gradients of the parameters are added to `into`. The gradient of each input is added to its
    /// entry of `inputs`, or becomes the entry if that is `None`. Without `inputs` no gradients of inputs are computed.
    ///
    /// Reads `z` and `gy` twice and writes the gradient of `z`, which is read twice; gathers again.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn backward(
        &self,
        z: &GpuFeatureMap,
        stats: &GpuBatchStats,
        gamma: Span<'_>,
        gy: &GpuFeatureMap,
        inputs: Option<&mut [Option<GpuFeatureMap>]>,
        into: &GpuConvBlockGradient<'_>,
    ) {
        assert_eq!(into.branches.len(), self.branches.len(), "gradients of every branch");
        let gz = Gradient { z, stats, gamma, gy }.propagate(into.gamma, into.beta);
        self.backward_raw(&gz, inputs, &into.branches);
    }

    /// The same for a conv block without batch norm: `gz` is the gradient of its raw output, zero in lanes without an
    /// image.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub(crate) fn backward_raw(
        &self,
        gz: &GpuFeatureMap,
        mut inputs: Option<&mut [Option<GpuFeatureMap>]>,
        into: &[(Span<'_>, Option<Span<'_>>)],
    ) {
        let mut first = 0;
        for (branch, (weight, filters)) in self.branches.iter().zip(into) {
            let gz = Channels { map: gz, first, count: branch.outputs };
            self.propagate(branch, gz, inputs.as_deref_mut(), *weight, *filters);
            first += branch.outputs;
        }
    }

    /// The backward pass of one branch; `gz` is the gradient of its outputs.
    fn propagate(
        &self,
        branch: &GpuConvBranch<'_>,
        gz: Channels<'_>,
        inputs: Option<&mut [Option<GpuFeatureMap>]>,
        weight: Span<'_>,
        filters: Option<Span<'_>>,
    ) {
        let gathered = self.gather(branch);
        let rows = self.operand(gathered.as_ref());
        let k = rows.channels.count;
        add_weight_gradient(rows, gz, weight);
        // The gathered rows go back to the pool before the map for their gradient is taken.
        drop(gathered);
        if inputs.is_none() && filters.is_none() {
            return;
        }
        let (n, _, h, w) = gz.map.shape();
        let grad = gz.map.another((n, k, h, w));
        let matrix = Matrix::new(branch.weight, k, branch.outputs).transpose();
        multiply(matrix, Operand::plain(gz), Channels::all(&grad), None);
        if let Some(filters) = filters {
            branch.rows.filter_gradient(self.inputs, self.relu, &grad, filters);
        }
        if let Some(inputs) = inputs {
            branch.rows.scatter(self.inputs, self.relu, &grad, inputs);
        }
    }

    /// Gathers the rows of a branch; `None` if the product can read the only input directly.
    fn gather(&self, branch: &GpuConvBranch<'_>) -> Option<GpuFeatureMap> {
        let direct = matches!(branch.rows, GpuIm2row::Pixels) && self.inputs.len() == 1;
        (!direct).then(|| branch.rows.gather(self.inputs, self.relu))
    }

    /// The operand of the product: gathered rows, or the only input as its readers see it.
    fn operand<'s>(&'s self, gathered: Option<&'s GpuFeatureMap>) -> Operand<'s> {
        match gathered {
            Some(rows) => Operand::plain(Channels::all(rows)),
            None => {
                let GpuActivation { map, affine } = &self.inputs[0];
                Operand { channels: Channels::all(map), affine: affine.as_ref(), relu: self.relu }
            }
        }
    }
}

impl GpuBatchStats {
    /// Returns a map of the same numbers, with its statistics. Reads the map once: it is multiplied by the identity
    /// matrix, since the product kernel computes statistics.
    pub(crate) fn of(map: GpuFeatureMap) -> (GpuFeatureMap, Self) {
        let c = map.c();
        let identity: Vec<f32> = (0..c * c).map(|i| f32::from(u8::from(i / c == i % c))).collect();
        let matrix = map.gpu().upload(&identity);
        let input = GpuActivation::plain(map);
        let branch = GpuConvBranch { rows: GpuIm2row::Pixels, weight: matrix.span(0, c * c), outputs: c };
        let conv_block = GpuConvBlock { inputs: &[input], relu: false, branches: &[branch] };
        let (z, stats) = conv_block.forward(true);
        (z, stats.expect("they were asked for"))
    }
}
