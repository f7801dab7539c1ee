//! What a child on a GPU promises beyond equality with the reference; on the emulated GPU, and on a real one where
//! there is one.

use enas_arc::Arc;
use enas_child::{Batch, BatchStatistics, Child, Config, InputShape, MixedLabels, Norm, Step, StepStats};
use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use enas_testing::gpus;
use enas_testing::tensors::{self, flat, numbers, vector};

use crate::support::labelled_images;

const INPUT: InputShape = InputShape { channels: 2, height: 9, width: 8 };
const CLASSES: usize = 3;
/// A partly filled second group of sixteen.
const BATCH: usize = 19;

fn config() -> Config {
    Config { keep_prob: 0.8, drop_path_keep: 0.7, l2: 1e-3, clip_norm: 1.5, ..Config::plain(4, 2, 2) }
}

/// Both separable convolutions, both pools and the identity.
fn arc() -> Arc {
    "0 0 1 1 2 2 0 3  0 1 1 4 2 0 1 3".parse().expect("a valid arc")
}

fn children() -> [Child; 2] {
    [
        Child::shared(&config(), INPUT, CLASSES, Seed::new(1)).expect("valid"),
        Child::fixed(&config(), &arc(), INPUT, CLASSES, Seed::new(1)).expect("valid"),
    ]
}

fn on(gpu: &Gpu, child: Child) -> Child {
    with(Precision::F32, gpu, child)
}

fn with(activations: Precision, gpu: &Gpu, mut child: Child) -> Child {
    child.use_gpu(gpu, activations).expect("it fits");
    child
}

fn train(child: &mut Child, steps: u64) -> Vec<StepStats> {
    let (images, labels) = labelled_images(BATCH, INPUT);
    let one = |i| {
        let step = Step { lr: 0.05, global_step: i, total_steps: 10, seed: Seed::new(4) };
        child.train_step(&arc(), &images, &labels, &step).expect("it trains")
    };
    (0..steps).map(one).collect()
}

/// The bits of every weight, momentum and moving statistic.
fn state(child: &Child) -> Vec<u32> {
    let tensors = child.state().expect("it can be fetched");
    tensors.iter().flat_map(|(_, tensor)| flat(tensor)).map(f32::to_bits).collect()
}

#[track_caller]
fn close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * largest, "number {i}: {g}, not {w}");
    }
}

/// Dropout, drop-path, clipping and the penalty take part.
#[test]
fn training_on_a_gpu_equals_training_on_the_cpu_but_for_rounding() {
    for gpu in gpus::all() {
        for (mut here, there) in children().into_iter().zip(children()) {
            let mut there = on(&gpu, there);
            for (want, got) in train(&mut here, 3).iter().zip(train(&mut there, 3)) {
                close(&[got.loss, got.grad_norm], &[want.loss, want.grad_norm], 1e-3);
                assert_eq!((got.correct, got.n), (want.correct, want.n));
            }
            let weights = |child: &Child| numbers(child.weights().expect("it can be fetched"));
            for (got, want) in weights(&there).iter().zip(weights(&here)) {
                assert_eq!((&got.name, &got.shape), (&want.name, &want.shape));
                close(&got.data, &want.data, 1e-3);
            }
        }
    }
}

/// How far `got` is from `want`, as a share of the length of `want`.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    let length = |numbers: &mut dyn Iterator<Item = f32>| {
        numbers.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
    };
    let apart = length(&mut got.iter().zip(want).map(|(g, w)| g - w));
    apart / length(&mut want.iter().copied())
}

/// What one step changes in the weights that are trained, all of them one after another.
fn change(mut child: Child) -> (StepStats, Vec<f32>) {
    let weights = |child: &Child| -> Vec<f32> {
        let tensors = numbers(child.weights().expect("it can be fetched")).into_iter();
        tensors.filter(|t| !t.name.contains("moving")).flat_map(|t| t.data).collect()
    };
    let before = weights(&child);
    let stats = train(&mut child, 1)[0];
    (stats, weights(&child).iter().zip(&before).map(|(after, before)| after - before).collect())
}

/// Between images and logits lie about thirty maps, each of which moves its numbers by up to 2⁻⁸ of themselves, in
/// either direction: √30·2⁻⁸, a fiftieth, is what that comes to at the logits and in the loss.
///
/// A gradient suffers more. Where a number is as near to zero as it is uncertain, its ReLU lets pass what it should not
/// or the reverse, and of numbers as near to each other a pool takes the wrong one: one in fifty. On a way through
/// about six of them an eighth of the paths change, and the gradient by the root of that share of its length.
#[test]
fn a_step_with_activations_in_bfloat16_equals_one_in_single_precision_but_for_rounding() {
    for gpu in gpus::all() {
        for (here, there) in children().into_iter().zip(children()) {
            let (want, want_change) = change(here);
            let (got, got_change) = change(with(Precision::Bf16, &gpu, there));
            close(&[got.loss], &[want.loss], 1.0 / 50.0);
            let apart = distance(&got_change, &want_change);
            assert!(apart > 1e-3 && apart < (1.0_f64 / 8.0).sqrt(), "the changes are {apart} apart");
        }
    }
}

#[test]
fn two_trainings_on_a_gpu_give_the_same_bytes() {
    for (gpu, activations) in gpus::all().into_iter().flat_map(|gpu| Precision::ALL.map(|p| (gpu.clone(), p)))
    {
        for (a, b) in children().into_iter().zip(children()) {
            let [mut a, mut b] = [a, b].map(|child| with(activations, &gpu, child));
            assert_eq!(train(&mut a, 2), train(&mut b, 2));
            assert!(state(&a) == state(&b), "{}, {activations:?}", gpu.name());
        }
    }
}

