//! The operation that candle's users see, computed on a GPU: outputs, gradients and steps are those of the CPU but for
//! rounding. On the emulated GPU, and on a real one where there is one.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use candle_nn::Optimizer;
use enas_arc::Arc;
use enas_child::{AuxHead, Child, Config, ForwardMode, InputShape, Norm, Step};
use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use enas_testing::gpus;
use enas_testing::numbers::{Tolerance, assert_close};
use enas_testing::tensors::flat;

const INPUT: InputShape = InputShape { channels: 2, height: 8, width: 8 };
const CLASSES: usize = 3;
const BATCH: usize = 5;
const STEP: Step = Step { lr: 0.1, global_step: 2, total_steps: 10, seed: Seed::new(5) };

/// Settings with an auxiliary head, dropout and drop-path.
fn config() -> Config {
    Config {
        aux_head: AuxHead::Trained,
        keep_prob: 0.8,
        drop_path_keep: 0.7,
        l2: 1e-3,
        clip_norm: 1.5,
        ..Config::plain(4, 2, 2)
    }
}

fn arc() -> Arc {
    "0 0 1 1 2 2 0 3  0 1 1 4 2 0 1 3".parse().expect("a valid arc")
}

/// A network on the CPU, and the same moved to a GPU.
fn both(gpu: &Gpu) -> (Arc, [Child; 2]) {
    let config = config();
    let arc = arc();
    let child = || Child::fixed(&config, &arc, INPUT, CLASSES, Seed::new(1)).expect("valid");
    let here = child();
    let mut there = child();
    there.use_gpu(gpu, Precision::F32).expect("it fits");
    (arc, [here, there])
}

fn batch() -> (Tensor, Tensor) {
    let mut stream = Seed::new(4).stream("images", &[]);
    let InputShape { channels, height, width } = INPUT;
    let numbers: Vec<f32> = (0..BATCH * channels * height * width).map(|_| stream.normal()).collect();
    let labels: Vec<u32> = (0..BATCH).map(|i| (i % CLASSES) as u32).collect();
    let images = Tensor::from_vec(numbers, (BATCH, channels, height, width), &Device::Cpu);
    (images.expect("a batch"), Tensor::new(labels, &Device::Cpu).expect("labels"))
}

/// Fails unless all numbers agree to a share of the largest.
fn assert_within(what: &str, share: f32, got: &[f32], want: &[f32]) {
    assert_close(what, got, want, Tolerance { share, least: 1e-4 });
}

/// Compares a scalar of both networks, and its gradients at every variable.
fn compare(what: &str, scalar: impl Fn(&Child, &Arc) -> Tensor) {
    for gpu in gpus::all() {
        let (arc, children) = both(&gpu);
        let scalars = children.each_ref().map(|child| scalar(child, &arc));
        let [want, got] = scalars.each_ref().map(flat);
        assert_within(what, 1e-4, &got, &want);
        let [want, got] = scalars.map(|scalar| scalar.backward().expect("the network has gradients"));
        compare_gradients(what, &children, [&want, &got]);
        let [want, got] = children.map(|child| child.weights().expect("they can be fetched"));
        for (got, want) in got.iter().zip(&want) {
            assert_within(&format!("{what}: {}", want.0), 1e-4, &flat(&got.1), &flat(&want.1));
        }
    }
}

fn compare_gradients(what: &str, children: &[Child; 2], [want, got]: [&GradStore; 2]) {
    let [here, there] = children.each_ref().map(Child::vars);
    for (i, (here, there)) in here.iter().zip(&there).enumerate() {
        let want = want.get(here);
        let got = got.get(there);
        assert_eq!(got.is_some(), want.is_some(), "{what}: gradient {i}");
        if let (Some(want), Some(got)) = (want, got) {
            assert_eq!(got.dims(), want.dims(), "{what}: gradient {i}");
            assert_within(&format!("{what}: gradient {i}"), 1e-3, &flat(got), &flat(want));
        }
    }
}

fn squares(tensor: &Tensor) -> Tensor {
    tensor.sqr().and_then(|squares| squares.sum_all()).expect("a scalar")
}

#[test]
fn features_have_the_gradients_of_the_cpu() {
    compare("features", |child, arc| {
        squares(&child.features(arc, &batch().0, ForwardMode::BatchStatistics).expect("it fits"))
    });
}

