//! The child against tensors computed by the ENAS authors' own TensorFlow code.
//!
//! `ENAS_GOLDEN_DIR` names another folder to take the sets from: every `child_search_*` and `child_fixed_*` pair of
//! `.json` and `.safetensors` in it is checked. `goldens/README.md` says what the tensors are.
#![forbid(unsafe_code)]

mod reference;
mod set;

use std::collections::BTreeMap;

use candle_core::Tensor;
use enas_child::{AuxHead, Child, Config, InputShape, Noise, Norm, Reductions, Step};
use enas_kernels::Nesterov;
use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use enas_testing::gpus;
use enas_testing::tensors::{self, Numbers, flat, numbers, tensors};
use reference::{Explanation, Gradients, Reference, Tie, norm};
use set::GoldenSet;

/// Largest difference of logits, losses and statistics, relative to the tensor's largest entry.
const FORWARD: f64 = 2e-4;
/// Largest difference of a gradient of the child from the one in double precision, relative in norm.
const GRADIENT: f64 = 1e-4;
/// The same for the published code, whose own single precision is less exact.
const PUBLISHED_GRADIENT: f64 = 5e-4;
/// The additional tolerance, relative to the norm of the gradient of all weights: where the terms of a tensor's
/// gradient nearly cancel, their rounding stays.
const CANCELLATION: f64 = 2e-7;
/// Largest difference of optimiser arithmetic, relative to the tensor's largest entry.
const OPTIMISER: f64 = 2e-6;

#[test]
fn shared_children_equal_the_authors_code() {
    check_all("child_search");
}

#[test]
fn fixed_children_equal_the_authors_code() {
    check_all("child_fixed");
}

#[test]
fn shared_children_on_a_gpu_equal_the_authors_code() {
    on_every_gpu("child_search");
}

#[test]
fn fixed_children_on_a_gpu_equal_the_authors_code() {
    on_every_gpu("child_fixed");
}

/// A real GPU checks all sets. The emulated one takes minutes for a large set, so there the cheapest set with an
/// auxiliary head and the cheapest one without stand for all, unless `ENAS_EMULATED_GOLDENS` is `all`.
fn on_every_gpu(kind: &str) {
    let everything = std::env::var("ENAS_EMULATED_GOLDENS").is_ok_and(|value| value == "all");
    for (number, gpu) in gpus::all().iter().enumerate() {
        let sets = GoldenSet::all(kind);
        let is_emulated = number == 0;
        check(if is_emulated && !everything { cheapest(sets) } else { sets }, Some(gpu));
    }
}

/// The set with the least work for each value of `use_aux_heads`.
fn cheapest(mut sets: Vec<GoldenSet>) -> Vec<GoldenSet> {
    sets.sort_by_key(GoldenSet::work);
    let mut seen = Vec::new();
    sets.retain(|set| {
        let has_aux_head = set.meta["config"]["use_aux_heads"] == true;
        let is_first = !seen.contains(&has_aux_head);
        seen.push(has_aux_head);
        is_first
    });
    sets
}

/// A gradient that is wrong by two thousandths is not explained by decisions at ties, one with such a decision is.
#[test]
fn ties_are_told_from_errors() {
    let sets = GoldenSet::all("child_search");
    let set = sets.iter().min_by_key(|set| set.f32("in/x1").len()).expect("there are sets");
    let weights = set.with_prefix("w/").into_iter().map(|w| (w.name, wide(&w.data))).collect();
    let reference = Reference::new(set, &set.arc(0), &weights);

    let (flipped, margin) = reference.with_one_flipped();
    let explained = reference.explain(&flipped, 1e-9);
    assert_eq!(explained.flips.iter().map(|tie| tie.margin).collect::<Vec<_>>(), [margin]);
    assert_eq!(differences(&explained.gradients, &flipped, 1e-9), [""; 0]);

    let whole = norm(&flipped.values().map(|g| norm(g)).collect::<Vec<_>>());
    // Values below the rounding error of the whole gradient cannot be compared.
    let large = flipped.keys().filter(|name| norm(&flipped[*name]) > 1e-3 * whole);
    for name in large.step_by(16) {
        let mut wrong = flipped.clone();
        wrong.get_mut(name).expect("it is there").iter_mut().for_each(|g| *g *= 1.002);
        let explained = reference.explain(&wrong, GRADIENT);
        assert!(!differences(&explained.gradients, &wrong, GRADIENT).is_empty(), "{name}");
    }
}

fn check_all(kind: &str) {
    check(GoldenSet::all(kind), None);
}

