//! Sums, concatenations and means against their twins on the CPU.

use enas_kernels::gpu::{self, Gpu, GpuMap, GpuTerm, GpuValue};
use enas_kernels::{Map, Term, Value};

use crate::{Shape, Twin, assert_close, cpu_map, download, gpu_map, in_all_orders, len, numbers, start};

const SHAPES: [Shape; 5] = [(1, 1, 1, 1), (15, 3, 2, 5), (16, 2, 8, 8), (17, 5, 7, 9), (33, 1, 3, 1)];

#[test]
fn sums_and_their_gradients_are_those_of_the_cpu() {
    for (i, shape) in SHAPES.into_iter().enumerate() {
        for flags in 0..4 {
            let what = format!("{shape:?}, {flags}");
            let (left, right) = (Twin::new(1, shape, flags & 1 == 1), Twin::new(3, shape, i % 2 == 0));
            let factors = [flags & 2 == 2, (flags + i) % 3 == 0];
            let factors = [5, 6].map(|seed| factors[seed as usize - 5].then(|| numbers(seed, shape.0)));
            let (grad, before) = (numbers(7, len(shape)), start(8, shape, (flags + i) % 2 == 0));

            let (a, b) = (left.cpu(), right.cpu());
            let term = |value, i: usize| Term { value, factors: factors[i].as_deref() };
            let sum = enas_kernels::add(term(&a, 0), term(&b, 1));
            let mut gradient = before.as_ref().map(|numbers| cpu_map(numbers, shape));
            enas_kernels::add_backward(&cpu_map(&grad, shape), factors[0].as_deref(), &mut gradient);

            let got = in_all_orders(&what, |gpu| {
                let (a, b) = (left.gpu(gpu), right.gpu(gpu));
                let factors = [0, 1].map(|i: usize| factors[i].as_ref().map(|factors| gpu.upload(factors)));
                let term = |value, i: usize| GpuTerm { value, factors: factors[i].as_ref() };
                let sum = gpu::add(term(&a, 0), term(&b, 1));
                let mut gradient = before.as_ref().map(|numbers| gpu_map(gpu, numbers, shape));
                gpu::add_backward(&gpu_map(gpu, &grad, shape), factors[0].as_ref(), &mut gradient);
                vec![download(&sum), download(&gradient.expect("there is a gradient"))]
            });
            assert_close(&format!("{what}: sum"), &got[0], &sum.to_nchw());
            assert_close(&format!("{what}: gradient"), &got[1], &gradient.unwrap().to_nchw());
        }
    }
}

#[test]
fn a_shared_gradient_is_copied_before_it_is_added_to() {
    let shape = (2, 1, 2, 2);
    let numbers = numbers(1, len(shape));
    let got = in_all_orders("shared", |gpu| {
        let grad = gpu_map(gpu, &numbers, shape);
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

/// Values of one size with one to three channels each, and gradients to start from.
struct Several {
    twins: Vec<Twin>,
    before: Vec<Option<Vec<f32>>>,
}

impl Several {
    fn new((n, c, h, w): Shape) -> Self {
        let twin = |i: u64| Twin::new(10 * i, (n, c + i as usize, h, w), i % 2 == 0);
        let twins: Vec<Twin> = (0..3).map(twin).collect();
        let before = |(i, twin): (usize, &Twin)| start(i as u64, twin.shape, i != 1);
        Self { before: twins.iter().enumerate().map(before).collect(), twins }
    }

    fn channels(&self) -> usize {
        self.twins.iter().map(|twin| twin.shape.1).sum()
    }

    fn cpu(&self) -> (Vec<Value>, Vec<Option<Map>>) {
        let gradient =
            |(before, twin): (&Option<Vec<f32>>, &Twin)| before.as_ref().map(|b| cpu_map(b, twin.shape));
        let gradients = self.before.iter().zip(&self.twins).map(gradient).collect();
        (self.twins.iter().map(Twin::cpu).collect(), gradients)
    }

    fn gpu(&self, gpu: &Gpu) -> (Vec<GpuValue>, Vec<Option<GpuMap>>) {
        let gradient =
            |(before, twin): (&Option<Vec<f32>>, &Twin)| before.as_ref().map(|b| gpu_map(gpu, b, twin.shape));
        let gradients = self.before.iter().zip(&self.twins).map(gradient).collect();
        (self.twins.iter().map(|twin| twin.gpu(gpu)).collect(), gradients)
    }

    /// Fails unless a result and its gradients are those of the CPU.
    fn compare(&self, what: &str, got: &[Vec<f32>], want: &[f32], gradients: Vec<Option<Map>>) {
        assert_close(&format!("{what}: forward"), &got[0], want);
        for (i, (got, want)) in got[1..].iter().zip(gradients).enumerate() {
            let want = want.expect("there is a gradient").to_nchw();
            assert_close(&format!("{what}: gradient {i}"), got, &want);
        }
    }
}

fn downloads(first: Vec<f32>, gradients: &[Option<GpuMap>]) -> Vec<Vec<f32>> {
    let gradient = |map: &Option<GpuMap>| download(map.as_ref().expect("there is a gradient"));
    std::iter::once(first).chain(gradients.iter().map(gradient)).collect()
}

#[test]
fn concatenations_and_their_gradients_are_those_of_the_cpu() {
    for shape in SHAPES {
        let several = Several::new(shape);
        let joined = (shape.0, several.channels(), shape.2, shape.3);
        let grad = numbers(99, len(joined));
        let (values, mut gradients) = several.cpu();
        let want = enas_kernels::concat(&values).to_nchw();
        enas_kernels::concat_backward(&cpu_map(&grad, joined), &values, &mut gradients);
        let what = format!("{shape:?}");
        let got = in_all_orders(&what, |gpu| {
            let (values, mut gradients) = several.gpu(gpu);
            let out = gpu::concat(&values);
            gpu::concat_backward(&gpu_map(gpu, &grad, joined), &values, &mut gradients);
            downloads(download(&out), &gradients)
        });
        several.compare(&what, &got, &want, gradients);
    }
}

#[test]
fn means_of_rectified_values_and_their_gradients_are_those_of_the_cpu() {
    for shape in SHAPES {
        let several = Several::new(shape);
        let channels = several.channels();
        let grad = numbers(99, shape.0 * channels);
        let (values, mut gradients) = several.cpu();
        let want = enas_kernels::relu_mean(&values);
        enas_kernels::relu_mean_backward(&values, &grad, &mut gradients);
        let what = format!("{shape:?}");
        let got = in_all_orders(&what, |gpu| {
            let (values, mut gradients) = several.gpu(gpu);
            let means = gpu::relu_mean(&values).download(0, shape.0 * channels).expect("the kernels run");
            gpu::relu_mean_backward(&values, &gpu.upload(&grad), &mut gradients);
            downloads(means, &gradients)
        });
        several.compare(&what, &got, &want, gradients);
    }
}
