//! −ln π as a candle tensor, with gradients for candle's autograd.

use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};
use enas_arc::Arc;
use enas_kernels::candle::{Gradients, Tied, tie};

use crate::backward::Backward;
use crate::controller::Controller;
use crate::logits::LogitTransforms;
use crate::plan::{Plan, TapeShape};
use crate::policy::Policy;
use crate::rollout::rollout;
use crate::tape::Tape;
use crate::weights::{Variable, Weights};
use crate::{Bounds, Error};

impl Controller {
    /// −ln π of each arc, `f32 [n]`, as a candle tensor: its `backward` gives every variable its gradient.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_nn::{AdamW, Optimizer, VarMap};
    /// use enas_controller::{Config, Controller, Seed, seeded};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (seed, varmap) = (Seed::new(1), VarMap::new());
    /// let controller = Controller::new(&Config::improved(), 5, seeded(&varmap, seed, &Device::Cpu))?;
    /// let bounds = controller.config().bounds(0.0);
    /// let arcs: Vec<_> =
    ///     (0..2).map(|i| controller.sample(bounds, &mut seed.stream("arc", &[i])).arc).collect();
    ///
    /// // The first arc was better than expected, the second one worse.
    /// let advantages = Tensor::new(&[0.3f32, -0.3], &Device::Cpu)?;
    /// let mut optimizer = AdamW::new_lr(varmap.all_vars(), 1e-3)?;
    /// let before = controller.nll(bounds, &arcs)?;
    /// optimizer.backward_step(&(&before * &advantages)?.mean_all()?)?;
    ///
    /// let (before, after) = (before.to_vec1::<f32>()?, controller.nll(bounds, &arcs)?.to_vec1::<f32>()?);
    /// assert!(after[0] < before[0] && after[1] > before[1]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If there are no arcs, or one is of another size.
    pub fn nll(&self, bounds: Bounds, arcs: &[Arc]) -> Result<Tensor, Error> {
        let choices = arcs.iter().enumerate().map(|(position, arc)| self.choices(position, arc));
        self.policy.nll(bounds, &choices.collect::<Result<Vec<_>, _>>()?)
    }
}

impl Policy {
    /// −ln π of each vector of choices, `f32 [n]`, as a candle tensor; see [`Controller::nll`]. If the policy's
    /// tensors are not variables, the result is not tracked.
    ///
    /// # Errors
    /// If there are no vectors, or one of them does not exist in the plan.
    pub fn nll(&self, bounds: Bounds, choices: &[Vec<usize>]) -> Result<Tensor, Error> {
        choices.iter().enumerate().try_for_each(|(position, choices)| self.check(position, choices))?;
        if choices.is_empty() {
            return Err(Error::NoArcs);
        }
        let Tied { token, gradients } = tie(&self.weights.tensors)?;
        let op = NllOp {
            weights: self.weights.clone(),
            transforms: LogitTransforms::new(self.config(), bounds),
            plan: self.shared_plan(),
            shape: self.shape(choices.len()),
            choices: choices.to_vec(),
            gradients,
            tape: Mutex::default(),
        };
        Ok(token.apply_op1(op)?)
    }
}

/// The operation from the policy's variables, tied to a token, to −ln π of some vectors of choices.
struct NllOp {
    weights: Weights,
    transforms: LogitTransforms,
    plan: SyncArc<Plan>,
    shape: TapeShape,
    choices: Vec<Vec<usize>>,
    gradients: Gradients,
    /// The tape of the forward rollout, until the backward pass consumes it.
    tape: Mutex<Option<Tape>>,
}

impl NllOp {
    fn rollout(&self) -> Tape {
        let mut tape = Tape::new(&self.plan, self.shape);
        self.weights.read(|w| rollout(w, &self.transforms, &mut tape, &mut |e, at, _| self.choices[e][at]));
        tape
    }

    /// −ln π of each vector of choices. Keeps the tape for the backward pass.
    fn forward(&self) -> Vec<f32> {
        let tape = self.rollout();
        let nll = (0..self.choices.len()).map(|e| tape.totals(e).nll as f32).collect();
        *self.tape() = Some(tape);
        nll
    }

    fn tape(&self) -> MutexGuard<'_, Option<Tape>> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CustomOp1 for NllOp {
    fn name(&self) -> &'static str {
        "policy-nll"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let nll = self.forward();
        let shape = Shape::from(nll.len());
        Ok((CpuStorage::F32(nll), shape))
    }

    // Also computed on the CPU: a policy is too small to gain from a GPU.
    fn cuda_fwd(&self, token: &CudaStorage, _: &Layout) -> CandleResult<(CudaStorage, Shape)> {
        let nll = self.forward();
        let storage = token.device().storage_from_slice(&nll)?;
        Ok((storage, Shape::from(nll.len())))
    }

    fn bwd(&self, token: &Tensor, _: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        let coefficients: Vec<f32> = grad.to_vec1()?;
        // A second backward pass is allowed, as for any candle operation; it repeats the rollout.
        let recorded = self.tape().take();
        let mut tape = recorded.unwrap_or_else(|| self.rollout());
        let layout = &self.weights.layout;
        let mut gradient = vec![0.0; layout.len()];
        let mut backward = Backward::new(self.shape);
        self.weights.read(|w| backward.run(w, &self.transforms, &mut tape, &coefficients, &mut gradient));
        let of = |variable: &Variable| {
            Tensor::from_slice(&gradient[variable.range.clone()], variable.shape.as_slice(), token.device())
                .map(Some)
        };
        self.gradients.put(layout.variables.iter().map(of).collect::<CandleResult<_>>()?);
        Tied::token_gradient(token).map(Some)
    }
}
