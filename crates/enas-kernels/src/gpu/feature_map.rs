//! Feature maps on a device, in the same blocked layout as [`crate::FeatureMap`].

use crate::gpu::buffer::Buffer;
use crate::gpu::copy::copy_numbers;
use crate::gpu::cost::Cost;
use crate::gpu::launch::{Param, THREADS};
use crate::gpu::memory::Gpu;
use crate::gpu::precision::Precision;
use enas_simd::LANES;

/// Images of a pixel that one thread handles.
pub(crate) const QUAD: usize = 4;

/// A feature map on a device: logically `[n, c, h, w]`, in memory `[⌈n/16⌉, c, h, w, 16]`.
///
/// Sixteen images lie side by side, so neighbouring threads access neighbouring numbers (coalesced), whatever the size
/// of the images. Numbers past the last image are arbitrary but finite. Cloning shares the memory.
///
/// All maps that go into or come out of one operation have one [`Precision`].
#[derive(Clone, Debug)]
pub struct GpuFeatureMap {
    // Holds words of 32 bits: two numbers per word in bfloat16. So kernels receive the map, which knows, and not this
    // buffer.
    data: Buffer,
    precision: Precision,
    n: usize,
    c: usize,
    h: usize,
    w: usize,
}

impl GpuFeatureMap {
    /// A map `[n, c, h, w]` with arbitrary content, for a kernel to fill.
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

    /// Another map with arbitrary content, on the same device and with the same precision.
    ///
    /// # Panics
    /// As [`uninit`](Self::uninit).
    pub(crate) fn another(&self, shape: (usize, usize, usize, usize)) -> Self {
        Self::uninit(self.gpu(), self.precision, shape)
    }

    /// A map of zeros, `shape` being `(n, c, h, w)`.
    ///
    /// # Panics
    /// If it has 2³² numbers or more.
    pub fn zeros(gpu: &Gpu, precision: Precision, shape: (usize, usize, usize, usize)) -> Self {
        let map = Self::uninit(gpu, precision, shape);
        map.data.clear();
        map
    }

    /// The format of its numbers.
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

    /// Pixels per image and channel: `h·w`.
    pub(crate) fn plane(&self) -> usize {
        self.h * self.w
    }

    /// Numbers per group of sixteen images and channel: `16·h·w`.
    pub(crate) fn row(&self) -> usize {
        self.plane() * LANES
    }

    /// Number of groups of sixteen images. The last one may be partly filled.
    pub(crate) fn groups(&self) -> usize {
        self.n.div_ceil(LANES)
    }

    /// Numbers per channel, padding images included.
    pub(crate) fn positions(&self) -> usize {
        self.groups() * self.row()
    }

    /// All numbers, padding images included.
    pub(crate) fn len(&self) -> usize {
        self.groups() * self.c * self.row()
    }

    /// The cost of reading or writing `numbers` of its numbers.
    pub(crate) fn traffic(&self, numbers: usize) -> Cost {
        Cost { bytes: (numbers * self.precision.bytes()) as u64, flops: 0 }
    }

    /// The cost of writing all of it, or of adding to all of it.
    pub(crate) fn cost_of_writing(&self, accumulate: bool) -> Cost {
        let len = self.len();
        if accumulate { self.traffic(2 * len) + Cost::flops(len) } else { self.traffic(len) }
    }

    /// The argument by which kernels read or write its numbers from `first` on.
    pub(crate) fn param_from(&self, first: usize) -> Param<'_> {
        let precision = self.precision;
        let offset = first * self.precision.bytes();
        Param::FeatureMap { words: &self.data, offset, precision }
    }

    /// Makes sure that writing to this map changes no other map (copy on write).
    pub(crate) fn make_unique(&mut self) {
        if self.data.is_unique() {
            return;
        }
        let gpu = self.gpu().clone();
        let words = words(self.len(), self.precision);
        let copy = gpu.buffer(words);
        copy_numbers(self.data.span(0, words), copy.span(0, words));
        self.data = copy;
    }

    /// Returns the map to which gradients of `map` are added, and whether it holds gradients already. Creates it if it
    /// is `None`, and copies it if others share it.
    ///
    /// # Panics
    /// If it has another shape.
    pub(crate) fn target<'a>(map: &Self, gradient: &'a mut Option<Self>) -> (&'a Self, bool) {
        let accumulate = gradient.is_some();
        let target = gradient.get_or_insert_with(|| map.another(map.shape()));
        assert_eq!(target.shape(), map.shape(), "a gradient has the shape of its value");
        target.make_unique();
        (target, accumulate)
    }

    /// The device that holds it.
    pub fn gpu(&self) -> &Gpu {
        self.data.gpu()
    }
}

impl<'a> From<&'a GpuFeatureMap> for Param<'a> {
    fn from(map: &'a GpuFeatureMap) -> Self {
        map.param_from(0)
    }
}

/// The grid for kernels with one thread per quad of a map: along x the blocks of a group of images, along y the groups.
pub(crate) fn quad_grid(map: &GpuFeatureMap) -> [usize; 3] {
    let quads = map.c() * map.plane() * (LANES / QUAD);
    [quads.div_ceil(THREADS), map.groups(), 1]
}

/// Words of 32 bits that `len` numbers of a map take. `len` is even, since a pixel has sixteen images.
fn words(len: usize, precision: Precision) -> usize {
    len * precision.bytes() / Precision::F32.bytes()
}

/// A map as its readers see it: raw numbers and the normalisation that is still pending.
#[derive(Clone, Debug)]
pub struct GpuActivation {
    /// The raw numbers, `[n, c, h, w]`.
    pub map: GpuFeatureMap,
    /// Factors then summands, `[2, c]`: the value of channel `c` is `affine[0][c]·map + affine[1][c]`. `None` if the
    /// raw numbers are the value already.
    pub affine: Option<Buffer>,
}

impl GpuActivation {
    /// A value that needs no normalisation.
    pub fn plain(map: GpuFeatureMap) -> Self {
        Self { map, affine: None }
    }

    /// The cost of reading all of it, the pending normalisation included.
    pub(crate) fn cost(&self) -> Cost {
        self.cost_of(self.map.len())
    }

    /// The cost of reading `numbers` numbers of all channels, the pending normalisation included.
    pub(crate) fn cost_of(&self, numbers: usize) -> Cost {
        let pending = self.affine.as_ref().map(|_| Cost::new(2 * self.map.c(), 2 * numbers));
        self.map.traffic(numbers) + pending.unwrap_or_default()
    }

    /// The three arguments by which kernels read a value: raw numbers, normalisation, and whether there is one. Without
    /// a normalisation any valid address serves.
    pub(crate) fn params(&self) -> [Param<'_>; 3] {
        let affine = self.affine.as_ref().map_or((&self.map).into(), Param::from);
        [(&self.map).into(), affine, self.affine.is_some().into()]
    }
}
