//! A child's numbers as named tensors: to save, to restore, to inspect.

use crate::params::AVERAGE;
use crate::{Child, Error, NamedTensor};

impl Child {
    /// Copies of all weights and moving statistics: what a saved model needs.
    ///
    /// # Errors
    /// If they are on a device and cannot be had back.
    pub fn weights(&self) -> Result<Vec<NamedTensor>, Error> {
        self.fetch()?;
        let mut tensors = self.params.export()?;
        tensors.extend(self.running.export()?);
        Ok(tensors)
    }

    /// [`weights`](Self::weights) and everything else that continuing a training needs.
    ///
    /// # Errors
    /// As there.
    pub fn state(&self) -> Result<Vec<NamedTensor>, Error> {
        let mut tensors = self.weights()?;
        tensors.extend(self.params.export_momentum()?);
        tensors.extend(self.params.export_averages()?);
        tensors.extend(self.running.export_sums()?);
        Ok(tensors)
    }

    /// The tensors of [`weights`](Self::weights) themselves, not copies: writing to them changes the network. Those of a
    /// network on a GPU are as they were when they were last fetched.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let of_weights = self.params.tensors().map(|(name, tensor)| (name.to_owned(), tensor.clone()));
        of_weights.chain(self.running.tensors()).collect()
    }

    /// Brings the numbers in the host's memory up to date.
    pub(crate) fn fetch(&self) -> Result<(), Error> {
        self.device.as_ref().map_or(Ok(()), |device| device.download(&self.params, &self.running))
    }
}

/// What a network took over from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Weight tensors taken over.
    pub taken: usize,
    /// Weight tensors of the network.
    pub of: usize,
}

impl Child {
    /// Takes over [`weights`](Self::weights) or a [`state`](Self::state). A child that keeps an average of its weights
    /// starts it anew where the state has none.
    ///
    /// # Errors
    /// If a tensor has another shape, is unknown, or a weight is missing. The network is unusable after an error.
    pub fn load(&mut self, tensors: &[NamedTensor]) -> Result<(), Error> {
        for tensor in tensors {
            if !self.params.import(tensor)? && !self.running.import(tensor)? {
                let (name, _) = tensor;
                return Err(Error::State(format!("the network has no tensor named {name}")));
            }
        }
        let given: std::collections::BTreeSet<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        if self.params.has_averages() && !given.iter().any(|name| name.starts_with(AVERAGE)) {
            self.params.start_averages()?;
        }
        if let Some(missing) = self.params.names().find(|name| !given.contains(name)) {
            return Err(Error::State(format!("{missing} is missing")));
        }
        if let Some(device) = &mut self.device {
            device.upload(&self.params, &self.running)?;
        }
        Ok(())
    }

    /// Begins with the weights and moving statistics of another network, as far as names and shapes agree; the others stay
    /// as they are. For a network in the host's memory that has not been trained yet.
    ///
    /// # Errors
    /// If the network is on a GPU already.
    pub fn adopt(&mut self, tensors: &[NamedTensor]) -> Result<Adopted, Error> {
        if self.device.is_some() {
            return Err(Error::State("weights are taken over before a network moves to a GPU".to_owned()));
        }
        let mut taken = 0;
        for tensor in tensors {
            taken += usize::from(self.params.adopt(tensor)?);
            self.running.adopt(tensor)?;
        }
        if self.params.has_averages() {
            self.params.start_averages()?;
        }
        Ok(Adopted { taken, of: self.params.names().count() })
    }
}
