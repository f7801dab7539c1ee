//! Variables with one tensor of state each, as all optimisers here have them.

use candle_core::{DType, Result, Tensor, Var, bail};

use super::access::{Guards, keys, write_distinct};

/// A variable, its name and its state.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) var: Var,
    pub(super) state: Tensor,
}

/// All of them, in the order in which they were given.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) all: Vec<Slot>,
    /// Of all variables and states, sorted: no gradient may be one of them.
    keys: Vec<usize>,
}

impl Slots {
    /// With states of zeros. Refused are variables that cannot be updated in place.
    pub(super) fn new(vars: Vec<(String, Var)>) -> Result<Self> {
        let mut all = Vec::with_capacity(vars.len());
        for (name, var) in vars {
            if var.dtype() != DType::F32 || !var.is_contiguous() || !var.device().is_cpu() {
                let (shape, dtype, device) = (var.shape(), var.dtype(), var.device());
                bail!(
                    "{name} {shape:?} of {dtype:?} on {device:?} is not a contiguous F32 variable on the CPU"
                );
            }
            let state = Tensor::zeros(var.shape(), DType::F32, var.device())?;
            all.push(Slot { name, var, state });
        }
        let keys =
            keys(&all.iter().flat_map(|slot| [slot.var.as_tensor(), &slot.state]).collect::<Vec<_>>())?;
        Ok(Self { all, keys })
    }

    /// Names for variables that have none.
    pub(super) fn numbered(vars: Vec<Var>) -> Vec<(String, Var)> {
        vars.into_iter().enumerate().map(|(i, var)| (i.to_string(), var)).collect()
    }

    /// Calls `body` with the contiguous gradients, one per variable.
    pub(super) fn with_gradients<R>(
        &self,
        grads: &candle_core::backprop::GradStore,
        body: impl FnOnce(&[Option<&[f32]>]) -> Result<R>,
    ) -> Result<R> {
        let mut found = Vec::with_capacity(self.all.len());
        for slot in &self.all {
            let gradient = grads.get(&slot.var).map(Tensor::contiguous).transpose()?;
            if let Some(gradient) = gradient.as_ref().filter(|g| g.shape() != slot.var.shape()) {
                let (name, got, want) = (&slot.name, gradient.shape(), slot.var.shape());
                bail!("the gradient of {name} is {got:?}, expected {want:?}");
            }
            found.push(gradient);
        }
        let guards = Guards::new(found.iter().flatten());
        if guards.keys().any(|key| self.keys.binary_search(&key).is_ok()) {
            bail!(
                "a gradient shares its numbers with a variable, so the variable cannot be updated in place"
            );
        }
        let mut slices = guards.slices()?.into_iter();
        let gradients: Vec<Option<&[f32]>> =
            found.iter().map(|gradient| gradient.as_ref().and_then(|_| slices.next())).collect();
        body(&gradients)
    }

    /// The state as named tensors that change with it.
    pub(super) fn state<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (String, &'a Tensor)> {
        self.all.iter().map(move |slot| (format!("{prefix}{}", slot.name), &slot.state))
    }

    /// Takes over the state of the variable `name`; returns whether there is one.
    pub(super) fn load(&self, name: &str, numbers: &[f32]) -> Result<bool> {
        let Some(slot) = self.all.iter().find(|slot| slot.name == name) else { return Ok(false) };
        if numbers.len() != slot.state.elem_count() {
            bail!("the state of {name} is {} numbers, expected {:?}", numbers.len(), slot.state.shape());
        }
        write_distinct(&slot.state, |state| state.copy_from_slice(numbers))?;
        Ok(true)
    }
}

impl Slot {
    /// Lends the variable's numbers and its state's for writing.
    pub(super) fn update<R>(&self, body: impl FnOnce(&mut [f32], &mut [f32]) -> R) -> Result<R> {
        write_distinct(&self.var, |weights| write_distinct(&self.state, |state| body(weights, state)))?
    }
}
