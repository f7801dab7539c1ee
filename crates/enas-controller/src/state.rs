//! Saving and restoring: weights, optimiser and baseline as named tensors. Files are the caller's business.

use std::collections::BTreeMap;

use crate::Error;
use crate::controller::Controller;
use crate::policy::Policy;

/// A name, a shape and the values in row-major order.
pub type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// Name of Adam's second moment of a variable.
pub(crate) const MOMENT: &str = "adam/v/";
/// Number of updates made.
pub(crate) const UPDATES: &str = "adam/step";
/// Moving average of the rewards.
pub(crate) const BASELINE: &str = "baseline";
/// 1 once a reward has been seen, before that 0.
pub(crate) const STARTED: &str = "baseline/started";

/// Largest number of updates that a saved state can tell from the next: counts are stored as `f32`.
///
/// Adam's bias correction has long become 1 by then, so a longer run loses nothing.
pub(crate) const MOST_UPDATES: f32 = 16_777_216.0;

impl Controller {
    /// Everything that training changes; see [`Policy::state`].
    pub fn state(&self) -> Vec<NamedTensor> {
        self.policy.state()
    }

    /// Takes over what [`state`](Self::state) gave, in any order; training then goes on as if never interrupted.
    ///
    /// # Errors
    /// As [`Policy::load_state`].
    pub fn load_state(&mut self, tensors: impl IntoIterator<Item = NamedTensor>) -> Result<(), Error> {
        self.policy.load_state(tensors)
    }
}

impl Policy {
    /// Everything that training changes: each variable under the reference's name, its second moment under
    /// `adam/v/<name>`, and `adam/step`, `baseline`, `baseline/started`, each of shape `[1]`.
    pub fn state(&self) -> Vec<NamedTensor> {
        let training = &self.training;
        let scalar = |name: &str, value: f32| (name.to_string(), vec![1], vec![value]);
        let mut tensors = self.name_variables("", &self.weights.values);
        tensors.extend(self.name_variables(MOMENT, &training.second_moment));
        tensors.push(scalar(UPDATES, (training.updates as f32).min(MOST_UPDATES)));
        tensors.push(scalar(BASELINE, training.baseline));
        tensors.push(scalar(STARTED, if training.started { 1.0 } else { 0.0 }));
        tensors
    }

    /// Takes over what [`state`](Self::state) gave, in any order; training then goes on as if never interrupted.
    ///
    /// # Errors
    /// If a tensor is missing, unknown, given twice, of another shape, or holds an impossible number. The policy is
    /// then unchanged.
    pub fn load_state(&mut self, tensors: impl IntoIterator<Item = NamedTensor>) -> Result<(), Error> {
        let mut given = BTreeMap::new();
        for (name, shape, values) in tensors {
            if given.contains_key(&name) {
                return Err(Error::UnexpectedTensor(name));
            }
            given.insert(name, (shape, values));
        }
        let mut weights = self.weights.values.clone();
        let mut training = self.training.clone();
        for variable in &self.weights.layout.variables {
            let target = &mut weights[variable.range.clone()];
            target.copy_from_slice(&take(&mut given, variable.name.clone(), &variable.shape, FINITE)?);
            let target = &mut training.second_moment[variable.range.clone()];
            let name = format!("{MOMENT}{}", variable.name);
            target.copy_from_slice(&take(&mut given, name, &variable.shape, NOT_NEGATIVE)?);
        }
        training.updates = take(&mut given, UPDATES.into(), &[1], COUNT)?[0] as u64;
        training.baseline = take(&mut given, BASELINE.into(), &[1], FINITE)?[0];
        training.started = take(&mut given, STARTED.into(), &[1], FLAG)?[0] == 1.0;
        if let Some(name) = given.into_keys().next() {
            return Err(Error::UnexpectedTensor(name));
        }
        self.weights.values = weights;
        self.training = training;
        self.space.clear();
        Ok(())
    }

    /// Cuts values that are laid out like the weights into one tensor per variable.
    pub(crate) fn name_variables(&self, prefix: &str, values: &[f32]) -> Vec<NamedTensor> {
        let tensor = |v: &crate::weights::Variable| {
            (format!("{prefix}{}", v.name), v.shape.clone(), values[v.range.clone()].to_vec())
        };
        self.weights.layout.variables.iter().map(tensor).collect()
    }
}

/// A condition on each number of a tensor, and how to say it.
pub(crate) type Condition = (fn(f32) -> bool, &'static str);

pub(crate) const FINITE: Condition = (f32::is_finite, "must be finite");
pub(crate) const NOT_NEGATIVE: Condition = (|x| x.is_finite() && x >= 0.0, "must be finite and not negative");
pub(crate) const COUNT: Condition =
    (|x| (0.0..=MOST_UPDATES).contains(&x) && x.fract() == 0.0, "must be a whole number");
pub(crate) const FLAG: Condition = (|x| x == 0.0 || x == 1.0, "must be 0 or 1");

pub(crate) fn take(
    given: &mut BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    name: String,
    expected: &[usize],
    (holds, condition): Condition,
) -> Result<Vec<f32>, Error> {
    let Some((shape, values)) = given.remove(&name) else { return Err(Error::MissingTensor(name)) };
    if shape != expected {
        return Err(Error::Shape { name, expected: expected.to_vec(), got: shape });
    }
    if values.len() != expected.iter().product::<usize>() {
        return Err(Error::Shape { name, expected: expected.to_vec(), got: vec![values.len()] });
    }
    match values.iter().position(|&value| !holds(value)) {
        Some(position) => Err(Error::Value { name, position, value: values[position], expected: condition }),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Episode};
    use enas_rng::Seed;

    fn controller(seed: u64) -> Controller {
        let config = Config { hidden_size: 16, lstm_layers: 2, ..Config::improved() };
        Controller::new(&config, 3, Seed::new(seed)).unwrap()
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
        second.load_state(saved).unwrap();
        train(&mut second, 2..4);
        assert_eq!(whole.state(), second.state());
        assert_eq!(second.updates(), 4);
    }

    #[test]
    fn every_damage_to_a_saved_state_is_named_and_changes_nothing() {
        type Damage = fn(&mut Vec<NamedTensor>);
        let damages: [(Damage, &str); 8] = [
            (|s| drop(s.remove(0)), "no tensor \"lstm/layer_0/w\""),
            (|s| s.push(s[0].clone()), "repeated tensor \"lstm/layer_0/w\""),
            (|s| s.push(("bogus".into(), vec![1], vec![0.0])), "unexpected or repeated tensor \"bogus\""),
            (|s| s[2].1 = vec![16], "\"g_emb\" has shape [16], this controller needs [1, 16]"),
            (|s| s[2].2.truncate(15), "\"g_emb\" has shape [15], this controller needs [1, 16]"),
            (|s| s[2].2[3] = f32::NAN, "\"g_emb\" holds NaN at position 3"),
            (|s| s.iter_mut().find(|t| t.0 == "adam/step").unwrap().2[0] = 0.5, "\"adam/step\" holds 0.5"),
            (
                |s| s.iter_mut().find(|t| t.0 == "adam/v/g_emb").unwrap().2[0] = -1.0,
                "\"adam/v/g_emb\" holds -1",
            ),
        ];
        let mut target = controller(3);
        let before = target.state();
        for (damage, message) in damages {
            let mut saved = before.clone();
            damage(&mut saved);
            let error = target.load_state(saved).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert_eq!(target.state(), before);
        }
    }
}
