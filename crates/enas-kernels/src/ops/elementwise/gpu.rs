//! Sums, concatenations and means over pixels: the launches of `elementwise.cu`.

use crate::gpu::buffer::Buffer;
use crate::gpu::cost::Cost;
use crate::gpu::feature_map::quad_grid;
use crate::gpu::feature_map::{GpuActivation, GpuFeatureMap};
use crate::gpu::launch::Param;
use crate::gpu::launch::THREADS;

/// Threads of a block that computes the mean of a channel.
const MEAN_THREADS: usize = 128;

/// One side of a sum: a value and, for drop-path, one factor per image.
#[derive(Clone, Copy, Debug)]
pub struct GpuTerm<'a> {
    /// The summand, `[n, c, h, w]`.
    pub value: &'a GpuActivation,
    /// One factor per image, `[n]`; `None` for 1.
    pub factors: Option<&'a Buffer>,
}

impl<'a> GpuTerm<'a> {
    fn params(self) -> impl Iterator<Item = Param<'a>> {
        self.value.params().into_iter().chain(factor_params(self.factors, &self.value.map))
    }

    fn cost(self) -> Cost {
        let map = &self.value.map;
        self.value.cost() + factor_cost(self.factors, map.shape().0, map.len())
    }
}

/// The cost of multiplying `len` numbers of `n` images with their factors.
fn factor_cost(factors: Option<&Buffer>, n: usize, len: usize) -> Cost {
    if factors.is_some() { Cost::new(n, len) } else { Cost::default() }
}

/// The arguments for factors; without any, a valid address serves.
fn factor_params<'a>(factors: Option<&'a Buffer>, map: &'a GpuFeatureMap) -> [Param<'a>; 2] {
    [factors.map_or(map.into(), Param::from), factors.is_some().into()]
}

/// Returns `a + b`, each with its pending normalisation and factors applied. Shapes: all `[n, c, h, w]`. The
/// counterpart of [`crate::add`]. Reads both sides once, writes the sum.
///
/// # Panics
/// If the sides differ in shape.
pub fn add(a: GpuTerm<'_>, b: GpuTerm<'_>) -> GpuFeatureMap {
    let (n, c, h, w) = a.value.map.shape();
    assert_eq!(b.value.map.shape(), (n, c, h, w), "both sides of a sum have one shape");
    let out = a.value.map.another((n, c, h, w));
    let mut args: Vec<_> = a.params().chain(b.params()).collect();
    args.extend([(&out).into(), n.into(), c.into(), out.plane().into()]);
    let cost = a.cost() + b.cost() + out.traffic(out.len()) + Cost::flops(out.len());
    out.gpu().launch("elementwise_add", quad_grid(&out), [THREADS, 1, 1], &args, cost);
    out
}

/// Adds `factors · grad` to `gradient`; both maps are `[n, c, h, w]`, the factors `[n]`. Without factors and without a
/// gradient yet, shares `grad`'s memory. The counterpart of [`crate::add_backward`]. Reads `grad` once, writes the
/// gradient.
///
/// # Panics
/// If there is a gradient of another shape.
pub fn add_backward(grad: &GpuFeatureMap, factors: Option<&Buffer>, gradient: &mut Option<GpuFeatureMap>) {
    if gradient.is_none() && factors.is_none() {
        *gradient = Some(grad.clone());
        return;
    }
    let (to, accumulate) = GpuFeatureMap::target(grad, gradient);
    scale(grad, 0, factors, to, accumulate);
}

/// Returns one map `[n, Σ c_i, h, w]` with the channels of all values, `[n, c_i, h, w]`, one after another,
/// normalisations applied. The counterpart of [`crate::concat()`]. Reads every value once, writes the map.
///
/// # Panics
/// If there are no values, or they differ in `n`, `h` or `w`.
pub fn concat(values: &[GpuActivation]) -> GpuFeatureMap {
    let (n, _, h, w) = values.first().expect("a concatenation is of something").map.shape();
    let out = values[0].map.another((n, channels(values), h, w));
    let mut first = 0;
    for value in values {
        let c = value.map.c();
        assert_eq!(value.map.shape(), (n, c, h, w), "concatenated maps differ in channels only");
        let mut args = Vec::from(value.params());
        args.extend([(&out).into(), c.into(), out.plane().into(), first.into(), out.c().into()]);
        let cost = value.cost() + out.traffic(value.map.len());
        out.gpu().launch("elementwise_place", quad_grid(&value.map), [THREADS, 1, 1], &args, cost);
        first += c;
    }
    out
}

