//! Sums, concatenations and means against their twins on the CPU.

use enas_kernels::gpu::{self, Gpu, GpuActivation, GpuFeatureMap, GpuTerm, Precision};
use enas_kernels::{Activation, FeatureMap, Term};

use crate::{
    Shape, Twin, assert_close, assert_stored, cpu_map, download, gpu_map, len, map_numbers, numbers, on_maps,
    start,
};

const SHAPES: [Shape; 5] = [(1, 1, 1, 1), (15, 3, 2, 5), (16, 2, 8, 8), (17, 5, 7, 9), (33, 1, 3, 1)];

/// Every precision with every shape, and a number for what takes turns.
fn cases() -> impl Iterator<Item = (Precision, usize, Shape)> {
    let shapes = |precision| SHAPES.into_iter().enumerate().map(move |(i, shape)| (precision, i, shape));
    Precision::ALL.into_iter().flat_map(shapes)
}

#[test]
fn sums_and_their_gradients_are_those_of_the_cpu() {
    for (precision, i, shape) in cases() {
        (0..4).for_each(|flags| check_sum(precision, i, shape, flags));
    }
}

fn check_sum(precision: Precision, i: usize, shape: Shape, flags: usize) {
    let what = format!("{shape:?}, {flags}");
    let twin = |seed, affine| Twin::new(precision, seed, shape, affine);
    let left = twin(1, flags & 1 == 1);
    let right = twin(3, i.is_multiple_of(2));
    let factors = [flags & 2 == 2, (flags + i).is_multiple_of(3)];
    let factors = [5, 6].map(|seed| factors[seed as usize - 5].then(|| numbers(seed, shape.0)));
    let grad = map_numbers(precision, 7, len(shape));
    let before = start(precision, 8, shape, (flags + i).is_multiple_of(2));

    let a = left.cpu();
    let b = right.cpu();
    let term = |value, i: usize| Term { value, factors: factors[i].as_deref() };
    let sum = enas_kernels::add(term(&a, 0), term(&b, 1));
    let mut gradient = before.as_ref().map(|numbers| cpu_map(numbers, shape));
    enas_kernels::add_backward(&cpu_map(&grad, shape), factors[0].as_deref(), &mut gradient);

    let got = on_maps(precision, &what, |gpu| {
        let a = left.gpu(gpu);
        let b = right.gpu(gpu);
        let factors = [0, 1].map(|i: usize| factors[i].as_ref().map(|factors| gpu.upload(factors)));
        let term = |value, i: usize| GpuTerm { value, factors: factors[i].as_ref() };
        let sum = gpu::add(term(&a, 0), term(&b, 1));
        let map = |numbers: &[f32]| gpu_map(gpu, precision, numbers, shape);
        let mut gradient = before.as_ref().map(|numbers| map(numbers));
        gpu::add_backward(&map(&grad), factors[0].as_ref(), &mut gradient);
        vec![download(&sum), download(&gradient.expect("there is a gradient"))]
    });
    assert_stored(precision, &format!("{what}: sum"), &got[0], &sum.to_nchw());
    assert_stored(
        precision,
        &format!("{what}: gradient"),
        &got[1],
        &gradient.expect("there is a gradient").to_nchw(),
    );
}

