//! The convolution block on the emulated GPU, forward and backward, against the one on the CPU; for either precision of
//! maps.
#![forbid(unsafe_code)]

mod support;

use std::iter;
use std::sync::Arc as SyncArc;

use enas_kernels::gpu::{
    Buffer, Gpu, GpuActivation, GpuBatchStats, GpuConvBlock, GpuConvBlockGradient, GpuConvBranch,
    GpuFeatureMap, GpuIm2row, GpuRunningStats, Precision, Span,
};
use enas_kernels::{Activation, Affine, BatchStats, ConvBlock, ConvBranch, FeatureMap, Im2row, RunningStats};
use enas_testing::gpus;
use enas_testing::numbers::{self, Tolerance, uniform};

/// What single precision may lose, as a share of the largest number of a result.
const TOLERANCE: f32 = 1e-5;

type Shape = (usize, usize, usize, usize);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Pixels,
    EverySecond(usize),
    Depthwise { k: usize, stride: usize },
    Patches(usize),
}

/// The results of the backward direction other than the gradients of the matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    /// Nothing.
    Matrices,
    /// Gradients of the inputs, which have none yet.
    Inputs,
    /// Gradients of the inputs, added to ones that are there.
    More,
}

/// A conv block, and what goes into it.
#[derive(Clone, Copy, Debug)]
struct Case {
    precision: Precision,
    /// One per branch.
    kinds: &'static [Kind],
    n: usize,
    /// Of each input.
    channels: &'static [usize],
    h: usize,
    w: usize,
    /// Of each branch.
    outputs: usize,
    /// Whether the inputs have a normalisation pending.
    affine: bool,
    relu: bool,
    ask: Ask,
}

/// Numbers with names, in the order in which they were computed.
type Results = Vec<(String, Vec<f32>)>;

/// Numbers between −1 and 1, the same for the same seed.
fn numbers(seed: usize, len: usize) -> Vec<f32> {
    uniform(&mut enas_rng::Seed::new(seed as u64).stream("numbers", &[]), len)
}

fn len((n, c, h, w): Shape) -> usize {
    n * c * h * w
}

fn cpu_map(images: &[f32], (n, c, h, w): Shape) -> FeatureMap {
    FeatureMap::from_nchw(images, n, c, h, w)
}

fn gpu_map(gpu: &Gpu, precision: Precision, images: &[f32], shape: Shape) -> GpuFeatureMap {
    GpuFeatureMap::from_images(&gpu.upload(images), precision, shape)
}