fn check(sets: Vec<GoldenSet>, gpu: Option<&Gpu>) {
    let mut failures = Vec::new();
    for set in sets {
        let mut check = Check { set: &set, config: config(&set), gpu, failures: Vec::new() };
        check.run();
        failures.extend(check.failures.iter().map(|f| format!("{}: {f}", set.stem)));
    }
    assert!(failures.is_empty(), "{} differences\n{}", failures.len(), failures.join("\n"));
}

fn config(set: &GoldenSet) -> Config {
    let c = &set.meta["config"];
    let number = |key: &str, default: f64| c[key].as_f64().unwrap_or(default);
    let size = |key: &str| number(key, 0.0) as usize;
    Config {
        reductions: if c["variant"] == "seed" { Reductions::Three } else { Reductions::Two },
        aux_head: if c["use_aux_heads"] == true { AuxHead::Frozen } else { AuxHead::Off },
        keep_prob: number("keep_prob", 1.0) as f32,
        drop_path_keep: number("drop_path_keep_prob", 1.0) as f32,
        l2: number("l2_reg", 0.0) as f32,
        momentum: number("momentum", 0.9) as f32,
        ..Config::reference(size("out_filters"), size("num_layers"), size("num_cells"))
    }
}

/// The uniform numbers that the reference drew.
struct Given<'a>(&'a GoldenSet);

impl Noise for Given<'_> {
    fn uniform(&self, name: &str, len: usize) -> Vec<f32> {
        let numbers = self.0.f32(&format!("in/uniform_{name}"));
        assert_eq!(numbers.len(), len, "{name}");
        numbers.to_vec()
    }
}

struct Check<'a> {
    set: &'a GoldenSet,
    config: Config,
    /// The GPU of the child; `None` means the CPU.
    gpu: Option<&'a Gpu>,
    failures: Vec<String>,
}

