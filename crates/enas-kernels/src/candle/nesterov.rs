//! Stochastic gradient descent with Nesterov momentum, an L2 penalty and clipping by the global norm.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var, bail};
use candle_nn::Optimizer;
use rayon::prelude::*;

use super::access::Guards;
use super::nesterov_config::NesterovConfig;
use super::on_gpu::OnGpu;
use super::slots::Slots;
use crate::ops::optim::Nesterov;

/// [`Nesterov`]'s rule for candle's variables: one pass over weights and momentum, in place, on all threads.
///
/// A variable without a gradient is treated as with a gradient of zeros: it still decays, and its momentum still moves
/// it.
///
/// Variables on an NVIDIA GPU are updated there, 32 per launch. A gradient whose norm is not finite changes none of
/// them.
#[derive(Debug)]
pub struct NesterovSgd {
    slots: Slots,
    /// First row of each variable, then the number of all rows.
    first_rows: Vec<usize>,
    config: NesterovConfig,
    norm: f32,
    /// `Σ g²` of each row; kept between steps only to reuse its memory.
    squares: Vec<f64>,
    /// The variables on a GPU, if they are there.
    gpu: Option<OnGpu>,
}

impl Optimizer for NesterovSgd {
    type Config = NesterovConfig;

    fn new(vars: Vec<Var>, config: NesterovConfig) -> Result<Self> {
        Self::named(Slots::numbered(vars).into_iter().map(|(name, var)| (name, var, 1)).collect(), config)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        if let Some(gpu) = &self.gpu {
            self.norm = gpu.step(self.config, &self.slots.gradients(grads)?)?;
            return Ok(());
        }
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
    /// An optimiser for named variables; the names are those of the exported momentum. Each variable comes with a
    /// number of rows, whose gradients [`step_rows`](Self::step_rows) takes separately. The rows decide in which order
    /// the norm is summed, so its rounding depends on them.
    ///
    /// # Errors
    /// If a variable is not f32 and contiguous, is on another device than the others, shares its numbers with another
    /// one, or cannot be split into that number of equal rows.
    pub fn named(vars: Vec<(String, Var, usize)>, config: NesterovConfig) -> Result<Self> {
        let mut first_rows = vec![0];
        let mut named = Vec::with_capacity(vars.len());
        for (name, var, rows) in vars {
            if rows == 0 || !var.elem_count().is_multiple_of(rows) {
                bail!("{name} {:?} does not have {rows} equal rows", var.shape());
            }
            first_rows.push(first_rows[named.len()] + rows);
            named.push((name, var));
        }
        let (slots, gpu) = match OnGpu::of(&named.iter().map(|(_, var)| var).collect::<Vec<_>>())? {
            Some((gpu, states)) => (Slots::on_gpu(named, states)?, Some(gpu)),
            None => (Slots::new(named)?, None),
        };
        Ok(Self { slots, first_rows, config, norm: 0.0, squares: Vec::new(), gpu })
    }

    /// The settings.
    pub fn config(&self) -> NesterovConfig {
        self.config
    }

    /// The norm of the last step's whole gradient, penalty included, before clipping.
    pub fn gradient_norm(&self) -> f32 {
        self.norm
    }

    /// One step with gradients that lie row by row; `gradient(i, r)` is that of row `r` of variable `i`, and `None`
    /// counts as zeros. Allocates nothing per variable and copies nothing. Returns the norm of the whole gradient
    /// before clipping.
    ///
    /// # Errors
    /// What candle reports when it lends the variables; some of them may be updated then. If the variables are on a
    /// GPU, where gradients are tensors.
    pub fn step_rows<'g>(
        &mut self,
        gradient: impl Fn(usize, usize) -> Option<&'g [f32]> + Sync,
    ) -> Result<f32> {
        let Self { slots, first_rows, config, squares, gpu, .. } = self;
        if gpu.is_some() {
            bail!("gradients row by row are for variables on the CPU; take a step with tensors");
        }
        self.norm = update(slots, first_rows, *config, squares, gradient)?;
        Ok(self.norm)
    }

    /// The momentum as tensors named `momentum/<name>`, in the order of the variables. They change with every step.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.slots.state(MOMENTUM)
    }

    /// Restores the tensor `name` of a [`state`](Self::state). Returns whether there is such a tensor.
    ///
    /// # Errors
    /// If it has another number of elements.
    pub fn load(&self, name: &str, numbers: &[f32]) -> Result<bool> {
        name.strip_prefix(MOMENTUM).map_or(Ok(false), |name| self.slots.load(name, numbers))
    }
}

/// Prefix of the name of a momentum; the variable's name follows.
const MOMENTUM: &str = "momentum/";

/// One step on the CPU. With clipping, a first pass computes the norm; rows are summed in order, whatever the threads.
/// Returns the norm of the whole gradient before clipping.
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
        // One lock per variable for the whole pass, taken on this thread: the rows are short.
        let guards = Guards::new(slots.all.iter().map(|slot| slot.var.as_tensor()));
        let weights = guards.slices()?;
        for_each_var(slots, first_rows, squares, |i, squares| {
            let rows = weights[i].chunks_exact((weights[i].len() / squares.len()).max(1));
            for (r, (weights, squares)) in rows.zip(squares).enumerate() {
                *squares = rule.norm_squared(weights, gradient(i, r));
            }
            Ok(())
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

/// Calls `body` for every variable with the slots for its rows' squares, on all threads.
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
