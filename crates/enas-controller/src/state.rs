//! Weights, optimiser state and baseline as named tensors, to save and restore.

use std::collections::BTreeMap;

use enas_kernels::candle::{Guards, write};

use crate::Error;
use crate::controller::Controller;
use crate::named_tensor::{
    BASELINE, COUNT, FINITE, FLAG, MOST_UPDATES, NOT_NEGATIVE, NamedTensor, SECOND_MOMENT, STARTED, UPDATES,
    named, take,
};
use crate::policy::Policy;
use crate::training::TrainingState;

impl Controller {
    /// Everything that training changes; see [`Policy::state`].
    pub fn state(&self) -> Vec<NamedTensor> {
        self.policy.state()
    }

    /// Loads a [`state`](Self::state), its tensors in any order. Training then continues as if it had not been
    /// interrupted.
    ///
    /// # Errors
    /// As for [`Policy::load_state`].
    pub fn load_state(&mut self, tensors: impl IntoIterator<Item = NamedTensor>) -> Result<(), Error> {
        self.policy.load_state(tensors)
    }
}

impl Policy {
    /// Copies of everything that training changes. Each variable has the name of the authors' code, and its second
    /// moment is `adam/v/<name>`. `adam/step`, `baseline` and `baseline/started` have shape `[1]`.
    pub fn state(&self) -> Vec<NamedTensor> {
        let training = &self.training;
        let scalar = |name: &str, value: f32| named(name.to_string(), &[1], &[value]);
        let mut tensors = self.weights.read(|weights| self.name_slices("", &weights.slices));
        let moments = Guards::new(training.adam.state().map(|(_, moment)| moment));
        let moments = moments.slices().expect("moments can be read as their variables can");
        tensors.extend(self.name_slices(SECOND_MOMENT, &moments));
        tensors.push(scalar(UPDATES, (training.adam.steps() as f32).min(MOST_UPDATES)));
        tensors.push(scalar(BASELINE, training.baseline));
        tensors.push(scalar(STARTED, if training.started { 1.0 } else { 0.0 }));
        tensors
    }

    /// Loads a [`state`](Self::state), its tensors in any order. Training then continues as if it had not been
    /// interrupted.
    ///
    /// # Errors
    /// If a tensor is missing, unknown, given twice, of another shape, or holds an impossible value, or if the
    /// policy's own tensors are not variables. The policy is then unchanged.
    pub fn load_state(&mut self, tensors: impl IntoIterator<Item = NamedTensor>) -> Result<(), Error> {
        if let Some(name) = self.weights.frozen() {
            return Err(Error::Frozen(name.to_owned()));
        }
        let mut given = BTreeMap::new();
        for (name, tensor) in tensors {
            if given.contains_key(&name) {
                return Err(Error::UnexpectedTensor(name));
            }
            given.insert(name, tensor);
        }
        // All tensors are checked before any is written.
        let mut loaded = vec![];
        for variable in &self.weights.layout.variables {
            let weights = take(&mut given, variable.name.clone(), &variable.shape, FINITE)?;
            let moment = format!("{SECOND_MOMENT}{}", variable.name);
            let moments = take(&mut given, moment.clone(), &variable.shape, NOT_NEGATIVE)?;
            loaded.push((weights, moment, moments));
        }
        let updates = take(&mut given, UPDATES.into(), &[1], COUNT)?[0] as u64;
        let baseline = take(&mut given, BASELINE.into(), &[1], FINITE)?[0];
        let started = take(&mut given, STARTED.into(), &[1], FLAG)?[0] == 1.0;
        if let Some(name) = given.into_keys().next() {
            return Err(Error::UnexpectedTensor(name));
        }
        self.scratch.clear();
        let TrainingState { adam, .. } = &mut self.training;
        for (tensor, (weights, moment, moments)) in self.weights.tensors.iter().zip(loaded) {
            write(tensor, |target| target.copy_from_slice(&weights))?;
            assert!(adam.load(&moment, &moments)?, "{moment} is the moment of a variable");
        }
        adam.set_steps(updates);
        self.training.baseline = baseline;
        self.training.started = started;
        Ok(())
    }

