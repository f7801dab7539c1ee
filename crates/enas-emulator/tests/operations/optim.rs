//! Optimiser updates against those of the CPU.

use enas_kernels::Nesterov;
use enas_kernels::candle::TfAdamConfig;
use enas_kernels::gpu::{Buffer, Gpu, TensorList, move_averages};

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
        let mut weights = self.weights.clone();
        let mut states = self.states.clone();
        for &(first, len) in self.ranges {
            let run = first..first + len;
            step(&mut weights[run.clone()], &mut states[run.clone()], &self.gradient[run]);
        }
        (weights, states)
    }

    /// The same on a GPU, where `step` knows the runs.
    fn gpu(&self, gpu: &Gpu, step: impl Fn([&Buffer; 3])) -> [Vec<f32>; 2] {
        let weights = gpu.upload(&self.weights);
        let states = gpu.upload(&self.states);
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

#[test]
fn adam_updates_are_those_of_the_cpu() {
    let rule = TfAdamConfig { lr: 0.01, beta2: 0.999, epsilon: 1e-3 };
    for t in [1, 2, 1000] {
        let case = Case::new(2000, RANGES);
        let got = in_all_orders("adam", |gpu| {
            case.gpu(gpu, |[w, v, gradient]| rule.step_gpu(t, w, v, gradient, case.ranges)).into()
        });
        let (weights, moments) = case.cpu(|w, v, g| rule.step(t, w, v, g));
        assert_close(&format!("update {t}: weights"), &got[0], &weights);
        assert_close(&format!("update {t}: moments"), &got[1], &moments);
        case.assert_frozen(&got);
    }
}

/// Weights that lie apart, with a place each in momentum and gradient.
struct Scattered {
    /// Place and weights of each array.
    arrays: Vec<(usize, Vec<f32>)>,
    momentum: Vec<f32>,
    gradient: Vec<f32>,
}

/// What a step leaves on a GPU.
struct Stepped {
    /// All weights, one array after another.
    weights: Vec<f32>,
    momentum: Vec<f32>,
    norm: f32,
}

impl Scattered {
    /// Arrays of these lengths. Between their places lies what must not change.
    fn new(lens: &[usize]) -> Self {
        let mut arrays = Vec::new();
        let mut end = 0;
        for (i, len) in lens.iter().enumerate() {
            arrays.push((end, numbers(i as u64, *len)));
            end = (end + len + i % 3).next_multiple_of(TensorList::ALIGNMENT);
        }
        Self { arrays, momentum: numbers(1000, end), gradient: numbers(1001, end) }
    }

    fn on(&self, gpu: &Gpu) -> (Vec<Buffer>, TensorList) {
        let buffers: Vec<Buffer> = self.arrays.iter().map(|(_, weights)| gpu.upload(weights)).collect();
        let arrays = buffers.iter().zip(&self.arrays);
        let apart =
            TensorList::new(gpu, arrays.map(|(b, (place, weights))| (b.clone(), *place, weights.len())));
        (buffers, apart)
    }

    fn download(&self, buffers: &[Buffer]) -> Vec<f32> {
        let arrays = buffers.iter().zip(&self.arrays);
        arrays.flat_map(|(b, (_, weights))| b.download(0, weights.len()).expect("the kernels run")).collect()
    }

    fn step(&self, gpu: &Gpu, rule: &Nesterov, clip_norm: f32) -> Stepped {
        let ((buffers, weights), norm) = (self.on(gpu), gpu.zeros(1));
        let momentum = gpu.upload(&self.momentum);
        let gradient = gpu.upload(&self.gradient);
        rule.step_gpu(&weights, &momentum, &gradient, clip_norm, norm.span(0, 1));
        Stepped {
            weights: self.download(&buffers),
            momentum: momentum.download(0, self.momentum.len()).expect("the kernels run"),
            norm: norm.download(0, 1).expect("the kernels run")[0],
        }
    }

    /// What the CPU makes of it.
    fn wanted(&self, mut rule: Nesterov, clip_norm: f32) -> Stepped {
        let place = |(place, weights): &(usize, Vec<f32>)| *place..place + weights.len();
        let squares =
            |array: &(usize, Vec<f32>)| rule.norm_squared(&array.1, Some(&self.gradient[place(array)]));
        let norm = self.arrays.iter().map(squares).sum::<f64>().sqrt() as f32;
        if clip_norm > 0.0 {
            rule.scale = clip_norm / norm.max(clip_norm);
        }
        let mut all = Vec::new();
        let mut momentum = self.momentum.clone();
        for array in &self.arrays {
            let mut weights = array.1.clone();
            rule.step(&mut weights, &mut momentum[place(array)], Some(&self.gradient[place(array)]));
            all.extend(weights);
        }
        Stepped { weights: all, momentum, norm }
    }
}

fn check_nesterov(case: &Scattered, clip_norm: f32) {
    let rule = Nesterov { lr: 0.05, momentum: 0.9, l2: 1e-2, scale: 0.5 };
    let what = format!("{} arrays, clipped at {clip_norm}", case.arrays.len());
    let got = in_all_orders(&what, |gpu| {
        let Stepped { weights, momentum, norm } = case.step(gpu, &rule, clip_norm);
        vec![weights, momentum, vec![norm]]
    });
    let Stepped { weights, momentum, norm } = case.wanted(rule, clip_norm);
    assert_close(&format!("{what}: weights"), &got[0], &weights);
    assert_close(&format!("{what}: momentum"), &got[1], &momentum);
    assert_close(&format!("{what}: norm"), &got[2], &[norm]);
    let lies_between =
        |i: &usize| !case.arrays.iter().any(|(place, weights)| (*place..place + weights.len()).contains(i));
    for i in (0..case.momentum.len()).filter(lies_between) {
        assert_eq!(got[1][i], case.momentum[i], "{what}: number {i} is nobody's");
    }
}

/// More than a launch takes: some shorter than a quad, one of none, one of several blocks.
fn lens() -> Vec<usize> {
    (0..70).map(|i| [5, 1, 2, 36, 0, 300, 4, 1024, 1501, 2600][i * 7 % 10]).collect()
}

#[test]
fn nesterov_updates_are_those_of_the_cpu() {
    // Without clipping, with clipping that has no effect, and with some that has.
    for clip_norm in [0.0, 1e6, 2.0] {
        check_nesterov(&Scattered::new(&lens()), clip_norm);
    }
    for arrays in [1, 31, 32, 33, 64] {
        check_nesterov(&Scattered::new(&lens()[..arrays]), 2.0);
    }
}

#[test]
fn arrays_may_have_more_weights_than_there_are_threads() {
    check_nesterov(&Scattered::new(&[3, 700_001, 5]), 5.0);
}

#[test]
fn a_gradient_that_is_not_finite_changes_no_weight() {
    let rule = Nesterov { lr: 0.05, momentum: 0.9, l2: 1e-2, scale: 1.0 };
    for (clip_norm, bad) in [(0.0, f32::NAN), (2.0, f32::NAN), (0.0, f32::INFINITY), (2.0, f32::NEG_INFINITY)]
    {
        let mut case = Scattered::new(&lens());
        let place = case.arrays[45].0;
        case.gradient[place] = bad;
        let got = in_all_orders("a gradient that is not finite", |gpu| {
            let Stepped { weights, momentum, norm } = case.step(gpu, &rule, clip_norm);
            // What is compared between orders must equal itself.
            vec![weights, momentum, vec![f32::from(u8::from(norm.is_finite()))]]
        });
        let weights: Vec<f32> = case.arrays.iter().flat_map(|(_, weights)| weights).copied().collect();
        assert_eq!((&got[0], &got[1]), (&weights, &case.momentum), "{bad}, clipped at {clip_norm}");
        assert_eq!(got[2], [0.0], "the norm says so");
    }
}

#[test]
fn averages_move_by_their_share_of_the_way() {
    let case = Scattered::new(&lens());
    let got = in_all_orders("averages", |gpu| {
        let (averages, (_, weights)) = (gpu.upload(&case.momentum), case.on(gpu));
        move_averages(&averages, &weights, 0.25);
        vec![averages.download(0, case.momentum.len()).expect("the kernel runs")]
    });
    let mut want = case.momentum.clone();
    for (place, weights) in &case.arrays {
        want[*place..].iter_mut().zip(weights).for_each(|(a, w)| *a = 0.75 * *a + 0.25 * w);
    }
    assert_close("averages", &got[0], &want);
}
