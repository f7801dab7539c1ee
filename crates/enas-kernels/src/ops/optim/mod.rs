//! Optimiser updates: each is one pass over the weights.

pub(crate) mod gpu;
pub(crate) mod tensor_list;

use enas_simd::{self as simd, Simd, SimdKernel};

/// Nesterov momentum with an L2 penalty, in TensorFlow's form: `g ← scale·(gradient + 2·λ·w)`, `a ← μ·a + g`,
/// `w ← w − η·(g + μ·a)`.
///
/// This is `tf.train.MomentumOptimizer` with `use_nesterov` (authors' code, `src/utils.py` line 213); the penalty is
/// that of lines 118 to 123.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nesterov {
    /// Learning rate `η`.
    pub lr: f32,
    /// Momentum `μ`.
    pub momentum: f32,
    /// Penalty weight `λ` of `λ·Σ w²`.
    pub l2: f32,
    /// Factor on the whole gradient, penalty included (gradient clipping); 1 for none.
    pub scale: f32,
}

impl Nesterov {
    /// Updates `weights` and their `momentum` in place; all slices have the same length. Returns `Σ g²` before scaling.
    ///
    /// A missing `gradient` counts as zero: weights still decay and the momentum still moves them. So do shared weights
    /// that a step did not use, as the dense variables of the authors' code do.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn step(&self, weights: &mut [f32], momentum: &mut [f32], gradient: Option<&[f32]>) -> f64 {
        assert_eq!(weights.len(), momentum.len(), "one momentum per weight");
        if let Some(gradient) = gradient {
            assert_eq!(weights.len(), gradient.len(), "one gradient per weight");
        }
        let mut squares = 0.0;
        for start in (0..weights.len()).step_by(Self::CHUNK) {
            let len = Self::CHUNK.min(weights.len() - start);
            let kernel = NesterovChunk {
                rule: *self,
                weights: weights[start..].as_mut_ptr(),
                momentum: momentum[start..].as_mut_ptr(),
                gradient: gradient.map(|g| g[start..].as_ptr()),
                len,
            };
            // SAFETY: the three slices hold `len` numbers from `start` on, and two are borrowed mutably.
            squares += f64::from(unsafe { simd::run(kernel) });
        }
        squares
    }

    /// The squared norm that [`step`](Self::step) would return, without updating anything.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn norm_squared(&self, weights: &[f32], gradient: Option<&[f32]>) -> f64 {
        if let Some(gradient) = gradient {
            assert_eq!(weights.len(), gradient.len(), "one gradient per weight");
        }
        let chunk = |start: usize| {
            let len = Self::CHUNK.min(weights.len() - start);
            let weights = weights[start..].as_ptr();
            let kernel =
                NormChunk { l2: self.l2, weights, gradient: gradient.map(|g| g[start..].as_ptr()), len };
            // SAFETY: both slices hold `len` numbers from `start` on.
            f64::from(unsafe { simd::run(kernel) })
        };
        (0..weights.len()).step_by(Self::CHUNK).map(chunk).sum()
    }

    /// Number of weights whose squared gradients are summed in single precision; the chunks' sums are added in double.
    const CHUNK: usize = 1 << 14;
}

/// One chunk of [`Nesterov::step`]; the pointers hold `len` numbers each.
///
/// # Method outline
/// One pass over weights, momentum and gradient: the update and the sum of squares read each number once. The code is
/// scalar; [`sum_of`] gives the compiler 32 independent sums, so that it can vectorise.
struct NesterovChunk {
    rule: Nesterov,
    weights: *mut f32,
    momentum: *mut f32,
    gradient: Option<*const f32>,
    len: usize,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for NesterovChunk {
    type Output = f32;

    // Plain scalar code: the compiler vectorises it with the instruction set of the caller.
    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f32 {
        let Nesterov { lr, momentum: mu, l2, scale } = self.rule;
        let weights = self.weights;
        let momentum = self.momentum;
        let update = |i: usize, gradient: f32| {
            let w = weights.add(i);
            let a = momentum.add(i);
            let total = gradient + 2.0 * l2 * *w;
            let g = total * scale;
            *a = mu * *a + g;
            *w -= lr * (g + mu * *a);
            total * total
        };
        match self.gradient {
            Some(gradient) => sum_of(self.len, |i| update(i, *gradient.add(i))),
            None => sum_of(self.len, |i| update(i, 0.0)),
        }
    }
}

/// One chunk of [`Nesterov::norm_squared`]; the pointers hold `len` numbers each. Same method as [`NesterovChunk`].
struct NormChunk {
    l2: f32,
    weights: *const f32,
    gradient: Option<*const f32>,
    len: usize,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for NormChunk {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f32 {
        let weights = self.weights;
        let l2 = self.l2;
        let square = |i: usize, gradient: f32| (gradient + 2.0 * l2 * *weights.add(i)).powi(2);
        match self.gradient {
            Some(gradient) => sum_of(self.len, |i| square(i, *gradient.add(i))),
            None => sum_of(self.len, |i| square(i, 0.0)),
        }
    }
}

/// `Σ f(i)` for `i < len`, in 32 partial sums that fit into registers. Their order is fixed, which lets the compiler
/// vectorise without reordering.
#[inline(always)]
fn sum_of(len: usize, mut f: impl FnMut(usize) -> f32) -> f32 {
    const WIDTH: usize = 32;
    let mut sums = [0.0f32; WIDTH];
    let whole = len - len % WIDTH;
    for first in (0..whole).step_by(WIDTH) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += f(first + i);
        }
    }
    (whole..len).for_each(|i| sums[i - whole] += f(i));
    sums.iter().sum()
}

/// The factors of one update of [`TfAdam`](crate::candle::TfAdam): `v ← keep·v + take·g²`, `w ← w − rate·g/(√v + ε)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamFactors {
    /// The learning rate with the bias correction of the second moment.
    pub(crate) rate: f32,
    pub(crate) keep: f32,
    pub(crate) take: f32,
    /// The `ε` that is added to the root.
    pub(crate) epsilon: f32,
}
