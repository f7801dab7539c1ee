//! REINFORCE with a moving-average baseline (Williams, 1992; Pham et al. 2018, section 2.2): rewarded arcs in, one
//! optimiser step out.

use crate::advantage::{RewardAverage, check_number, check_rewarded, norm, rewards_and_advantages};
use crate::controller::Controller;
use crate::decision::RolloutTotals;
use crate::episodes::{Episode, RewardedChoices, UpdateStats};
use crate::logits::LogitTransforms;
use crate::policy::Policy;
use crate::scratch::Scratch;
use crate::{Bounds, Error};

impl Controller {
    /// One update of θ from the arcs of `episodes`: `∇θ mean(−ln π(m; θ) · (R − b))`, then one step of Adam.
    ///
    /// The mean over episodes is gradient accumulation: the authors' `SyncReplicasOptimizer` with `num_aggregate`
    /// (`utils.py:223-231`). In the order given, each reward R = accuracy + `entropy_weight` · entropy first updates
    /// the baseline b and is then compared with it (`micro_controller.py:237-248`). Neither R nor b has a gradient.
    ///
    /// The number of episodes is normally [`Config::aggregate`](crate::Config::aggregate). `bounds` must be those that
    /// the arcs were drawn with.
    ///
    /// # Errors
    /// If there are too few episodes, an arc is of another size, an accuracy is not a fraction, or the tensors are
    /// not variables. The controller is then unchanged.
    pub fn reinforce(&mut self, bounds: Bounds, episodes: &[Episode]) -> Result<UpdateStats, Error> {
        check_number(self.config(), episodes.len())?;
        if let Some(position) = episodes.iter().position(|e| !(0.0..=1.0).contains(&e.accuracy)) {
            return Err(Error::Accuracy { position, value: episodes[position].accuracy });
        }
        let rewarded = |(position, episode): (usize, &Episode)| {
            Ok(RewardedChoices { choices: self.choices(position, &episode.arc)?, value: episode.accuracy })
        };
        let rewarded: Vec<_> = episodes.iter().enumerate().map(rewarded).collect::<Result<_, Error>>()?;
        self.policy.reinforce(bounds, &rewarded)
    }

    /// The moving average of all rewards so far.
    pub fn baseline(&self) -> f32 {
        self.policy.baseline()
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.policy.updates()
    }
}

impl Policy {
    /// One update of θ: `∇θ mean(−ln π(choices; θ) · (R − b))`, then one step of Adam; see [`Controller::reinforce`].
    /// The values may be any finite numbers.
    ///
    /// # Errors
    /// If there are too few vectors of choices, one of them does not exist in the plan, a value is not finite, or the
    /// tensors are not variables. The policy is then unchanged.
    pub fn reinforce(&mut self, bounds: Bounds, rewarded: &[RewardedChoices]) -> Result<UpdateStats, Error> {
        let n = rewarded.len();
        check_rewarded(self.config(), rewarded, |position, choices| self.check(position, choices))?;
        if let Some(name) = self.weights.frozen() {
            return Err(Error::Frozen(name.to_owned()));
        }
        let transforms = LogitTransforms::new(self.config(), bounds);
        let mut scratch = self.take_scratch(n);
        // A rollout on the tape is reused, unless other code may have changed the weights since.
        if self.is_shared() || !scratch.holds(bounds, rewarded.iter().map(|r| &r.choices[..])) {
            self.rollout_on(bounds, &mut scratch, &mut |e, at, _| rewarded[e].choices[at]);
        }
        // The backward pass consumes the tape, and the optimiser step changes the weights it belongs to.
        scratch.bounds = None;
        let Scratch { tape, backward, gradient, .. } = &mut scratch;

        let totals: Vec<RolloutTotals> = (0..n).map(|e| tape.totals(e)).collect();
        let mut average = RewardAverage { value: self.training.baseline, started: self.training.started };
        let stats = rewards_and_advantages(self.config(), &mut average, rewarded, &totals);
        // The mean over all episodes (gradient accumulation), in one backward pass over the batch.
        let coefficients: Vec<f32> = stats.iter().map(|e| e.advantage / n as f32).collect();
        self.weights.read(|weights| backward.run(weights, &transforms, tape, &coefficients, gradient));

        let grad_norm = norm(gradient);
        let training = &mut self.training;
        let variables = &self.weights.layout.variables;
        training.adam.step_slices(|i| Some(&gradient[variables[i].range.clone()]))?;
        let stats = UpdateStats::new(rewarded, stats, grad_norm, training.adam.steps());
        training.started = true;
        training.baseline = stats.baseline;
        self.scratch.keep(scratch);
        Ok(stats)
    }

    /// The moving average of all rewards so far.
    pub fn baseline(&self) -> f32 {
        self.training.baseline
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.training.adam.steps()
    }
}

#[cfg(test)]
mod tests;
