//! Stochastic gradient descent with Nesterov momentum, an L2 penalty and clipping by the global norm.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var, bail};
use candle_nn::Optimizer;
use rayon::prelude::*;

use super::access::read;
use super::slots::Slots;
use crate::optim::Nesterov;

/// The settings of [`NesterovSgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NesterovConfig {
    /// Learning rate.
    pub lr: f64,
    /// Momentum `μ`.
    pub momentum: f32,
    /// Weight `λ` of a penalty `λ·Σ w²`.
    pub l2: f32,
    /// Largest norm of the whole gradient, penalty included; larger ones are scaled down to it. 0 for no limit.
    pub clip_norm: f32,
}

impl Default for NesterovConfig {
    fn default() -> Self {
        Self { lr: 0.01, momentum: 0.9, l2: 0.0, clip_norm: 0.0 }
    }
}

/// [`Nesterov`]'s rule for candle's variables: one pass over weights and momentum, in place, on all threads.
///
/// A variable without a gradient still decays and coasts, as a gradient of zeros would have it.
#[derive(Debug)]
pub struct NesterovSgd {
    slots: Slots,
    /// First row of each variable, and the number of all rows.
    first_rows: Vec<usize>,
    config: NesterovConfig,
    norm: f32,
    /// `Σ g²` of each row, kept between steps for its memory alone.
    squares: Vec<f64>,
}

impl Optimizer for NesterovSgd {
    type Config = NesterovConfig;

    fn new(vars: Vec<Var>, config: NesterovConfig) -> Result<Self> {
        Self::named(Slots::numbered(vars).into_iter().map(|(name, var)| (name, var, 1)).collect(), config)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let Self { slots, first_rows, config, squares, .. } = self;
        self.norm = slots.with_gradients(grads, |gradients| {
            let row = |var: usize, row: usize| {
                let rows = first_rows[var + 1] - first_rows[var];
                gradients[var].map(|all| &all[all.len() / rows * row..][..all.len() / rows])
            };
            update(slots, first_rows, *config, squares, row)
        })?;
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.config.lr
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.config.lr = lr;
    }
}

impl NesterovSgd {
    /// For variables with names, under which their momentum is exported, and with a number of rows each, whose gradients
    /// [`step_rows`](Self::step_rows) takes apart. No rounding depends on names; the norm's does on rows.
    ///
    /// # Errors
    /// If a variable is not f32, contiguous and on the CPU, shares its numbers with another one, or does not have so many
    /// equal rows.
    pub fn named(vars: Vec<(String, Var, usize)>, config: NesterovConfig) -> Result<Self> {
        let (mut first_rows, mut named) = (vec![0], Vec::with_capacity(vars.len()));
        for (name, var, rows) in vars {
            if rows == 0 || !var.elem_count().is_multiple_of(rows) {
                bail!("{name} {:?} does not have {rows} equal rows", var.shape());
            }
            first_rows.push(first_rows[named.len()] + rows);
            named.push((name, var));
        }
        Ok(Self { slots: Slots::new(named)?, first_rows, config, norm: 0.0, squares: Vec::new() })
    }

    /// The settings.
    pub fn config(&self) -> NesterovConfig {
        self.config
    }

    /// The norm of the last step's whole gradient, penalty included, before clipping.
    pub fn gradient_norm(&self) -> f32 {
        self.norm
    }

    /// One step with gradients that lie row by row; `gradient(i, r)` is that of row `r` of variable `i`, and `None` counts
    /// as zeros. Nothing is allocated per variable, and nothing is copied.
    ///
    /// # Errors
    /// What candle reports when it lends the variables. Some of them may be updated then.
    pub fn step_rows<'g>(
        &mut self,
        gradient: impl Fn(usize, usize) -> Option<&'g [f32]> + Sync,
    ) -> Result<f32> {
        let Self { slots, first_rows, config, squares, .. } = self;
        self.norm = update(slots, first_rows, *config, squares, gradient)?;
        Ok(self.norm)
    }

    /// The momentum as tensors named `momentum/<name>`, in the order of the variables. They change with every step.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.slots.state(MOMENTUM)
    }

    /// Takes over the tensor `name` of a [`state`](Self::state); returns whether it is one of these.
    ///
    /// # Errors
    /// If it has another number of elements.
    pub fn load(&self, name: &str, numbers: &[f32]) -> Result<bool> {
        name.strip_prefix(MOMENTUM).map_or(Ok(false), |name| self.slots.load(name, numbers))
    }
}

/// Before the name of a variable whose momentum it is.
const MOMENTUM: &str = "momentum/";

