//! The classifier and its loss against plain loops in double precision.

use enas_kernels::gpu;

use crate::{assert_close, in_all_orders, numbers};

/// `a · b` of `[rows, depth]` and `[depth, columns]`, given by their elements, plus what is there already.
fn product(
    [rows, depth, columns]: [usize; 3],
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
    before: Option<&[f32]>,
) -> Vec<f32> {
    let element = |i: usize, j: usize| -> f64 {
        let sum: f64 = (0..depth).map(|k| f64::from(a(i, k)) * f64::from(b(k, j))).sum();
        sum + before.map_or(0.0, |before| f64::from(before[i * columns + j]))
    };
    (0..rows * columns).map(|at| element(at / columns, at % columns) as f32).collect()
}

/// Where weights begin among all weights: not at a multiple of four.
const FIRST: usize = 3;

fn check_classifier(n: usize, c: usize, classes: usize, trained: bool) {
    let what = format!("{n} images, {c} features, {classes} classes");
    let features = numbers(1, n * c);
    let weight = numbers(2, c * classes);
    let grad = numbers(3, n * classes);
    let before = numbers(4, c * classes);
    let logits = product([n, c, classes], |i, k| features[i * c + k], |k, j| weight[k * classes + j], None);
    let feature_grad =
        product([n, classes, c], |i, k| grad[i * classes + k], |k, j| weight[j * classes + k], None);
    let weight_grad = product(
        [c, n, classes],
        |i, k| features[k * c + i],
        |k, j| grad[k * classes + j],
        Some(before.as_slice()),
    );
    let got = in_all_orders(&what, |gpu| {
        let all = gpu.zeros(FIRST + c * classes);
        all.upload(FIRST, &weight);
        let sums = gpu.zeros(FIRST + c * classes);
        sums.upload(FIRST, &before);
        let features = gpu.upload(&features);
        let weight = all.span(FIRST, c * classes);
        let logits = gpu::classifier_forward(&features, weight, n, c, classes);
        let into = trained.then(|| sums.span(FIRST, c * classes));
        let grad = gpu::classifier_backward(&features, weight, n, c, classes, &gpu.upload(&grad), into);
        let download =
            |buffer: &gpu::Buffer, first, len| buffer.download(first, len).expect("the kernels run");
        vec![
            download(&logits, 0, n * classes),
            download(&grad, 0, n * c),
            download(&sums, FIRST, c * classes),
        ]
    });
    assert_close(&format!("{what}: logits"), &got[0], &logits);
    assert_close(&format!("{what}: gradient of the features"), &got[1], &feature_grad);
    let want = if trained { &weight_grad } else { &before };
    assert_close(&format!("{what}: gradient of the weights"), &got[2], want);
}

#[test]
fn the_classifier_multiplies_in_both_directions() {
    for (n, c, classes) in [(1, 1, 1), (5, 130, 10), (33, 7, 70), (130, 20, 3), (2, 65, 257), (70, 64, 64)] {
        check_classifier(n, c, classes, true);
    }
}

#[test]
fn a_frozen_classifier_gets_no_gradient() {
    check_classifier(17, 40, 10, false);
}

#[test]
fn features_are_scaled_one_by_one() {
    let features = numbers(1, 300);
    let factors = numbers(2, 300);
    let got = in_all_orders("scaled", |gpu| {
        let scaled = gpu::scale_features(&gpu.upload(&features), &gpu.upload(&factors), 300);
        vec![scaled.download(0, 300).expect("the kernel runs")]
    });
    let want: Vec<f32> = features.iter().zip(&factors).map(|(x, f)| x * f).collect();
    assert_eq!(got[0], want);
}

/// What logits are compared with, and how that is counted.
struct Task {
    labels: Vec<u32>,
    /// Other classes and the shares of the first ones.
    mix: Option<(Vec<u32>, Vec<f32>)>,
    class_weights: Vec<f32>,
    smoothing: f32,
    /// Of the whole loss.
    weight: f32,
}

impl Task {
    fn plain(labels: &[u32], class_weights: &[f32]) -> Self {
        let labels = labels.to_vec();
        let class_weights = class_weights.to_vec();
        Self { labels, mix: None, class_weights, smoothing: 0.0, weight: 1.0 }
    }

    /// Weighted shares of the classes of an image, without smoothing.
    fn shares(&self, image: usize) -> Vec<f64> {
        let mut shares = vec![0.0; self.class_weights.len()];
        let mut add = |class: u32, share: f64| {
            shares[class as usize] += share * f64::from(self.class_weights[class as usize]);
        };
        match &self.mix {
            None => add(self.labels[image], 1.0),
            Some((others, firsts)) => {
                add(self.labels[image], f64::from(firsts[image]));
                add(others[image], 1.0 - f64::from(firsts[image]));
            }
        }
        shares
    }

