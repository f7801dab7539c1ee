//! Average and maximum pooling.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::gpu_op::{self, GpuArgument, GpuOp};
use super::tensors::{self, Argument};
use crate::feature_map::Activation;
use crate::gpu::Buffer;
use crate::ops::pool::{Pool, PoolKind};

const OP: &str = "pool";

/// Padding of the windows at the border, in TensorFlow's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// `⌈size/stride⌉` windows per axis. Pixels outside neither count in a mean nor win a maximum.
    Same,
    /// Only windows that lie inside.
    Valid,
}

/// Reduces the windows of x `[n, c, h, w]` to their means or maxima; result `[n, c, h_out, w_out]`.
///
/// # Errors
/// If x has another shape or element type, or no window fits.
pub fn pool2d(x: &Tensor, pool: Pool2d) -> Result<Tensor> {
    x.apply_op1(pool)
}

/// The op behind [`pool2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Mean or maximum.
    pub kind: PoolKind,
    /// Height and width of a window, in pixels.
    pub k: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Padding of the windows at the border, in TensorFlow's terms.
    pub padding: Padding,
    /// Whether a ReLU is applied to the pixels first.
    pub relu: bool,
}

impl Pool2d {
    /// The pool for an input `[n, c, h, w]`.
    fn on(&self, (n, c, h, w): (usize, usize, usize, usize)) -> Result<Pool> {
        if self.k == 0 || !(1..=self.k).contains(&self.stride) {
            bail!("{OP}: windows of {} pixels, {} apart; expected 1 ≤ stride ≤ k", self.k, self.stride);
        }
        let pool = match self.padding {
            Padding::Same => Pool::same(self.kind, self.k, self.stride, h, w),
            Padding::Valid => Pool::valid(self.kind, self.k, self.stride, h, w),
        };
        if pool.y.out * pool.x.out == 0 {
            bail!("{OP}: no {0}×{0} window fits into x [{n}, {c}, {h}, {w}]", self.k);
        }
        Ok(if self.relu { pool.with_relu() } else { pool })
    }
}

impl CustomOp1 for Pool2d {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let input = Activation::plain(Argument { op: OP, name: "x", storage, layout }.map()?);
        Ok(tensors::output(&self.on(input.map.shape())?.forward(&input)))
    }

    gpu_op::cuda_fwd!(storage layout);

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        if let Some(gradients) = gpu_op::backward(self, &[x], grad)? {
            return Ok(gradients.into_iter().next().flatten());
        }
        let input = tensors::value(OP, "x", x)?;
        let grad = tensors::value(OP, "gradient", grad)?.map;
        let mut gradient = None;
        self.on(input.map.shape())?.backward(&input, &grad, &mut gradient);
        tensors::map_gradient(gradient, x)
    }
}

impl GpuOp for Pool2d {
    fn forward_gpu(&self, args: &[GpuArgument<'_>]) -> Result<(Buffer, Shape)> {
        let x = args[0].value(OP, "x")?;
        Ok(gpu_op::images(self.on(x.map.shape())?.forward_gpu(&x)))
    }

    fn backward_gpu(
        &self,
        args: &[GpuArgument<'_>],
        grad: GpuArgument<'_>,
        wants_first: bool,
    ) -> Result<Vec<Option<Buffer>>> {
        let x = args[0].value(OP, "x")?;
        let grad = grad.map(OP, "gradient")?;
        let mut gradient = None;
        if wants_first {
            self.on(x.map.shape())?.backward_gpu(&x, &grad, &mut gradient);
        }
        Ok(vec![gradient.map(|gradient| gpu_op::images(gradient).0)])
    }
}