    /// Cuts values laid out like a gradient into one tensor per variable.
    pub(crate) fn name_variables(&self, prefix: &str, values: &[f32]) -> Vec<NamedTensor> {
        let slices = self.weights.layout.variables.iter().map(|variable| &values[variable.range.clone()]);
        self.name_slices(prefix, &slices.collect::<Vec<_>>())
    }

    /// One named copy per variable.
    fn name_slices(&self, prefix: &str, slices: &[&[f32]]) -> Vec<NamedTensor> {
        let slices = self.weights.layout.variables.iter().zip(slices);
        slices.map(|(v, values)| named(format!("{prefix}{}", v.name), &v.shape, values)).collect()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use enas_rng::Seed;

    use super::*;
    use crate::{Config, Episode};

    fn controller(seed: u64) -> Controller {
        let config = Config { hidden_size: 16, lstm_layers: 2, ..Config::improved() };
        Controller::new(&config, 3, Seed::new(seed)).unwrap()
    }

    fn numbers(controller: &Controller) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let numbers = |(name, tensor): (String, Tensor)| {
            (name, tensor.dims().to_vec(), tensor.flatten_all().unwrap().to_vec1().unwrap())
        };
        controller.state().into_iter().map(numbers).collect()
    }

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    fn train(controller: &mut Controller, updates: std::ops::Range<u64>) {
        let bounds = controller.config().bounds(0.0);
        for update in updates {
            let mut rngs: Vec<_> = (0..4).map(|i| Seed::new(1).stream("arc", &[update, i])).collect();
            let samples = controller.sample_many(bounds, &mut rngs);
            let reward =
                |(i, sample): (usize, crate::Sample)| Episode { arc: sample.arc, accuracy: i as f32 / 4.0 };
            let episodes: Vec<_> = samples.into_iter().enumerate().map(reward).collect();
            controller.reinforce(bounds, &episodes).unwrap();
        }
    }

    #[test]
    fn an_interrupted_run_continues_to_the_same_bits() {
        let mut whole = controller(3);
        train(&mut whole, 0..4);
        let mut first = controller(3);
        train(&mut first, 0..2);
        let mut second = controller(99);
        let mut saved = first.state();
        saved.reverse();
        second.load_state(saved.clone()).unwrap();
        train(&mut second, 2..4);
        assert_eq!(numbers(&whole), numbers(&second));
        // The saved state does not change.
        let mut third = controller(98);
        third.load_state(saved).unwrap();
        assert_eq!(third.updates(), 2);
        train(&mut third, 2..4);
        assert_eq!(numbers(&whole), numbers(&third));
        assert_eq!(second.updates(), 4);
    }

    #[test]
    fn every_damage_to_a_saved_state_is_named_and_changes_nothing() {
        type Damage = fn(&mut Vec<NamedTensor>);
        let damages: [(Damage, &str); 8] = [
            (|s| drop(s.remove(0)), "no tensor \"lstm/layer_0/w\""),
            (|s| s.push(s[0].clone()), "repeated tensor \"lstm/layer_0/w\""),
            (|s| s.push(("bogus".into(), tensor(&[0.0], &[1]))), "unexpected or repeated tensor \"bogus\""),
            (
                |s| s[2].1 = tensor(&[0.0; 16], &[16]),
                "\"g_emb\" has shape [16], this controller needs [1, 16]",
            ),
            (
                |s| s[2].1 = s[2].1.to_dtype(DType::F64).unwrap(),
                "\"g_emb\" is F64, this controller needs F32",
            ),
            (
                |s| {
                    let values: [f32; 16] = std::array::from_fn(|i| if i == 3 { f32::NAN } else { 0.0 });
                    s[2].1 = tensor(&values, &[1, 16]);
                },
                "\"g_emb\" holds NaN at position 3",
            ),
            (
                |s| s.iter_mut().find(|t| t.0 == "adam/step").unwrap().1 = tensor(&[0.5], &[1]),
                "\"adam/step\" holds 0.5",
            ),
            (
                |s| s.iter_mut().find(|t| t.0 == "adam/v/g_emb").unwrap().1 = tensor(&[-1.0; 16], &[1, 16]),
                "\"adam/v/g_emb\" holds -1",
            ),
        ];
        let mut target = controller(3);
        let before = numbers(&target);
        for (damage, message) in damages {
            let mut saved = target.state();
            damage(&mut saved);
            let error = target.load_state(saved).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert_eq!(numbers(&target), before);
        }
    }
}