    /// Gradient, mean and number right of the cross entropy.
    fn solve(&self, logits: &[f32]) -> (Vec<f32>, [f32; 2]) {
        let classes = self.class_weights.len();
        let n = self.labels.len();
        let smoothing = f64::from(self.smoothing);
        let mut gradient = Vec::new();
        let mut total = 0.0;
        let mut right = 0;
        for (image, logits) in logits.chunks_exact(classes).enumerate() {
            let shares = self.shares(image);
            let own: f64 = shares.iter().sum();
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exponentials: Vec<f64> = logits.iter().map(|l| f64::from(l - largest).exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            right +=
                usize::from(logits.iter().position(|l| *l == largest) == Some(self.labels[image] as usize));
            for (share, e) in shares.iter().zip(&exponentials) {
                let target = (1.0 - smoothing) * share + smoothing * own / classes as f64;
                total -= target * (e / sum).ln();
                gradient.push(((e / sum * own - target) * f64::from(self.weight) / n as f64) as f32);
            }
        }
        (gradient, [(total / n as f64) as f32, right as f32])
    }

    /// The gradient from the device; the two numbers stand at `stats`.
    fn run(&self, gpu: &gpu::Gpu, logits: &[f32], stats: gpu::Span<'_>) -> gpu::Buffer {
        let class_weights = gpu.upload(&self.class_weights);
        let mix = self.mix.as_ref().map(|(others, shares)| (gpu.upload_u32(others), gpu.upload(shares)));
        let targets = gpu::GpuTargets { labels: gpu.upload_u32(&self.labels), mix };
        let rule = gpu::GpuLossRule { class_weights: &class_weights, smoothing: self.smoothing };
        let shape = (self.labels.len(), self.class_weights.len());
        gpu::cross_entropy(&gpu.upload(logits), &targets, rule, shape, self.weight, stats)
    }
}

fn check_cross_entropy(n: usize, classes: usize, weight: f32) {
    // In steps of a half, so that the largest logit is often there twice; labels often at the largest.
    let logits: Vec<f32> = numbers(1, n * classes).into_iter().map(|x| (16.0 * x).round() / 2.0).collect();
    let label = |(i, logits): (usize, &[f32])| {
        let largest = (0..classes).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0);
        if i % 3 == 0 { largest as u32 } else { (7 * i % classes) as u32 }
    };
    let labels: Vec<u32> = logits.chunks_exact(classes).enumerate().map(label).collect();
    let class_weights: Vec<f32> = numbers(2, classes).into_iter().map(|x| 0.1 + x.abs()).collect();
    let others = (0..n).map(|i| (5 * i % classes) as u32).collect();
    let shares = (0..n).map(|i| (i % 5) as f32 / 4.0).collect();
    for (mix, smoothing) in [(None, 0.0), (None, 0.1), (Some((others, shares)), 0.2)] {
        let what = format!("{n} images, {classes} classes, {smoothing} smoothed, {}", mix.is_some());
        let labels = labels.clone();
        let class_weights = class_weights.clone();
        let task = Task { labels, mix, class_weights, smoothing, weight };
        let (gradient, stats) = task.solve(&logits);
        let got = in_all_orders(&what, |gpu| {
            let all = gpu.zeros(5);
            let gradient = task.run(gpu, &logits, all.span(1, 2));
            let download = |buffer: &gpu::Buffer, len| buffer.download(0, len).expect("the kernels run");
            vec![download(&gradient, n * classes), download(&all, 5)]
        });
        assert_close(&format!("{what}: gradient"), &got[0], &gradient);
        assert_close(&format!("{what}: mean"), &got[1][1..2], &stats[..1]);
        assert_eq!(got[1][2], stats[1], "{what}: number right");
        assert_eq!(
            (got[1][0], &got[1][3..]),
            (0.0, &[0.0, 0.0][..]),
            "{what}: neighbours of the two numbers"
        );
    }
}

#[test]
fn cross_entropy_is_that_of_plain_loops() {
    for (n, classes, weight) in [(1, 1, 1.0), (33, 10, 1.0), (300, 2, 0.4), (7, 257, 1.0)] {
        check_cross_entropy(n, classes, weight);
    }
}

#[test]
fn cross_entropy_takes_very_many_classes() {
    check_cross_entropy(2, 100_000, 1.0);
}

#[test]
fn of_equal_logits_the_first_is_the_prediction() {
    let got = in_all_orders("ties", |gpu| {
        let stats = gpu.zeros(2);
        Task::plain(&[0, 1], &[1.0, 1.0]).run(gpu, &[2.0; 4], stats.span(0, 2));
        vec![stats.download(0, 2).expect("the kernels run")]
    });
    assert_eq!(got[0][1], 1.0, "the first image alone is right");
}

#[test]
fn a_label_that_is_no_class_makes_the_mean_no_number() {
    let got = in_all_orders("a wrong label", |gpu| {
        let stats = gpu.zeros(2);
        Task::plain(&[0, 2], &[1.0, 1.0]).run(gpu, &[1.0, 2.0, 3.0, 4.0], stats.span(0, 2));
        vec![stats.download(0, 2).expect("the kernels run")]
    });
    assert!(got[0][0].is_nan(), "the mean is {}", got[0][0]);
}

#[test]
fn a_class_weight_multiplies_loss_and_gradient() {
    let logits = numbers(5, 3 * 4);
    let labels = [3, 0, 2];
    let run = |weight: f32| {
        in_all_orders("weights", |gpu| {
            let stats = gpu.zeros(2);
            let gradient = Task::plain(&labels, &[weight; 4]).run(gpu, &logits, stats.span(0, 2));
            let download = |buffer: &gpu::Buffer, len| buffer.download(0, len).expect("the kernels run");
            vec![download(&gradient, 12), download(&stats, 1)]
        })
    };
    let plain = run(1.0);
    let double = run(2.0);
    for (plain, double) in plain.iter().zip(&double) {
        assert!(plain.iter().zip(double).all(|(p, d)| 2.0 * p == *d), "{plain:?} {double:?}");
    }
}
