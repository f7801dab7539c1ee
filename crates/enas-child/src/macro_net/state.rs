//! A macro network's numbers as named tensors.

use std::collections::BTreeSet;

use super::MacroChild;
use crate::{Error, Named};

impl MacroChild {
    /// All weights and moving statistics.
    pub fn weights(&self) -> Vec<Named> {
        let mut tensors = self.params.export();
        for (name, running) in &self.running {
            for (kind, data) in [("moving_mean", &running.mean), ("moving_variance", &running.variance)] {
                let (name, shape) = (format!("{name}/{kind}"), vec![data.len()]);
                tensors.push(Named { name, shape, data: data.clone() });
            }
        }
        tensors
    }

    /// Takes over [`weights`](Self::weights).
    ///
    /// # Errors
    /// If a tensor has another shape, is unknown, or is missing. The network is unusable after an error.
    pub fn load(&mut self, tensors: &[Named]) -> Result<(), Error> {
        for tensor in tensors {
            if !self.params.import(tensor)? && !self.import_running(tensor) {
                return Err(Error::State(format!("the network has no tensor {} of this shape", tensor.name)));
            }
        }
        let given: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let wanted = self.weights();
        match wanted.iter().find(|tensor| !given.contains(tensor.name.as_str())) {
            Some(missing) => Err(Error::State(format!("{} is missing", missing.name))),
            None => Ok(()),
        }
    }

    fn import_running(&mut self, tensor: &Named) -> bool {
        let Some((name, kind)) = tensor.name.rsplit_once('/') else { return false };
        let Some((_, running)) = self.running.iter_mut().find(|(own, _)| own == name) else { return false };
        let target = match kind {
            "moving_mean" => &mut running.mean,
            "moving_variance" => &mut running.variance,
            _ => return false,
        };
        let fits = target.len() == tensor.data.len();
        if fits {
            target.copy_from_slice(&tensor.data);
        }
        fits
    }
}
