//! The policy of the macro search as named tensors, to save and restore.

use std::collections::BTreeMap;

use super::MacroPolicy;
use crate::Error;
use crate::named_tensor::{
    BASELINE, COUNT, FINITE, FLAG, MOST_UPDATES, NOT_NEGATIVE, NamedTensor, SECOND_MOMENT, STARTED, UPDATES,
    named, take,
};

impl MacroPolicy {
    /// Everything that training changes, with the names of [`Policy::state`](crate::Policy::state).
    pub fn state(&self) -> Vec<NamedTensor> {
        let training = &self.training;
        let mut tensors = Vec::new();
        for (prefix, weights) in [("", &self.weights), (SECOND_MOMENT, &training.second_moment)] {
            let prefixed = |(name, shape, values): (&str, Vec<usize>, &[f32])| {
                named(format!("{prefix}{name}"), &shape, values)
            };
            tensors.extend(weights.variables().map(prefixed));
        }
        let scalar = |name: &str, value: f32| named(name.to_owned(), &[1], &[value]);
        tensors.push(scalar(UPDATES, (training.updates as f32).min(MOST_UPDATES)));
        tensors.push(scalar(BASELINE, training.baseline));
        tensors.push(scalar(STARTED, if training.started { 1.0 } else { 0.0 }));
        tensors
    }

    /// Loads a [`state`](Self::state), its tensors in any order. Training then continues as if it had not been
    /// interrupted.
    ///
    /// # Errors
    /// If a tensor is missing, unknown, given twice, of another shape, or holds an impossible value. The policy is
    /// then unchanged.
    pub fn load_state(&mut self, tensors: impl IntoIterator<Item = NamedTensor>) -> Result<(), Error> {
        let mut given = BTreeMap::new();
        for (name, tensor) in tensors {
            if given.contains_key(&name) {
                return Err(Error::UnexpectedTensor(name));
            }
            given.insert(name, tensor);
        }
        let mut weights = self.weights.clone();
        let mut training = self.training.clone();
        let described = self.weights.variables().map(|(name, shape, _)| (name, shape));
        for (target, (name, shape)) in weights.values_mut().into_iter().zip(&described) {
            *target = take(&mut given, (*name).to_owned(), shape, FINITE)?;
        }
        for (target, (name, shape)) in training.second_moment.values_mut().into_iter().zip(&described) {
            *target = take(&mut given, format!("{SECOND_MOMENT}{name}"), shape, NOT_NEGATIVE)?;
        }
        training.updates = take(&mut given, UPDATES.into(), &[1], COUNT)?[0] as u64;
        training.baseline = take(&mut given, BASELINE.into(), &[1], FINITE)?[0];
        training.started = take(&mut given, STARTED.into(), &[1], FLAG)?[0] == 1.0;
        if let Some(name) = given.into_keys().next() {
            return Err(Error::UnexpectedTensor(name));
        }
        self.weights = weights;
        self.training = training;
        Ok(())
    }
}
