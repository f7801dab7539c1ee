//! A child's numbers as named tensors: to save, to restore, to inspect.

use std::borrow::Cow;

use enas_kernels::RunningMoments;

use crate::params::{AVERAGE, Params};
use crate::{Child, Error, Named};

impl Child {
    /// All weights and moving statistics: what a saved model needs.
    ///
    /// # Errors
    /// If they are on a device and cannot be had back.
    pub fn weights(&self) -> Result<Vec<Named>, Error> {
        Ok(self.here()?.weights())
    }

    /// [`weights`](Self::weights) and everything else that continuing a training needs.
    ///
    /// # Errors
    /// As there.
    pub fn state(&self) -> Result<Vec<Named>, Error> {
        Ok(self.here()?.state())
    }

    /// The numbers in the host's memory.
    fn here(&self) -> Result<Numbers<'_>, Error> {
        match &self.device {
            None => {
                Ok(Numbers { params: Cow::Borrowed(&self.params), running: Cow::Borrowed(&self.running) })
            }
            Some(device) => {
                let (params, running) = device.download(&self.params, &self.running)?;
                Ok(Numbers { params: Cow::Owned(params), running: Cow::Owned(running) })
            }
        }
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

/// Updates after which moving statistics no longer show that they began at nothing.
const SETTLED: u64 = 1000;

/// A child's numbers.
pub(crate) struct Numbers<'a> {
    pub(crate) params: Cow<'a, Params>,
    pub(crate) running: Cow<'a, [(String, RunningMoments)]>,
}

impl Numbers<'_> {
    pub(crate) fn weights(&self) -> Vec<Named> {
        let mut tensors = self.params.export();
        for (name, running) in self.running.iter() {
            let channels = vec![running.mean.len()];
            let mut push = |kind: &str, data: Vec<f32>, shape| {
                tensors.push(Named { name: format!("{name}/{kind}"), shape, data });
            };
            push("moving_mean", running.mean.clone(), channels.clone());
            push("moving_variance", running.variance.clone(), channels);
        }
        tensors
    }

    pub(crate) fn state(&self) -> Vec<Named> {
        let mut tensors = self.weights();
        tensors.extend(self.params.export_momentum());
        tensors.extend(self.params.export_averages());
        for (name, running) in self.running.iter() {
            let channels = vec![running.mean.len()];
            let mut push = |kind: &str, data: Vec<f32>, shape| {
                tensors.push(Named { name: format!("{name}/{kind}"), shape, data });
            };
            push("biased_mean", running.biased_mean.clone(), channels.clone());
            push("biased_variance", running.biased_variance.clone(), channels);
            // Two 24-bit halves: a single f32 would lose counts above 2²⁴.
            let (high, low) = (running.updates >> 24, running.updates & 0xFF_FFFF);
            push("updates", vec![high as f32, low as f32], vec![2]);
        }
        tensors
    }
}

impl Child {
    /// Takes over [`weights`](Self::weights) or a [`state`](Self::state). A child that keeps an average of its weights
    /// starts it anew where the state has none.
    ///
    /// # Errors
    /// If a tensor has another shape, is unknown, or a weight is missing. The network is unusable after an error.
    pub fn load(&mut self, tensors: &[Named]) -> Result<(), Error> {
        for tensor in tensors {
            if !self.params.import(tensor)? && !import_running(&mut self.running, tensor)? {
                let name = &tensor.name;
                return Err(Error::State(format!("the network has no tensor named {name}")));
            }
        }
        let given: std::collections::BTreeSet<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
        if !self.params.averages().is_empty() && !given.iter().any(|name| name.starts_with(AVERAGE)) {
            self.params.start_averages();
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
    pub fn adopt(&mut self, tensors: &[Named]) -> Result<Adopted, Error> {
        if self.device.is_some() {
            return Err(Error::State("weights are taken over before a network moves to a GPU".to_owned()));
        }
        let taken = tensors.iter().filter(|tensor| self.params.adopt(tensor)).count();
        for tensor in tensors {
            self.adopt_running(tensor);
        }
        if !self.params.averages().is_empty() {
            self.params.start_averages();
        }
        Ok(Adopted { taken, of: self.params.names().count() })
    }

    fn adopt_running(&mut self, tensor: &Named) {
        let Some((scope, kind)) = tensor.name.rsplit_once('/') else { return };
        let Some((_, running)) = self.running.iter_mut().find(|(name, _)| name == scope) else { return };
        let RunningMoments { mean, variance, biased_mean, biased_variance, updates } = running;
        let targets = match kind {
            "moving_mean" => [mean, biased_mean],
            "moving_variance" => [variance, biased_variance],
            _ => return,
        };
        if targets[0].len() == tensor.data.len() {
            targets.into_iter().for_each(|target| target.copy_from_slice(&tensor.data));
            *updates = SETTLED;
        }
    }
}

/// Takes over a tensor of the moving statistics by name. Returns whether the name is one of theirs.
pub(crate) fn import_running(
    running: &mut [(String, RunningMoments)],
    tensor: &Named,
) -> Result<bool, Error> {
    let Some((scope, kind)) = tensor.name.rsplit_once('/') else { return Ok(false) };
    let Some((_, running)) = running.iter_mut().find(|(name, _)| name == scope) else {
        return Ok(false);
    };
    let target = match kind {
        "moving_mean" => &mut running.mean,
        "moving_variance" => &mut running.variance,
        "biased_mean" => &mut running.biased_mean,
        "biased_variance" => &mut running.biased_variance,
        "updates" => {
            let [high, low] = tensor.data.as_slice() else {
                return Err(Error::State(format!("{} does not hold two numbers", tensor.name)));
            };
            running.updates = ((*high as u64) << 24) | *low as u64;
            return Ok(true);
        }
        _ => return Ok(false),
    };
    if target.len() != tensor.data.len() {
        let (got, want) = (tensor.data.len(), target.len());
        return Err(Error::State(format!("{} holds {got} numbers, the network needs {want}", tensor.name)));
    }
    target.copy_from_slice(&tensor.data);
    Ok(true)
}
