//! A child's weights and training state as named tensors, to save, restore and inspect.

use super::Child;
use crate::error::Error;
use crate::params::{
    AVERAGE, NamedTensor, export_state, export_weights, import_all, named_tensors, require_all,
};

impl Child {
    /// Copies of all weights and moving statistics, as a saved model needs them.
    ///
    /// # Errors
    /// If they cannot be copied from the network's device.
    pub fn weights(&self) -> Result<Vec<NamedTensor>, Error> {
        self.fetch()?;
        export_weights(&self.params, &self.running)
    }

    /// [`weights`](Self::weights), and everything else that is needed to continue training: momentum, averages, and
    /// the sums of moving statistics.
    ///
    /// # Errors
    /// As for [`weights`](Self::weights).
    pub fn state(&self) -> Result<Vec<NamedTensor>, Error> {
        self.fetch()?;
        export_state(&self.params, &self.running)
    }

    /// The tensors of [`weights`](Self::weights) themselves, not copies: writing to them changes the network. For a
    /// network on a GPU they hold the values of the last fetch.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        named_tensors(&self.params, &self.running)
    }

    /// Updates the tensors in host memory.
    pub(crate) fn fetch(&self) -> Result<(), Error> {
        self.device.as_ref().map_or(Ok(()), |device| device.download(&self.params, &self.running))
    }
}

/// How much a network loaded from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedWeights {
    /// Number of weight tensors that were loaded.
    pub loaded: usize,
    /// Number of weight tensors of the network.
    pub total: usize,
}

impl Child {
    /// Loads [`weights`](Self::weights) or a [`state`](Self::state). If the child keeps an average of its weights and
    /// the state has none, the average restarts.
    ///
    /// # Errors
    /// If a tensor has another shape or is unknown, or if a weight is missing. The network is unusable after an
    /// error.
    pub fn load(&mut self, tensors: &[NamedTensor]) -> Result<(), Error> {
        import_all(&self.params, &self.running, tensors)?;
        if self.params.has_averages() && !tensors.iter().any(|(name, _)| name.starts_with(AVERAGE)) {
            self.params.start_averages()?;
        }
        require_all(self.params.names(), tensors)?;
        if let Some(device) = &mut self.device {
            device.upload(&self.params, &self.running)?;
        }
        Ok(())
    }

    /// Loads weights and moving statistics of another network, as far as names and shapes match; the others keep
    /// their values. For a network in host memory that has not been trained yet.
    ///
    /// # Errors
    /// If the network is on a GPU.
    pub fn load_matching(&mut self, tensors: &[NamedTensor]) -> Result<LoadedWeights, Error> {
        if self.device.is_some() {
            return Err(Error::State("weights are taken over before a network moves to a GPU".to_owned()));
        }
        let mut loaded = 0;
        for tensor in tensors {
            loaded += usize::from(self.params.load_matching(tensor)?);
            self.running.load_matching(tensor)?;
        }
        if self.params.has_averages() {
            self.params.start_averages()?;
        }
        Ok(LoadedWeights { loaded, total: self.params.names().count() })
    }
}