#[test]
fn a_shared_gradient_is_copied_before_it_is_added_to() {
    let shape = (2, 1, 2, 2);
    for precision in Precision::ALL {
        let numbers = map_numbers(precision, 1, len(shape));
        let got = on_maps(precision, "shared", |gpu| {
            let grad = gpu_map(gpu, precision, &numbers, shape);
            let mut gradient = None;
            gpu::add_backward(&grad, None, &mut gradient);
            let launches = gpu.launches();
            assert_eq!(launches, 1, "sharing launches nothing beside the conversion of the pictures");
            gpu::add_backward(&grad, None, &mut gradient);
            vec![download(&grad), download(&gradient.expect("there is a gradient"))]
        });
        assert_eq!(got[0], numbers, "the gradient of the sum is as before");
        assert_eq!(got[1], numbers.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
    }
}

/// Values of one size with one to three channels each, and gradients to start from.
struct Several {
    precision: Precision,
    twins: Vec<Twin>,
    before: Vec<Option<Vec<f32>>>,
}

impl Several {
    fn new(precision: Precision, (n, c, h, w): Shape) -> Self {
        let twin = |i: u64| Twin::new(precision, 10 * i, (n, c + i as usize, h, w), i.is_multiple_of(2));
        let twins: Vec<Twin> = (0..3).map(twin).collect();
        let before = |(i, twin): (usize, &Twin)| start(precision, i as u64, twin.shape, i != 1);
        Self { precision, before: twins.iter().enumerate().map(before).collect(), twins }
    }

    fn channels(&self) -> usize {
        self.twins.iter().map(|twin| twin.shape.1).sum()
    }

    fn cpu(&self) -> (Vec<Activation>, Vec<Option<FeatureMap>>) {
        let gradient =
            |(before, twin): (&Option<Vec<f32>>, &Twin)| before.as_ref().map(|b| cpu_map(b, twin.shape));
        let gradients = self.before.iter().zip(&self.twins).map(gradient).collect();
        (self.twins.iter().map(Twin::cpu).collect(), gradients)
    }

    fn gpu(&self, gpu: &Gpu) -> (Vec<GpuActivation>, Vec<Option<GpuFeatureMap>>) {
        let gradient = |(before, twin): (&Option<Vec<f32>>, &Twin)| {
            before.as_ref().map(|b| gpu_map(gpu, self.precision, b, twin.shape))
        };
        let gradients = self.before.iter().zip(&self.twins).map(gradient).collect();
        (self.twins.iter().map(|twin| twin.gpu(gpu)).collect(), gradients)
    }

    /// Fails unless the gradients are those of the CPU.
    fn compare(&self, what: &str, got: &[Vec<f32>], gradients: Vec<Option<FeatureMap>>) {
        for (i, (got, want)) in got.iter().zip(gradients).enumerate() {
            let want = want.expect("there is a gradient").to_nchw();
            assert_stored(self.precision, &format!("{what}: gradient {i}"), got, &want);
        }
    }
}

fn downloads(first: Vec<f32>, gradients: &[Option<GpuFeatureMap>]) -> Vec<Vec<f32>> {
    let gradient = |map: &Option<GpuFeatureMap>| download(map.as_ref().expect("there is a gradient"));
    std::iter::once(first).chain(gradients.iter().map(gradient)).collect()
}

#[test]
fn concatenations_and_their_gradients_are_those_of_the_cpu() {
    for (precision, _, shape) in cases() {
        let several = Several::new(precision, shape);
        let joined = (shape.0, several.channels(), shape.2, shape.3);
        let grad = map_numbers(precision, 99, len(joined));
        let (values, mut gradients) = several.cpu();
        let want = enas_kernels::concat(&values).to_nchw();
        enas_kernels::concat_backward(&cpu_map(&grad, joined), &values, &mut gradients);
        let what = format!("{shape:?}");
        let got = on_maps(precision, &what, |gpu| {
            let (values, mut gradients) = several.gpu(gpu);
            let out = gpu::concat(&values);
            gpu::concat_backward(&gpu_map(gpu, precision, &grad, joined), &values, &mut gradients);
            downloads(download(&out), &gradients)
        });
        assert_stored(precision, &format!("{what}: forward"), &got[0], &want);
        several.compare(&what, &got[1..], gradients);
    }
}

#[test]
fn means_of_rectified_values_and_their_gradients_are_those_of_the_cpu() {
    for (precision, _, shape) in cases() {
        let several = Several::new(precision, shape);
        let channels = several.channels();
        let grad = numbers(99, shape.0 * channels);
        let (values, mut gradients) = several.cpu();
        let want = enas_kernels::relu_mean(&values);
        enas_kernels::relu_mean_backward(&values, &grad, &mut gradients);
        let what = format!("{shape:?}");
        let got = on_maps(precision, &what, |gpu| {
            let (values, mut gradients) = several.gpu(gpu);
            let means = gpu::relu_mean(&values).download(0, shape.0 * channels).expect("the kernels run");
            gpu::relu_mean_backward(&values, &gpu.upload(&grad), &mut gradients);
            downloads(means, &gradients)
        });
        // Means are no maps.
        assert_close(&format!("{what}: forward, {precision:?}"), &got[0], &want);
        several.compare(&what, &got[1..], gradients);
    }
}
