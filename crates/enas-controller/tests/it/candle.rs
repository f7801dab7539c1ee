//! The policy as candle sees it: named variables, a tracked -ln π, and optimisers of candle's.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, VarBuilder, VarMap};
use enas_arc::Arc;
use enas_controller::{
    Bounds, Config, Controller, Episode, Error, OpBias, Plan, Policy, RewardedChoices, seeded,
};
use enas_kernels::candle::{TfAdam, TfAdamConfig};
use enas_rng::Seed;
use enas_testing::tensors::{Numbers, flat, numbers};

const SEED: Seed = Seed::new(7);

fn small(config: Config) -> Config {
    Config { hidden_size: 16, lstm_layers: 2, ..config }
}

fn shared(config: &Config, n_nodes: usize) -> (Controller, VarMap) {
    let varmap = VarMap::new();
    (Controller::new(config, n_nodes, seeded(&varmap, SEED, &Device::Cpu)).unwrap(), varmap)
}

fn arcs(controller: &Controller, bounds: Bounds, n: u64, round: u64) -> Vec<Arc> {
    let mut rngs: Vec<_> = (0..n).map(|i| SEED.stream("arc", &[round, i])).collect();
    controller.sample_many(bounds, &mut rngs).into_iter().map(|sample| sample.arc).collect()
}

fn weights(controller: &Controller) -> Vec<u32> {
    controller.tensors().flat_map(|(_, tensor)| flat(tensor)).map(f32::to_bits).collect()
}

#[test]
fn variables_have_the_published_names_and_start_as_without_a_map() {
    for config in [small(Config::reference()), small(Config::improved())] {
        let (controller, varmap) = shared(&config, 3);
        let own = Controller::new(&config, 3, SEED).unwrap();
        assert_eq!(numbers(controller.state()), numbers(own.state()));
        let variables = varmap.data().lock().unwrap();
        assert_eq!(variables.len(), 9);
        for Numbers { name, shape, data } in numbers(own.state()).into_iter().take(9) {
            assert_eq!((variables[&name].dims(), flat(&variables[&name])), (&shape[..], data), "{name}");
        }
        let ids: Vec<_> = controller.vars().iter().map(|var| var.id()).collect();
        assert_eq!(ids, controller.tensors().map(|(_, tensor)| tensor.id()).collect::<Vec<_>>());
    }
}

#[test]
fn nll_is_minus_the_log_probability_and_has_the_gradient_of_the_slices_to_the_bit() {
    for (config, n_nodes) in [(small(Config::reference()), 4), (small(Config::improved()), 2)] {
        let (controller, _) = shared(&config, n_nodes);
        let bounds = config.bounds(0.3);
        let arcs = arcs(&controller, bounds, 5, 0);
        let nll = controller.nll(bounds, &arcs).unwrap();
        let scores: Vec<f32> =
            arcs.iter().map(|arc| -controller.score(bounds, arc).unwrap().log_prob).collect();
        assert_eq!((nll.dims(), flat(&nll)), (&[5][..], scores));

        let coefficients = [0.5f32, -0.25, 0.0, 1.0, 2.0];
        let loss = (&nll * Tensor::new(&coefficients, &Device::Cpu).unwrap()).unwrap().sum_all().unwrap();
        let expected = numbers(controller.nll_gradient(bounds, &arcs, &coefficients).unwrap());
        // The second way back finds the walk used up.
        for _ in 0..2 {
            let gradients = loss.backward().unwrap();
            for (var, Numbers { name, shape, data: values }) in controller.vars().iter().zip(&expected) {
                let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
                assert_eq!((gradient.dims(), flat(gradient)), (&shape[..], values.clone()), "{name}");
            }
        }
    }
}

