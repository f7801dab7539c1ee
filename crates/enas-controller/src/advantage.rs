//! From rewards to advantages: the moving-average baseline and its quirks.

use crate::decision::RolloutTotals;
use crate::episodes::{EpisodeStats, RewardedChoices, UpdateStats};
use crate::{Advantage, BaselineInit, Config, Error};

/// Normalised advantages are 0 if their standard deviation is below this.
const EQUAL: f32 = 1e-6;

/// Checks that there are enough rewarded arcs for an update.
pub(crate) fn check_number(config: &Config, got: usize) -> Result<(), Error> {
    let (advantage, expected) = match config.advantage {
        Advantage::Plain => ("plain", 1),
        Advantage::Normalized => ("normalized", 2),
    };
    if got < expected { Err(Error::Episodes { advantage, expected, got }) } else { Ok(()) }
}

/// Checks the number of arcs, then the choices and the value of each.
pub(crate) fn check_rewarded(
    config: &Config,
    rewarded: &[RewardedChoices],
    check_choices: impl Fn(usize, &[usize]) -> Result<(), Error>,
) -> Result<(), Error> {
    check_number(config, rewarded.len())?;
    for (position, RewardedChoices { choices, value }) in rewarded.iter().enumerate() {
        check_choices(position, choices)?;
        if !value.is_finite() {
            return Err(Error::Reward { position, value: *value });
        }
    }
    Ok(())
}

/// The baseline while it moves through the rewards of one update.
pub(crate) struct RewardAverage {
    pub(crate) value: f32,
    pub(crate) started: bool,
}

impl RewardAverage {
    /// Moves the average towards a reward and returns the new value.
    fn update(&mut self, reward: f32, decay: f64) -> f32 {
        self.value -= (1.0 - decay) as f32 * (self.value - reward);
        self.value
    }
}

/// Rewards, baselines and advantages of one update's arcs; `totals` are those of their rollouts.
pub(crate) fn rewards_and_advantages(
    config: &Config,
    baseline: &mut RewardAverage,
    rewarded: &[RewardedChoices],
    totals: &[RolloutTotals],
) -> Vec<EpisodeStats> {
    let reward = |(rewarded, totals): (&RewardedChoices, &RolloutTotals)| {
        rewarded.value + config.entropy_weight as f32 * totals.entropy as f32
    };
    let rewards: Vec<f32> = rewarded.iter().zip(totals).map(reward).collect();
    if config.baseline_init == BaselineInit::FirstRewards && !baseline.started {
        baseline.value = mean(rewards.iter().copied());
    }
    // Quirk of the authors' code (`micro_controller.py:242-248`): the baseline is updated before it is subtracted. So
    // the advantage is `decay` times the one with the old baseline.
    let baselines: Vec<f32> =
        rewards.iter().map(|&reward| baseline.update(reward, config.baseline_decay)).collect();
    let mut advantages: Vec<f32> = rewards.iter().zip(&baselines).map(|(reward, b)| reward - b).collect();
    if config.advantage == Advantage::Normalized {
        normalize(&mut advantages);
    }
    let stats = |e: usize| {
        let nll = totals[e].nll as f32;
        EpisodeStats {
            log_prob: -nll,
            entropy: totals[e].entropy as f32,
            reward: rewards[e],
            baseline: baselines[e],
            advantage: advantages[e],
            loss: nll * advantages[e],
        }
    };
    (0..rewarded.len()).map(stats).collect()
}

/// Standardises to mean 0 and standard deviation 1; equal advantages become zeros.
fn normalize(advantages: &mut [f32]) {
    let centre = mean(advantages.iter().copied());
    let deviation = mean(advantages.iter().map(|a| (a - centre) * (a - centre))).sqrt();
    let scale = if deviation < EQUAL { 0.0 } else { 1.0 / deviation };
    advantages.iter_mut().for_each(|a| *a = (*a - centre) * scale);
}

/// The L2 norm, with sixteen partial sums of squares so that no addition waits for the one before.
pub(crate) fn norm(values: &[f32]) -> f32 {
    let mut sums = [0.0f64; 16];
    for values in values.chunks(sums.len()) {
        for (sum, &x) in sums.iter_mut().zip(values) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    sums.iter().sum::<f64>().sqrt() as f32
}

pub(crate) fn mean(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let n = values.len() as f64;
    (values.map(f64::from).sum::<f64>() / n) as f32
}

impl UpdateStats {
    /// The means over the arcs of an update. There is at least one arc.
    pub(crate) fn new(
        rewarded: &[RewardedChoices],
        episodes: Vec<EpisodeStats>,
        grad_norm: f32,
        updates: u64,
    ) -> Self {
        Self {
            loss: mean(episodes.iter().map(|e| e.loss)),
            grad_norm,
            baseline: episodes[episodes.len() - 1].baseline,
            updates,
            mean_accuracy: mean(rewarded.iter().map(|r| r.value)),
            mean_reward: mean(episodes.iter().map(|e| e.reward)),
            mean_entropy: mean(episodes.iter().map(|e| e.entropy)),
            episodes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_advantages_have_mean_zero_and_deviation_one_unless_all_are_equal() {
        let mut advantages = [0.1, 0.2, 0.6, -0.3];
        normalize(&mut advantages);
        assert!(mean(advantages.iter().copied()).abs() < 1e-6);
        assert!((mean(advantages.iter().map(|a| a * a)) - 1.0).abs() < 1e-5);
        let mut equal = [0.25; 3];
        normalize(&mut equal);
        assert_eq!(equal, [0.0; 3]);
    }
}