/// As [`gpu_map`], but where there is no image with numbers that would spoil a sum. Maps can hold the numbers, and what
/// is half less, if they are [`even`].
fn littered_map(gpu: &Gpu, precision: Precision, images: &[f32], shape: Shape) -> GpuFeatureMap {
    let c = shape.1;
    let halves: Vec<f32> = images.iter().map(|v| v - 0.5).collect();
    let affine = [vec![1.0; c], vec![0.5; c]].concat();
    let inputs =
        [GpuActivation { map: gpu_map(gpu, precision, &halves, shape), affine: Some(gpu.upload(&affine)) }];
    let identity: Vec<f32> = (0..c * c).map(|i| if i % (c + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let weight = gpu.upload(&identity);
    let branch = GpuConvBranch { rows: GpuIm2row::Pixels, weight: weight.span(0, c * c), outputs: c };
    GpuConvBlock { inputs: &inputs, relu: false, branches: &[branch] }.forward(false).0
}

/// The nearest multiples of 1/64.
fn even(numbers: Vec<f32>) -> Vec<f32> {
    numbers.into_iter().map(|x| (64.0 * x).round() / 64.0).collect()
}

fn nchw(map: &GpuFeatureMap) -> Vec<f32> {
    GpuActivation::plain(map.clone()).to_nchw().expect("the emulator found no fault")
}

impl Case {
    fn input_shape(&self, input: usize) -> Shape {
        (self.n, self.channels[input], self.h, self.w)
    }

    fn rows(&self, kind: Kind) -> usize {
        let channels: usize = self.channels.iter().sum();
        if let Kind::Patches(k) = kind { k * k * channels } else { channels }
    }

    fn input(&self, i: usize) -> Vec<f32> {
        support::stored(self.precision, numbers(1 + i, len(self.input_shape(i))))
    }

    /// Factors and summands.
    fn affine(&self, i: usize) -> Vec<f32> {
        numbers(100 + i, 2 * self.channels[i])
    }

    /// A gradient that is there before.
    fn earlier(&self, i: usize) -> Vec<f32> {
        support::stored(self.precision, numbers(200 + i, len(self.input_shape(i))))
    }

    fn weight(&self, branch: usize) -> Vec<f32> {
        numbers(300 + branch, self.rows(self.kinds[branch]) * self.outputs)
    }

    /// No numbers for rows without filters.
    fn filter(&self, branch: usize) -> Vec<f32> {
        match self.kinds[branch] {
            Kind::Depthwise { k, .. } => numbers(400 + branch, k * k * self.rows(self.kinds[branch])),
            _ => Vec::new(),
        }
    }

    fn all_outputs(&self) -> usize {
        self.outputs * self.kinds.len()
    }

    /// Scale, offset.
    fn norm(&self) -> [Vec<f32>; 2] {
        [500, 501].map(|seed| numbers(seed, self.all_outputs()))
    }

    /// What rounding errors of a result are relative to, at least. Gradients of parameters are sums over all images
    /// and pixels whose terms mostly cancel. In bfloat16, where a sum loses about as much as its terms do, it matters
    /// how large they are: as the scale of the normalisation, by which the gradient is multiplied on its way.
    fn magnitude(&self, name: &str, expected: &Results) -> f32 {
        let is_sum = ["gamma", "beta", "matrix", "filters"].iter().any(|sum| name.starts_with(sum));
        let terms = if is_sum { (self.n * self.h * self.w) as f32 / 64.0 } else { 0.0 };
        match self.precision {
            Precision::F32 => terms,
            Precision::Bf16 => {
                let scales = &result("affine", expected)[..self.all_outputs()];
                terms * scales.iter().fold(1.0, |m: f32, scale| m.max(scale.abs()))
            }
        }
    }

    /// What may be lost, as a share of the largest number of a result.
    ///
    /// Between the inputs and the last result four maps are stored: gathered rows, raw outputs, their gradient, that of
    /// the rows; the result itself may be a fifth. Each rounds every number by up to its share. What is computed from
    /// a map are sums, in which such errors, of either sign, stay behind the terms they belong to. A normalisation
    /// takes the mean away and divides by the deviation; by as much as that shrinks numbers, errors weigh more after
    /// it.
    fn tolerance(&self, name: &str, expected: &Results) -> f32 {
        let before = ["z", "mean", "variance", "count"].contains(&name);
        let weight = if before { 1.0 } else { self.normalisation(expected) };
        TOLERANCE + 5.0 * support::rounding(self.precision) * weight
    }

    /// The largest raw output in deviations of its channel.
    fn normalisation(&self, expected: &Results) -> f32 {
        let z = result("z", expected);
        let variance = result("variance", expected);
        let plane = z.len() / (self.n * variance.len());
        let deviations =
            |(i, z): (usize, &f32)| z.abs() / variance[i / plane % variance.len()].sqrt().max(1e-3);
        z.iter().enumerate().map(deviations).fold(1.0, f32::max)
    }

    fn on_the_cpu(&self) -> Results {
        let values: Vec<Activation> = (0..self.channels.len())
            .map(|i| {
                let mut scale = self.affine(i);
                let shift = scale.split_off(self.channels[i]);
                let affine = self.affine.then(|| SyncArc::new(Affine { scale, shift }));
                Activation { map: cpu_map(&self.input(i), self.input_shape(i)), affine }
            })
            .collect();
        let each = 0..self.kinds.len();
        let weights: Vec<Vec<f32>> = each.clone().map(|b| self.weight(b)).collect();
        let filters: Vec<Vec<f32>> = each.clone().map(|b| self.filter(b)).collect();
        let branches: Vec<ConvBranch> = each
            .map(|b| {
                let rows = match self.kinds[b] {
                    Kind::Pixels => Im2row::Pixels,
                    Kind::EverySecond(offset) => Im2row::EverySecond { offset },
                    Kind::Depthwise { k, stride } => Im2row::Depthwise { filter: &filters[b], k, stride },
                    Kind::Patches(k) => Im2row::Patches { k },
                };
                ConvBranch { rows, weight: &weights[b], outputs: self.outputs }
            })
            .collect();
        let conv_block = ConvBlock { inputs: &values, relu: self.relu, branches: &branches };

        let (z, stats) = conv_block.forward(true);
        let stats = stats.expect("asked for");
        let [gamma, beta] = self.norm();
        let Affine { scale, shift } = stats.affine(&gamma, &beta);
        let mut results = vec![("z".to_owned(), z.to_nchw())];
        push_moments(&mut results, &stats);
        results.push(("affine".to_owned(), [scale, shift].concat()));

        let gy = cpu_map(&even(numbers(600, z.to_nchw().len())), z.shape());
        let mut targets: Vec<Option<FeatureMap>> = (0..values.len())
            .map(|i| (self.ask == Ask::More).then(|| cpu_map(&self.earlier(i), self.input_shape(i))))
            .collect();
        let wanted = (self.ask != Ask::Matrices).then_some(&mut targets[..]);
        let gradient = conv_block.backward(&z, &stats, &gamma, &gy, wanted);
        // The GPU adds its gradients to ones, see there.
        let one_more = |g: &Vec<f32>| g.iter().map(|g| g + 1.0).collect();
        results.push(("gamma".to_owned(), one_more(&gradient.gamma)));
        results.push(("beta".to_owned(), one_more(&gradient.beta)));
        for (b, (weight, filters)) in gradient.weights.iter().zip(&gradient.filters).enumerate() {
            results.push((format!("matrix {b}"), one_more(weight)));
            results.push((format!("filters {b}"), one_more(filters)));
        }
        for (i, target) in targets.iter().flatten().enumerate() {
            results.push((format!("input {i}"), target.to_nchw()));
        }
        results
    }

    fn on_the_gpu(&self, gpu: &Gpu) -> Results {
        let values: Vec<GpuActivation> = (0..self.channels.len())
            .map(|i| {
                let map = gpu_map(gpu, self.precision, &self.input(i), self.input_shape(i));
                GpuActivation { map, affine: self.affine.then(|| gpu.upload(&self.affine(i))) }
            })
            .collect();
        let mut pack = Pack::default();
        let gamma = pack.add(&self.norm()[0]);
        let beta = pack.add(&self.norm()[1]);
        let each = 0..self.kinds.len();
        let places: Vec<[Place; 2]> =
            each.clone().map(|b| [pack.add(&self.weight(b)), pack.add(&self.filter(b))]).collect();
        let params = gpu.upload(&pack.0);
        let branches: Vec<GpuConvBranch> = each
            .map(|b| {
                let filter = places[b][1].of(&params);
                let rows = match self.kinds[b] {
                    Kind::Pixels => GpuIm2row::Pixels,
                    Kind::EverySecond(offset) => GpuIm2row::EverySecond { offset },
                    Kind::Depthwise { k, stride } => GpuIm2row::Depthwise { filter, k, stride },
                    Kind::Patches(k) => GpuIm2row::Patches { k },
                };
                GpuConvBranch { rows, weight: places[b][0].of(&params), outputs: self.outputs }
            })
            .collect();
        let conv_block = GpuConvBlock { inputs: &values, relu: self.relu, branches: &branches };

        let (z, stats) = conv_block.forward(true);
        let stats = stats.expect("asked for");
        let gamma_span = gamma.of(&params);
        let beta_span = beta.of(&params);
        let affine = stats
            .affine(gamma_span, beta_span)
            .download(0, 2 * self.all_outputs())
            .expect("the emulator found no fault");
        let mut results = vec![("z".to_owned(), nchw(&z))];
        push_moments(&mut results, &stats.download().expect("the emulator found no fault"));
        results.push(("affine".to_owned(), affine));
        let again = conv_block.forward(false);
        assert!(again.1.is_none() && nchw(&again.0) == results[0].1, "{self:?}: statistics change z");

        let gy = littered_map(gpu, self.precision, &even(numbers(600, results[0].1.len())), z.shape());
        let mut targets: Vec<Option<GpuFeatureMap>> = (0..values.len())
            .map(|i| {
                let earlier = || gpu_map(gpu, self.precision, &self.earlier(i), self.input_shape(i));
                (self.ask == Ask::More).then(earlier)
            })
            .collect();
        let wanted = (self.ask != Ask::Matrices).then_some(&mut targets[..]);
        let gradients = gpu.upload(&vec![1.0; pack.0.len()]);
        let into = GpuConvBlockGradient {
            gamma: Some(gamma.of(&gradients)),
            beta: Some(beta.of(&gradients)),
            branches: places
                .iter()
                .map(|[w, f]| (w.of(&gradients), (f.len > 0).then(|| f.of(&gradients))))
                .collect(),
        };
        conv_block.backward(&z, &stats, gamma_span, &gy, wanted, &into);
        results.push(("gamma".to_owned(), gamma.from(&gradients)));
        results.push(("beta".to_owned(), beta.from(&gradients)));
        for (b, [weight, filters]) in places.iter().enumerate() {
            results.push((format!("matrix {b}"), weight.from(&gradients)));
            results.push((format!("filters {b}"), filters.from(&gradients)));
        }
        for (i, target) in targets.iter().flatten().enumerate() {
            results.push((format!("input {i}"), nchw(target)));
        }
        results
    }

    /// In either precision.
    fn check(&self) {
        Precision::ALL.into_iter().for_each(|precision| Self { precision, ..*self }.check_one());
    }

    fn check_one(&self) {
        let [first, other] = support::orders(self.precision);
        let natural = self.on_the_gpu(&gpus::emulated(first));
        let reordered = self.on_the_gpu(&gpus::emulated(other));
        assert!(bits(&reordered) == bits(&natural), "{self:?}: order {other} gives other bytes");
        let expected = self.on_the_cpu();
        self.compare(&natural, &expected);
        if let Some(gpu) = gpus::real() {
            self.compare(&self.on_the_gpu(&gpu), &expected);
        }
    }

    fn compare(&self, actual: &Results, expected: &Results) {
        assert_eq!(actual.len(), expected.len(), "{self:?}");
        for ((name, got), (expected_name, want)) in actual.iter().zip(expected) {
            assert_eq!(name, expected_name);
            let what = format!("{self:?} {name}");
            let bound = self.tolerance(name, expected);
            assert_within(&what, got, want, self.magnitude(name, expected), bound);
        }
    }
}

fn result<'a>(name: &str, results: &'a Results) -> &'a [f32] {
    &results.iter().find(|(other, _)| other == name).expect("every conv_block has it").1
}