#[test]
fn the_order_of_threads_changes_no_byte() {
    let run = |activations, order| {
        let gpu = gpus::emulated(order);
        children().map(|child| {
            let mut child = with(activations, &gpu, child);
            train(&mut child, 1);
            state(&child)
        })
    };
    for (activations, order) in Precision::ALL.into_iter().zip([1, 2]) {
        assert!(run(activations, order) == run(activations, 0), "{activations:?}, order {order}");
    }
}

/// A state that is saved on one device can be loaded on another.
#[test]
fn a_state_moves_between_devices() {
    for gpu in gpus::all() {
        let [mut child, _] = children();
        train(&mut child, 2);
        let want = child.state().expect("on the CPU");
        let [fresh, _] = children();
        let mut there = on(&gpu, fresh);
        there.load(&want).expect("the state fits");
        assert_eq!(numbers(there.state().expect("it can be fetched")), numbers(want));
    }
}

#[test]
fn logits_on_a_gpu_equal_those_on_the_cpu() {
    let (images, _) = labelled_images(BATCH, INPUT);
    for gpu in gpus::all() {
        let [shared, mut fixed] = children();
        train(&mut fixed, 2);
        let folded = fixed.folded().expect("a fixed network folds");
        for (child, norm) in [
            (shared, Norm::BatchStatistics),
            (fixed, Norm::RunningStatistics),
            (folded, Norm::RunningStatistics),
        ] {
            let logits = |child: &Child| {
                let mut stream = Seed::new(3).stream("dropout", &[]);
                [None, Some(&mut stream)]
                    .map(|dropout| flat(&child.logits(&arc(), &images, norm, dropout).expect("it runs")))
            };
            let want = logits(&child);
            let got = logits(&on(&gpu, child));
            got.iter().zip(&want).for_each(|(got, want)| close(got, want, 1e-4));
        }
    }
}

/// Classes that weigh differently do so on every device, whether they are weighed before or after the move.
#[test]
fn weighed_classes_train_alike_on_a_gpu_and_on_the_cpu() {
    let weights = vector(&[0.2, 2.5, 0.3]);
    for gpu in gpus::all() {
        let [_, mut here] = children();
        here.weigh_classes(&weights).expect("one per class");
        let [_, mut before] = children();
        before.weigh_classes(&weights).expect("one per class");
        let mut before = on(&gpu, before);
        let [_, after] = children();
        let mut after = on(&gpu, after);
        after.weigh_classes(&weights).expect("one per class");
        let [_, mut plain] = children();
        let want = train(&mut here, 2);
        let unweighed = train(&mut plain, 2);
        assert!((want[0].loss - unweighed[0].loss).abs() > 1e-2, "the weights make a difference");
        for there in [&mut before, &mut after] {
            for (want, got) in want.iter().zip(train(there, 2)) {
                close(&[got.loss, got.grad_norm], &[want.loss, want.grad_norm], 1e-3);
            }
        }
    }
}

/// Smoothed labels, mixed images and an average of the weights come out alike on every device.
#[test]
fn soft_targets_and_averages_on_a_gpu_are_those_of_the_cpu() {
    let (images, labels) = labelled_images(BATCH, INPUT);
    let others: Vec<u32> = (0..BATCH).map(|i| ((i + 1) % CLASSES) as u32).collect();
    let shares: Vec<f32> = (0..BATCH).map(|i| (i % 5) as f32 / 4.0).collect();
    let mix = MixedLabels { others: tensors::labels(&others), shares: vector(&shares) };
    for gpu in gpus::all() {
        let run = |mut child: Child| {
            child.smooth_labels(0.1).expect("within range");
            child.keep_average().expect("it fits");
            let stats: Vec<StepStats> = (0..2)
                .map(|i| {
                    let step = Step { lr: 0.05, global_step: i, total_steps: 10, seed: Seed::new(4) };
                    let mut batch = Batch::mixed(&images, &labels, &mix).expect("they fit");
                    if let (Some(gpu), 1) = (child.gpu(), i) {
                        batch = batch.upload(gpu).expect("it fits");
                    }
                    let stats = child.train_on(&arc(), &batch, &step, &mut || ()).expect("it trains");
                    child.update_average(0.5).expect("it can be written");
                    stats
                })
                .collect();
            child.use_average().expect("one is kept");
            (stats, numbers(child.weights().expect("it can be fetched")))
        };
        let [_, here] = children();
        let [_, there] = children();
        // Before the move and after it.
        let want = run(here);
        let got = run(on(&gpu, there));
        for (want, got) in want.0.iter().zip(&got.0) {
            close(&[got.loss, got.grad_norm], &[want.loss, want.grad_norm], 1e-3);
        }
        for (want, got) in want.1.iter().zip(&got.1) {
            close(&got.data, &want.data, 1e-3);
        }
    }
}

#[test]
fn statistics_of_batches_on_a_gpu_are_those_of_the_cpu() {
    let (images, _) = labelled_images(BATCH, INPUT);
    for gpu in gpus::all() {
        let weights = |mut child: Child| {
            train(&mut child, 1);
            let before = state(&child);
            let mut seen = BatchStatistics::default();
            child.gather_statistics(&arc(), &images, &mut seen).expect("it runs");
            assert!(state(&child) == before, "gathering changes nothing");
            child.set_statistics(&seen).expect("it fits");
            assert!(state(&child) != before, "setting does");
            numbers(child.weights().expect("it can be fetched"))
        };
        let [_, here] = children();
        let [_, there] = children();
        for (want, got) in weights(here).iter().zip(weights(on(&gpu, there))) {
            close(&got.data, &want.data, 1e-3);
        }
    }
}
