//! Depthwise convolution by itself: the first half of a separable convolution, whole planes at a time.

use rayon::prelude::*;

use crate::buffer::with_scratch;
use crate::feature_map::{Activation, FeatureMap};
use crate::ops::im2row::target::GradientTarget;
use crate::ops::im2row::{BackwardOutputs, Gather, GradientRows, Im2row, Source};
use enas_simd::Lane;

/// Filters every channel of `input`, `[n, c, h, w]`, with its own k×k filter and SAME padding; `filter` is `[k, k, c]`.
/// Returns `[n, c, ⌈h/stride⌉, ⌈w/stride⌉]`.
pub(crate) fn forward(input: &Activation, filter: &[f32], k: usize, stride: usize) -> FeatureMap {
    let (n, c, h, w) = input.map.shape();
    let gather = Gather::new(Im2row::Depthwise { filter, k, stride }, c, h, w);
    let mut out = FeatureMap::uninit(n, c, gather.y.out, gather.x.out);
    out.par_blocks_mut().for_each(|(block, out)| {
        let rows = gather.y.out;
        with_scratch(gather.fill_scratch(rows), |scratch| {
            let source = Source { inputs: std::slice::from_ref(input), relu: false, block };
            gather.fill(source, (0, rows), out, rows * gather.x.out, scratch);
        });
    });
    out
}

/// Returns the gradients of the input, `[n, c, h, w]` (if `with_input`), and of the filter, `[k, k, c]`.
///
/// `grad` is the gradient of [`forward`]'s result. Its lanes past the last image must be zero, as
/// [`FeatureMap::from_nchw`] leaves them.
pub(crate) fn backward(
    input: &Activation,
    filter: &[f32],
    k: usize,
    stride: usize,
    grad: &FeatureMap,
    with_input: bool,
) -> (Option<FeatureMap>, Vec<f32>) {
    let (n, c, h, w) = input.map.shape();
    let gather = Gather::new(Im2row::Depthwise { filter, k, stride }, c, h, w);
    assert_eq!(grad.shape(), (n, c, gather.y.out, gather.x.out), "the gradient has the output's shape");
    let mut gradient = with_input.then(|| FeatureMap::uninit(n, c, h, w));
    let targets = gradient.as_mut().map(|map| [GradientTarget::new(map, false)]);
    let one_block = |block: usize| {
        let rows = gather.y.out;
        let taps = gather.tap_lanes();
        let gathered = gather.k * rows * gather.x.out;
        with_scratch(gathered + taps + gather.propagate_scratch(rows), |scratch: &mut [Lane]| {
            let (gathered, scratch) = scratch.split_at_mut(gathered);
            let (taps, scratch) = scratch.split_at_mut(taps);
            taps.fill(Lane::ZERO);
            let source = Source { inputs: std::slice::from_ref(input), relu: false, block };
            let stride = rows * gather.x.out;
            let grad = GradientRows { lanes: grad.block(block), stride, y: (0, rows), halo: 0 };
            let targets = targets.as_ref().map(<[GradientTarget; 1]>::as_slice);
            let into = BackwardOutputs { targets, sums: None, taps };
            gather.propagate(source, &grad, into, (gathered, stride), scratch);
            gather.filter_gradient(taps)
        })
    };
    // Partial sums are added in the order of blocks, so the result does not depend on the number of threads.
    let partial: Vec<Vec<f32>> = input.map.par_blocks().map(one_block).collect();
    let mut total = vec![0.0; filter.len()];
    for part in partial {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
    }
    (gradient, total)
}
