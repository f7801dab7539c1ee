//! Matrix products over the channels of maps; the kernel and its method outline are in `product.cu`.

use super::batch_stats::{PARTIAL, Partials};
use super::buffer::{Buffer, Span};
use super::cost::Cost;
use super::feature_map::GpuFeatureMap;
use super::param::Param;

/// Threads of a block, and the positions it computes, as in `product.cu`.
const THREADS: usize = 256;
pub(super) const POSITIONS: usize = 128;

/// The matrix of a product.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    /// `[inputs, outputs]`, or `[outputs, inputs]` if transposed.
    pub(super) numbers: Span<'a>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) transposed: bool,
}

impl<'a> Matrix<'a> {
    /// A matrix `[inputs, outputs]`.
    pub(super) fn new(numbers: Span<'a>, inputs: usize, outputs: usize) -> Self {
        assert_eq!(numbers.len, inputs * outputs, "the matrix is [{inputs}, {outputs}]");
        Self { numbers, inputs, outputs, transposed: false }
    }

    /// The same numbers with inputs and outputs exchanged.
    pub(super) fn transpose(self) -> Self {
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
pub(super) struct Channels<'a> {
    pub(super) map: &'a GpuFeatureMap,
    pub(super) first: usize,
    pub(super) count: usize,
}

impl<'a> Channels<'a> {
    /// All channels of a map.
    pub(super) fn all(map: &'a GpuFeatureMap) -> Self {
        Self { map, first: 0, count: map.c() }
    }

    /// Count of their numbers, padding images included.
    pub(super) fn len(&self) -> usize {
        self.count * self.map.positions()
    }

    /// The cost of reading or writing them.
    pub(super) fn cost(&self) -> Cost {
        self.map.traffic(self.len())
    }

    /// The address of the first number of the first channel.
    pub(super) fn start(&self) -> Param<'a> {
        assert!(self.first + self.count <= self.map.c(), "the channels are the map's");
        Param::FeatureMap(self.map, self.first * self.map.row())
    }
}

/// The channels that a product reads, with the normalisation and ReLU applied on the way.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) channels: Channels<'a>,
    /// Factors then summands, `[2, count]`, one per channel read.
    pub(super) affine: Option<&'a Buffer>,
    pub(super) relu: bool,
}

impl<'a> Operand<'a> {
    /// Channels that are read without normalisation or ReLU.
    pub(super) fn plain(channels: Channels<'a>) -> Self {
        Self { channels, affine: None, relu: false }
    }

    /// The cost of reading it.
    pub(super) fn cost(&self) -> Cost {
        let pending = |_| Cost::new(2 * self.channels.count, 2 * self.channels.len());
        self.channels.cost() + self.affine.map(pending).unwrap_or_default()
    }

    /// The first arguments of a product and of its weight gradient.
    pub(super) fn params(&self) -> [Param<'a>; 6] {
        let Channels { map, count, .. } = self.channels;
        let affine = self.affine.map_or(map.into(), Param::from);
        let pending = self.affine.is_some().into();
        [self.channels.start(), affine, pending, self.relu.into(), map.c().into(), count.into()]
    }
}

/// `z[o] = Σ_k w[k][o]·x[k]` at every pixel of every image. With `moments`, also the statistics of `z`, from registers.
///
/// Reads `x` once per 32 or 64 outputs, mostly from the cache after the first, and writes `z`.
pub(super) fn multiply(w: Matrix<'_>, x: Operand<'_>, z: Channels<'_>, moments: Option<&Partials>) {
    assert_eq!((x.channels.count, z.count), (w.inputs, w.outputs), "the matrix fits the maps");
    let (columns, kernel) = columns(w.outputs);
    let (k_stride, o_stride) = w.strides();
    let tiles = tiles(z.map);
    let partials = moments.map_or(z.map.into(), |m| m.of_channel(z.first));
    let mut args = Vec::from(x.params());
    args.extend([w.numbers.into(), k_stride.into(), o_stride.into(), w.outputs.into()]);
    args.extend([z.start(), z.map.c().into(), z.map.row().into(), z.map.positions().into()]);
    args.extend([partials, moments.is_some().into(), z.map.shape().0.into()]);
    let statistics = match moments {
        Some(_) => Cost::new(w.outputs * tiles * PARTIAL, 4 * z.len()),
        None => Cost::default(),
    };
    let cost = x.cost() + z.cost() + Cost::new(w.numbers.len, 2 * w.inputs * z.len()) + statistics;
    let grid = [tiles * w.outputs.div_ceil(columns), 1, 1];
    z.map.gpu().launch(kernel, grid, [THREADS, 1, 1], &args, cost);
}

/// Number of tiles of positions that a product cuts a map into.
pub(super) fn tiles(map: &GpuFeatureMap) -> usize {
    map.positions().div_ceil(POSITIONS)
}

/// Outputs of a block, and the kernel for that many. A block of 64 outputs does twice the work of one of 32 in about
/// 1.5 times the time, because it reads shared memory less often.
fn columns(outputs: usize) -> (usize, &'static str) {
    let (narrow, wide) = (outputs.next_multiple_of(32), outputs.next_multiple_of(64));
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
