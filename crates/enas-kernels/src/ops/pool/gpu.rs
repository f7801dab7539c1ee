//! Pooling: the launches of `pool.cu`.

use crate::gpu::cost::Cost;
use crate::gpu::feature_map::{GpuActivation, GpuFeatureMap, quad_grid};
use crate::gpu::launch::Param;
use crate::gpu::launch::THREADS;
use crate::ops::pool::{Pool, PoolKind};

impl Pool {
    /// Pools `[n, c, h, w]` to `[n, c, y.out, x.out]` on a GPU; the counterpart of [`forward`](Self::forward). Reads
    /// the map once, writes the pooled one.
    ///
    /// # Panics
    /// If the pool was made for another size.
    pub fn forward_gpu(&self, input: &GpuActivation) -> GpuFeatureMap {
        let (n, c, h, w) = input.map.shape();
        self.check(h, w);
        let out = input.map.another((n, c, self.y.out, self.x.out));
        let kernel = match (self.kind, self.has_threes()) {
            (PoolKind::Average, false) => "pool_average_forward",
            (PoolKind::Average, true) => "pool_average_forward_3",
            (PoolKind::Max, false) => "pool_max_forward",
            (PoolKind::Max, true) => "pool_max_forward_3",
        };
        let mut args = Vec::from(input.params());
        args.extend([(&out).into(), c.into()]);
        args.extend(self.geometry());
        args.push(self.relu.into());
        let windows = Cost::flops(self.y.k * self.x.k * out.len());
        let cost = input.cost() + out.traffic(out.len()) + windows;
        out.gpu().launch(kernel, quad_grid(&out), [THREADS, 1, 1], &args, cost);
        out
    }

    /// Adds the gradient of the input, `[n, c, h, w]`, to `gradient`, which is created if it is `None`; the counterpart
    /// of [`backward`](Self::backward). `grad` is the gradient of the output, `[n, c, y.out, x.out]`. Reads `grad`
    /// once, and the map once unless it is an average without ReLU; writes the gradient.
    ///
    /// # Panics
    /// If the pool was made for another size, or a gradient has another shape than its map.
    pub fn backward_gpu(
        &self,
        input: &GpuActivation,
        grad: &GpuFeatureMap,
        gradient: &mut Option<GpuFeatureMap>,
    ) {
        let (n, c, h, w) = input.map.shape();
        self.check(h, w);
        assert_eq!(grad.shape(), (n, c, self.y.out, self.x.out), "the gradient has the output's shape");
        let (to, accumulate) = GpuFeatureMap::target(&input.map, gradient);
        let kernel = match (self.kind, self.has_threes()) {
            (PoolKind::Average, false) => "pool_average_backward",
            (PoolKind::Average, true) => "pool_average_backward_3",
            (PoolKind::Max, false) => "pool_max_backward",
            (PoolKind::Max, true) => "pool_max_backward_3",
        };
        let mut args = Vec::from(input.params());
        args.extend([grad.into(), to.into(), c.into()]);
        args.extend(self.geometry());
        args.extend([self.relu.into(), accumulate.into()]);
        let reads_input = self.relu || self.kind == PoolKind::Max;
        let input_cost = if reads_input { input.cost() } else { Cost::default() };
        let windows = grad.traffic(grad.len()) + Cost::flops(self.y.k * self.x.k * grad.len());
        let cost = input_cost + windows + to.cost_of_writing(accumulate);
        input.map.gpu().launch(kernel, quad_grid(to), [THREADS, 1, 1], &args, cost);
    }

    /// Whether the kernels for 3×3 windows apply; they allow any stride.
    fn has_threes(&self) -> bool {
        (self.y.k, self.x.k) == (3, 3)
    }

    /// The windows as arguments: for each property the value along y, then along x.
    fn geometry(&self) -> [Param<'static>; 10] {
        let Self { y, x, .. } = *self;
        [y.size, x.size, y.k, x.k, y.stride, x.stride, y.before, x.before, y.out, x.out].map(Param::from)
    }
}
