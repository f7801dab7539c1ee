//! The classifier and its loss: the launches of `classifier.cu`. Matrices here are row-major with one row per image.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::gpu::launch::Param;
use crate::gpu::launch::THREADS;
use crate::gpu::memory::Gpu;

/// Rows and columns of the tile of a product that one block computes.
const TILE: usize = 64;
/// Numbers of the depth that a block handles in one step.
const STEP: usize = 16;
/// Number of blocks that a product is cut into if its depth allows: about as many as a large GPU runs at once.
const BLOCKS: usize = 128;

/// Returns features `[n, c]` times `weight` `[c, classes]`: logits `[n, classes]`. Reads features and weights about
/// once each per 64 images or classes, writes the logits.
///
/// # Panics
/// If the weights do not have that shape.
pub fn classifier_forward(features: &Buffer, weight: Span<'_>, n: usize, c: usize, classes: usize) -> Buffer {
    assert_eq!(weight.len, c * classes, "one weight per feature and class");
    let product = Product {
        shape: [n, c, classes],
        left: (features.into(), [c, 1]),
        right: (weight.into(), [classes, 1]),
    };
    let logits = features.gpu().buffer(n * classes);
    product.run(features.gpu(), logits.span(0, n * classes), false);
    logits
}

/// Returns the gradient of the features, `[n, c]`, from `grad`, the gradient of the logits `[n, classes]`. Adds the
/// gradient of the weights, `[c, classes]`, to `into`; `None` if they are not trained. Traffic as in
/// [`classifier_forward`], for each of the two.
///
/// # Panics
/// If weights or their gradient do not have the shape `[c, classes]`.
pub fn classifier_backward(
    features: &Buffer,
    weight: Span<'_>,
    n: usize,
    c: usize,
    classes: usize,
    grad: &Buffer,
    into: Option<Span<'_>>,
) -> Buffer {
    assert_eq!(weight.len, c * classes, "one weight per feature and class");
    let gpu = features.gpu();
    if let Some(into) = into {
        let left = (features.into(), [1, c]);
        let right = (grad.into(), [classes, 1]);
        Product { shape: [c, n, classes], left, right }.run(gpu, into, true);
    }
    let feature_grad = gpu.buffer(n * c);
    let left = (grad.into(), [classes, 1]);
    let right = (weight.into(), [1, classes]);
    Product { shape: [n, classes, c], left, right }.run(gpu, feature_grad.span(0, n * c), false);
    feature_grad
}

/// Returns `len` features times their factors (dropout), element by element. Reads both once, writes the products.
pub fn scale_features(features: &Buffer, factors: &Buffer, len: usize) -> Buffer {
    let gpu = features.gpu();
    let out = gpu.buffer(len);
    let args = [features.into(), factors.into(), (&out).into(), len.into()];
    gpu.launch("head_scale", [len.div_ceil(THREADS), 1, 1], [THREADS, 1, 1], &args, Cost::new(3 * len, len));
    out
}

/// Weights and smoothing of the loss.
#[derive(Clone, Copy, Debug)]
pub struct GpuLossRule<'a> {
    /// Weight of an image's loss by its class, `[classes]`.
    pub class_weights: &'a Buffer,
    /// Share of the target that is spread evenly over all classes (label smoothing).
    pub smoothing: f32,
}

/// The targets of a batch.
#[derive(Clone, Debug)]
pub struct GpuTargets {
    /// The class of every image, `[n]`: whole numbers below the number of classes.
    pub labels: Buffer,
    /// For mixed images: a second class of every image, `[n]`, and the share of the first class, `[n]`.
    pub mix: Option<(Buffer, Buffer)>,
}

