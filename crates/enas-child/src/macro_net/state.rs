//! A macro network's numbers as named tensors.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::MacroChild;
use crate::state::{Numbers, import_running};
use crate::{Error, Named};

impl MacroChild {
    /// All weights and moving statistics.
    pub fn weights(&self) -> Vec<Named> {
        self.numbers().weights()
    }

    /// [`weights`](Self::weights) and everything else that continuing a training needs.
    pub fn state(&self) -> Vec<Named> {
        self.numbers().state()
    }

    fn numbers(&self) -> Numbers<'_> {
        Numbers { params: Cow::Borrowed(&self.params), running: Cow::Borrowed(&self.running) }
    }

    /// Takes over [`weights`](Self::weights) or a [`state`](Self::state).
    ///
    /// # Errors
    /// If a tensor has another shape, is unknown, or a weight or moving statistic is missing. The network is unusable after
    /// an error.
    pub fn load(&mut self, tensors: &[Named]) -> Result<(), Error> {
        for tensor in tensors {
            if !self.params.import(tensor)? && !import_running(&mut self.running, tensor)? {
                return Err(Error::State(format!("the network has no tensor named {}", tensor.name)));
            }
        }
        let given: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let wanted = self.weights();
        match wanted.iter().find(|tensor| !given.contains(tensor.name.as_str())) {
            Some(missing) => Err(Error::State(format!("{} is missing", missing.name))),
            None => Ok(()),
        }
    }
}
