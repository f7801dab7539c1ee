//! REINFORCE with a moving-average baseline for the policy of the macro search.

use super::MacroPolicy;
use super::backward::LossWeights;
use super::rollout::MacroRollout;
use super::weights::MacroWeights;
use crate::advantage::{RewardAverage, check_rewarded, norm, rewards_and_advantages};
use crate::decision::RolloutTotals;
use crate::{Bounds, Error, RewardedChoices, UpdateStats};

/// Decay of Adam's second moment; β₁ is 0 (`utils.py:218`).
const BETA2: f64 = 0.999;
/// Added to the root of the second moment (`utils.py:218`).
const EPSILON: f32 = 1e-3;

impl MacroPolicy {
    /// One update of θ: `∇θ mean(−ln π(choices; θ) · (R − b) + weight · penalty)`, then one step of Adam, as in
    /// [`Policy::reinforce`](crate::Policy::reinforce). The values may be any finite numbers.
    ///
    /// # Errors
    /// If there are too few vectors of choices, one of them is not an arc of this policy, or a value is not finite.
    /// The policy is then unchanged.
    pub fn reinforce(&mut self, bounds: Bounds, rewarded: &[RewardedChoices]) -> Result<UpdateStats, Error> {
        let n = rewarded.len();
        check_rewarded(&self.config, rewarded, |position, choices| self.check(position, choices))?;
        let rollouts: Vec<_> =
            rewarded.iter().map(|rewarded| self.rollout_of(bounds, &rewarded.choices)).collect();
        let totals: Vec<RolloutTotals> = rollouts.iter().map(MacroRollout::totals).collect();
        let mut average = RewardAverage { value: self.training.baseline, started: self.training.started };
        let mut stats = rewards_and_advantages(&self.config, &mut average, rewarded, &totals);

        let weight = self.config.skip.as_ref().map_or(0.0, |skip| skip.weight as f32);
        let mut gradient = MacroWeights::zeros(self.weights.hidden);
        for (rollout, stats) in rollouts.iter().zip(&mut stats) {
            let loss = LossWeights { nll: stats.advantage / n as f32, penalty: weight / n as f32 };
            self.add_gradient(rollout, loss, &mut gradient);
            stats.loss += weight * rollout.penalty as f32;
        }
        let grad_norm = norm(&gradient.flat());
        self.training.updates += 1;
        let stats = UpdateStats::new(rewarded, stats, grad_norm, self.training.updates);
        self.training.started = true;
        self.training.baseline = stats.baseline;
        self.adam_step(&mut gradient);
        Ok(stats)
    }

    /// The moving average of all rewards so far.
    pub fn baseline(&self) -> f32 {
        self.training.baseline
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.training.updates
    }

    /// Adam with β₁ = 0 in TensorFlow's form, with ε outside the bias correction:
    /// `w -= lr·√(1 − β₂ᵗ) · g / (√v + ε)`.
    fn adam_step(&mut self, gradient: &mut MacroWeights) {
        let rate = (self.config.lr * (1.0 - BETA2.powf(self.training.updates as f64)).sqrt()) as f32;
        let keep = BETA2 as f32;
        let take = (1.0 - BETA2) as f32;
        let moments = self.training.second_moment.values_mut();
        for ((weights, gradient), moments) in
            self.weights.values_mut().into_iter().zip(gradient.values_mut()).zip(moments)
        {
            for ((w, &mut g), v) in weights.iter_mut().zip(gradient).zip(moments) {
                *v = keep * *v + take * g * g;
                *w -= rate * g / (v.sqrt() + EPSILON);
            }
        }
    }
}
