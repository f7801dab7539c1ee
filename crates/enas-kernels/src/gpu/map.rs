//! Feature maps on a device, in the same lane layout as [`crate::Map`].

use super::buffer::Buffer;
use super::cost::Cost;
use super::lanes::copy_numbers;
use super::memory::Gpu;
use super::param::Param;
use super::precision::Precision;
use crate::simd::LANES;

/// The activations of `n` images on a device: logically `[n, c, h, w]`, in memory `[⌈n/16⌉, c, h, w, 16]`.
///
/// Sixteen images lie side by side, so neighbouring threads read neighbouring numbers whatever the size of the
/// pictures. Numbers past the last image are arbitrary but finite. Cloning shares the memory.
///
/// Maps that go into one operation have one [`Precision`], and so do the maps that come out.
#[derive(Clone, Debug)]
pub struct GpuMap {
    // Holds words, two numbers to a word in bfloat16: kernels are given the map, which knows, and not this.
    data: Buffer,
    precision: Precision,
    n: usize,
    c: usize,
    h: usize,
    w: usize,
}

impl GpuMap {
    /// A map with arbitrary content, for a kernel to fill.
    ///
    /// # Panics
    /// If it has 2³² numbers or more: kernels count in 32 bits.
    pub(crate) fn uninit(
        gpu: &Gpu,
        precision: Precision,
        (n, c, h, w): (usize, usize, usize, usize),
    ) -> Self {
        let len = n.div_ceil(LANES) * c * h * w * LANES;
        assert!(u32::try_from(len).is_ok(), "a map of {n}x{c}x{h}x{w} exceeds 2^32 numbers");
        Self { data: gpu.buffer(words(len, precision)), precision, n, c, h, w }
    }

    /// Another map with arbitrary content, on the same device and of the same precision.
    ///
    /// # Panics
    /// As [`uninit`](Self::uninit).
    pub(crate) fn another(&self, shape: (usize, usize, usize, usize)) -> Self {
        Self::uninit(self.gpu(), self.precision, shape)
    }

    /// A map of zeros.
    pub fn zeros(gpu: &Gpu, precision: Precision, shape: (usize, usize, usize, usize)) -> Self {
        let map = Self::uninit(gpu, precision, shape);
        map.data.clear();
        map
    }

    /// How its numbers are kept.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// `(n, c, h, w)`.
    pub fn shape(&self) -> (usize, usize, usize, usize) {
        (self.n, self.c, self.h, self.w)
    }

    /// Number of channels.
    pub fn c(&self) -> usize {
        self.c
    }

    /// Pixels per image and channel.
    pub(crate) fn plane(&self) -> usize {
        self.h * self.w
    }

    /// Numbers per group of sixteen images and channel.
    pub(crate) fn row(&self) -> usize {
        self.plane() * LANES
    }

    /// Groups of sixteen images, the last one perhaps partly filled.
    pub(crate) fn groups(&self) -> usize {
        self.n.div_ceil(LANES)
    }

    /// Numbers per channel, padding included.
    pub(crate) fn positions(&self) -> usize {
        self.groups() * self.row()
    }

    /// All numbers, padding included.
    pub(crate) fn len(&self) -> usize {
        self.groups() * self.c * self.row()
    }

    /// What reading or writing as many of its numbers costs.
    pub(crate) fn traffic(&self, numbers: usize) -> Cost {
        Cost { bytes: (numbers * self.precision.bytes()) as u64, flops: 0 }
    }

    /// What writing all of it costs, or adding to all of it.
    pub(crate) fn cost_of_writing(&self, accumulate: bool) -> Cost {
        let len = self.len();
        if accumulate { self.traffic(2 * len) + Cost::flops(len) } else { self.traffic(len) }
    }

    /// Where its numbers from `first` on are: the memory, and bytes from its start.
    pub(super) fn place(&self, first: usize) -> (&Buffer, usize) {
        (&self.data, first * self.precision.bytes())
    }

    /// Makes sure that writing to this map changes no other: copies the numbers if they are shared.
    pub(crate) fn make_unique(&mut self) {
        if self.data.is_unique() {
            return;
        }
        let (gpu, words) = (self.gpu().clone(), words(self.len(), self.precision));
        let copy = gpu.buffer(words);
        copy_numbers(self.data.span(0, words), copy.span(0, words));
        self.data = copy;
    }

    /// The device it lives on.
    pub fn gpu(&self) -> &Gpu {
        self.data.gpu()
    }
}

/// Words that as many numbers of a map take: whole ones, as the sixteen images of a pixel do.
fn words(len: usize, precision: Precision) -> usize {
    len * precision.bytes() / Precision::F32.bytes()
}

/// A map as its readers see it: raw numbers, and the normalisation still to be applied.
#[derive(Clone, Debug)]
pub struct GpuValue {
    /// The raw numbers.
    pub map: GpuMap,
    /// Factors then summands, `[2, c]`: the value of channel `c` is `affine[0][c]·map + affine[1][c]`. `None` if the
    /// raw numbers are the value already.
    pub affine: Option<Buffer>,
}

impl GpuValue {
    /// A value that needs no normalisation.
    pub fn plain(map: GpuMap) -> Self {
        Self { map, affine: None }
    }

    /// What reading all of it costs, the pending normalisation included.
    pub(crate) fn cost(&self) -> Cost {
        self.cost_of(self.map.len())
    }

    /// What reading as many of its numbers costs, of all channels, the pending normalisation included.
    pub(crate) fn cost_of(&self, numbers: usize) -> Cost {
        let pending = self.affine.as_ref().map(|_| Cost::new(2 * self.map.c(), 2 * numbers));
        self.map.traffic(numbers) + pending.unwrap_or_default()
    }

    /// The three parameters by which kernels read a value: its raw numbers, its normalisation, and whether that is to
    /// be applied. Without one any valid address will do.
    pub(crate) fn params(&self) -> [Param<'_>; 3] {
        let affine = self.affine.as_ref().map_or((&self.map).into(), Param::from);
        [(&self.map).into(), affine, self.affine.is_some().into()]
    }
}