/// Parameters one after another, the first of them at an odd place.
struct Pack(Vec<f32>);

impl Default for Pack {
    fn default() -> Self {
        Self(vec![0.0])
    }
}

#[derive(Clone, Copy)]
struct Place {
    first: usize,
    len: usize,
}

impl Pack {
    fn add(&mut self, numbers: &[f32]) -> Place {
        let place = Place { first: self.0.len(), len: numbers.len() };
        self.0.extend(numbers);
        place
    }
}

impl Place {
    fn of(self, buffer: &Buffer) -> Span<'_> {
        buffer.span(self.first, self.len)
    }

    fn from(self, buffer: &Buffer) -> Vec<f32> {
        buffer.download(self.first, self.len).expect("the emulator found no fault")
    }
}

fn bits(results: &Results) -> Vec<u32> {
    results.iter().flat_map(|(_, numbers)| numbers).map(|x| x.to_bits()).collect()
}

fn push_moments(results: &mut Results, stats: &BatchStats) {
    results.push(("mean".to_owned(), stats.mean.clone()));
    results.push(("variance".to_owned(), stats.variance.clone()));
    results.push(("count".to_owned(), vec![stats.count as f32]));
}

#[track_caller]
fn assert_close(what: &str, actual: &[f32], expected: &[f32]) {
    assert_within(what, actual, expected, 0.0, TOLERANCE);
}

