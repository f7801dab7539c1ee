//! Matrix products over the channels of maps; the kernel and its method outline are in `product.cu`.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::gpu::feature_map::GpuFeatureMap;
use crate::gpu::launch::Param;
use crate::ops::batch_norm::gpu::batch_stats::{PARTIAL, Partials, tiles};

/// Threads of a block, as in `product.cu`.
const THREADS: usize = 256;

/// The matrix of a product.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// `[inputs, outputs]`, or `[outputs, inputs]` if transposed.
    pub(crate) numbers: Span<'a>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) transposed: bool,
}

impl<'a> Matrix<'a> {
    /// A matrix `[inputs, outputs]`.
    pub(crate) fn new(numbers: Span<'a>, inputs: usize, outputs: usize) -> Self {
        assert_eq!(numbers.len, inputs * outputs, "the matrix is [{inputs}, {outputs}]");
        Self { numbers, inputs, outputs, transposed: false }
    }

    /// The same numbers with inputs and outputs exchanged.
    pub(crate) fn transpose(self) -> Self {
        let Self { numbers, inputs, outputs, transposed } = self;
        Self { numbers, inputs: outputs, outputs: inputs, transposed: !transposed }
    }

    /// Strides from an input to the next, and from an output to the next.
    fn strides(&self) -> (usize, usize) {
        if self.transposed { (1, self.inputs) } else { (self.outputs, 1) }
    }
}

/// A range of channels of a map.
#[derive(Clone, Copy)]
pub(crate) struct Channels<'a> {
    pub(crate) map: &'a GpuFeatureMap,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl<'a> Channels<'a> {
    /// All channels of a map.
    pub(crate) fn all(map: &'a GpuFeatureMap) -> Self {
        Self { map, first: 0, count: map.c() }
    }

    /// Count of their numbers, padding images included.
    pub(crate) fn len(&self) -> usize {
        self.count * self.map.positions()
    }

    /// The cost of reading or writing them.
    pub(crate) fn cost(&self) -> Cost {
        self.map.traffic(self.len())
    }

    /// The address of the first number of the first channel.
    pub(crate) fn start(&self) -> Param<'a> {
        assert!(self.first + self.count <= self.map.c(), "the channels are the map's");
        self.map.param_from(self.first * self.map.row())
    }
}

/// The channels that a product reads, with the normalisation and ReLU applied on the way.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) channels: Channels<'a>,
    /// Factors then summands, `[2, count]`, one per channel read.
    pub(crate) affine: Option<&'a Buffer>,
    pub(crate) relu: bool,
}

impl<'a> Operand<'a> {
    /// Channels that are read without normalisation or ReLU.
    pub(crate) fn plain(channels: Channels<'a>) -> Self {
        Self { channels, affine: None, relu: false }
    }

    /// The cost of reading it.
    pub(crate) fn cost(&self) -> Cost {
        let pending = |_| Cost::new(2 * self.channels.count, 2 * self.channels.len());
        self.channels.cost() + self.affine.map(pending).unwrap_or_default()
    }

    /// The first arguments of a product and of its weight gradient.
    pub(crate) fn params(&self) -> [Param<'a>; 6] {
        let Channels { map, count, .. } = self.channels;
        let affine = self.affine.map_or(map.into(), Param::from);
        let pending = self.affine.is_some().into();
        [self.channels.start(), affine, pending, self.relu.into(), map.c().into(), count.into()]
    }
}

/// `z[o] = Σ_k w[k][o]·x[k]` at every pixel of every image. With `stats`, also the statistics of `z`, from registers.
///
/// Reads `x` once per 32 or 64 outputs, mostly from the cache after the first, and writes `z`.
pub(crate) fn multiply(w: Matrix<'_>, x: Operand<'_>, z: Channels<'_>, stats: Option<&Partials>) {
    assert_eq!((x.channels.count, z.count), (w.inputs, w.outputs), "the matrix fits the maps");
    let (columns, kernel) = columns(w.outputs);
    let (k_stride, o_stride) = w.strides();
    let tiles = tiles(z.map);
    let partials = stats.map_or(z.map.into(), |m| m.of_channel(z.first));
    let mut args = Vec::from(x.params());
    args.extend([w.numbers.into(), k_stride.into(), o_stride.into(), w.outputs.into()]);
    args.extend([z.start(), z.map.c().into(), z.map.row().into(), z.map.positions().into()]);
    args.extend([partials, stats.is_some().into(), z.map.shape().0.into()]);
    let statistics = match stats {
        Some(_) => Cost::new(w.outputs * tiles * PARTIAL, 4 * z.len()),
        None => Cost::default(),
    };
    let cost = x.cost() + z.cost() + Cost::new(w.numbers.len, 2 * w.inputs * z.len()) + statistics;
    let grid = [tiles * w.outputs.div_ceil(columns), 1, 1];
    z.map.gpu().launch(kernel, grid, [THREADS, 1, 1], &args, cost);
}

/// Outputs of a block, and the kernel for that many. A block of 64 outputs does twice the work of one of 32 in about
/// 1.5 times the time, because it reads shared memory less often.
fn columns(outputs: usize) -> (usize, &'static str) {
    let narrow = outputs.next_multiple_of(32);
    let wide = outputs.next_multiple_of(64);
    if 3 * wide < 4 * narrow { (64, "product_64") } else { (32, "product_32") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_wide_where_few_of_their_outputs_are_idle() {
        for (outputs, width) in
            [(1, 32), (20, 32), (32, 32), (40, 64), (64, 64), (80, 32), (128, 64), (160, 64)]
        {
            assert_eq!(columns(outputs).0, width, "{outputs} outputs");
        }
    }
}
