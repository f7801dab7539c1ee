//! A macro network's weights and training state as named tensors.

use super::MacroChild;
use crate::error::Error;
use crate::params::{NamedTensor, missing_tensor};

impl MacroChild {
    /// Copies of all weights and moving statistics.
    ///
    /// # Errors
    /// Errors of candle when it lends the tensors.
    pub fn weights(&self) -> Result<Vec<NamedTensor>, Error> {
        let mut tensors = self.params.export()?;
        tensors.extend(self.running.export()?);
        Ok(tensors)
    }

    /// [`weights`](Self::weights), and everything else that is needed to continue training.
    ///
    /// # Errors
    /// As for [`weights`](Self::weights).
    pub fn state(&self) -> Result<Vec<NamedTensor>, Error> {
        let mut tensors = self.weights()?;
        tensors.extend(self.params.export_momentum()?);
        tensors.extend(self.params.export_averages()?);
        tensors.extend(self.running.export_sums()?);
        Ok(tensors)
    }

    /// The tensors of [`weights`](Self::weights) themselves, not copies: writing to them changes the network.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let of_weights = self.params.tensors().map(|(name, tensor)| (name.to_owned(), tensor.clone()));
        of_weights.chain(self.running.tensors()).collect()
    }

    /// Loads [`weights`](Self::weights) or a [`state`](Self::state).
    ///
    /// # Errors
    /// If a tensor has another shape or is unknown, or if a weight or moving statistic is missing. The network is
    /// unusable after an error.
    pub fn load(&mut self, tensors: &[NamedTensor]) -> Result<(), Error> {
        for tensor in tensors {
            if !self.params.import(tensor)? && !self.running.import(tensor)? {
                return Err(Error::State(format!("the network has no tensor named {}", tensor.0)));
            }
        }
        let wanted = self.tensors();
        match missing_tensor(wanted.iter().map(|(name, _)| name.as_str()), tensors) {
            Some(missing) => Err(Error::State(format!("{missing} is missing"))),
            None => Ok(()),
        }
    }
}
