//! Gathered rows on the emulated GPU, forward and backward, against plain loops in double precision; for either
//! precision of maps.
#![forbid(unsafe_code)]

mod support;

use std::iter;

use enas_kernels::Axis;
use enas_kernels::gpu::{Gpu, GpuActivation, GpuFeatureMap, GpuIm2row, Precision};
use enas_testing::gpus;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Pixels,
    EverySecond(usize),
    Depthwise { k: usize, stride: usize },
    Patches(usize),
}

/// A product's rows to be gathered.
#[derive(Clone, Copy, Debug)]
struct Case {
    precision: Precision,
    kind: Kind,
    n: usize,
    /// Of each input.
    channels: &'static [usize],
    h: usize,
    w: usize,
    /// Whether the inputs have a normalisation pending.
    affine: bool,
    relu: bool,
    /// Whether the inputs have gradients already.
    accumulate: bool,
}

/// Numbers between −1 and 1, the same for the same seed.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32) / (1 << 23) as f32 - 1.0
        })
        .collect()
}

impl Case {
    fn total(&self) -> usize {
        self.channels.iter().sum()
    }

    /// Numbers that a map can hold.
    fn map_numbers(&self, seed: u64, len: usize) -> Vec<f32> {
        support::stored(self.precision, numbers(seed, len))
    }

    fn raw(&self, input: usize) -> Vec<f32> {
        self.map_numbers(1 + input as u64, self.n * self.channels[input] * self.h * self.w)
    }

    /// Factors and summands.
    fn affine(&self, input: usize) -> Vec<f32> {
        numbers(100 + input as u64, 2 * self.channels[input])
    }

    fn filter(&self) -> Vec<f32> {
        match self.kind {
            Kind::Depthwise { k, .. } => numbers(200, k * k * self.total()),
            _ => Vec::new(),
        }
    }

    /// Taps of a row's channel, and the window of both axes; pixels are shifted by the offset.
    fn window(&self) -> (Axis, Axis, usize) {
        let (k, stride, offset) = match self.kind {
            Kind::Pixels => (1, 1, 0),
            Kind::EverySecond(offset) => (1, 2, offset),
            Kind::Depthwise { k, stride } => (k, stride, 0),
            Kind::Patches(k) => (k, 1, 0),
        };
        (Axis::same(self.h, k, stride), Axis::same(self.w, k, stride), offset)
    }

    /// Rows of the product.
    fn rows(&self) -> usize {
        if let Kind::Patches(k) = self.kind { k * k * self.total() } else { self.total() }
    }

    /// The gradient of the rows, as uploaded.
    fn grad(&self) -> Vec<f32> {
        let (y, x, _) = self.window();
        self.map_numbers(300, self.n * self.rows() * y.out * x.out)
    }

    /// What is propagated: a quarter more, also in lanes without an image.
    fn more(&self) -> Vec<f32> {
        support::stored(self.precision, self.grad().into_iter().map(|g| g + 0.25).collect())
    }

    fn old(&self, input: usize) -> Vec<f32> {
        self.map_numbers(400 + input as u64, self.n * self.channels[input] * self.h * self.w)
    }
}

/// Rows, gradient of each input, gradient of the filters.
#[derive(Debug, PartialEq)]
struct Answer<T>(Vec<Vec<T>>);