/// Adds the gradient of [`concat()`], `[n, Σ c_i, h, w]`, to one gradient `[n, c_i, h, w]` per value. The counterpart
/// of [`crate::concat_backward`]. Reads `grad` once, writes the gradients.
///
/// # Panics
/// If a shape does not fit.
pub fn concat_backward(
    grad: &GpuFeatureMap,
    values: &[GpuActivation],
    gradients: &mut [Option<GpuFeatureMap>],
) {
    let (n, _, h, w) = grad.shape();
    assert_eq!(grad.c(), channels(values), "the gradient has the channels of all values");
    let mut first = 0;
    for (value, gradient) in values.iter().zip(gradients) {
        let c = value.map.c();
        assert_eq!(value.map.shape(), (n, c, h, w), "concatenated maps differ in channels only");
        let (to, accumulate) = GpuFeatureMap::target(&value.map, gradient);
        scale(grad, first, None, to, accumulate);
        first += c;
    }
}

/// Writes `factors · from` to `to`, or adds it. Takes the channels of `from` from `first` on.
fn scale(from: &GpuFeatureMap, first: usize, factors: Option<&Buffer>, to: &GpuFeatureMap, accumulate: bool) {
    let size = |map: &GpuFeatureMap| map.c() * map.plane();
    let mut args = vec![from.param_from(first * from.row())];
    args.extend(factor_params(factors, from));
    args.extend([to.into(), to.shape().0.into(), size(to).into(), size(from).into(), accumulate.into()]);
    let factors = factor_cost(factors, to.shape().0, to.len());
    let cost = factors + from.traffic(to.len()) + to.cost_of_writing(accumulate);
    to.gpu().launch("elementwise_scale", quad_grid(to), [THREADS, 1, 1], &args, cost);
}

/// Means over pixels of `max(x, 0)` (ReLU and global average pooling): `[n, c_i, h, w]` of all values together to
/// `[n, Σ c_i]`. The counterpart of [`crate::relu_mean`]. Reads every value once.
///
/// # Panics
/// If there are no values or they differ in the number of images.
pub fn relu_mean(values: &[GpuActivation]) -> Buffer {
    let map = &values.first().expect("means are of something").map;
    let (gpu, (n, ..), channels) = (map.gpu(), map.shape(), channels(values));
    let means = gpu.buffer(n * channels);
    let mut first = 0;
    for value in values {
        let (images, c, ..) = value.map.shape();
        assert_eq!(images, n, "all values are of the same images");
        let mut args = Vec::from(value.params());
        args.push((&means).into());
        args.extend([n, c, value.map.plane(), first, channels].map(Param::from));
        let cost = value.cost() + Cost::new(n * c, 2 * value.map.len());
        let grid = [c, value.map.groups(), 1];
        gpu.launch("elementwise_relu_mean", grid, [MEAN_THREADS, 1, 1], &args, cost);
        first += c;
    }
    means
}

/// Adds the gradient of [`relu_mean`], given `grad` as `[n, Σ c_i]`, to one gradient `[n, c_i, h, w]` per value. The
/// counterpart of [`crate::relu_mean_backward`]. Reads every value once, writes the gradients.
///
/// # Panics
/// If there is a gradient of another shape than its value.
pub fn relu_mean_backward(values: &[GpuActivation], grad: &Buffer, gradients: &mut [Option<GpuFeatureMap>]) {
    let channels = channels(values);
    let mut first = 0;
    for (value, gradient) in values.iter().zip(gradients) {
        let (to, accumulate) = GpuFeatureMap::target(&value.map, gradient);
        let (n, c, ..) = value.map.shape();
        let mut args = Vec::from(value.params());
        args.extend([grad.into(), to.into()]);
        args.extend([n, c, to.plane(), first, channels].map(Param::from));
        args.push(accumulate.into());
        let cost = value.cost() + Cost::new(n * c, to.len()) + to.cost_of_writing(accumulate);
        to.gpu().launch("elementwise_relu_mean_backward", quad_grid(to), [THREADS, 1, 1], &args, cost);
        first += c;
    }
}

fn channels(values: &[GpuActivation]) -> usize {
    values.iter().map(|value| value.map.c()).sum()
}
