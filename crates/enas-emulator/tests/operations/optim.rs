//! Optimiser updates against those of the CPU.

use enas_kernels::gpu::{Gpu, move_averages};
use enas_kernels::{Nesterov, TfAdam};

use crate::{assert_close, in_all_orders, numbers};

/// A rule's state before an update.
struct Case {
    weights: Vec<f32>,
    /// Momentum, or second moments.
    states: Vec<f32>,
    gradient: Vec<f32>,
    /// First and length of what is trained.
    ranges: &'static [(usize, usize)],
}

impl Case {
    fn new(len: usize, ranges: &'static [(usize, usize)]) -> Self {
        let states = numbers(2, len).into_iter().map(f32::abs).collect();
        Self { weights: numbers(1, len), states, gradient: numbers(3, len), ranges }
    }

    /// Weights and states after `step` of the trained runs (weights, states, gradient).
    fn cpu(&self, mut step: impl FnMut(&mut [f32], &mut [f32], &[f32])) -> (Vec<f32>, Vec<f32>) {
        let (mut weights, mut states) = (self.weights.clone(), self.states.clone());
        for &(first, len) in self.ranges {
            let run = first..first + len;
            step(&mut weights[run.clone()], &mut states[run.clone()], &self.gradient[run]);
        }
        (weights, states)
    }

    /// The same on a GPU, where `step` knows the runs.
    fn gpu(&self, gpu: &Gpu, step: impl Fn([&enas_kernels::gpu::Buffer; 3])) -> [Vec<f32>; 2] {
        let (weights, states) = (gpu.upload(&self.weights), gpu.upload(&self.states));
        step([&weights, &states, &gpu.upload(&self.gradient)]);
        [weights, states].map(|buffer| buffer.download(0, self.weights.len()).expect("the kernels run"))
    }

    /// Fails if anything that is not trained changed.
    fn assert_frozen(&self, got: &[Vec<f32>]) {
        let frozen = |i: &usize| !self.ranges.iter().any(|(first, len)| (*first..first + len).contains(i));
        for i in (0..self.weights.len()).filter(frozen) {
            assert_eq!((got[0][i], got[1][i]), (self.weights[i], self.states[i]), "number {i} is frozen");
        }
    }
}

/// Runs that begin and end within quads, one of a single weight, one of none.
const RANGES: &[(usize, usize)] = &[(0, 5), (6, 1), (9, 2), (13, 1501), (1600, 0), (1700, 300)];

fn check_nesterov(case: &Case, clip_norm: f32) {
    let mut rule = Nesterov { lr: 0.05, momentum: 0.9, l2: 1e-2, scale: 0.5 };
    let what = format!("{} weights, clipped at {clip_norm}", case.weights.len());
    let squares: f64 = case.ranges.iter().fold(0.0, |sum, &(first, len)| {
        let run = first..first + len;
        sum + rule.norm_squared(&case.weights[run.clone()], Some(&case.gradient[run]))
    });
    let norm = squares.sqrt() as f32;
    let got = in_all_orders(&what, |gpu| {
        let stats = gpu.zeros(3);
        let step = |[weights, momentum, gradient]: [&enas_kernels::gpu::Buffer; 3]| {
            rule.step_gpu(weights, momentum, gradient, case.ranges, clip_norm, stats.span(1, 1));
        };
        let [weights, momentum] = case.gpu(gpu, step);
        vec![weights, momentum, stats.download(0, 3).expect("the kernels run")]
    });
    if clip_norm > 0.0 {
        rule.scale = clip_norm / norm.max(clip_norm);
    }
    let (weights, momentum) = case.cpu(|w, m, g| _ = rule.step(w, m, Some(g)));
    assert_close(&format!("{what}: weights"), &got[0], &weights);
    assert_close(&format!("{what}: momentum"), &got[1], &momentum);
    assert_close(&format!("{what}: norm"), &got[2], &[0.0, norm, 0.0]);
    case.assert_frozen(&got);
}

#[test]
fn nesterov_updates_are_those_of_the_cpu() {
    // Without clipping, with clipping that has no effect, and with some that has.
    for clip_norm in [0.0, 1e6, 2.0] {
        check_nesterov(&Case::new(2000, RANGES), clip_norm);
    }
}

#[test]
fn norms_take_more_weights_than_there_are_threads() {
    check_nesterov(&Case::new(700_003, &[(1, 700_001)]), 5.0);
}

#[test]
fn adam_updates_are_those_of_the_cpu() {
    let rule = TfAdam { lr: 0.01, beta2: 0.999, epsilon: 1e-3 };
    for t in [1, 2, 1000] {
        let case = Case::new(2000, RANGES);
        let got = in_all_orders("adam", |gpu| {
            case.gpu(gpu, |[w, v, gradient]| rule.step_gpu(w, v, gradient, case.ranges, t)).into()
        });
        let (weights, moments) = case.cpu(|w, v, g| rule.step(w, v, g, t));
        assert_close(&format!("update {t}: weights"), &got[0], &weights);
        assert_close(&format!("update {t}: moments"), &got[1], &moments);
        case.assert_frozen(&got);
    }
}

#[test]
fn a_gradient_that_is_not_finite_changes_no_weight() {
    let rule = Nesterov { lr: 0.05, momentum: 0.9, l2: 1e-2, scale: 1.0 };
    for (clip_norm, bad) in [(0.0, f32::NAN), (2.0, f32::NAN), (0.0, f32::INFINITY), (2.0, f32::NEG_INFINITY)]
    {
        let mut case = Case::new(2000, RANGES);
        case.gradient[700] = bad;
        let got = in_all_orders("a gradient that is not finite", |gpu| {
            let norm = gpu.zeros(1);
            let step = |[weights, momentum, gradient]: [&enas_kernels::gpu::Buffer; 3]| {
                rule.step_gpu(weights, momentum, gradient, case.ranges, clip_norm, norm.span(0, 1));
            };
            let [weights, momentum] = case.gpu(gpu, step);
            // What is compared between orders must equal itself.
            let norm = norm.download(0, 1).expect("the kernels run")[0];
            vec![weights, momentum, vec![f32::from(u8::from(norm.is_finite()))]]
        });
        assert_eq!((&got[0], &got[1]), (&case.weights, &case.states), "{bad}, clipped at {clip_norm}");
        assert_eq!(got[2], [0.0], "the norm says so");
    }
}

#[test]
fn averages_move_by_their_share_of_the_way() {
    let (averages, weights) = (numbers(1, 1501), numbers(2, 1501));
    let got = in_all_orders("averages", |gpu| {
        let buffer = gpu.upload(&averages);
        move_averages(&buffer, &gpu.upload(&weights), 1500, 0.25);
        vec![buffer.download(0, 1501).expect("the kernel runs")]
    });
    let mut want: Vec<f32> = averages.iter().zip(&weights).map(|(a, w)| 0.75 * a + 0.25 * w).collect();
    want[1500] = averages[1500];
    assert_close("averages", &got[0], &want);
}