fn on_gpu(gpu: &Gpu, case: &Case) -> Answer<f32> {
    let &Case { n, h, w, relu, .. } = case;
    let map =
        |c, values: &[f32]| GpuFeatureMap::from_images(&gpu.upload(values), case.precision, (n, c, h, w));
    let inputs: Vec<GpuActivation> = (0..case.channels.len())
        .map(|i| GpuActivation {
            map: map(case.channels[i], &case.raw(i)),
            affine: case.affine.then(|| gpu.upload(&case.affine(i))),
        })
        .collect();
    // The filters are parameters among others.
    let before = 5;
    let len = case.filter().len();
    let parameters = gpu.upload(&[vec![9.0; before], case.filter()].concat());
    let filter = parameters.span(before, len);
    let rows = match case.kind {
        Kind::Pixels => GpuIm2row::Pixels,
        Kind::EverySecond(offset) => GpuIm2row::EverySecond { offset },
        Kind::Depthwise { k, stride } => GpuIm2row::Depthwise { filter, k, stride },
        Kind::Patches(k) => GpuIm2row::Patches { k },
    };
    let gathered = rows.gather(&inputs, relu);
    let grad = GpuFeatureMap::from_images(&gpu.upload(&case.grad()), case.precision, gathered.shape());
    let quarter = gpu.upload(&[vec![1.0; case.rows()], vec![0.25; case.rows()]].concat());
    let grad = GpuIm2row::Pixels.gather(&[GpuActivation { map: grad, affine: Some(quarter) }], false);
    let old: Vec<Option<GpuFeatureMap>> = (0..case.channels.len())
        .map(|i| case.accumulate.then(|| map(case.channels[i], &case.old(i))))
        .collect();
    let mut targets = old.clone();
    rows.scatter(&inputs, relu, &grad, &mut targets);
    let gradients = gpu.upload(&vec![0.5; before + len + 1]);
    rows.filter_gradient(&inputs, relu, &grad, gradients.span(before, len));

    let numbers = |map: GpuFeatureMap| GpuActivation::plain(map).to_nchw().expect("every launch is sound");
    let mut answer = vec![numbers(gathered)];
    answer.extend(targets.into_iter().map(|target| numbers(target.expect("scatter fills every target"))));
    for (i, old) in old.into_iter().enumerate() {
        if let Some(old) = old {
            assert_eq!(numbers(old), case.old(i), "another map with the same memory stays as it was");
        }
    }
    let gradients = gradients.download(0, before + len + 1).expect("every launch is sound");
    assert!(
        gradients[..before].iter().all(|v| *v == 0.5) && gradients[before + len] == 0.5,
        "neighbours stay"
    );
    answer.push(gradients[before..before + len].to_vec());
    Answer(answer)
}

/// The specification: every tap of every output pixel by itself.
fn by_hand(case: &Case) -> Answer<f64> {
    let &Case { kind, n, h, w, relu, .. } = case;
    let (wy, wx, offset) = case.window();
    let filter = case.filter();
    let grad = case.more();
    let taps = wy.k * wx.k;
    let mut gathered = vec![0.0; grad.len()];
    let mut targets: Vec<Vec<f64>> = (0..case.channels.len())
        .map(|i| case.old(i).iter().map(|v| if case.accumulate { f64::from(*v) } else { 0.0 }).collect())
        .collect();
    let mut filters = vec![0.5; filter.len()];
    let mut first = 0;
    for (input, &channels) in case.channels.iter().enumerate() {
        let raw = case.raw(input);
        let affine = case.affine(input);
        for (image, c, pixel) in (0..n).flat_map(|i| {
            (0..channels).flat_map(move |c| (0..wy.out * wx.out).map(move |pixel| (i, c, pixel)))
        }) {
            for tap in 0..taps {
                let y = (pixel / wx.out * wy.stride + offset + tap / wx.k).wrapping_sub(wy.before);
                let x = (pixel % wx.out * wx.stride + offset + tap % wx.k).wrapping_sub(wx.before);
                if y >= h || x >= w {
                    continue;
                }
                let from = ((image * channels + c) * h + y) * w + x;
                let (scale, shift) = if case.affine { (affine[c], affine[channels + c]) } else { (1.0, 0.0) };
                let value = raw[from].mul_add(scale, shift);
                let passes = !relu || value > 0.0;
                let value = f64::from(if passes { value } else { 0.0 });
                let channel = first + c;
                let row =
                    if matches!(kind, Kind::Patches(_)) { tap * case.total() + channel } else { channel };
                let to = (image * case.rows() + row) * wy.out * wx.out + pixel;
                let weight = filter.get(tap * case.total() + channel).map_or(1.0, |w| f64::from(*w));
                let g = f64::from(grad[to]);
                gathered[to] += weight * value;
                if passes {
                    targets[input][from] += weight * g;
                }
                if let Some(gradient) = filters.get_mut(tap * case.total() + channel) {
                    *gradient += g * value;
                }
            }
        }
        first += channels;
    }
    let mut answer = vec![gathered];
    answer.append(&mut targets);
    answer.push(filters);
    Answer(answer)
}

