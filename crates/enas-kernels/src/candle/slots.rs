//! Variables with one tensor of state each, as all optimisers here have them.

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var, bail};

use super::access::{Guards, keys, write_distinct};

/// A variable, its name and its state.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) var: Var,
    pub(super) state: Tensor,
}

/// All variables, in the order in which they were given.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) all: Vec<Slot>,
    /// Storage keys of all variables and states, sorted: no gradient may be one of them.
    keys: Vec<usize>,
}

impl Slots {
    /// Variables with states of zeros.
    ///
    /// # Errors
    /// If a variable cannot be updated in place.
    pub(super) fn new(vars: Vec<(String, Var)>) -> Result<Self> {
        let mut all = Vec::with_capacity(vars.len());
        for (name, var) in vars {
            check(&name, &var, var.device().is_cpu(), "on the CPU")?;
            let state = Tensor::zeros(var.shape(), DType::F32, var.device())?;
            all.push(Slot { name, var, state });
        }
        let keys =
            keys(&all.iter().flat_map(|slot| [slot.var.as_tensor(), &slot.state]).collect::<Vec<_>>())?;
        Ok(Self { all, keys })
    }

    /// Variables on a GPU, with states that are parts of one tensor.
    ///
    /// # Errors
    /// If a variable cannot be updated in place.
    pub(super) fn on_gpu(vars: Vec<(String, Var)>, states: Vec<Tensor>) -> Result<Self> {
        for (name, var) in &vars {
            check(name, var, var.device().is_cuda(), "on an NVIDIA GPU")?;
        }
        let keys = keys(&vars.iter().map(|(_, var)| var.as_tensor()).collect::<Vec<_>>())?;
        let slots = vars.into_iter().zip(states).map(|((name, var), state)| Slot { name, var, state });
        Ok(Self { all: slots.collect(), keys })
    }

    /// Variables on a GPU with states of zeros, each a tensor of its own.
    ///
    /// # Errors
    /// If a variable cannot be updated in place, or is on another device than the first one.
    pub(super) fn on_gpu_with_zeros(vars: Vec<(String, Var)>) -> Result<Self> {
        let zeros = |(name, var): &(String, Var)| {
            let own = var.device();
            let of_first = vars[0].1.device();
            if !own.same_device(of_first) {
                bail!("{name} is on {own:?}, other variables are on {of_first:?}");
            }
            Tensor::zeros(var.shape(), DType::F32, own)
        };
        let states = vars.iter().map(zeros).collect::<Result<_>>()?;
        Self::on_gpu(vars, states)
    }

    /// Numbers variables that have no names.
    pub(super) fn numbered(vars: Vec<Var>) -> Vec<(String, Var)> {
        vars.into_iter().enumerate().map(|(i, var)| (i.to_string(), var)).collect()
    }

    /// Makes the gradients contiguous, one per variable.
    pub(super) fn gradients(&self, grads: &GradStore) -> Result<Vec<Option<Tensor>>> {
        let mut found = Vec::with_capacity(self.all.len());
        for slot in &self.all {
            let gradient = grads.get(&slot.var).map(Tensor::contiguous).transpose()?;
            if let Some(gradient) = gradient.as_ref().filter(|g| g.shape() != slot.var.shape()) {
                let name = &slot.name;
                let got = gradient.shape();
                let want = slot.var.shape();
                bail!("the gradient of {name} is {got:?}, expected {want:?}");
            }
            found.push(gradient);
        }
        Ok(found)
    }

    /// The contiguous gradients, none of which shares its numbers with a variable.
    pub(super) fn distinct_gradients(&self, grads: &GradStore) -> Result<Vec<Option<Tensor>>> {
        let found = self.gradients(grads)?;
        if Guards::new(found.iter().flatten()).keys().any(|key| self.keys.binary_search(&key).is_ok()) {
            bail!(
                "a gradient shares its numbers with a variable, so the variable cannot be updated in place"
            );
        }
        Ok(found)
    }

    /// Calls `body` with the numbers of the gradients, one per variable.
    pub(super) fn with_gradients<R>(
        &self,
        grads: &GradStore,
        body: impl FnOnce(&[Option<&[f32]>]) -> Result<R>,
    ) -> Result<R> {
        let found = self.distinct_gradients(grads)?;
        let guards = Guards::new(found.iter().flatten());
        let mut slices = guards.slices()?.into_iter();
        let gradients: Vec<Option<&[f32]>> =
            found.iter().map(|gradient| gradient.as_ref().and_then(|_| slices.next())).collect();
        body(&gradients)
    }

    /// The states as named tensors, which share their memory with the optimiser.
    pub(super) fn state<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (String, &'a Tensor)> {
        self.all.iter().map(move |slot| (format!("{prefix}{}", slot.name), &slot.state))
    }

    /// Restores the state of the variable `name`. Returns whether there is such a variable.
    pub(super) fn load(&self, name: &str, numbers: &[f32]) -> Result<bool> {
        let Some(slot) = self.all.iter().find(|slot| slot.name == name) else { return Ok(false) };
        if numbers.len() != slot.state.elem_count() {
            bail!("the state of {name} is {} numbers, expected {:?}", numbers.len(), slot.state.shape());
        }
        write_distinct(&slot.state, |state| state.copy_from_slice(numbers))?;
        Ok(true)
    }
}

/// Checks that a variable can be updated in place.
fn check(name: &str, var: &Var, is_there: bool, place: &str) -> Result<()> {
    if var.dtype() == DType::F32 && var.is_contiguous() && is_there {
        return Ok(());
    }
    let shape = var.shape();
    let dtype = var.dtype();
    let device = var.device();
    bail!("{name} {shape:?} of {dtype:?} on {device:?} is not a contiguous F32 variable {place}")
}

impl Slot {
    /// Calls `body` with the numbers of the variable and of its state, for writing.
    pub(super) fn update<R>(&self, body: impl FnOnce(&mut [f32], &mut [f32]) -> R) -> Result<R> {
        write_distinct(&self.var, |weights| write_distinct(&self.state, |state| body(weights, state)))?
    }
}