#[test]
fn logits_of_both_heads_have_the_gradients_of_the_cpu() {
    compare("logits", |child, arc| {
        let outputs = child.forward(arc, &batch().0, ForwardMode::Train(&STEP)).expect("it fits");
        let aux = outputs.aux_logits.expect("there is an auxiliary head");
        (squares(&outputs.logits) + squares(&aux)).expect("two scalars")
    });
}

#[test]
fn losses_have_the_gradients_of_the_cpu() {
    let (images, labels) = batch();
    let loss = |child: &Child, arc: &Arc| child.loss(arc, &images, &labels, &STEP).expect("it fits");
    compare("loss", loss);
    compare("twice the loss", |child, arc| (loss(child, arc) * 2.0).expect("a scalar"));
}

#[test]
fn logits_with_moving_statistics_are_those_of_the_cpu() {
    for gpu in gpus::all() {
        let (arc, children) = both(&gpu);
        let [want, got] = children.map(|child| {
            let outputs = child.forward(&arc, &batch().0, ForwardMode::Eval).expect("it fits");
            assert!(!outputs.logits.track_op());
            flat(&outputs.logits)
        });
        assert_within("logits", 1e-4, &got, &want);
    }
}

/// Weights that the CPU or the GPU changes are the weights that the other one uses next.
#[test]
fn steps_of_candle_and_of_the_network_may_alternate() {
    let (images, labels) = batch();
    for gpu in gpus::all() {
        let (arc, children) = both(&gpu);
        let [want, got] = children.map(|mut child| {
            let mut optimizer = child.optimizer(0.05).expect("it has variables");
            for i in 0..2 {
                let step = Step { global_step: 2 * i, ..STEP };
                optimizer
                    .backward_step(&child.loss(&arc, &images, &labels, &step).expect("it fits"))
                    .expect("it trains");
                let step = Step { global_step: 2 * i + 1, ..STEP };
                child.train_step(&arc, &images, &labels, &step).expect("it trains");
            }
            child.weights().expect("they can be fetched")
        });
        for (got, want) in got.iter().zip(&want) {
            assert_within(&want.0, 2e-3, &flat(&got.1), &flat(&want.1));
        }
    }
}

/// What a training with variables on one device came to.
struct Trained {
    losses: Vec<f32>,
    weights: Vec<f32>,
    logits: Vec<f32>,
}

/// Steps of candle's autograd and of the network itself, with everything on `device`.
fn train_on(device: &Device) -> Trained {
    let config = config();
    let arc = arc();
    let mut child = Child::fixed(&config, &arc, INPUT, CLASSES, (Seed::new(1), device)).expect("valid");
    assert!(child.device().same_device(device));
    let (images, labels) = batch();
    let [images, labels] = [images, labels].map(|tensor| tensor.to_device(device).expect("it fits"));
    let mut optimizer = child.optimizer(0.05).expect("it has variables");
    let mut losses = Vec::new();
    for global_step in 0..3 {
        let step = Step { global_step, ..STEP };
        let loss = child.loss(&arc, &images, &labels, &step).expect("it fits");
        let gradients = loss.backward().expect("the network has gradients");
        for var in child.vars() {
            let gradient = gradients.get(&var);
            assert!(gradient.is_none_or(|gradient| gradient.device().same_device(device)));
        }
        optimizer.step(&gradients).expect("it trains");
        losses.push(loss.to_scalar().expect("a number"));
    }
    let stats = child.train_step(&arc, &images, &labels, &STEP).expect("it trains");
    losses.push(stats.loss);
    let logits = child.logits(&arc, &images, Norm::RunningStatistics, None).expect("it fits");
    let weights = child.vars().iter().flat_map(|var| flat(var)).collect();
    Trained { losses, weights, logits: flat(&logits) }
}

/// Not on the emulated GPU, of which candle does not know.
#[test]
fn a_network_lives_on_the_device_that_it_was_built_for() {
    let Some(device) = gpus::real_device() else { return };
    let [want, got] = [&Device::Cpu, &device].map(train_on);
    assert_within("losses", 1e-5, &got.losses, &want.losses);
    assert_within("weights", 1e-4, &got.weights, &want.weights);
    assert_within("logits", 1e-4, &got.logits, &want.logits);
}
