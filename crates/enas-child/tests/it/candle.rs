//! The network among candle's: the same bits as the program's own steps, gradients by name, files that candle reads.

use std::collections::BTreeMap;

use candle_core::{DType, Device, IndexOp, Tensor, Var};
use candle_nn::{ModuleT, Optimizer, VarBuilder, VarMap};
use enas_child::{
    Arc, Child, Config, FixedNet, ForwardMode, Norm, Recompute, Seed, SeededNoise, Step, seeded,
};
use enas_testing::tensors::{flat, numbers};

use crate::task::{CLASSES, INPUT, N, arcs, batch, config};

fn step(global_step: u64) -> Step {
    Step { lr: 0.05, global_step, total_steps: 20, seed: Seed::new(3) }
}

/// Both kinds of network, with the arcs they are trained on.
fn networks(l2: f32) -> [(&'static str, Child, Vec<Arc>); 2] {
    let arcs = arcs();
    [
        ("shared", Child::shared(&config(l2), INPUT, CLASSES, Seed::new(1)).unwrap(), arcs.to_vec()),
        (
            "fixed",
            Child::fixed(&config(l2), &arcs[0], INPUT, CLASSES, Seed::new(1)).unwrap(),
            arcs[..1].to_vec(),
        ),
    ]
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    // A sum with a zero of either sign is the same number.
    numbers.iter().map(|x| (x + 0.0).to_bits()).collect()
}

fn weights(child: &Child) -> BTreeMap<String, Vec<u32>> {
    numbers(child.weights().unwrap()).into_iter().map(|t| (t.name, bits(&t.data))).collect()
}

/// The variables by name.
fn vars(child: &Child) -> BTreeMap<String, Var> {
    let tensors = child.tensors().into_iter().filter(|(_, tensor)| tensor.is_variable());
    tensors.map(|(name, tensor)| (name, Var::from_tensor(&tensor).unwrap())).collect()
}

#[test]
fn gradients_of_the_loss_are_those_of_a_training_pass() {
    for (kind, mut child, arcs) in networks(0.0) {
        for recompute in [Recompute::Nothing, Recompute::Cells, Recompute::Groups(1)] {
            child.recompute(recompute);
            let (images, labels) = batch(0);
            let noise = SeededNoise { seed: step(7).seed, step: 7 };
            let seen = child.inspect(&arcs[0], &images, &labels, &noise, 7, 20).unwrap();
            let loss = child.loss(&arcs[0], &images, &labels, &step(7)).unwrap();
            assert_eq!(loss.to_scalar::<f32>().unwrap(), seen.total_loss, "{kind}");
            let gradients = loss.backward().unwrap();
            let vars = vars(&child);
            let mut compared = 0;
            for expected in &numbers(seen.gradients) {
                match gradients.get(&vars[&expected.name]) {
                    Some(gradient) => {
                        assert_eq!(gradient.dims(), expected.shape);
                        let name = &expected.name;
                        assert_eq!(
                            bits(&flat(gradient)),
                            bits(&expected.data),
                            "{kind}, {recompute:?}: {name}"
                        );
                        compared += 1;
                    }
                    // Weights of other arcs.
                    None => assert!(expected.data.iter().all(|g| *g == 0.0), "{kind}: {}", expected.name),
                }
            }
            assert!(compared > 30, "{kind}: {compared} gradients");
        }
    }
}

#[test]
fn twenty_steps_of_either_way_give_the_same_weights() {
    for ((kind, mut own, arcs), (_, candles, _)) in networks(1e-4).into_iter().zip(networks(1e-4)) {
        let mut optimizer = candles.optimizer(0.0).unwrap();
        for i in 0..20 {
            let arc = &arcs[i as usize % arcs.len()];
            let (images, labels) = batch(i);
            let stats = own.train_step(arc, &images, &labels, &step(i)).unwrap();
            let loss = candles.loss(arc, &images, &labels, &step(i)).unwrap();
            optimizer.set_learning_rate(f64::from(step(i).lr));
            optimizer.backward_step(&loss).unwrap();
            assert_eq!(optimizer.gradient_norm(), stats.grad_norm, "{kind}, step {i}");
        }
        assert_eq!(weights(&own), weights(&candles), "{kind}");
        let momentum: BTreeMap<String, Vec<u32>> =
            optimizer.state().map(|(name, momentum)| (name, bits(&flat(momentum)))).collect();
        let state = numbers(own.state().unwrap()).into_iter().filter(|t| t.name.starts_with("momentum/"));
        assert_eq!(state.map(|t| (t.name, bits(&t.data))).collect::<BTreeMap<_, _>>(), momentum);
    }
}

/// Logits and features hand gradients on that candle computed, here against slopes along the gradient.
#[test]
fn candles_own_loss_reaches_every_weight() {
    let config = Config { keep_prob: 1.0, drop_path_keep: 1.0, ..config(0.0) };
    let [arc, _] = arcs();
    let child = Child::fixed(&config, &arc, INPUT, CLASSES, Seed::new(1)).unwrap();
    let (images, labels) = batch(0);
    let step = step(0);
    let loss = || {
        let outputs = child.forward(&arc, &images, ForwardMode::Train(&step)).unwrap();
        let main = candle_nn::loss::cross_entropy(&outputs.logits, &labels).unwrap();
        let aux = candle_nn::loss::cross_entropy(&outputs.aux_logits.unwrap(), &labels).unwrap();
        (main + (aux * 0.4).unwrap()).unwrap()
    };
    let theirs = loss();
    let ours = child.loss(&arc, &images, &labels, &step).unwrap();
    let value = |loss: &Tensor| loss.to_scalar::<f32>().unwrap();
    assert!((value(&theirs) - value(&ours)).abs() < 1e-5 * value(&ours));
    let theirs = theirs.backward().unwrap();
    let ours = ours.backward().unwrap();
    let mut error = 0.0f64;
    let mut size = 0.0f64;
    for var in child.vars() {
        for (a, b) in flat(theirs.get(&var).unwrap()).iter().zip(flat(ours.get(&var).unwrap())) {
            error += f64::from(a - b).powi(2);
            size += f64::from(b).powi(2);
        }
    }
    assert!(error.sqrt() < 1e-4 * size.sqrt(), "{} of {}", error.sqrt(), size.sqrt());

    let features = || child.features(&arc, &images, ForwardMode::BatchStatistics).unwrap();
    let pull = Tensor::from_vec(
        flat(&batch(5).0)[..N * child.channels()].to_vec(),
        (N, child.channels()),
        &Device::Cpu,
    );
    let pull = pull.unwrap();
    let dot = || (features() * &pull).unwrap().sum_all().unwrap();
    let gradients = dot().backward().unwrap();
    let trunk: Vec<(Var, Vec<f32>)> =
        child.vars().into_iter().filter_map(|var| Some((var.clone(), flat(gradients.get(&var)?)))).collect();
    let squares: f64 = trunk.iter().flat_map(|(_, g)| g).map(|g| f64::from(*g).powi(2)).sum();
    let at = |by: f64| {
        for (var, gradient) in &trunk {
            let moved: Vec<f32> = flat(var)
                .iter()
                .zip(gradient)
                .map(|(w, g)| (f64::from(*w) + by * f64::from(*g)) as f32)
                .collect();
            var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
        let value = f64::from(value(&dot()));
        for (var, gradient) in &trunk {
            let back: Vec<f32> = flat(var)
                .iter()
                .zip(gradient)
                .map(|(w, g)| (f64::from(*w) - by * f64::from(*g)) as f32)
                .collect();
            var.set(&Tensor::from_vec(back, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
        value
    };
    let by = 1e-3 / squares.sqrt();
    let slope = (at(by) - at(-by)) / (2.0 * by);
    assert!((slope - squares).abs() < 2e-2 * squares, "slope {slope}, squared norm {squares}");
}

#[test]
fn a_model_goes_through_candles_files() {
    let [arc, _] = arcs();
    let varmap = VarMap::new();
    let builder = seeded(&varmap, Seed::new(1), &Device::Cpu);
    let mut child = Child::fixed(&config(1e-4), &arc, INPUT, CLASSES, builder).unwrap();
    let from_seed = Child::fixed(&config(1e-4), &arc, INPUT, CLASSES, Seed::new(1)).unwrap();
    assert_eq!(weights(&child), weights(&from_seed), "a map starts as a seed does");
    for i in 0..3 {
        let (images, labels) = batch(i);
        child.train_step(&arc, &images, &labels, &step(i)).unwrap();
    }
    let (images, _) = batch(9);
    let expected = flat(&child.logits(&arc, &images, Norm::RunningStatistics, None).unwrap());
    let eval = |child: &Child| flat(&child.forward(&arc, &images, ForwardMode::Eval).unwrap().logits);
    assert_eq!(eval(&child), expected);

    let folder = std::env::temp_dir().join(format!("enas-child-candle-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("model.safetensors");
    varmap.save(&file).unwrap();

    // Into variables that exist.
    let mut other = VarMap::new();
    let builder = seeded(&other, Seed::new(2), &Device::Cpu);
    let loaded = Child::fixed(&config(1e-4), &arc, INPUT, CLASSES, builder).unwrap();
    assert_ne!(eval(&loaded), expected);
    other.load(&file).unwrap();
    assert_eq!(eval(&loaded), expected);
    assert_eq!(weights(&loaded), weights(&child));

    // Into tensors that are not trained, and of which nothing is recorded.
    let tensors = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    let frozen = Child::fixed(
        &config(1e-4),
        &arc,
        INPUT,
        CLASSES,
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu),
    )
    .unwrap();
    assert_eq!(eval(&frozen), expected);
    assert!(frozen.vars().is_empty());
    let train = step(0);
    assert!(!frozen.features(&arc, &images, ForwardMode::Train(&train)).unwrap().track_op());

    let net = FixedNet::new(loaded, step(0)).unwrap();
    assert_eq!(flat(&net.forward_t(&images, false).unwrap()), expected);
    let [first, second] = [(); 2].map(|()| flat(&net.forward_t(&images, true).unwrap()));
    assert_ne!(first, second, "further noise");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn statistics_that_were_loaded_are_those_that_training_goes_on_from() {
    let [arc, _] = arcs();
    let varmap = VarMap::new();
    let builder = seeded(&varmap, Seed::new(1), &Device::Cpu);
    let mut child = Child::fixed(&config(1e-4), &arc, INPUT, CLASSES, builder).unwrap();
    let mean = varmap.data().lock().unwrap()["stem_conv/bn/moving_mean"].clone();
    mean.set(&Tensor::full(5.0f32, mean.shape(), &Device::Cpu).unwrap()).unwrap();
    let (images, labels) = batch(0);
    child.train_step(&arc, &images, &labels, &step(0)).unwrap();
    let moved = flat(&mean);
    assert!(moved.iter().all(|m| (4.0..5.0).contains(m)), "one step moves them by a tenth: {moved:?}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let [arc, _] = arcs();
    let child = Child::shared(&config(0.0), INPUT, CLASSES, Seed::new(1)).unwrap();
    let (images, labels) = batch(0);
    let refused =
        |images: &Tensor, mode: ForwardMode<'_>| child.forward(&arc, images, mode).unwrap_err().to_string();
    assert!(refused(&images, ForwardMode::Eval).contains("moving statistics"));
    assert!(refused(&images.i(0).unwrap(), ForwardMode::BatchStatistics).contains("[2, 10, 9]"));
    assert!(refused(&images.to_dtype(DType::F64).unwrap(), ForwardMode::BatchStatistics).contains("F64"));
    let var = Var::from_tensor(&images).unwrap();
    assert!(refused(&var, ForwardMode::BatchStatistics).contains("detach"));
    let few = labels.i(..4).unwrap();
    assert!(child.loss(&arc, &images, &few, &step(0)).is_err());

    let loss = child.loss(&arc, &images, &labels, &step(0)).unwrap();
    loss.backward().unwrap();
    assert!(loss.backward().unwrap_err().to_string().contains("used up"));

    let missing = VarBuilder::from_tensors(Default::default(), DType::F32, &Device::Cpu);
    let error = Child::shared(&config(0.0), INPUT, CLASSES, missing).unwrap_err().to_string();
    assert!(error.contains("stem_conv/w"), "{error}");
}

/// Images of any strides are taken as what they are.
#[test]
fn views_of_images_are_images() {
    let [arc, _] = arcs();
    let child = Child::fixed(&config(0.0), &arc, INPUT, CLASSES, Seed::new(1)).unwrap();
    let (images, _) = batch(0);
    let turned = images.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap().permute((0, 3, 1, 2)).unwrap();
    assert!(!turned.is_contiguous());
    let logits =
        |images: &Tensor| flat(&child.along(&arc, ForwardMode::Eval).forward_t(images, false).unwrap());
    assert_eq!(logits(&turned), logits(&images));
}
