//! The controller against tensors computed by the ENAS authors' own TensorFlow code.
//!
//! Every `controller_*.json` + `.safetensors` pair in `ENAS_GOLDEN_DIR` and in its direct subfolders is checked;
//! without that variable, the copies in this crate. Each set brings its own sizes, settings and weights.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in a test file a panic is how a failure is reported, in helpers too")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Var};
use enas_arc::Arc;
use enas_controller::{Advantage, BaselineInit, Bounds, Config, Controller, Decision, Episode, OpBias};
use enas_kernels::candle::{TfAdam, TfAdamConfig};
use enas_rng::Seed;
use enas_testing::goldens::{GoldenTensors, entries, folder, json};
use enas_testing::tensors::{Numbers, numbers, tensors};
use serde_json::Value;

/// Largest difference of a value, relative to its tensor's largest entry or, where that is below 1, absolute.
const VALUE: f64 = 1e-5;
/// The same for what an optimiser step or the baseline computes from given numbers.
const ARITHMETIC: f64 = 2e-6;

#[test]
fn every_golden_set_is_reproduced() {
    let mut mismatches = vec![];
    for stem in golden_sets() {
        let set = Set::read(&stem);
        mismatches.extend(set.check().into_iter().map(|m| format!("{}: {m}", stem.display())));
    }
    assert!(mismatches.is_empty(), "{} mismatches:\n{}", mismatches.len(), mismatches.join("\n"));
}

/// Paths without extension, sorted.
fn golden_sets() -> Vec<PathBuf> {
    let root = folder(env!("CARGO_MANIFEST_DIR"));
    let mut files = entries(&root);
    let below: Vec<_> =
        files.iter().filter(|path| path.is_dir()).flat_map(|folder| entries(folder)).collect();
    files.extend(below);
    let is_set = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("controller_")
            && name.ends_with(".json")
            && path.with_extension("safetensors").exists()
    };
    let mut stems: Vec<_> = files.into_iter().filter(is_set).map(|path| path.with_extension("")).collect();
    stems.sort();
    assert!(!stems.is_empty(), "no controller_*.json + .safetensors pair in {}", root.display());
    stems
}

/// A dumped tensor, integers widened to floats.
#[derive(Clone)]
struct Dump {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Dump {
    fn row(&self, i: usize) -> &[f32] {
        let width = self.values.len() / self.shape[0];
        &self.values[i * width..(i + 1) * width]
    }
}

struct Set {
    meta: Value,
    tensors: BTreeMap<String, Dump>,
}

impl Set {
    fn read(stem: &Path) -> Self {
        let mut read = GoldenTensors::default();
        read.read(&stem.with_extension("safetensors"));
        let floats = read.floats.into_iter().map(|(name, (shape, values))| (name, Dump { shape, values }));
        let widened = read.ints.into_iter().map(|(name, (shape, values))| {
            (name, Dump { shape, values: values.into_iter().map(|x| x as f32).collect() })
        });
        Self { meta: json(&stem.with_extension("json")), tensors: floats.chain(widened).collect() }
    }

    fn tensor(&self, name: &str) -> &Dump {
        self.tensors.get(name).unwrap_or_else(|| panic!("golden set has no tensor {name}"))
    }

    fn config(&self, key: &str) -> &Value {
        &self.meta["config"][key]
    }

    /// Arc number k of the lists `normal` and `reduce`.
    fn arc(&self, normal: &str, reduce: &str, k: usize) -> Arc {
        let ints = [self.tensor(normal).row(k), self.tensor(reduce).row(k)].concat();
        Arc::from_ints(&ints.iter().map(|&x| x as i64).collect::<Vec<_>>()).unwrap()
    }

    fn sampled_arc(&self, k: usize) -> Arc {
        self.arc("arcs/normal", "arcs/reduce", k)
    }

    fn accuracy(&self, num_correct: f64) -> f32 {
        (num_correct / self.config("reward_batch_size").as_f64().unwrap()) as f32
    }