/// Within 1e-5 of the largest magnitude, in addition to the rounding of maps; on a real GPU as well, and the same bytes
/// whatever the order of threads.
fn check(gpus: &[Gpu], case: &Case) {
    let expected = by_hand(case);
    let got = on_gpu(&gpus[0], case);
    compare(&got, &expected, case);
    for gpu in &gpus[1..] {
        assert_eq!(on_gpu(gpu, case), got, "{case:?}: {gpu:?}");
    }
    if let Some(gpu) = gpus::real() {
        compare(&on_gpu(&gpu, case), &expected, case);
    }
}

fn compare(got: &Answer<f32>, expected: &Answer<f64>, case: &Case) {
    let parts = case.channels.len();
    for (i, (got, expected)) in got.0.iter().zip(&expected.0).enumerate() {
        let part = if i == 0 {
            "rows".to_owned()
        } else if i <= parts {
            format!("gradient of input {}", i - 1)
        } else {
            "gradient of the filters".to_owned()
        };
        // The gradient of the filters is no map.
        let share = if i <= parts { f64::from(support::rounding(case.precision)) } else { 0.0 };
        assert_eq!(got.len(), expected.len(), "{case:?}: {part}");
        let largest = expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
            let error = (f64::from(*got) - expected).abs();
            let bound = 1e-5 * largest + share * expected.abs();
            assert!(error <= bound, "{case:?}: {part}[{at}] is {got}, not {expected}");
        }
    }
}