#[track_caller]
fn assert_within(what: &str, actual: &[f32], expected: &[f32], magnitude: f32, tolerance: f32) {
    numbers::assert_close(what, actual, expected, Tolerance { share: tolerance, least: magnitude.max(1.0) });
}

/// A case with everything pending.
const CASE: Case = Case {
    precision: Precision::F32,
    kinds: &[Kind::Pixels],
    n: 17,
    channels: &[3],
    h: 3,
    w: 2,
    outputs: 5,
    affine: true,
    relu: true,
    ask: Ask::Inputs,
};

#[test]
fn conv_blocks_of_pixels_are_the_cpus() {
    for ask in [Ask::Matrices, Ask::Inputs, Ask::More] {
        Case { ask, ..CASE }.check();
        Case { ask, channels: &[2, 3], ..CASE }.check();
    }
    for (n, h, w) in [(1, 1, 1), (15, 1, 3), (16, 4, 4), (33, 2, 1)] {
        Case { n, h, w, affine: false, ..CASE }.check();
        Case { n, h, w, relu: false, ask: Ask::More, ..CASE }.check();
        Case { n, h, w, affine: false, relu: false, outputs: 1, ..CASE }.check();
    }
}

#[test]
fn conv_blocks_of_every_second_pixel_are_the_cpus() {
    const BOTH: &[Kind] = &[Kind::EverySecond(0), Kind::EverySecond(1)];
    for (h, w, ask) in [(4, 4, Ask::Inputs), (5, 3, Ask::More), (1, 1, Ask::Inputs), (2, 7, Ask::Matrices)] {
        Case { kinds: BOTH, h, w, ask, ..CASE }.check();
        Case { kinds: BOTH, channels: &[1, 2], h, w, ask, relu: false, ..CASE }.check();
    }
}

