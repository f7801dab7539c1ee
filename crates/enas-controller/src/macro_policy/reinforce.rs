//! REINFORCE with a moving-average baseline for the policy of the macro search.

use super::{MacroPolicy, Weights};
use crate::reinforce::{RewardAverage, judge, mean, norm};
use crate::{Advantage, Bounds, Error, Rewarded, UpdateStats};

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
    pub fn reinforce(&mut self, bounds: Bounds, rewarded: &[Rewarded]) -> Result<UpdateStats, Error> {
        let n = rewarded.len();
        let (advantage, expected) = match self.config.advantage {
            Advantage::Plain => ("plain", 1),
            Advantage::Normalized => ("normalized", 2),
        };
        if n < expected {
            return Err(Error::Episodes { advantage, expected, got: n });
        }
        for (position, Rewarded { choices, value }) in rewarded.iter().enumerate() {
            self.check(position, choices)?;
            if !value.is_finite() {
                return Err(Error::Reward { position, value: *value });
            }
        }
        let walks: Vec<_> = rewarded.iter().map(|rewarded| self.follow(bounds, &rewarded.choices)).collect();
        let walked: Vec<(f64, f64)> = walks.iter().map(|walk| (walk.nll, walk.entropy)).collect();
        let mut average = RewardAverage { value: self.training.baseline, started: self.training.started };
        let mut stats = judge(&self.config, &mut average, rewarded, &walked);

        let weight = self.config.skip.as_ref().map_or(0.0, |skip| skip.weight as f32);
        let mut gradient = Weights::zeros(self.weights.hidden);
        for (walk, stats) in walks.iter().zip(&mut stats) {
            self.add_gradient(walk, (stats.advantage / n as f32, weight / n as f32), &mut gradient);
            stats.loss += weight * walk.penalty as f32;
        }
        let grad_norm = {
            let all: Vec<f32> =
                gradient.values_mut().iter().flat_map(|values| values.iter().copied()).collect();
            norm(&all)
        };
        self.training.updates += 1;
        self.training.started = true;
        self.training.baseline = stats[n - 1].baseline;
        self.step(&mut gradient);
        Ok(UpdateStats {
            loss: mean(stats.iter().map(|e| e.loss)),
            grad_norm,
            baseline: self.training.baseline,
            updates: self.training.updates,
            mean_accuracy: mean(rewarded.iter().map(|r| r.value)),
            mean_reward: mean(stats.iter().map(|e| e.reward)),
            mean_entropy: mean(stats.iter().map(|e| e.entropy)),
            episodes: stats,
        })
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
    fn step(&mut self, gradient: &mut Weights) {
        let rate = (self.config.lr * (1.0 - BETA2.powf(self.training.updates as f64)).sqrt()) as f32;
        let (keep, take) = (BETA2 as f32, (1.0 - BETA2) as f32);
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