/// Checks `kinds` on awkward sizes; whether inputs are normalised, rectified and have gradients already takes turns.
fn check_all(kinds: &[Kind], sizes: &[(usize, &'static [usize], usize, usize)]) {
    for precision in Precision::ALL {
        let gpus = support::orders(precision).map(gpus::emulated);
        for (i, kind) in kinds.iter().enumerate() {
            for (j, &(n, channels, h, w)) in sizes.iter().enumerate() {
                let turn = i + 3 * j;
                let affine = turn & 1 != 0;
                let relu = turn & 2 != 0;
                let accumulate = turn & 4 != 0;
                let case = Case { precision, kind: *kind, n, channels, h, w, affine, relu, accumulate };
                check(&gpus, &case);
            }
        }
    }
}

#[test]
fn copied_rows_are_copies() {
    let kinds = [
        Kind::Pixels,
        Kind::EverySecond(0),
        Kind::EverySecond(1),
        Kind::Patches(1),
        Kind::Patches(2),
        Kind::Patches(3),
        Kind::Patches(5),
    ];
    let sizes: [(usize, &[usize], usize, usize); 8] = [
        (1, &[1], 1, 1),
        (15, &[3], 2, 1),
        (16, &[2], 1, 4),
        (17, &[2, 3], 5, 4),
        (33, &[1, 2], 3, 3),
        (2, &[5], 7, 6),
        (16, &[4], 8, 8),
        (1, &[2], 9, 13),
    ];
    check_all(&kinds, &sizes);
}

#[test]
fn every_combination_of_normalisation_and_relu_and_old_gradients_is_right() {
    let gpus = [gpus::emulated(3)];
    for kind in [
        Kind::Pixels,
        Kind::EverySecond(1),
        Kind::Patches(3),
        Kind::Depthwise { k: 3, stride: 1 },
        Kind::Depthwise { k: 5, stride: 2 },
    ] {
        for turn in 0..16 {
            let [affine, relu, accumulate, several] = [1, 2, 4, 8].map(|bit| turn & bit != 0);
            let channels: &[usize] = if several { &[2, 1] } else { &[2] };
            let case = Case {
                precision: Precision::F32,
                kind,
                n: 3,
                channels,
                h: 5,
                w: 4,
                affine,
                relu,
                accumulate,
            };
            check(&gpus, &case);
            check(&gpus, &Case { precision: Precision::Bf16, ..case });
        }
    }
}

const FILTERS: [Kind; 4] = [
    Kind::Depthwise { k: 3, stride: 1 },
    Kind::Depthwise { k: 5, stride: 1 },
    Kind::Depthwise { k: 3, stride: 2 },
    Kind::Depthwise { k: 5, stride: 2 },
];

#[test]
fn small_planes_are_filtered() {
    let sizes: [(usize, &[usize], usize, usize); 9] = [
        (1, &[1], 1, 1),
        (15, &[3], 2, 1),
        (16, &[33], 1, 2),
        (17, &[2, 3], 5, 4),
        (33, &[5], 3, 3),
        (2, &[9], 4, 4),
        (16, &[6, 1], 8, 8),
        (3, &[3], 7, 7),
        (1, &[2], 6, 7),
    ];
    check_all(&FILTERS, &sizes);
}

#[test]
fn planes_of_several_tiles_are_filtered() {
    let sizes: [(usize, &[usize], usize, usize); 7] = [
        // More tiles than warps that add them up.
        (1, &[1], 70, 33),
        (1, &[2], 20, 9),
        (17, &[1], 9, 34),
        (2, &[1, 1], 17, 16),
        (1, &[1], 3, 75),
        (1, &[3], 70, 1),
        (1, &[1], 33, 32),
    ];
    check_all(&FILTERS, &sizes);
}

#[test]
fn both_paths_of_a_factorised_reduction_reach_their_input() {
    for gpu in iter::once(gpus::emulated(0)).chain(gpus::real()) {
        let shape = (1, 1, 3, 3);
        let half = (1, 1, 2, 2);
        let input = [GpuActivation::plain(GpuFeatureMap::zeros(&gpu, Precision::F32, shape))];
        let grad = GpuFeatureMap::from_images(&gpu.upload(&[1.0, 2.0, 3.0, 4.0]), Precision::F32, half);
        let mut targets = [None];
        GpuIm2row::EverySecond { offset: 0 }.scatter(&input, false, &grad, &mut targets);
        GpuIm2row::EverySecond { offset: 1 }.scatter(&input, false, &grad, &mut targets);
        let [target] = targets.map(|target| target.expect("scatter fills every target"));
        let gradient = GpuActivation::plain(target).to_nchw().expect("every launch is sound");
        assert_eq!(gradient, [1.0, 0.0, 2.0, 0.0, 1.0, 0.0, 3.0, 0.0, 4.0]);
    }
}

#[test]
fn pixels_that_are_used_as_they_are_cost_no_launch() {
    let gpu = gpus::emulated(0);
    let input = [GpuActivation::plain(GpuFeatureMap::zeros(&gpu, Precision::Bf16, (1, 2, 3, 3)))];
    let before = gpu.launches();
    let rows = GpuIm2row::Pixels.gather(&input, false);
    let mut targets = [None];
    GpuIm2row::Pixels.scatter(&input, false, &rows, &mut targets);
    assert_eq!(gpu.launches(), before);
    // Adding to the gradient copies it first.
    GpuIm2row::Pixels.scatter(&input, false, &rows, &mut targets);
    assert_eq!(gpu.launches(), before + 2);
}

#[test]
fn a_number_that_is_none_stays_none() {
    let gpus = iter::once(gpus::emulated(0)).chain(gpus::real());
    for (gpu, precision) in gpus.flat_map(|gpu| Precision::ALL.map(|precision| (gpu.clone(), precision))) {
        let images = gpu.upload(&[f32::NAN, 1.0, -1.0, 2.0]);
        let input = [GpuActivation::plain(GpuFeatureMap::from_images(&images, precision, (1, 1, 2, 2)))];
        let filter = gpu.upload(&[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let depthwise = GpuIm2row::Depthwise { filter: filter.span(0, 9), k: 3, stride: 1 };
        for rows in [GpuIm2row::Pixels, GpuIm2row::Patches { k: 1 }, depthwise] {
            let gathered =
                GpuActivation::plain(rows.gather(&input, true)).to_nchw().expect("every launch is sound");
            assert!(gathered[0].is_nan(), "{gathered:?}");
        }
    }
}