#[test]
fn conv_blocks_of_filtered_rows_are_the_cpus() {
    const FILTERS: [&[Kind]; 4] = [
        &[Kind::Depthwise { k: 3, stride: 1 }],
        &[Kind::Depthwise { k: 3, stride: 2 }],
        &[Kind::Depthwise { k: 5, stride: 1 }],
        &[Kind::Depthwise { k: 5, stride: 2 }],
    ];
    for (kinds, ask) in FILTERS.into_iter().zip([Ask::Inputs, Ask::More, Ask::Matrices, Ask::Inputs]) {
        Case { kinds, h: 5, w: 4, ask, ..CASE }.check();
        Case { kinds, n: 1, channels: &[1, 2], h: 2, w: 1, ask, affine: false, ..CASE }.check();
    }
}

#[test]
fn conv_blocks_of_patches_are_the_cpus() {
    for (k, h, w, ask) in [(3, 4, 3, Ask::Inputs), (2, 3, 5, Ask::More), (5, 1, 2, Ask::Matrices)] {
        Case { kinds: &[Kind::Patches(3)], h, w, ask, relu: false, ..CASE }.check();
        let kinds: &[Kind] = if k == 2 { &[Kind::Patches(2)] } else { &[Kind::Patches(5)] };
        Case { kinds, channels: &[1, 2], h, w, ask, ..CASE }.check();
    }
}

#[test]
fn products_may_have_any_number_of_rows_and_outputs() {
    // Around the sides of the tiles: 16 rows are staged at once, blocks have 32 or 64 outputs, gradients of matrices
    // 24, 32 or 40 of both.
    const ROWS: [&[usize]; 5] = [&[16], &[17], &[31], &[24], &[45]];
    for (channels, outputs) in ROWS.into_iter().zip([32, 33, 31, 24, 70]) {
        Case { channels, outputs, n: 3, h: 3, w: 3, ..CASE }.check();
    }
}

#[test]
fn sums_may_have_any_number_of_parts() {
    // More than 128 tiles of positions, and more than 4096 positions.
    Case { n: 33, channels: &[1], h: 19, w: 19, outputs: 2, ..CASE }.check();
}