fn update<'g>(
    slots: &Slots,
    first_rows: &[usize],
    config: NesterovConfig,
    squares: &mut Vec<f64>,
    gradient: impl Fn(usize, usize) -> Option<&'g [f32]> + Sync,
) -> Result<f32> {
    squares.clear();
    squares.resize(first_rows[slots.all.len()], 0.0);
    let NesterovConfig { lr, momentum, l2, clip_norm } = config;
    let mut rule = Nesterov { lr: lr as f32, momentum, l2, scale: 1.0 };
    if clip_norm > 0.0 {
        for_each_var(slots, first_rows, squares, |i, squares| {
            read(&slots.all[i].var, |weights| {
                let rows = weights.chunks_exact((weights.len() / squares.len()).max(1));
                for (r, (weights, squares)) in rows.zip(squares).enumerate() {
                    *squares = rule.norm_squared(weights, gradient(i, r));
                }
            })
        })?;
        let norm = squares.iter().sum::<f64>().sqrt() as f32;
        rule.scale = clip_norm / norm.max(clip_norm);
    }
    for_each_var(slots, first_rows, squares, |i, squares| {
        slots.all[i].update(|weights, momentum| {
            let row = (weights.len() / squares.len()).max(1);
            let rows = weights.chunks_exact_mut(row).zip(momentum.chunks_exact_mut(row));
            for (r, ((weights, momentum), squares)) in rows.zip(squares).enumerate() {
                *squares = rule.step(weights, momentum, gradient(i, r));
            }
        })
    })?;
    Ok(squares.iter().sum::<f64>().sqrt() as f32)
}