    /// A controller with the set's settings and weights that has not been trained.
    fn controller(&self) -> Controller {
        let size = |key: &str| self.config(key).as_u64().unwrap() as usize;
        let number = |key: &str| self.config(key).as_f64();
        let config = Config {
            hidden_size: size("lstm_size"),
            lstm_layers: size("lstm_num_layers"),
            lr: number("lr").unwrap(),
            tanh_constant: number("tanh_constant"),
            op_tanh_reduce: number("op_tanh_reduce").unwrap(),
            temperature: number("temperature"),
            entropy_weight: number("entropy_weight").unwrap_or(0.0),
            baseline_decay: number("bl_dec").unwrap(),
            op_bias: OpBias::Frozen,
            advantage: Advantage::Plain,
            baseline_init: BaselineInit::Zero,
            ..Config::reference()
        };
        let mut controller = Controller::new(&config, size("num_cells"), Seed::new(0)).unwrap();
        let mut state = numbers(controller.state());
        for Numbers { name, shape, data } in &mut state {
            if let Some(dump) = self.tensors.get(&format!("w/{name}")) {
                shape.clone_from(&dump.shape);
                data.clone_from(&dump.values);
            }
        }
        let weights = self.tensors.keys().filter(|name| name.starts_with("w/")).count();
        let variables =
            state.iter().filter(|tensor| self.tensors.contains_key(&format!("w/{}", tensor.name))).count();
        assert_eq!(weights, variables, "every dumped weight has a variable of its name");
        controller.load_state(tensors(&state)).unwrap();
        controller
    }

    fn check(&self) -> Vec<String> {
        let mut check = Check { set: self, mismatches: vec![] };
        check.values();
        check.baselines();
        check.gradient();
        check.plain_adam();
        check.aggregated_adam();
        check.mismatches
    }
}

struct Check<'a> {
    set: &'a Set,
    mismatches: Vec<String>,
}

