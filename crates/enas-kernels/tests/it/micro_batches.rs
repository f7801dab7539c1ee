//! Units that see some groups of a batch at a time, against conv blocks that see all of it: equal to the bit.

use std::ops::Range;

use enas_kernels::{
    Activation, BatchStatsSums, ConvBlock, ConvBlockGradient, ConvBranch, FeatureMap, GradientSums, Im2row,
};

use crate::support::*;

/// Numbers of a conv block with one kind of rows.
struct Numbers {
    values: Vec<Activation>,
    filter: Vec<f32>,
    weight: Vec<f32>,
    gamma: Vec<f32>,
    outputs: usize,
}

/// How the rows are gathered; the numbers of the filter come with the conv block.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Pixels,
    EverySecond,
    Depthwise(usize),
    Patches,
}

impl Numbers {
    fn new(shape: Shape, kind: Kind) -> Self {
        let (n, c, h, w) = shape;
        let rng = &mut stream("parts", shape);
        let first = 1 + c / 2;
        let values = [first, c + 1 - first].map(|c| value(rng, (n, c, h, w), true).0).into();
        let channels = c + 1;
        let outputs = 4;
        let taps = if let Kind::Patches = kind { 9 } else { 1 };
        Self {
            values,
            filter: uniform(rng, 25 * channels),
            weight: uniform(rng, taps * channels * outputs),
            gamma: uniform(rng, outputs),
            outputs,
        }
    }

    fn rows(&self, kind: Kind) -> Im2row<'_> {
        let channels: usize = self.values.iter().map(|value| value.map.c()).sum();
        match kind {
            Kind::Pixels => Im2row::Pixels,
            Kind::EverySecond => Im2row::EverySecond { offset: 1 },
            Kind::Depthwise(k) => {
                Im2row::Depthwise { filter: &self.filter[..k * k * channels], k, stride: 1 }
            }
            Kind::Patches => Im2row::Patches { k: 3 },
        }
    }
}

fn some(values: &[Activation], groups: &Range<usize>) -> Vec<Activation> {
    values
        .iter()
        .map(|v| Activation { map: v.map.groups(groups.clone()), affine: v.affine.clone() })
        .collect()
}

fn conv_block<'a>(inputs: &'a [Activation], branch: &'a ConvBranch<'a>) -> ConvBlock<'a> {
    ConvBlock { inputs, relu: true, branches: std::slice::from_ref(branch) }
}

fn check(shape: Shape, kind: Kind, step: usize) {
    let numbers = Numbers::new(shape, kind);
    let branch = ConvBranch { rows: numbers.rows(kind), weight: &numbers.weight, outputs: numbers.outputs };
    let whole = conv_block(&numbers.values, &branch);
    let (z, stats) = whole.forward(true);
    let stats = stats.unwrap();
    let (n, c, h, w) = z.shape();
    let gy = FeatureMap::from_nchw(&uniform(&mut stream("gradient", shape), n * c * h * w), n, c, h, w);
    let mut grads: Vec<Option<FeatureMap>> = vec![None; 2];
    let gradient = whole.backward(&z, &stats, &numbers.gamma, &gy, Some(&mut grads));

    let groups = n.div_ceil(16);
    let ranges = || (0..groups).step_by(step).map(|first| first..(first + step).min(groups));
    let mut sums = BatchStatsSums::new(numbers.outputs);
    let mut made = FeatureMap::blank(n, c, h, w);
    for range in ranges() {
        let inputs = some(&numbers.values, &range);
        made.put_groups(range.start, &conv_block(&inputs, &branch).forward_part(&mut sums));
    }
    assert_eq!((sums.finish(), bits(&made.to_nchw())), (stats.clone(), bits(&z.to_nchw())), "{kind:?}");

    let mut sums = GradientSums::new(numbers.outputs);
    ranges().for_each(|range| sums.add(&z.groups(range.clone()), &stats, &gy.groups(range)));
    let mut total = ConvBlockGradient::default();
    let mut joined: Vec<FeatureMap> =
        numbers.values.iter().map(|v| FeatureMap::blank(n, v.map.c(), v.map.h(), v.map.w())).collect();
    for range in ranges() {
        let inputs = some(&numbers.values, &range);
        let z = z.groups(range.clone());
        let gy = gy.groups(range.clone());
        let mut part: Vec<Option<FeatureMap>> = vec![None; 2];
        let targets = Some(part.as_mut_slice());
        conv_block(&inputs, &branch).backward_part(
            &z,
            &stats,
            &numbers.gamma,
            &gy,
            &sums,
            targets,
            &mut total,
        );
        for (whole, part) in joined.iter_mut().zip(part) {
            whole.put_groups(range.start, &part.unwrap());
        }
    }
    for (joined, whole) in joined.iter().zip(grads) {
        assert_eq!(bits(&joined.to_nchw()), bits(&whole.unwrap().to_nchw()), "{kind:?} {shape:?}");
    }
    let all = |g: &ConvBlockGradient| {
        let many = [&g.weights[..], &g.filters[..]].concat();
        many.iter().chain([&g.gamma, &g.beta]).map(|numbers| bits(numbers)).collect::<Vec<_>>()
    };
    assert_eq!(all(&total), all(&gradient), "{kind:?} {shape:?}");
}

#[test]
fn parts_of_a_batch_give_the_results_of_the_whole() {
    for shape in [(70, 3, 5, 4), (33, 2, 9, 9), (48, 5, 1, 1), (17, 20, 33, 31)] {
        for kind in [Kind::Pixels, Kind::EverySecond, Kind::Depthwise(3), Kind::Depthwise(5), Kind::Patches] {
            (1..=3).for_each(|step| check(shape, kind, step));
        }
    }
}