impl Check<'_> {
    fn run(&mut self) {
        // The emulated GPU takes its time: there, one arc of each set stands for all.
        let arcs = if self.gpu.is_some() { 1 } else { self.set.n_arcs() };
        for k in 0..arcs {
            self.training_pass(k);
            self.moving_statistics(k);
        }
        if self.set.is_search() {
            (0..arcs).for_each(|k| self.search_evaluation(k));
        } else {
            self.fixed_evaluation();
        }
        if self.set.has_gradients() {
            self.gradients();
            self.optimiser();
        }
    }

    fn child(&self, extra: &str) -> Child {
        let [h, w, c] = self.set.image_hwc();
        let input = InputShape { channels: c, height: h, width: w };
        let classes = self.set.classes();
        let mut child = if self.set.is_search() {
            Child::shared(&self.config, input, classes, Seed::new(0))
        } else {
            Child::fixed(&self.config, &self.set.arc(0), input, classes, Seed::new(0))
        }
        .expect("the golden configuration is valid");
        let mut weights = self.set.with_prefix("w/");
        if !extra.is_empty() {
            weights.extend(self.set.with_prefix(extra));
        }
        child.load(&tensors(&weights)).expect("the golden weights fit");
        if let Some(gpu) = self.gpu {
            child.use_gpu(gpu, Precision::F32).expect("the weights fit into its memory");
        }
        child
    }

    fn images(&self, name: &str) -> Tensor {
        let [height, width, channels] = self.set.image_hwc();
        tensors::images(self.set.images(name), [channels, height, width])
    }

    fn labels(&self, name: &str) -> Tensor {
        tensors::labels(&self.set.labels(name))
    }

    fn step(&self) -> (u64, u64) {
        let c = &self.set.meta["config"];
        let number = |key: &str| c[key].as_u64().unwrap_or(0);
        (number("global_step"), number("num_epochs") * number("num_train_batches"))
    }

    fn training_pass(&mut self, k: usize) {
        let child = self.child("");
        let images = self.images("in/x1");
        let labels = self.labels("in/y1");
        let (step, total_steps) = self.step();
        let seen = child
            .inspect(&self.set.arc(k), &images, &labels, &Given(self.set), step, total_steps)
            .expect("it runs");
        let p = format!("arc{k}/");
        self.compare(&format!("{p}train_logits"), &flat(&seen.logits), FORWARD);
        self.compare(&format!("{p}ce_loss"), &[seen.loss], FORWARD);
        self.compare(&format!("{p}total_loss"), &[seen.total_loss], FORWARD);
        if let Some(logits) = &seen.aux_logits {
            self.compare(&format!("{p}aux_logits"), &flat(logits), FORWARD);
            self.compare(&format!("{p}aux_loss"), &[seen.aux_loss], FORWARD);
        }
        for cell in &numbers(seen.cells) {
            let stats = layer_stats(&cell.shape, &cell.data);
            self.compare(&format!("{p}layer_stats/{}", cell.name), &stats, FORWARD);
        }
    }

    /// Moving statistics after one and two training steps that leave the weights alone.
    fn moving_statistics(&mut self, k: usize) {
        let mut child = self.child("");
        let (global_step, total_steps) = self.step();
        let step = Step { lr: 0.0, global_step, total_steps, seed: Seed::new(0) };
        let train = |child: &mut Child, x: &str, y: &str| {
            let x = self.images(x);
            let y = self.labels(y);
            child.train_step_with(&self.set.arc(k), &x, &y, &step, &Given(self.set)).expect("it runs");
        };
        train(&mut child, "in/x1", "in/y1");
        let first = numbers(child.weights().expect("they can be fetched"));
        train(&mut child, "in/x2", "in/y2");
        let second = numbers(child.weights().expect("they can be fetched"));
        let before = self.failures.len();
        self.compare_moving(&format!("arc{k}/bn_after_x1/"), &first);
        if k == 0 {
            let prefix = if self.set.is_search() { "arc0/bn_after_x1_x2/" } else { "bn_after_x1_x2/" };
            self.compare_moving(prefix, &second);
        }
        if !self.set.is_search() && k == 0 && before == self.failures.len() {
            let logits = child.logits(&self.set.arc(0), &self.images("in/xt"), Norm::RunningStatistics, None);
            self.compare("eval_logits_xt", &flat(&logits.expect("it runs")), FORWARD);
        }
    }

    fn compare_moving(&mut self, prefix: &str, weights: &[Numbers]) {
        let ours: BTreeMap<&str, &[f32]> =
            weights.iter().map(|t| (t.name.as_str(), t.data.as_slice())).collect();
        let names: Vec<String> = self.set.names(prefix).map(str::to_owned).collect();
        assert!(!names.is_empty(), "no tensors under {prefix}");
        for name in names {
            let Some(values) = ours.get(&name[prefix.len()..]) else {
                self.failures.push(format!("{name}: the child has no such statistics"));
                continue;
            };
            self.compare(&name, values, FORWARD);
        }
    }

    fn search_evaluation(&mut self, k: usize) {
        let logits =
            self.child("").logits(&self.set.arc(k), &self.images("in/xt"), Norm::BatchStatistics, None);
        self.compare(&format!("arc{k}/eval_logits_xt"), &flat(&logits.expect("it runs")), FORWARD);
    }

    fn fixed_evaluation(&mut self) {
        let child = self.child("state0/");
        let logits = child.logits(&self.set.arc(0), &self.images("in/xt"), Norm::RunningStatistics, None);
        self.compare("eval_logits_xt_state0", &flat(&logits.expect("it runs")), FORWARD);
    }

    /// The child and the published code, each against double precision with its own decisions at ties.
    fn gradients(&mut self) {
        let child = self.child("");
        let images = self.images("in/x1");
        let labels = self.labels("in/y1");
        let (step, total_steps) = self.step();
        let seen = child
            .inspect(&self.set.arc(0), &images, &labels, &Given(self.set), step, total_steps)
            .expect("it runs");
        let ours: Gradients = numbers(seen.gradients).into_iter().map(|g| (g.name, wide(&g.data))).collect();
        let published: Gradients =
            ours.keys().map(|name| (name.clone(), self.published_gradient(name))).collect();
        let weights = self.set.with_prefix("w/").into_iter().map(|w| (w.name, wide(&w.data))).collect();
        let reference = Reference::new(self.set, &self.set.arc(0), &weights);
        self.compare_gradients("the published code", &reference, &published, PUBLISHED_GRADIENT);
        self.compare_gradients("the child", &reference, &ours, GRADIENT);

        let of_all = |gradients: &Gradients| norm(&gradients.values().map(|g| norm(g)).collect::<Vec<_>>());
        let printed = self.set.meta["config"]["grad_norm_printed"].as_f64();
        let want = printed.unwrap_or_else(|| of_all(&published));
        let error = (f64::from(seen.grad_norm) - want).abs();
        if error.is_nan() || error > 1e-3 * want {
            self.failures.push(format!("gradient norm {} instead of {want}", seen.grad_norm));
        }
    }

    /// The gradient in the file; a tensor that it leaves out has that of the L2 penalty.
    fn published_gradient(&self, name: &str) -> Vec<f64> {
        let l2 = f64::from(self.config.l2);
        match self.set.find(&format!("grad/{name}")) {
            Some(gradient) => wide(gradient),
            None => wide(self.set.f32(&format!("w/{name}"))).iter().map(|w| 2.0 * l2 * w).collect(),
        }
    }

    fn compare_gradients(&mut self, whose: &str, reference: &Reference<'_>, got: &Gradients, tolerance: f64) {
        let Explanation { flips, gradients } = reference.explain(got, tolerance);
        for Tie { label, margin, .. } in flips {
            eprintln!("{}: {whose} decides a tie otherwise: {label}, margin {margin:.1e}", self.set.stem);
        }
        let wrong = differences(&gradients, got, tolerance);
        self.failures.extend(wrong.into_iter().map(|text| format!("{text} ({whose})")));
    }

    /// Two momentum steps from the gradients in the file, which hold the L2 penalty already.
    fn optimiser(&mut self) {
        let rate = |key: &str| self.set.meta["config"][key].as_f64().unwrap_or(0.0) as f32;
        let rule = |lr| Nesterov { lr, momentum: self.config.momentum, l2: 0.0, scale: 1.0 };
        let first = rule(rate("lr_step1"));
        let second = rule(rate("lr_step2"));
        let names: Vec<String> = self.set.names("step1/").map(|n| n["step1/".len()..].to_owned()).collect();
        assert!(!names.is_empty(), "no optimiser steps in the set");
        for name in names {
            let mut weights = self.set.f32(&format!("w/{name}")).to_vec();
            let mut momentum = vec![0.0; weights.len()];
            let l2_only = || weights.iter().map(|w| 2.0 * self.config.l2 * w).collect::<Vec<f32>>();
            let gradient = self.set.find(&format!("grad/{name}")).map_or_else(l2_only, <[f32]>::to_vec);
            first.step(&mut weights, &mut momentum, Some(&gradient));
            self.compare(&format!("step1/{name}"), &weights, OPTIMISER);
            let Some(gradient) = self.set.find(&format!("grad_at_step1_x2/{name}")).map(<[f32]>::to_vec)
            else {
                continue;
            };
            let mut weights = self.set.f32(&format!("step1/{name}")).to_vec();
            second.step(&mut weights, &mut momentum, Some(&gradient));
            self.compare(&format!("step2/{name}"), &weights, OPTIMISER);
        }
    }

    fn compare(&mut self, name: &str, got: &[f32], tolerance: f64) {
        let want = self.set.f32(name);
        if got.len() != want.len() {
            self.failures.push(format!("{name}: {} numbers instead of {}", got.len(), want.len()));
            return;
        }
        let largest = want.iter().fold(0.0f64, |m, x| m.max(f64::from(x.abs())));
        let error = got.iter().zip(want).map(|(a, b)| f64::from((a - b).abs()));
        // `max` would hide a NaN.
        let error = error.fold(0.0, |m: f64, e| if e.is_nan() || e > m { e } else { m });
        if error.is_nan() || error > tolerance * largest + 1e-9 {
            self.failures.push(format!("{name}: differs by {error:.3e}, largest entry {largest:.3e}"));
        }
    }
}

