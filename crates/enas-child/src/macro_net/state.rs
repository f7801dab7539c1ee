//! A macro network's weights and training state as named tensors.

use super::MacroChild;
use crate::error::Error;
use crate::params::{NamedTensor, export_state, export_weights, import_all, named_tensors, require_all};

impl MacroChild {
    /// Copies of all weights and moving statistics.
    ///
    /// # Errors
    /// Errors of candle when it lends the tensors.
    pub fn weights(&self) -> Result<Vec<NamedTensor>, Error> {
        export_weights(&self.params, &self.running)
    }

    /// [`weights`](Self::weights), and everything else that is needed to continue training.
    ///
    /// # Errors
    /// As for [`weights`](Self::weights).
    pub fn state(&self) -> Result<Vec<NamedTensor>, Error> {
        export_state(&self.params, &self.running)
    }

    /// The tensors of [`weights`](Self::weights) themselves, not copies: writing to them changes the network.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        named_tensors(&self.params, &self.running)
    }

    /// Loads [`weights`](Self::weights) or a [`state`](Self::state).
    ///
    /// # Errors
    /// If a tensor has another shape or is unknown, or if a weight or moving statistic is missing. The network is
    /// unusable after an error.
    pub fn load(&mut self, tensors: &[NamedTensor]) -> Result<(), Error> {
        import_all(&self.params, &self.running, tensors)?;
        require_all(self.tensors().iter().map(|(name, _)| name.as_str()), tensors)
    }
}
