//! The sums that a backward pass takes for the conv block before are those that this one would take itself, to the bit.

use std::sync::Arc as SyncArc;

use enas_kernels::{Activation, BatchStats, ConvBlock, ConvBlockGradient, ConvBranch, FeatureMap, Im2row};

use crate::support::{Shape, awkward_shapes, large_shapes, map, stream, uniform, value};

/// Two separable convolutions in a row, as every separable operation of a cell is.
fn check(shape: Shape, k: usize, stride: usize, with_gradient: bool) {
    let rng = &mut stream("onto", shape);
    let (n, c, _, _) = shape;
    let filters = [uniform(rng, k * k * c), uniform(rng, k * k * c)];
    let weights = [uniform(rng, c * c), uniform(rng, c * c)];
    let gamma = uniform(rng, c);
    let branch = |i: usize, stride| {
        let rows = Im2row::Depthwise { filter: &filters[i], k, stride };
        [ConvBranch { rows, weight: &weights[i], outputs: c }]
    };
    let branches = [branch(0, 1), branch(1, stride)];
    let inputs = [value(rng, shape, true).0];
    let first = ConvBlock { inputs: &inputs, relu: true, branches: &branches[0] };
    let (z, stats) = first.forward(true);
    let stats = stats.expect("asked for");
    let affine = SyncArc::new(stats.affine(&gamma, &uniform(rng, c)));
    let middle = [Activation { map: z.clone(), affine: Some(affine) }];
    let second = ConvBlock { inputs: &middle, relu: true, branches: &branches[1] };
    let (end, end_moments) = second.forward(true);
    let end_moments = end_moments.expect("asked for");
    let gy = map(rng, end.shape()).0;
    let mut taken: Option<FeatureMap> = with_gradient.then(|| map(rng, shape).0);
    let mut plain = [taken.clone()];

    let with = second.backward_fused_stats(&stats, &end, &end_moments, &gamma, &gy, &mut taken);
    let without = second.backward(&end, &end_moments, &gamma, &gy, Some(&mut plain));
    let what = format!("{shape:?}, {k}×{k}, stride {stride}, {n} images");
    assert_eq!(all(&with), all(&without), "{what}");
    let [taken, plain] = [taken, plain[0].take()].map(|map| map.expect("asked for"));
    assert_eq!(taken.to_nchw(), plain.to_nchw(), "{what}");

    let back = |gradient: &FeatureMap, stats: &BatchStats| {
        let mut input = [None];
        let gradient = first.backward(&z, stats, &gamma, gradient, Some(&mut input));
        (all(&gradient), input[0].take().expect("asked for").to_nchw())
    };
    assert_eq!(back(&taken, &stats), back(&plain, &stats), "{what}");
    // Told of other statistics, only a pass that takes its own sums ends elsewhere: the sums above were taken.
    let mut other = stats.clone();
    other.mean.iter_mut().for_each(|mean| *mean += 1.0);
    let gamma_of = |gradient: &FeatureMap| back(gradient, &other).0[0].clone();
    assert_eq!(gamma_of(&taken), back(&plain, &stats).0[0], "{what}");
    assert_eq!(gamma_of(&plain) == gamma_of(&taken), plain.to_nchw().iter().all(|g| *g == 0.0), "{what}");
}

fn all(gradient: &ConvBlockGradient) -> Vec<Vec<u32>> {
    let many = [&gradient.weights[..], &gradient.filters[..]].concat();
    let numbers = [&gradient.gamma, &gradient.beta].into_iter().chain(&many);
    numbers.map(|numbers| numbers.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn sums_taken_on_the_way_are_those_of_a_pass_of_their_own() {
    for (i, shape) in awkward_shapes().into_iter().chain(large_shapes()).enumerate() {
        for (k, stride) in [(3, 1), (5, 2), (5, 1), (3, 2)] {
            check(shape, k, stride, i % 2 == 0);
        }
    }
}

#[test]
fn a_gradient_that_was_added_to_forgets_its_sums() {
    let shape = (17, 5, 9, 8);
    let rng = &mut stream("forgets", shape);
    let filter = uniform(rng, 9 * 5);
    let weight = uniform(rng, 25);
    let gamma = uniform(rng, 5);
    let branches = [ConvBranch {
        rows: Im2row::Depthwise { filter: &filter, k: 3, stride: 1 },
        weight: &weight,
        outputs: 5,
    }];
    let inputs = [value(rng, shape, false).0];
    let first = ConvBlock { inputs: &inputs, relu: true, branches: &branches };
    let (z, stats) = first.forward(true);
    let stats = stats.expect("asked for");
    let middle = [Activation::plain(z.clone())];
    let second = ConvBlock { inputs: &middle, relu: true, branches: &branches };
    let (end, end_moments) = second.forward(true);
    let gy = map(rng, end.shape()).0;
    let more = map(rng, shape).0;
    let mut gradient = None;
    second.backward_fused_stats(&stats, &end, &end_moments.expect("asked for"), &gamma, &gy, &mut gradient);
    enas_kernels::add_backward(&more, None, &mut gradient);
    let gradient = gradient.expect("asked for");
    let (n, c, h, w) = shape;
    let same = FeatureMap::from_nchw(&gradient.to_nchw(), n, c, h, w);
    let back = |gradient: &FeatureMap| all(&first.backward(&z, &stats, &gamma, gradient, None));
    assert_eq!(back(&gradient), back(&same));
}