/// Calls `body` for every variable with the places of its rows' squares, on all threads.
fn for_each_var(
    slots: &Slots,
    first_rows: &[usize],
    squares: &mut [f64],
    body: impl Fn(usize, &mut [f64]) -> Result<()> + Sync,
) -> Result<()> {
    let mut rest = squares;
    let mut jobs = Vec::with_capacity(slots.all.len());
    for (i, rows) in first_rows.windows(2).enumerate() {
        let (of_var, after) = rest.split_at_mut(rows[1] - rows[0]);
        rest = after;
        jobs.push((i, of_var));
    }
    jobs.into_par_iter().try_for_each(|(i, squares)| body(i, squares))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Numbers that repeat late, of size one.
    fn numbers(len: usize, salt: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + salt * 104_729) % 1013) as f32 / 506.0 - 1.0).collect()
    }

    fn vars() -> Vec<(String, Var, usize)> {
        let var = |salt, shape: (usize, usize), rows| {
            let var = Var::from_vec(numbers(shape.0 * shape.1, salt), shape, &Device::Cpu).unwrap();
            (format!("v{salt}"), var, rows)
        };
        // One of them longer than what is added up in single precision at once.
        vec![var(1, (4, 5), 4), var(2, (3, 7000), 3), var(3, (1, 1), 1), var(4, (20, 1000), 1)]
    }

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// What three steps of the rule itself make of them, row by row.
    fn expected(config: NesterovConfig, visited: impl Fn(usize, usize) -> bool) -> (Vec<Vec<f32>>, Vec<f32>) {
        let vars = vars();
        let mut weights: Vec<Vec<f32>> = vars.iter().map(|(_, var, _)| flat(var)).collect();
        let mut momentum: Vec<Vec<f32>> = weights.iter().map(|w| vec![0.0; w.len()]).collect();
        let mut norms = Vec::new();
        for step in 0..3 {
            let mut rule =
                Nesterov { lr: config.lr as f32, momentum: config.momentum, l2: config.l2, scale: 1.0 };
            let gradient = |i: usize, len: usize| numbers(len, 10 * step + i);
            let mut pass = |rule: &Nesterov, writes: bool| {
                let mut squares = 0.0;
                for (i, (w, m)) in weights.iter_mut().zip(&mut momentum).enumerate() {
                    let (row, all) = (w.len() / vars[i].2, gradient(i, w.len()));
                    for r in 0..vars[i].2 {
                        let at = r * row..(r + 1) * row;
                        let g = visited(i, r).then(|| &all[at.clone()]);
                        squares += if writes {
                            rule.step(&mut w[at.clone()], &mut m[at], g)
                        } else {
                            rule.norm_squared(&w[at], g)
                        };
                    }
                }
                squares.sqrt() as f32
            };
            if config.clip_norm > 0.0 {
                rule.scale = config.clip_norm / pass(&rule, false).max(config.clip_norm);
            }
            norms.push(pass(&rule, true));
        }
        (weights, norms)
    }

    const CONFIGS: [NesterovConfig; 2] = [
        NesterovConfig { lr: 0.05, momentum: 0.9, l2: 1e-3, clip_norm: 0.0 },
        NesterovConfig { lr: 0.05, momentum: 0.9, l2: 1e-3, clip_norm: 2.0 },
    ];

    #[test]
    fn rows_are_updated_as_the_rule_updates_slices() {
        let visited = |i: usize, r: usize| (i + r) % 3 != 1;
        for config in CONFIGS {
            let (weights, norms) = expected(config, visited);
            let vars = vars();
            let mut optimizer = NesterovSgd::named(vars.clone(), config).unwrap();
            for (step, norm) in norms.iter().enumerate() {
                let gradients: Vec<Vec<f32>> = vars
                    .iter()
                    .enumerate()
                    .map(|(i, (_, var, _))| numbers(var.elem_count(), 10 * step + i))
                    .collect();
                let row = |i: usize, r: usize| {
                    let row = gradients[i].len() / vars[i].2;
                    visited(i, r).then(|| &gradients[i][r * row..(r + 1) * row])
                };
                assert_eq!(optimizer.step_rows(row).unwrap(), *norm);
                assert_eq!(optimizer.gradient_norm(), *norm);
            }
            for ((_, var, _), weights) in vars.iter().zip(&weights) {
                assert_eq!(&flat(var), weights);
            }
        }
    }

    #[test]
    fn candles_gradients_give_the_same_bits() {
        for config in CONFIGS {
            let (weights, norms) = expected(config, |i, _| i != 1);
            let vars = vars();
            let mut optimizer = NesterovSgd::named(vars.clone(), config).unwrap();
            for (step, norm) in norms.iter().enumerate() {
                let mut grads = GradStore::default();
                for (i, (_, var, _)) in vars.iter().enumerate().filter(|(i, _)| *i != 1) {
                    let gradient = numbers(var.elem_count(), 10 * step + i);
                    grads.insert(var, Tensor::from_vec(gradient, var.shape(), &Device::Cpu).unwrap());
                }
                optimizer.step(&grads).unwrap();
                assert_eq!(optimizer.gradient_norm(), *norm);
            }
            for ((_, var, _), weights) in vars.iter().zip(&weights) {
                assert_eq!(&flat(var), weights);
            }
        }
    }

    #[test]
    fn momentum_is_exported_and_taken_over_by_name() {
        let vars = vars();
        let mut optimizer = NesterovSgd::named(vars.clone(), CONFIGS[0]).unwrap();
        optimizer.step_rows(|_, _| None).unwrap();
        let state: Vec<(String, Vec<f32>)> = optimizer.state().map(|(name, t)| (name, flat(t))).collect();
        assert_eq!(state[3].0, "momentum/v4");
        assert!(state[3].1.iter().any(|m| *m != 0.0));
        let other = NesterovSgd::named(vars, CONFIGS[0]).unwrap();
        assert!(state.iter().all(|(name, numbers)| other.load(name, numbers).unwrap()));
        assert!(!other.load("momentum/unknown", &[]).unwrap() && !other.load("v4", &[]).unwrap());
        assert_eq!(other.state().map(|(name, t)| (name, flat(t))).collect::<Vec<_>>(), state);
        assert!(other.load("momentum/v3", &[1.0, 2.0]).unwrap_err().to_string().contains("v3 is 2 numbers"));
    }

    #[test]
    fn what_cannot_be_updated_is_refused() {
        let var = Var::new(&[[1.0f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let config = NesterovConfig::default();
        let refused = |vars| NesterovSgd::new(vars, config).unwrap_err().to_string();
        assert!(refused(vec![var.clone(), var.clone()]).contains("share their numbers"));
        let doubles = Var::new(&[1.0f64], &Device::Cpu).unwrap();
        assert!(refused(vec![doubles]).contains("F64"));
        let rows = NesterovSgd::named(vec![("w".into(), var.clone(), 3)], config).unwrap_err().to_string();
        assert!(rows.contains("w [2, 2] does not have 3 equal rows"), "{rows}");

        let mut optimizer = NesterovSgd::new(vec![var.clone()], config).unwrap();
        let mut grads = GradStore::default();
        grads.insert(&var, var.as_detached_tensor());
        let error = optimizer.step(&grads).unwrap_err().to_string();
        assert!(error.contains("shares its numbers with a variable"), "{error}");
        grads.insert(&var, Tensor::new(&[1.0f32], &Device::Cpu).unwrap());
        let error = optimizer.step(&grads).unwrap_err().to_string();
        assert!(error.contains("is [1], expected [2, 2]"), "{error}");
        assert_eq!(flat(&var), [1.0, 2.0, 3.0, 4.0]);
    }
}
