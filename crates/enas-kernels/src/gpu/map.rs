//! Feature maps on a device, in the same lane layout as [`crate::Map`].

use super::cost::Cost;
use super::memory::{Buffer, Gpu, Param};
use crate::simd::LANES;

/// The activations of `n` images on a device: logically `[n, c, h, w]`, in memory `[⌈n/16⌉, c, h, w, 16]`.
///
/// Sixteen images lie side by side, so neighbouring threads read neighbouring numbers whatever the size of the
/// pictures. Numbers past the last image are arbitrary but finite. Cloning shares the memory.
#[derive(Clone, Debug)]
pub struct GpuMap {
    pub(crate) data: Buffer,
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
    pub(crate) fn uninit(gpu: &Gpu, (n, c, h, w): (usize, usize, usize, usize)) -> Self {
        let len = n.div_ceil(LANES) * c * h * w * LANES;
        assert!(u32::try_from(len).is_ok(), "a map of {n}x{c}x{h}x{w} exceeds 2^32 numbers");
        Self { data: gpu.buffer(len), n, c, h, w }
    }

    /// A map of zeros.
    pub fn zeros(gpu: &Gpu, shape: (usize, usize, usize, usize)) -> Self {
        let map = Self::uninit(gpu, shape);
        map.data.clear();
        map
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

    /// What writing all of it costs, or adding to all of it.
    pub(crate) fn cost_of_writing(&self, accumulate: bool) -> Cost {
        let len = self.len();
        if accumulate { Cost::new(2 * len, len) } else { Cost::new(len, 0) }
    }

    /// The device it lives on.
    pub fn gpu(&self) -> &Gpu {
        self.data.gpu()
    }
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
        let len = self.map.len();
        match self.affine {
            Some(_) => Cost::new(len + 2 * self.map.c(), 2 * len),
            None => Cost::new(len, 0),
        }
    }

    /// The three parameters by which kernels read a value: its raw numbers, its normalisation, and whether that is to
    /// be applied. Without one any valid address will do.
    pub(crate) fn params(&self) -> [Param<'_>; 3] {
        let affine = self.affine.as_ref().unwrap_or(&self.map.data);
        [(&self.map.data).into(), affine.into(), self.affine.is_some().into()]
    }
}
