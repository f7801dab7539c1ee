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

    /// Takes over [`weights`](Self::weights).
    ///
    /// # Errors
    /// If a tensor has another shape, is unknown, or is missing. The network is unusable after an error.
    pub fn load(&mut self, tensors: &[Named]) -> Result<(), Error> {
        for tensor in tensors {
            let known = self.params.import(tensor)? || is_moving(tensor) && self.running.import(tensor)?;
            if !known {
                return Err(Error::State(format!("the network has no tensor {} of this shape", tensor.name)));
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

fn is_moving(tensor: &Named) -> bool {
    tensor.name.ends_with("/moving_mean") || tensor.name.ends_with("/moving_variance")
}