/// Statistics of `1000 + numbers`, and what the CPU says of the same map as it is stored.
fn far_from_zero(gpu: &Gpu, precision: Precision, shape: Shape) -> (GpuBatchStats, BatchStats) {
    let (n, c, h, w) = shape;
    let ones = GpuActivation::plain(gpu_map(gpu, precision, &vec![1.0; n * h * w], (n, 1, h, w)));
    let around = GpuActivation::plain(gpu_map(gpu, precision, &numbers(7, len(shape)), shape));
    let mut weight = vec![1000.0; c];
    weight.extend((0..c * c).map(|i| if i % (c + 1) == 0 { 1.0 } else { 0.0 }));
    let weight = gpu.upload(&weight);
    let branch = GpuConvBranch { rows: GpuIm2row::Pixels, weight: weight.span(0, (1 + c) * c), outputs: c };
    let (z, stats) = GpuConvBlock { inputs: &[ones, around], relu: false, branches: &[branch] }.forward(true);
    (stats.expect("asked for"), BatchStats::of(&cpu_map(&nchw(&z), shape)))
}

#[test]
fn a_mean_far_from_zero_costs_no_digits() {
    for gpu in iter::once(gpus::emulated(0)).chain(gpus::real()) {
        let shapes = [(5, 2, 3, 3), (33, 3, 5, 5)];
        for (precision, shape) in Precision::ALL.into_iter().flat_map(|p| shapes.map(|shape| (p, shape))) {
            let (stats, expected) = far_from_zero(&gpu, precision, shape);
            let stats = stats.download().unwrap();
            assert!(expected.mean.iter().all(|m| (m - 1000.0).abs() < 0.5), "{expected:?}");
            assert_eq!(stats.count, expected.count);
            for (a, e) in stats.mean.iter().zip(&expected.mean) {
                assert!((a - e).abs() <= 1e-7 * e, "mean {a}, should be {e}");
            }
            for (a, e) in stats.variance.iter().zip(&expected.variance) {
                assert!((a - e).abs() <= 1e-5 * e, "variance {a}, should be {e}");
            }
        }
    }
}

/// To the bit on the emulated GPU. A real one fuses `a * b + c`, which may change the last bit.
#[test]
fn moving_statistics_are_the_cpus() {
    let emulated = iter::once((gpus::emulated(0), true));
    for (gpu, is_emulated) in emulated.chain(gpus::real().map(|gpu| (gpu, false))) {
        let mut expected = RunningStats::new(3);
        let mut stats = GpuRunningStats::upload(&gpu, &expected);
        assert_eq!(stats.download().unwrap(), expected);
        let shapes = [(5, 3, 2, 2), (1, 3, 1, 1), (17, 3, 2, 1)];
        for shape in shapes.into_iter().cycle().take(12) {
            let (batch, _) = far_from_zero(&gpu, Precision::F32, shape);
            stats.update(&batch);
            expected.update(&batch.download().unwrap());
            let actual = stats.download().unwrap();
            if is_emulated {
                assert_eq!(actual, expected);
            }
            assert_eq!(actual.updates, expected.updates);
            assert_close("mean", &actual.mean, &expected.mean);
            assert_close("variance", &actual.variance, &expected.variance);
            assert_close("biased mean", &actual.biased_mean, &expected.biased_mean);
            assert_close("biased variance", &actual.biased_variance, &expected.biased_variance);
        }
        let gamma = numbers(1, 3);
        let beta = numbers(2, 3);
        let params = gpu.upload(&[&gamma[..], &beta].concat());
        let affine = stats.affine(params.span(0, 3), params.span(3, 3)).download(0, 6).unwrap();
        let Affine { scale, shift } = expected.affine(&gamma, &beta);
        assert_close("affine", &affine, &[scale, shift].concat());
        // Continuing from a copy is continuing.
        let copy = GpuRunningStats::upload(&gpu, &stats.download().unwrap());
        assert_eq!(copy.download().unwrap(), stats.download().unwrap());
    }
}