/// The gradients that differ by more than `tolerance` allows.
fn differences(want: &Gradients, got: &Gradients, tolerance: f64) -> Vec<String> {
    let whole = norm(&want.values().map(|g| norm(g)).collect::<Vec<_>>());
    let of = |(name, want): (&String, &Vec<f64>)| {
        let difference: Vec<f64> = got[name].iter().zip(want).map(|(a, b)| a - b).collect();
        let error = norm(&difference);
        let size = norm(want);
        let is_equal = error <= tolerance * size + CANCELLATION * whole;
        (!is_equal).then(|| format!("grad/{name}: norm of difference {error:.3e}, of gradient {size:.3e}"))
    };
    want.iter().filter_map(of).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// `[4, c]`: mean and deviation over images and pixels, first and last pixel of a `[n, c, h, w]` tensor.
fn layer_stats(shape: &[usize], data: &[f32]) -> Vec<f32> {
    let n = shape[0];
    let c = shape[1];
    let plane = shape[2] * shape[3];
    let at =
        |image: usize, channel: usize, pixel: usize| f64::from(data[(image * c + channel) * plane + pixel]);
    let count = (n * plane) as f64;
    let all = |channel| (0..n).flat_map(move |i| (0..plane).map(move |p| at(i, channel, p)));
    let mean = |channel| all(channel).sum::<f64>() / count;
    let deviation = |channel: usize| {
        let m = mean(channel);
        (all(channel).map(|x| (x - m).powi(2)).sum::<f64>() / count).sqrt()
    };
    let rows: [Box<dyn Fn(usize) -> f64>; 4] = [
        Box::new(mean),
        Box::new(deviation),
        Box::new(|channel| at(0, channel, 0)),
        Box::new(|channel| at(n - 1, channel, plane - 1)),
    ];
    rows.iter().flat_map(|row| (0..c).map(|channel| row(channel) as f32)).collect()
}
