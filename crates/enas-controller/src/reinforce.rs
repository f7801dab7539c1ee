//! REINFORCE with a moving-average baseline (Williams, 1992; Pham et al. 2018, section 2.2): rewarded arcs in, one
//! optimiser step out.

use crate::controller::Controller;
use crate::episodes::{Episode, EpisodeStats, Rewarded, UpdateStats};
use crate::heads::Heads;
use crate::policy::Policy;
use crate::scratch::Scratch;
use crate::training::Training;
use crate::{Advantage, BaselineInit, Bounds, Config, Error};

/// Normalised advantages are 0 if their standard deviation is below this.
const EQUAL: f32 = 1e-6;

impl Controller {
    /// One update of θ from the arcs of `episodes`: `∇θ mean(−ln π(m; θ) · (R − b))`, then one step of Adam.
    ///
    /// The mean over episodes is gradient accumulation: the authors' `SyncReplicasOptimizer` with `num_aggregate`
    /// (`utils.py:223-231`). In the order given, each reward R = accuracy + `entropy_weight` · entropy first updates
    /// the baseline b and is then compared with it (`micro_controller.py:237-248`). Neither R nor b has a gradient.
    ///
    /// The number of episodes is normally [`Config::aggregate`]. `bounds` must be those that the arcs were drawn
    /// with.
    ///
    /// # Errors
    /// If there are too few episodes, an arc is of another size, an accuracy is not a fraction, or the tensors are
    /// not variables. The controller is then unchanged.
    pub fn reinforce(&mut self, bounds: Bounds, episodes: &[Episode]) -> Result<UpdateStats, Error> {
        self.policy.check_number(episodes.len())?;
        if let Some(position) = episodes.iter().position(|e| !(0.0..=1.0).contains(&e.accuracy)) {
            return Err(Error::Accuracy { position, value: episodes[position].accuracy });
        }
        let rewarded = |(position, episode): (usize, &Episode)| {
            Ok(Rewarded { choices: self.choices(position, &episode.arc)?, value: episode.accuracy })
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
    pub fn reinforce(&mut self, bounds: Bounds, rewarded: &[Rewarded]) -> Result<UpdateStats, Error> {
        let n = rewarded.len();
        self.check_number(n)?;
        for (position, Rewarded { choices, value }) in rewarded.iter().enumerate() {
            self.check(position, choices)?;
            if !value.is_finite() {
                return Err(Error::Reward { position, value: *value });
            }
        }
        if let Some(name) = self.weights.frozen() {
            return Err(Error::Frozen(name.to_owned()));
        }
        let heads = Heads::new(self.config(), bounds);
        let mut scratch = self.take_scratch(n);
        // A rollout on the tape is reused, unless other code may have changed the weights since.
        if self.is_shared() || !scratch.holds(bounds, rewarded.iter().map(|r| &r.choices[..])) {
            self.walk_on(bounds, &mut scratch, &mut |e, at, _| rewarded[e].choices[at]);
        }
        let Scratch { walked: known, tape, backward, gradient } = &mut scratch;
        // The backward pass consumes the tape, and the optimiser step changes the weights it belongs to.
        *known = None;

        let walked: Vec<(f64, f64)> = (0..n).map(|e| tape.totals(e)).collect();
        let stats = judge(self.config(), &mut RewardAverage::of(&self.training), rewarded, &walked);
        // The mean over all episodes (gradient accumulation), in one backward pass over the batch.
        let coefficients: Vec<f32> = stats.iter().map(|e| e.advantage / n as f32).collect();
        self.weights.read(|weights| backward.run(weights, &heads, tape, &coefficients, gradient));

        let grad_norm = norm(gradient);
        let (training, variables) = (&mut self.training, &self.weights.layout.variables);
        training.adam.step_slices(|i| Some(&gradient[variables[i].range.clone()]))?;
        training.started = true;
        training.baseline = stats[n - 1].baseline;
        let summary = UpdateStats {
            loss: mean(stats.iter().map(|e| e.loss)),
            grad_norm,
            baseline: training.baseline,
            updates: training.adam.steps(),
            mean_accuracy: mean(rewarded.iter().map(|r| r.value)),
            mean_reward: mean(stats.iter().map(|e| e.reward)),
            mean_entropy: mean(stats.iter().map(|e| e.entropy)),
            episodes: stats,
        };
        self.space.keep(scratch);
        Ok(summary)
    }

    /// The moving average of all rewards so far.
    pub fn baseline(&self) -> f32 {
        self.training.baseline
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.training.adam.steps()
    }

    /// Checks that `got` rewards are enough for an update.
    fn check_number(&self, got: usize) -> Result<(), Error> {
        let (advantage, expected) = match self.config().advantage {
            Advantage::Plain => ("plain", 1),
            Advantage::Normalized => ("normalized", 2),
        };
        if got < expected { Err(Error::Episodes { advantage, expected, got }) } else { Ok(()) }
    }
}

/// The baseline while it moves through the rewards of one update.
pub(crate) struct RewardAverage {
    pub(crate) value: f32,
    pub(crate) started: bool,
}

impl RewardAverage {
    fn of(training: &Training) -> Self {
        Self { value: training.baseline, started: training.started }
    }

    /// Moves the average towards a reward and returns the new value.
    fn update(&mut self, reward: f32, decay: f64) -> f32 {
        self.value -= (1.0 - decay) as f32 * (self.value - reward);
        self.value
    }
}

/// Rewards, baselines and advantages of one update's arcs; `walked` holds their (−ln π, entropy).
pub(crate) fn judge(
    config: &Config,
    baseline: &mut RewardAverage,
    rewarded: &[Rewarded],
    walked: &[(f64, f64)],
) -> Vec<EpisodeStats> {
    let reward = |(rewarded, &(_, entropy)): (&Rewarded, &(f64, f64))| {
        rewarded.value + config.entropy_weight as f32 * entropy as f32
    };
    let rewards: Vec<f32> = rewarded.iter().zip(walked).map(reward).collect();
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
        let (nll, entropy) = (walked[e].0 as f32, walked[e].1 as f32);
        let (reward, baseline, advantage) = (rewards[e], baselines[e], advantages[e]);
        EpisodeStats { log_prob: -nll, entropy, reward, baseline, advantage, loss: nll * advantage }
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

#[cfg(test)]
mod tests {
    use super::*;
    use enas_arc::Arc;
    use enas_rng::Seed;

    fn small(config: Config) -> Controller {
        let config = Config { hidden_size: 16, ..config };
        Controller::new(&config, 3, Seed::new(2)).unwrap()
    }

    fn flat(tensor: &candle_core::Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn numbers(controller: &Controller) -> Vec<f32> {
        controller.state().iter().flat_map(|(_, tensor)| flat(tensor)).collect()
    }

    fn episodes(controller: &Controller, accuracies: &[f32]) -> Vec<Episode> {
        let bounds = controller.config().bounds(0.0);
        let draw = |(i, &accuracy): (usize, &f32)| {
            let mut rng = Seed::new(4).stream("arc", &[i as u64]);
            Episode { arc: controller.sample(bounds, &mut rng).arc, accuracy }
        };
        accuracies.iter().enumerate().map(draw).collect()
    }

    #[test]
    fn a_zero_baseline_sees_one_hundredth_of_the_first_reward() {
        let mut controller = small(Config::reference());
        let bounds = controller.config().bounds(0.0);
        let stats = controller.reinforce(bounds, &episodes(&controller, &[0.5])).unwrap();
        let e = stats.episodes[0];
        assert!((e.reward - (0.5 + 1e-4 * e.entropy)).abs() < 1e-7);
        assert!((e.baseline - 0.01 * e.reward).abs() < 1e-7);
        assert!((stats.loss - -e.log_prob * 0.99 * e.reward).abs() < 1e-5);
    }

    #[test]
    fn a_baseline_from_first_rewards_starts_at_their_mean_and_then_moves_as_ever() {
        let mut controller =
            small(Config { baseline_init: BaselineInit::FirstRewards, ..Config::reference() });
        let bounds = controller.config().bounds(0.0);
        let first = controller.reinforce(bounds, &episodes(&controller, &[0.2, 0.4])).unwrap();
        let (a, b) = (first.episodes[0], first.episodes[1]);
        let start = (a.reward + b.reward) / 2.0;
        assert!((a.baseline - (0.99 * start + 0.01 * a.reward)).abs() < 1e-6);
        assert!((b.baseline - (0.99 * a.baseline + 0.01 * b.reward)).abs() < 1e-6);
        let second = controller.reinforce(bounds, &episodes(&controller, &[1.0])).unwrap();
        let c = second.episodes[0];
        assert!((c.baseline - (0.99 * b.baseline + 0.01 * c.reward)).abs() < 1e-6);
    }

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

    #[test]
    fn an_update_follows_the_mean_gradient() {
        let controller = small(Config::reference());
        let bounds = controller.config().bounds(0.0);
        let episodes = episodes(&controller, &[0.9, 0.1, 0.5]);
        let mut updated = controller.clone();
        let stats = updated.reinforce(bounds, &episodes).unwrap();
        let arcs: Vec<_> = episodes.iter().map(|e| e.arc.clone()).collect();
        let coefficients: Vec<_> = stats.episodes.iter().map(|e| e.advantage / 3.0).collect();
        let gradient = controller.nll_gradient(bounds, &arcs, &coefficients).unwrap();
        let mut expected = controller.clone();
        let gradient: Vec<_> = gradient.iter().map(|(_, tensor)| flat(tensor)).collect();
        expected.policy.training.adam.step_slices(|i| Some(&gradient[i])).unwrap();
        let weights =
            |controller: &Controller| controller.policy.weights.read(|weights| weights.slices.concat());
        assert_ne!(weights(&controller), weights(&expected));
        assert_eq!(weights(&updated), weights(&expected));
    }

    #[test]
    fn a_norm_takes_every_number() {
        let values: Vec<f32> = (1..=35).map(|i| i as f32).collect();
        assert_eq!(norm(&values), 14_910f32.sqrt());
    }

    type Between<'a> = &'a dyn Fn(&mut Controller);

    /// Draws all arcs together, so that the update finds their rollout on the tape; `forget` makes it repeat the
    /// rollout.
    fn drawn_and_updated(forget: bool, between: Between, bounds: [Bounds; 2]) -> Vec<f32> {
        let mut controller = small(Config::reference());
        for update in 0..2 {
            let mut rngs: Vec<_> = (0..3).map(|i| Seed::new(4).stream("arc", &[update, i])).collect();
            let samples = controller.sample_many(bounds[0], &mut rngs);
            between(&mut controller);
            let episodes: Vec<_> = samples
                .into_iter()
                .zip([0.9, 0.1, 0.5])
                .map(|(sample, accuracy)| Episode { arc: sample.arc, accuracy })
                .collect();
            // The second time the same arcs meet other weights.
            for _ in 0..2 {
                if forget {
                    controller.policy.space.clear();
                }
                controller.reinforce(bounds[1], &episodes).unwrap();
            }
        }
        numbers(&controller)
    }

    #[test]
    fn an_update_after_drawing_equals_one_that_walks_again_to_the_bit() {
        let bounds = Config::reference().bounds(0.0);
        let wide = Bounds { tanh_constant: None, temperature: Some(2.0) };
        let other_weights = |controller: &mut Controller| {
            controller.load_state(small(Config::reference()).state()).unwrap();
        };
        let other_arcs = |controller: &mut Controller| {
            let mut rngs: Vec<_> = (0..3).map(|i| Seed::new(5).stream("arc", &[i])).collect();
            controller.sample_many(bounds, &mut rngs);
        };
        let cases: [(Between, _); 4] = [
            (&|_| (), [bounds, bounds]),
            (&|_| (), [bounds, wide]),
            (&other_weights, [bounds, bounds]),
            (&other_arcs, [bounds, bounds]),
        ];
        for (case, (between, bounds)) in cases.into_iter().enumerate() {
            let (kept, again) =
                (drawn_and_updated(false, between, bounds), drawn_and_updated(true, between, bounds));
            assert!(kept.iter().map(|x| x.to_bits()).eq(again.iter().map(|x| x.to_bits())), "case {case}");
        }
    }

    #[test]
    fn unusable_episodes_are_refused_and_change_nothing() {
        let mut controller = small(Config::improved());
        let before = numbers(&controller);
        let bounds = controller.config().bounds(0.0);
        let good = episodes(&controller, &[0.5, 0.6]);
        let none = controller.reinforce(bounds, &[]).unwrap_err();
        assert!(matches!(none, Error::Episodes { expected: 2, got: 0, .. }), "{none}");
        assert!(matches!(controller.reinforce(bounds, &good[..1]), Err(Error::Episodes { got: 1, .. })));
        for accuracy in [1.5, -0.1, f32::NAN] {
            let mut bad = good.clone();
            bad[1].accuracy = accuracy;
            let error = controller.reinforce(bounds, &bad).unwrap_err();
            assert!(matches!(error, Error::Accuracy { position: 1, .. }), "{error}");
        }
        let mut bad = good;
        bad[1].arc = Arc::from_ints(&[0; 8]).unwrap();
        let error = controller.reinforce(bounds, &bad).unwrap_err();
        assert_eq!(error, Error::ArcNodes { position: 1, expected: 3, got: 1 });
        assert_eq!(numbers(&controller), before);
    }
}
