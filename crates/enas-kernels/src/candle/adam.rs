//! Adam without a first moment, in TensorFlow's form.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::Optimizer;

use super::slots::Slots;
use enas_simd::{self as simd, Simd, SimdKernel};

/// The settings of [`TfAdam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TfAdamConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay `β₂` of the second moment.
    pub beta2: f64,
    /// The `ε` that is added to the root of the second moment.
    pub epsilon: f32,
}

impl Default for TfAdamConfig {
    fn default() -> Self {
        Self { lr: 1e-3, beta2: 0.999, epsilon: 1e-3 }
    }
}

/// Adam without a first moment: `v ← β₂·v + (1 − β₂)·g²`, `w ← w − η·√(1 − β₂ᵗ)·g/(√v + ε)`, in place.
///
/// As in TensorFlow, the bias correction is part of the learning rate, so `ε` is not corrected. A variable without a
/// gradient stays unchanged. The default `ε` is that of the authors' code (`src/utils.py` line 218).
#[derive(Debug)]
pub struct TfAdam {
    slots: Slots,
    config: TfAdamConfig,
    steps: u64,
}

impl Optimizer for TfAdam {
    type Config = TfAdamConfig;

    fn new(vars: Vec<Var>, config: TfAdamConfig) -> Result<Self> {
        Self::named(Slots::numbered(vars), config)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let steps = self.steps + 1;
        self.slots
            .with_gradients(grads, |gradients| update(&self.slots, self.config, steps, |i| gradients[i]))?;
        self.steps = steps;
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.config.lr
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.config.lr = lr;
    }
}

impl TfAdam {
    /// An optimiser for named variables; the names are those of the exported moments.
    ///
    /// # Errors
    /// If a variable is not f32, contiguous and on the CPU, or shares its numbers with another one.
    pub fn named(vars: Vec<(String, Var)>, config: TfAdamConfig) -> Result<Self> {
        Ok(Self { slots: Slots::new(vars)?, config, steps: 0 })
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sets the number of steps so far, to continue from a checkpoint.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// One step with gradients that are slices; `gradient(i)` is that of variable `i`. Allocates and copies nothing.
    ///
    /// # Errors
    /// What candle reports when it lends the variables. Some of them may be updated then.
    ///
    /// # Panics
    /// If a gradient has another length than its variable.
    pub fn step_slices<'g>(&mut self, gradient: impl Fn(usize) -> Option<&'g [f32]>) -> Result<()> {
        update(&self.slots, self.config, self.steps + 1, gradient)?;
        self.steps += 1;
        Ok(())
    }

    /// The second moments as tensors named `adam/v/<name>`, in the order of the variables. They change with every step.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.slots.state(MOMENT)
    }

    /// Restores the tensor `name` of a [`state`](Self::state). Returns whether there is such a tensor.
    ///
    /// # Errors
    /// If it has another number of elements.
    pub fn load(&self, name: &str, numbers: &[f32]) -> Result<bool> {
        name.strip_prefix(MOMENT).map_or(Ok(false), |name| self.slots.load(name, numbers))
    }
}

/// Prefix of the name of a second moment; the variable's name follows.
const MOMENT: &str = "adam/v/";

/// Step number `step`, counted from 1.
fn update<'g>(
    slots: &Slots,
    config: TfAdamConfig,
    step: u64,
    gradient: impl Fn(usize) -> Option<&'g [f32]>,
) -> Result<()> {
    let TfAdamConfig { lr, beta2, epsilon } = config;
    // In double precision because 1 − β₂ᵗ cancels; powf because t outgrows an i32.
    let rate = (lr * (1.0 - beta2.powf(step as f64)).sqrt()) as f32;
    let keep = beta2 as f32;
    let take = (1.0 - beta2) as f32;
    for (i, slot) in slots.all.iter().enumerate() {
        let Some(gradient) = gradient(i) else { continue };
        slot.update(|weights, moment| {
            assert_eq!(weights.len(), gradient.len(), "one gradient per weight");
            // SAFETY: nothing but slices, whose bounds are checked.
            unsafe { simd::run(Adam { weights, moment, gradient, rate, keep, take, epsilon }) }
        })?;
    }
    Ok(())
}

struct Adam<'a> {
    weights: &'a mut [f32],
    moment: &'a mut [f32],
    gradient: &'a [f32],
    rate: f32,
    keep: f32,
    take: f32,
    epsilon: f32,
}

impl SimdKernel for Adam<'_> {
    type Output = ();

    // Plain scalar code: the compiler vectorises it with the instructions it is inlined into.
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { weights, moment, gradient, rate, keep, take, epsilon } = self;
        for ((w, v), g) in weights.iter_mut().zip(moment).zip(gradient) {
            *v = keep * *v + take * g * g;
            *w -= rate * g / (v.sqrt() + epsilon);
        }
    }
}
