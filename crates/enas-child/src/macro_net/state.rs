//! A macro network's numbers as named tensors.

use std::collections::BTreeSet;

use super::MacroChild;
use crate::{Error, Named};

impl MacroChild {
    /// All weights and moving statistics.
    ///
    /// # Errors
    /// What candle reports when it lends the tensors.
    pub fn weights(&self) -> Result<Vec<Named>, Error> {
        let mut tensors = self.params.export()?;
        tensors.extend(self.running.export()?);
        Ok(tensors)
    }

    /// [`weights`](Self::weights) and everything else that continuing a training needs.
    ///
    /// # Errors
    /// As there.
    pub fn state(&self) -> Result<Vec<Named>, Error> {
        let mut tensors = self.weights()?;
        tensors.extend(self.params.export_momentum()?);
        tensors.extend(self.params.export_averages()?);
        tensors.extend(self.running.export_sums()?);
        Ok(tensors)
    }

    /// Takes over [`weights`](Self::weights) or a [`state`](Self::state).
    ///
    /// # Errors
    /// If a tensor has another shape, is unknown, or a weight or moving statistic is missing. The network is unusable after
    /// an error.
    pub fn load(&mut self, tensors: &[Named]) -> Result<(), Error> {
        for tensor in tensors {
            if !self.params.import(tensor)? && !self.running.import(tensor)? {
                return Err(Error::State(format!("the network has no tensor named {}", tensor.name)));
            }
        }
        let given: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let wanted = self.weights()?;
        match wanted.iter().find(|tensor| !given.contains(tensor.name.as_str())) {
            Some(missing) => Err(Error::State(format!("{} is missing", missing.name))),
            None => Ok(()),
        }
    }
}
