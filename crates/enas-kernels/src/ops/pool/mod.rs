//! Average and maximum pooling.
//!
//! An average divides by the number of real pixels in the window, and padding never wins a maximum (TensorFlow's SAME).
//! The first maximum of a window, in row order, receives its whole gradient: ties are common on flat backgrounds.
//!
//! Networks pool 3×3 pixels with stride 1 or 2. These windows are separable: they are reduced along one axis, then
//! along the other. Any other window, of which a network has one, is reduced tap by tap.
//!
//! One task of the thread pool handles a group of sixteen images, channel by channel: `forward`, `average`, `max` and
//! `backward` hold the kernels for one plane.

mod average;
mod backward;
mod forward;
pub(crate) mod gpu;
mod max;
mod scatter;
mod shape;

use rayon::prelude::*;

use crate::buffer::with_scratch;
use crate::feature_map::{Activation, FeatureMap};
use crate::profile;
use enas_simd as simd;

use average::Average3x3;
use backward::Backward;
use forward::Forward;
use max::Max3x3;
use shape::shares;
pub use shape::{Pool, PoolKind};

impl Pool {
    /// Pools `[n, c, h, w]` to `[n, c, y.out, x.out]`.
    ///
    /// # Panics
    /// If the pool was made for another size.
    pub fn forward(&self, input: &Activation) -> FeatureMap {
        let start = profile::start();
        let (n, c, h, w) = input.map.shape();
        self.check(h, w);
        let mut out = FeatureMap::uninit(n, c, self.y.out, self.x.out);
        let out_plane = self.y.out * self.x.out;
        out.par_blocks_mut().for_each(|(block, out)| {
            let planes = input.map.block(block).chunks_exact(h * w).zip(out.chunks_exact_mut(out_plane));
            for (c, (plane, out)) in planes.enumerate() {
                let (scale, shift) = input.affine_of(c);
                let plane = plane.as_ptr();
                let out = out.as_mut_ptr();
                // SAFETY: `plane` is y.size × x.size lanes and `out` y.out × x.out; `check` found the windows.
                unsafe { simd::run(Forward { pool: *self, plane, out, scale, shift }) };
            }
        });
        self.record(start, "forward", n * c * (h * w + out_plane));
        out
    }

    /// Adds the gradient of the input, `[n, c, h, w]`, to `gradient`, which is created if it is `None`. `grad` is the
    /// gradient of the output, `[n, c, y.out, x.out]`.
    ///
    /// # Panics
    /// If the pool was made for another size, or a gradient has another shape than its map.
    pub fn backward(&self, input: &Activation, grad: &FeatureMap, gradient: &mut Option<FeatureMap>) {
        let start = profile::start();
        let (n, c, h, w) = input.map.shape();
        self.check(h, w);
        assert_eq!(grad.shape(), (n, c, self.y.out, self.x.out), "the gradient has the output's shape");
        let add = gradient.is_some();
        let gradient = gradient.get_or_insert_with(|| FeatureMap::uninit(n, c, h, w));
        assert_eq!(gradient.shape(), (n, c, h, w), "a gradient has the shape of its value");
        let out_plane = self.y.out * self.x.out;
        let shares = (shares(self.y), shares(self.x));
        gradient.par_blocks_mut().for_each(|(block, to)| {
            let grads = grad.block(block).chunks_exact(out_plane);
            let planes = input.map.block(block).chunks_exact(h * w).zip(to.chunks_exact_mut(h * w));
            with_scratch(Max3x3::scratch_len(self.x), |scratch| {
                for (c, ((plane, to), grad)) in planes.zip(grads).enumerate() {
                    let (scale, shift) = input.affine_of(c);
                    let plane = plane.as_ptr();
                    let grad = grad.as_ptr();
                    let to = to.as_mut_ptr();
                    let plane = Backward { pool: *self, plane, grad, to, scale, shift, add };
                    // SAFETY: `plane` and `to` are y.size × x.size lanes, `grad` y.out × x.out, the shares one
                    // per window of their axis, the scratch as long as asked for; `check` found the windows.
                    unsafe {
                        match self.kind {
                            _ if !self.is_3x3() => simd::run(plane),
                            PoolKind::Average => {
                                simd::run(Average3x3 { plane, shares: (&shares.0, &shares.1) })
                            }
                            PoolKind::Max => simd::run(Max3x3 { plane, scratch: scratch.as_mut_ptr() }),
                        }
                    };
                }
            });
        });
        self.record(start, "backward", n * c * (2 * h * w + out_plane));
    }

    fn record(&self, start: Option<std::time::Instant>, direction: &'static str, floats: usize) {
        let name = if self.kind == PoolKind::Average { "average pool" } else { "max pool" };
        let taps = (self.y.k * self.x.k) as f64;
        profile::stop(start, (name, direction), taps * floats as f64 / 2.0, 4.0 * floats as f64);
    }
}