impl Check<'_> {
    fn compare(&mut self, what: &str, got: &[f32], expected: &[f32], tolerance: f64) {
        if got.len() != expected.len() {
            self.mismatches.push(format!("{what}: {} numbers instead of {}", got.len(), expected.len()));
            return;
        }
        let largest = expected.iter().fold(0.0, |most: f64, &x| most.max(f64::from(x).abs()));
        let differences = got.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
        let difference =
            differences.fold(0.0, |most: f64, d| if d.is_nan() { f64::NAN } else { most.max(d) });
        let allowed = tolerance * largest.max(1.0);
        if difference.is_nan() || difference > allowed {
            self.mismatches.push(format!("{what}: off by {difference:.3e}, allowed {allowed:.3e}"));
        }
    }

    fn compare_with(&mut self, name: &str, got: &[f32], tolerance: f64) {
        let expected = self.set.tensor(name).values.clone();
        self.compare(name, got, &expected, tolerance);
    }

    /// Logits, -ln π and entropy of each decision, of each cell and of each arc.
    fn values(&mut self) {
        let controller = self.set.controller();
        let bounds = bounds(&controller);
        let arcs = self.set.tensor("arcs/normal").shape[0];
        let mut nll_cells = vec![];
        let mut entropy_cells = vec![];
        let mut nll = vec![];
        let mut entropy = vec![];
        for k in 0..arcs {
            let arc = self.set.sampled_arc(k);
            let decisions = controller.decisions(bounds, &arc).unwrap();
            let halves = decisions.split_at(decisions.len() / 2);
            for (cell, half) in [("normal", halves.0), ("reduce", halves.1)] {
                let mut row = |kind: &str, got: &[f32]| {
                    let name = format!("step_{kind}/{cell}");
                    let expected = self.set.tensor(&name).row(k).to_vec();
                    self.compare(&format!("{name} of arc {k}"), got, &expected, VALUE);
                };
                let width = (controller.n_nodes() + 1).max(5);
                let padded = |d: &Decision| {
                    let mut logits = d.logits.clone();
                    logits.resize(width, 0.0);
                    logits
                };
                row("logits", &half.iter().flat_map(padded).collect::<Vec<_>>());
                row("nll", &half.iter().map(|d| d.nll).collect::<Vec<_>>());
                row("entropy", &half.iter().map(|d| d.entropy).collect::<Vec<_>>());
                nll_cells.push(half.iter().map(|d| d.nll).sum::<f32>());
                entropy_cells.push(half.iter().map(|d| d.entropy).sum::<f32>());
            }
            let sample = controller.score(bounds, &arc).unwrap();
            nll.push(-sample.log_prob);
            entropy.push(sample.entropy);
        }
        self.compare_with("nll_per_cell", &nll_cells, VALUE);
        self.compare_with("entropy_per_cell", &entropy_cells, VALUE);
        self.compare_with("nll_total", &nll, VALUE);
        self.compare_with("entropy_total", &entropy, VALUE);
    }

    /// A row of calls whose baseline moves and whose weights do not.
    fn baselines(&mut self) {
        let mut controller = self.set.controller();
        let arcs = self.set.tensor("arcs/normal").shape[0];
        let expected = self.set.tensor("baseline_seq").clone();
        for i in 0..expected.shape[0] {
            let before = controller.baseline();
            let row = expected.row(i);
            let episode = Episode { arc: self.set.sampled_arc(i % arcs), accuracy: row[0] };
            let bounds = bounds(&controller);
            let stats = controller.reinforce(bounds, std::slice::from_ref(&episode)).unwrap();
            let e = stats.episodes[0];
            let got = [episode.accuracy, e.reward, before, e.baseline, e.loss, -e.log_prob, e.advantage];
            for (column, (&got, &expected)) in got.iter().zip(row).enumerate() {
                self.compare(
                    &format!("baseline_seq, call {i}, column {column}"),
                    &[got],
                    &[expected],
                    ARITHMETIC,
                );
            }
            // Back to the dumped weights with the new baseline.
            let mut state = numbers(self.set.controller().state());
            *value(&mut state, "baseline") = vec![e.baseline];
            controller.load_state(tensors(&state)).unwrap();
        }
    }

    /// The gradient of the first training call and the loss it belongs to.
    fn gradient(&mut self) {
        let mut controller = self.set.controller();
        let bounds = bounds(&controller);
        let dumped = &self.set.meta["gradient"];
        let arc = self.set.sampled_arc(dumped["arc_index"].as_u64().unwrap() as usize);
        let accuracy = self.set.accuracy(dumped["num_correct"].as_f64().unwrap());
        let untrained = controller.clone();
        let stats = controller.reinforce(bounds, &[Episode { arc: arc.clone(), accuracy }]).unwrap();
        let number = |key: &str| [dumped[key].as_f64().unwrap() as f32];
        self.compare("loss", &[stats.loss], &number("loss"), VALUE);
        self.compare("gradient norm", &[stats.grad_norm], &number("true_grad_norm"), VALUE);
        let advantage = stats.episodes[0].advantage;
        for Numbers { name, data: gradient, .. } in
            numbers(untrained.nll_gradient(bounds, &[arc], &[advantage]).unwrap())
        {
            self.compare_with(&format!("grad/{name}"), &gradient, VALUE);
        }
    }

    /// Three updates of one arc each.
    fn plain_adam(&mut self) {
        let mut controller = self.set.controller();
        let bounds = bounds(&controller);
        for step in self.set.meta["adam_steps"].as_array().unwrap() {
            let arc = self.set.sampled_arc(step["arc_index"].as_u64().unwrap() as usize);
            let accuracy = self.set.accuracy(step["num_correct"].as_f64().unwrap());
            let stats = controller.reinforce(bounds, &[Episode { arc, accuracy }]).unwrap();
            let number = step["step"].as_u64().unwrap();
            self.compare(
                &format!("loss of step {number}"),
                &[stats.loss],
                &[step["loss"].as_f64().unwrap() as f32],
                VALUE,
            );
            for Numbers { name, data: weights, .. } in variables(&controller) {
                let dumped = format!("adam_step{number}/{name}");
                if self.set.tensors.contains_key(&dumped) {
                    self.compare_with(&dumped, &weights, ARITHMETIC);
                }
            }
        }
    }

    /// Two updates of ten arcs each, with one call between them that moved the baseline only.
    ///
    /// The reference averages the gradient of `emb/w` in its own way; ours is compared with the plain mean, and the
    /// weights of the second update are computed from the gradient that the reference used.
    fn aggregated_adam(&mut self) {
        let mut controller = self.set.controller();
        let calls: Vec<Episode> = (0..21)
            .map(|i| Episode {
                arc: self.set.arc("sync/arcs_normal", "sync/arcs_reduce", i),
                accuracy: self.set.accuracy(f64::from(self.set.tensor("sync/num_correct").values[i])),
            })
            .collect();
        let baselines = self.set.tensor("sync/baseline_after").values.clone();
        self.aggregated_update(&mut controller, 1, &calls[..10], &baselines[..10]);
        let mut dropped = controller.clone();
        let stats = dropped.reinforce(bounds(&controller), &calls[10..11]).unwrap();
        self.compare("baseline of call 11", &[stats.baseline], &baselines[10..11], ARITHMETIC);
        let mut state = numbers(controller.state());
        *value(&mut state, "baseline") = vec![stats.baseline];
        controller.load_state(tensors(&state)).unwrap();
        self.aggregated_update(&mut controller, 2, &calls[11..], &baselines[11..]);
    }

    fn aggregated_update(
        &mut self,
        controller: &mut Controller,
        update: u64,
        calls: &[Episode],
        baselines: &[f32],
    ) {
        let bounds = bounds(controller);
        let before = controller.clone();
        let stats = controller.reinforce(bounds, calls).unwrap();
        let got: Vec<f32> = stats.episodes.iter().map(|e| e.baseline).collect();
        self.compare(&format!("baselines of update {update}"), &got, baselines, ARITHMETIC);

        let arcs: Vec<Arc> = calls.iter().map(|call| call.arc.clone()).collect();
        let coefficients: Vec<f32> =
            stats.episodes.iter().map(|e| e.advantage / calls.len() as f32).collect();
        let gradients = numbers(before.nll_gradient(bounds, &arcs, &coefficients).unwrap());
        let emb = gradients.into_iter().find(|tensor| tensor.name == "emb/w").unwrap();
        self.compare_with(&format!("sync_emb/mean_grad{update}"), &emb.data, VALUE);

        let mut old = numbers(before.state());
        let mut state = numbers(controller.state());
        let (mut weights, mut moment) =
            (value(&mut old, "emb/w").clone(), value(&mut old, "adam/v/emb/w").clone());
        let effective = &self.set.tensor(&format!("sync_emb/effective_grad{update}")).values;
        adam_step(&mut weights, effective, &mut moment, update, controller.config().lr);
        *value(&mut state, "emb/w") = weights;
        *value(&mut state, "adam/v/emb/w") = moment;
        controller.load_state(tensors(&state)).unwrap();
        for Numbers { name, data: weights, .. } in variables(controller) {
            self.compare_with(&format!("sync_update{update}/{name}"), &weights, ARITHMETIC);
        }
    }
}

