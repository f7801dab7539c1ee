//! Adam without a first moment, in TensorFlow's form.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::Optimizer;

use super::slots::{Slot, Slots};
use crate::gpu::{self, Buffer, Gpu, TensorList};
use crate::ops::optim::AdamFactors;
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

impl TfAdamConfig {
    /// Step number `step`, counted from 1, of one variable and its second moment, in place.
    ///
    /// # Panics
    /// If the slices have different lengths.
    pub fn step(self, step: u64, weights: &mut [f32], moment: &mut [f32], gradient: &[f32]) {
        self.factors(step).step(weights, moment, gradient);
    }

    /// The same on a GPU, for the variables in `ranges` (first, length) of the buffers. The kernel reads four values at
    /// a time: buffers must begin at 16 bytes, and ranges at multiples of four.
    ///
    /// # Panics
    /// If a range leaves a buffer.
    pub fn step_gpu(
        self,
        step: u64,
        weights: &Buffer,
        moment: &Buffer,
        gradient: &Buffer,
        ranges: &[(usize, usize)],
    ) {
        self.factors(step).step_gpu(weights, moment, gradient, ranges);
    }
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
///
/// Variables on an NVIDIA GPU are updated there, with one launch each.
#[derive(Debug)]
pub struct TfAdam {
    slots: Slots,
    config: TfAdamConfig,
    steps: u64,
    /// The GPU that the variables are on; `None` for the CPU.
    gpu: Option<Gpu>,
}

impl Optimizer for TfAdam {
    type Config = TfAdamConfig;

    fn new(vars: Vec<Var>, config: TfAdamConfig) -> Result<Self> {
        Self::named(Slots::numbered(vars), config)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let factors = self.config.factors(self.steps + 1);
        match &self.gpu {
            Some(gpu) => {
                let gradients = self.slots.distinct_gradients(grads)?;
                update_on_gpu(&self.slots, factors, gpu, |i| gradients[i].as_ref().map(aligned))?;
            }
            None => self
                .slots
                .with_gradients(grads, |gradients| update(&self.slots, factors, |i| gradients[i]))?,
        }
        self.steps += 1;
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
    /// If a variable is not f32 and contiguous, is on another device than the first one, or shares its numbers with
    /// another one.
    pub fn named(vars: Vec<(String, Var)>, config: TfAdamConfig) -> Result<Self> {
        let gpu = vars.first().map_or(Ok(None), |(_, var)| gpu::for_device(var.device()))?;
        let slots = match gpu {
            Some(_) => Slots::on_gpu_with_zeros(vars)?,
            None => Slots::new(vars)?,
        };
        Ok(Self { slots, config, steps: 0, gpu })
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sets the number of steps so far, to continue from a checkpoint.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// One step with gradients that are slices; `gradient(i)` is that of variable `i`. On the CPU it allocates and
    /// copies nothing; to a GPU it copies the gradients.
    ///
    /// # Errors
    /// What candle reports when it lends the variables, or the GPU. Some variables may be updated then.
    ///
    /// # Panics
    /// If a gradient has another length than its variable.
    pub fn step_slices<'g>(&mut self, gradient: impl Fn(usize) -> Option<&'g [f32]>) -> Result<()> {
        let factors = self.config.factors(self.steps + 1);
        match &self.gpu {
            Some(gpu) => {
                let uploaded = |i: usize| gradient(i).map(|numbers| Ok(gpu.upload(numbers)));
                update_on_gpu(&self.slots, factors, gpu, uploaded)?;
            }
            None => update(&self.slots, factors, gradient)?,
        }
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

impl TfAdamConfig {
    /// The factors of step number `step`, counted from 1.
    fn factors(self, step: u64) -> AdamFactors {
        let Self { lr, beta2, epsilon } = self;
        // In double precision because 1 − β₂ᵗ cancels; powf because t outgrows an i32.
        let rate = (lr * (1.0 - beta2.powf(step as f64)).sqrt()) as f32;
        AdamFactors { rate, keep: beta2 as f32, take: (1.0 - beta2) as f32, epsilon }
    }
}

impl AdamFactors {
    /// One step of one variable on the CPU.
    fn step(self, weights: &mut [f32], moment: &mut [f32], gradient: &[f32]) {
        assert_eq!(weights.len(), gradient.len(), "one gradient per weight");
        assert_eq!(weights.len(), moment.len(), "one second moment per weight");
        // SAFETY: nothing but slices, whose bounds are checked.
        unsafe { simd::run(Adam { weights, moment, gradient, factors: self }) }
    }
}

/// One step on the CPU.
fn update<'g>(
    slots: &Slots,
    factors: AdamFactors,
    gradient: impl Fn(usize) -> Option<&'g [f32]>,
) -> Result<()> {
    for (i, slot) in slots.all.iter().enumerate() {
        let Some(gradient) = gradient(i) else { continue };
        slot.update(|weights, moment| factors.step(weights, moment, gradient))?;
    }
    Ok(())
}

/// One step on a GPU. Does not wait for it.
fn update_on_gpu(
    slots: &Slots,
    factors: AdamFactors,
    gpu: &Gpu,
    gradient: impl Fn(usize) -> Option<Result<Buffer>>,
) -> Result<()> {
    for (i, Slot { var, state, .. }) in slots.all.iter().enumerate() {
        let Some(gradient) = gradient(i).transpose()? else { continue };
        let len = var.elem_count();
        assert_eq!(gradient.len(), len, "one gradient per weight");
        factors.step_gpu(&Buffer::of(var)?, &Buffer::of(state)?, &gradient, &[(0, len)]);
    }
    Ok(gpu.finish()?)
}

/// The numbers of a contiguous tensor on a GPU, in a place from which kernels can read four at once.
fn aligned(tensor: &Tensor) -> Result<Buffer> {
    let is_aligned = tensor.layout().start_offset().is_multiple_of(TensorList::ALIGNMENT);
    let copy = if is_aligned { None } else { Some(tensor.force_contiguous()?) };
    Ok(Buffer::of(copy.as_ref().unwrap_or(tensor))?)
}

struct Adam<'a> {
    weights: &'a mut [f32],
    moment: &'a mut [f32],
    gradient: &'a [f32],
    factors: AdamFactors,
}

impl SimdKernel for Adam<'_> {
    type Output = ();

    // Plain scalar code: the compiler vectorises it with the instructions it is inlined into.
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { weights, moment, gradient, factors } = self;
        let AdamFactors { rate, keep, take, epsilon } = factors;
        for ((w, v), g) in weights.iter_mut().zip(moment).zip(gradient) {
            *v = keep * *v + take * g * g;
            *w -= rate * g / (v.sqrt() + epsilon);
        }
    }
}
