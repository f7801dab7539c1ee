//! Conversion between images `[n, c, h, w]` and the blocked layout of maps: the launches of `layout.cu`.

use crate::gpu::buffer::Buffer;
use crate::gpu::cost::Cost;
use crate::gpu::device::Error;
use crate::gpu::feature_map::{GpuActivation, GpuFeatureMap};
use crate::gpu::images::SelectedImages;
use crate::gpu::launch::{Param, THREADS};
use crate::gpu::precision::Precision;
use enas_simd::LANES;

impl GpuFeatureMap {
    /// Converts images that are already on the device as `[n, c, h, w]` to the blocked layout; `shape` is
    /// `(n, c, h, w)`. All maps that are computed from the result have its precision.
    pub fn from_images(images: &Buffer, precision: Precision, shape: (usize, usize, usize, usize)) -> Self {
        let gpu = images.gpu();
        let map = Self::uninit(gpu, precision, shape);
        let (n, c, h, w) = shape;
        let size = c * h * w;
        let grid = [(size * LANES).div_ceil(THREADS), map.groups(), 1];
        let args = [images.into(), (&map).into(), n.into(), size.into()];
        let cost = Cost::new(n * size, 0) + map.traffic(map.len());
        gpu.launch("lanes_from_images", grid, [THREADS, 1, 1], &args, cost);
        map
    }
}

impl SelectedImages<'_> {
    /// The chosen images as a map `[n, c, h, w]`, normalised as on the host, to the bit. Reads their bytes once, writes
    /// the map.
    pub fn map(&self, precision: Precision) -> GpuFeatureMap {
        let ((c, h, w), words) = (self.of.shape(), self.of.words());
        let map = GpuFeatureMap::uninit(self.of.gpu(), precision, (self.n, c, h, w));
        let (bytes, table, _) = self.of.buffers();
        let arrays = [bytes.into(), (&self.at).into(), table.into(), (&map).into()];
        let extents = [self.n, c * h * w, words, h * w].map(Param::from);
        let grid = [(words * LANES).div_ceil(THREADS), map.groups(), 1];
        let args: Vec<Param<'_>> = arrays.into_iter().chain(extents).collect();
        let cost = Cost::new(self.n * words, 0) + map.traffic(map.len());
        self.of.gpu().launch("lanes_from_bytes", grid, [THREADS, 1, 1], &args, cost);
        map
    }

    /// The labels of the chosen images, `[n]`. Reads and writes each once.
    pub fn labels(&self) -> Buffer {
        let to = self.of.gpu().buffer(self.n);
        let (_, _, labels) = self.of.buffers();
        let args = [labels.into(), (&self.at).into(), (&to).into(), self.n.into()];
        let grid = [self.n.div_ceil(THREADS), 1, 1];
        let cost = Cost::new(3 * self.n, 0);
        self.of.gpu().launch("lanes_chosen_labels", grid, [THREADS, 1, 1], &args, cost);
        to
    }
}

impl GpuActivation {
    /// Waits for all earlier work and returns the images `[n, c, h, w]`, normalisation applied.
    ///
    /// # Errors
    /// The first failure on the device.
    pub fn to_nchw(&self) -> Result<Vec<f32>, Error> {
        let (n, c, h, w) = self.map.shape();
        self.to_images().download(0, n * c * h * w)
    }

    /// The images `[n, c, h, w]` on the device, normalisation applied.
    pub fn to_images(&self) -> Buffer {
        let (n, c, h, w) = self.map.shape();
        let gpu = self.map.gpu();
        let plane = h * w;
        let images = gpu.buffer(n * c * plane);
        let [map, affine, has_affine] = self.params();
        let grid = [(c * plane).div_ceil(THREADS), n, 1];
        let args = [map, affine, has_affine, (&images).into(), c.into(), plane.into()];
        let cost = self.cost() + Cost::new(n * c * plane, 0);
        gpu.launch("lanes_to_images", grid, [THREADS, 1, 1], &args, cost);
        images
    }
}