/// Step number `step`, counted from 1, of one variable.
fn adam_step(weights: &mut Vec<f32>, gradient: &[f32], moment: &mut Vec<f32>, step: u64, lr: f64) {
    let var = Var::from_slice(weights, weights.len(), &Device::Cpu).unwrap();
    let config = TfAdamConfig { lr, ..TfAdamConfig::default() };
    let mut adam = TfAdam::named(vec![("w".into(), var.clone())], config).unwrap();
    assert!(adam.load("adam/v/w", moment).unwrap());
    adam.set_steps(step - 1);
    adam.step_slices(|_| Some(gradient)).unwrap();
    *weights = var.to_vec1().unwrap();
    *moment = adam.state().next().unwrap().1.to_vec1().unwrap();
}

fn bounds(controller: &Controller) -> Bounds {
    controller.config().bounds(0.0)
}

fn variables(controller: &Controller) -> Vec<Numbers> {
    let is_variable = |name: &str| !name.starts_with("adam/") && !name.starts_with("baseline");
    numbers(controller.state()).into_iter().filter(|tensor| is_variable(&tensor.name)).collect()
}

fn value<'a>(state: &'a mut [Numbers], name: &str) -> &'a mut Vec<f32> {
    let tensor = state.iter_mut().find(|tensor| tensor.name == name);
    &mut tensor.unwrap_or_else(|| panic!("state has no {name}")).data
}