/// Along the gradient of each variable, by central differences of the tensor itself.
#[test]
fn the_gradient_of_nll_is_its_slope() {
    let config = Config { op_bias: OpBias::Free, ..small(Config::improved()) };
    let (controller, varmap) = shared(&config, 3);
    // Larger weights than the starting ones, so that no part of the network is nearly linear.
    for var in varmap.all_vars() {
        var.set(&(var.as_tensor() * 5.0).unwrap()).unwrap();
    }
    let bounds = config.bounds(0.0);
    let arcs = arcs(&controller, bounds, 3, 0);
    let coefficients = Tensor::new(&[1.0f32, -0.5, 0.25], &Device::Cpu).unwrap();
    let loss = || (controller.nll(bounds, &arcs).unwrap() * &coefficients).unwrap().sum_all().unwrap();
    let gradients = loss().backward().unwrap();
    for (var, (name, _)) in controller.vars().iter().zip(controller.tensors()) {
        let gradient = gradients.get(var).unwrap();
        let start = var.as_tensor().copy().unwrap().detach();
        let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        let at = |distance: f64| {
            let moved = (&start + (gradient * (distance / f64::from(norm))).unwrap()).unwrap();
            var.set(&moved).unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        let h = 0.04;
        let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        var.set(&start).unwrap();
        let norm = f64::from(norm);
        assert!((slope - norm).abs() < 2e-3 * norm + 2e-4 * norm.max(1.0), "{name}: {norm} is not {slope}");
    }
}

/// What `reinforce` does, written by a user of candle. The number of arcs is a power of two, so that dividing by it
/// before or after the advantage rounds alike.
#[test]
fn the_update_written_in_candle_gives_the_weights_of_reinforce_to_the_bit() {
    for config in [small(Config::reference()), small(Config::improved())] {
        let mut ours = Controller::new(&config, 4, SEED).unwrap();
        let (theirs, _) = shared(&config, 4);
        let adam = TfAdamConfig { lr: config.lr, ..TfAdamConfig::default() };
        let mut optimizer = TfAdam::new(theirs.vars(), adam).unwrap();
        let bounds = config.bounds(0.0);
        for update in 0..5 {
            let arcs = arcs(&theirs, bounds, 4, update);
            let episode = |(i, arc): (usize, &Arc)| Episode { arc: arc.clone(), accuracy: i as f32 / 7.0 };
            let episodes: Vec<_> = arcs.iter().enumerate().map(episode).collect();
            let stats = ours.reinforce(bounds, &episodes).unwrap();

            let advantages: Vec<f32> = stats.episodes.iter().map(|e| e.advantage).collect();
            let advantages = Tensor::new(advantages, &Device::Cpu).unwrap();
            let loss = (theirs.nll(bounds, &arcs).unwrap() * advantages).unwrap().mean_all().unwrap();
            assert!((loss.to_scalar::<f32>().unwrap() - stats.loss).abs() < 1e-5);
            optimizer.backward_step(&loss).unwrap();
            assert_eq!(weights(&ours), weights(&theirs), "update {update}");
        }
        assert_ne!(weights(&ours), weights(&Controller::new(&config, 4, SEED).unwrap()));
    }
}

#[test]
fn adamw_of_candle_lowers_the_loss() {
    let config = small(Config::improved());
    let (controller, varmap) = shared(&config, 3);
    let bounds = config.bounds(0.0);
    let arcs = arcs(&controller, bounds, 6, 0);
    let mut optimizer = AdamW::new_lr(varmap.all_vars(), 0.03).unwrap();
    let mut losses = vec![];
    for _ in 0..20 {
        let loss = controller.nll(bounds, &arcs).unwrap().mean_all().unwrap();
        losses.push(loss.to_scalar::<f32>().unwrap());
        optimizer.backward_step(&loss).unwrap();
    }
    assert!(losses[19] < losses[0] - 1.0, "{losses:?}");
}

/// What a policy with variables on `device` draws, and its variables after an update of ours and one of candle's.
fn learned_on(device: &Device) -> (Vec<Arc>, Vec<f32>) {
    let config = small(Config::improved());
    let mut controller = Controller::new(&config, 3, (SEED, device)).unwrap();
    assert!(controller.vars().iter().all(|var| var.device().same_device(device)));
    let bounds = config.bounds(0.0);
    let arcs = arcs(&controller, bounds, 4, 0);
    let episode = |(i, arc): (usize, &Arc)| Episode { arc: arc.clone(), accuracy: i as f32 / 7.0 };
    controller.reinforce(bounds, &arcs.iter().enumerate().map(episode).collect::<Vec<_>>()).unwrap();
    let loss = controller.nll(bounds, &arcs).unwrap().mean_all().unwrap();
    assert!(loss.device().same_device(device));
    let mut optimizer = TfAdam::new(controller.vars(), TfAdamConfig::default()).unwrap();
    optimizer.backward_step(&loss).unwrap();
    (arcs, controller.clone().tensors().flat_map(|(_, tensor)| flat(tensor)).collect())
}

/// With the feature `cuda`, and where there is a GPU.
#[test]
fn a_policy_lives_on_the_device_that_it_was_built_for() {
    let Ok(device) = enas_kernels::gpu::open(0) else { return };
    let [(arcs, want), (drawn, got)] = [&Device::Cpu, &device].map(learned_on);
    assert_eq!(drawn, arcs);
    for (want, got) in want.iter().zip(&got) {
        assert!((want - got).abs() <= 1e-6, "{got}, should be {want}");
    }
}

/// Whoever has the variables may change them after arcs were drawn: the update is that of the weights as they are.
#[test]
fn an_update_sees_variables_that_others_changed() {
    let config = small(Config::reference());
    let bounds = config.bounds(0.0);
    let updated = |draw: bool| {
        let (mut controller, varmap) = shared(&config, 3);
        let drawn = arcs(&Controller::new(&config, 3, SEED).unwrap(), bounds, 3, 0);
        if draw {
            assert_eq!(arcs(&controller, bounds, 3, 0), drawn);
        }
        for var in varmap.all_vars() {
            var.set(&(var.as_tensor() * 2.0).unwrap()).unwrap();
        }
        let episodes: Vec<_> =
            drawn.into_iter().zip([0.9, 0.1, 0.5]).map(|(arc, accuracy)| Episode { arc, accuracy }).collect();
        controller.reinforce(bounds, &episodes).unwrap();
        weights(&controller)
    };
    assert_eq!(updated(true), updated(false));
}

#[test]
fn a_saved_map_gives_the_same_policy_which_cannot_be_trained_from_a_file() {
    let config = small(Config::improved());
    let (mut controller, varmap) = shared(&config, 3);
    let bounds = config.bounds(0.0);
    let episodes = |controller: &Controller| -> Vec<Episode> {
        let arcs = arcs(controller, bounds, 2, 0);
        arcs.into_iter().zip([0.2, 0.8]).map(|(arc, accuracy)| Episode { arc, accuracy }).collect()
    };
    let given = episodes(&controller);
    controller.reinforce(bounds, &given).unwrap();
    let file =
        std::env::temp_dir().join(format!("enas-controller-candle-{}.safetensors", std::process::id()));
    varmap.save(&file).unwrap();

    let (again, mut map) = shared(&config, 3);
    assert_ne!(weights(&again), weights(&controller));
    map.load(&file).unwrap();
    assert_eq!(weights(&again), weights(&controller));

    let tensors: HashMap<String, Tensor> = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    std::fs::remove_file(&file).unwrap();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let mut frozen = Controller::new(&config, 3, vb).unwrap();
    assert_eq!(weights(&frozen), weights(&controller));
    assert_eq!(frozen.most_likely(bounds), controller.most_likely(bounds));
    assert!(frozen.vars().is_empty());
    assert!(!frozen.nll(bounds, &[given[0].arc.clone()]).unwrap().track_op());
    let refused = Error::Frozen("lstm/layer_0/w".into());
    assert_eq!(frozen.reinforce(bounds, &given).unwrap_err(), refused);
    let state = frozen.state();
    assert_eq!(frozen.load_state(state).unwrap_err(), refused);
    assert_eq!(weights(&frozen), weights(&controller));
}

#[test]
fn a_clone_has_variables_of_its_own() {
    let config = small(Config::reference());
    let (mut controller, varmap) = shared(&config, 3);
    let bounds = config.bounds(0.0);
    let arcs = arcs(&controller, bounds, 2, 0);
    let episodes: Vec<_> = arcs.into_iter().map(|arc| Episode { arc, accuracy: 0.5 }).collect();
    controller.reinforce(bounds, &episodes).unwrap();
    let mut clone = controller.clone();
    assert_eq!(numbers(clone.state()), numbers(controller.state()));
    let before = weights(&controller);
    clone.reinforce(bounds, &episodes).unwrap();
    assert_eq!(weights(&controller), before);
    controller.reinforce(bounds, &episodes).unwrap();
    assert_eq!(numbers(clone.state()), numbers(controller.state()));
    assert_eq!(varmap.all_vars().len(), 9);
}

#[test]
fn policies_of_other_plans_have_variables_too() {
    for plan in [Plan::of_choices(&[3, 5, 2]).unwrap(), Plan::micro(1).unwrap()] {
        let config = small(Config::improved());
        let varmap = VarMap::new();
        let mut policy = Policy::new(&config, plan, seeded(&varmap, SEED, &Device::Cpu)).unwrap();
        let bounds = config.bounds(0.0);
        let choices = vec![vec![0; policy.plan().n_choices().len()]];
        let nll = policy.nll(bounds, &choices).unwrap();
        let gradients = nll.sum_all().unwrap().backward().unwrap();
        let expected = numbers(policy.nll_gradient(bounds, &choices, &[1.0]).unwrap());
        for (var, Numbers { name, data: values, .. }) in policy.vars().iter().zip(expected) {
            assert_eq!(flat(gradients.get(var).unwrap()), values, "{name}");
        }
        let rewarded = |value| RewardedChoices { choices: choices[0].clone(), value };
        policy.reinforce(bounds, &[rewarded(0.0), rewarded(1.0)]).unwrap();
    }
}

#[test]
fn what_a_policy_cannot_be_made_of_is_refused() {
    let config = small(Config::reference());
    let (controller, varmap) = shared(&config, 3);
    let wider = Config { hidden_size: 20, ..config.clone() };
    let error = Controller::new(&wider, 3, seeded(&varmap, SEED, &Device::Cpu)).unwrap_err().to_string();
    assert!(error.contains("shape mismatch") && error.contains("lstm/layer_0/w"), "{error}");
    let nothing = VarBuilder::from_tensors(HashMap::new(), DType::F32, &Device::Cpu);
    let error = Controller::new(&config, 3, nothing).unwrap_err().to_string();
    assert!(error.contains("lstm/layer_0/w"), "{error}");
    let bounds = config.bounds(0.0);
    assert_eq!(controller.nll(bounds, &[]).unwrap_err(), Error::NoArcs);
    let small = Arc::from_ints(&[0; 8]).unwrap();
    let error = controller.nll(bounds, &[small]).unwrap_err();
    assert_eq!(error, Error::ArcNodes { position: 0, expected: 3, got: 1 });
    // One variable under two names would be updated twice.
    let one = Var::zeros((16, 16), DType::F32, &Device::Cpu).unwrap();
    let mut data = varmap.data().lock().unwrap();
    for name in ["attention/w_1", "attention/w_2"] {
        data.insert(name.into(), one.clone());
    }
    drop(data);
    let error = Controller::new(&config, 3, seeded(&varmap, SEED, &Device::Cpu)).unwrap_err().to_string();
    assert!(error.contains("share"), "{error}");
}