/// Mean softmax cross entropy of logits `[n, classes]` against targets.
///
/// An image of the classes `a` and `b` with the share `s` has the weight `W = s·w_a + (1 − s)·w_b`. Its target
/// distribution is `q = (1 − ε)·(s·w_a·[a] + (1 − s)·w_b·[b])/W + ε/classes`, with label smoothing `ε`. Its loss is
/// `−W·Σ q·ln p`. The mean is over the images.
///
/// Returns the gradient of `weight` times the mean, `[n, classes]`. Writes two numbers to `stats`: the mean in nats,
/// and the number of images whose first maximum among the logits is at their first class. A label outside the classes
/// makes the mean NaN. Reads the logits three times, mostly from caches, writes the gradient once.
///
/// # Panics
/// If `stats` does not have two numbers.
pub fn cross_entropy(
    logits: &Buffer,
    targets: &GpuTargets,
    rule: GpuLossRule<'_>,
    (n, classes): (usize, usize),
    weight: f32,
    stats: Span<'_>,
) -> Buffer {
    assert_eq!(stats.len, 2, "the mean and the number right");
    let gpu = logits.gpu();
    let gradient = gpu.buffer(n * classes);
    let losses = gpu.buffer(2 * n);
    let scale = weight / n as f32;
    let GpuTargets { labels, mix } = targets;
    // Without a second class any valid addresses serve.
    let (others, shares) = mix.as_ref().map_or((labels, logits), |(others, shares)| (others, shares));
    let mut args = vec![logits.into(), labels.into(), others.into(), shares.into()];
    args.extend([rule.class_weights.into(), (&gradient).into(), (&losses).into(), n.into(), classes.into()]);
    args.extend([scale.into(), rule.smoothing.into(), mix.is_some().into()]);
    // Per logit: comparison, difference to the maximum, exponential, sum, division, scaling.
    let cost = Cost::new(2 * n * classes + 4 * n, 6 * n * classes);
    gpu.launch("head_cross_entropy", [n, 1, 1], [THREADS, 1, 1], &args, cost);
    let args = [(&losses).into(), stats.into(), n.into()];
    gpu.launch("head_stats", [1, 1, 1], [THREADS, 1, 1], &args, Cost::new(2 * n + 2, 2 * n));
    gradient
}

/// A matrix: its first number, and its strides from row to row and from column to column.
type Matrix<'a> = (Param<'a>, [usize; 2]);

/// The product of `[rows, depth]` and `[depth, columns]`; `shape` is `[rows, depth, columns]`.
struct Product<'a> {
    shape: [usize; 3],
    left: Matrix<'a>,
    right: Matrix<'a>,
}

impl Product<'_> {
    /// Writes the product to `to`, `[rows, columns]`, or adds it.
    fn run(self, gpu: &Gpu, to: Span<'_>, accumulate: bool) {
        let [rows, depth, columns] = self.shape;
        let len = rows * columns;
        let (slice, slices) = self.slices();
        // A single part that is not accumulated is the result itself.
        let parts = (accumulate || slices > 1).then(|| gpu.buffer(slices * len));
        let out = parts.as_ref().map_or(to, |parts| parts.span(0, slices * len));
        let grid = [columns.div_ceil(TILE), rows.div_ceil(TILE), slices];
        let mut args = vec![self.left.0, self.right.0, out.into()];
        args.extend([rows, columns, depth, slice].map(Param::from));
        args.extend(self.left.1.into_iter().chain(self.right.1).map(Param::from));
        let cost = Cost::new(rows * depth + depth * columns + slices * len, 2 * len * depth);
        gpu.launch("head_product", grid, [THREADS, 1, 1], &args, cost);
        if let Some(parts) = &parts {
            let args = [parts.into(), to.into(), len.into(), slices.into(), accumulate.into()];
            let added = usize::from(accumulate) * len;
            let cost = Cost::new(slices * len + len + added, (slices - 1) * len + added);
            gpu.launch("head_sum", [len.div_ceil(THREADS), 1, 1], [THREADS, 1, 1], &args, cost);
        }
    }

    /// Split-K: the depth of a slice, and the number of slices. Few tiles are cut into more slices to keep a GPU busy.
    /// Depends on the shape alone, so that sums do not depend on the device.
    fn slices(&self) -> (usize, usize) {
        let [rows, depth, columns] = self.shape;
        let tiles = rows.div_ceil(TILE) * columns.div_ceil(TILE);
        let wanted = BLOCKS.div_ceil(tiles.max(1)).min(depth.div_ceil(TILE)).max(1);
        let slice = depth.div_ceil(wanted).next_multiple_of(STEP).max(STEP);
        (slice, depth.div_ceil(slice).max(1))
    }
}
