use enas_arc::{MacroArc, MacroArcSpace, MacroOp};

use super::backward::LossWeights;
use super::*;
use crate::{RewardedChoices, Skip};

const LAYERS: usize = 5;

fn policy(config: Config) -> MacroPolicy {
    MacroPolicy::new(&Config { hidden_size: 6, ..config }, LAYERS, Seed::new(3)).unwrap()
}

fn reference() -> MacroPolicy {
    policy(Config::macro_reference())
}

fn streams(n: u64) -> impl Iterator<Item = Stream> {
    (0..n).map(|i| Seed::new(9).stream("draw", &[i]))
}

fn arc_of(draw: &SampledChoices) -> MacroArc {
    MacroArc::from_ints(&draw.choices.iter().map(|&choice| choice as i64).collect::<Vec<_>>()).unwrap()
}

#[test]
fn draws_are_arcs_and_their_scores_are_their_probabilities() {
    let policy = reference();
    let bounds = policy.config().bounds(0.0);
    for mut stream in streams(20) {
        let draw = policy.sample(bounds, &mut stream);
        assert_eq!(arc_of(&draw).n_layers(), LAYERS);
        assert_eq!(policy.score(bounds, &draw.choices).unwrap(), draw);
    }
    let likeliest = policy.most_likely(bounds);
    assert_eq!(policy.score(bounds, &likeliest.choices).unwrap(), likeliest);
}

#[test]
fn probabilities_of_all_arcs_of_two_layers_sum_to_one() {
    let config = Config { hidden_size: 4, ..Config::macro_reference() };
    let policy = MacroPolicy::new(&config, 2, Seed::new(5)).unwrap();
    let bounds = config.bounds(0.0);
    let of = |i: usize| policy.score(bounds, &[i / 12, i / 2 % 6, i % 2]).unwrap().log_prob;
    let sum: f64 = (0..72).map(|i| f64::from(of(i)).exp()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

/// The loss whose gradient is tested, in double precision.
fn loss(policy: &MacroPolicy, bounds: Bounds, choices: &[usize], weights: LossWeights) -> f64 {
    let rollout = policy.rollout_of(bounds, choices);
    f64::from(weights.nll) * rollout.nll + f64::from(weights.penalty) * rollout.penalty
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    let mut policy = reference();
    // Values far from zero, so that every derivative matters.
    for values in policy.weights.values_mut() {
        values.iter_mut().for_each(|w| *w *= 6.0);
    }
    let bounds = Bounds { tanh_constant: Some(1.5), temperature: Some(1.3) };
    let weights = LossWeights { nll: 0.7, penalty: 0.9 };
    let choices = policy.sample(bounds, &mut Seed::new(4).stream("draw", &[0])).choices;
    let mut gradient = MacroWeights::zeros(6);
    policy.add_gradient(&policy.rollout_of(bounds, &choices), weights, &mut gradient);
    const STEP: f32 = 4e-3;
    for (number, analytic) in gradient.values_mut().into_iter().enumerate() {
        for position in (0..analytic.len()).step_by(analytic.len().div_ceil(9)) {
            let at = |change: f32| {
                let mut moved = policy.clone();
                moved.weights.values_mut()[number][position] += change;
                loss(&moved, bounds, &choices, weights)
            };
            let numeric = (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP);
            let found = f64::from(analytic[position]);
            assert!(
                (found - numeric).abs() < 2e-3 + 0.02 * numeric.abs(),
                "variable {number}, position {position}: {found} is not {numeric}"
            );
        }
    }
}

fn update(policy: &mut MacroPolicy, number: u64, worth: fn(&MacroArc) -> f32) -> Vec<MacroArc> {
    let bounds = policy.config().bounds(0.0);
    let seed = Seed::new(7).stream("update", &[number]).seed();
    let draws: Vec<SampledChoices> =
        (0..10).map(|i| policy.sample(bounds, &mut seed.stream("draw", &[i]))).collect();
    let arcs: Vec<MacroArc> = draws.iter().map(arc_of).collect();
    let rewarded = |(draw, arc): (SampledChoices, &MacroArc)| RewardedChoices {
        choices: draw.choices,
        value: worth(arc),
    };
    let rewarded: Vec<RewardedChoices> = draws.into_iter().zip(&arcs).map(rewarded).collect();
    policy.reinforce(bounds, &rewarded).unwrap();
    arcs
}

#[test]
fn rewarded_operations_become_likelier() {
    let config =
        Config { lr: 0.05, advantage: crate::Advantage::Normalized, skip: None, ..Config::macro_reference() };
    let mut policy = policy(config);
    let share = |arc: &MacroArc| {
        let pools = arc.layers().iter().filter(|layer| layer.op == MacroOp::AvgPool3x3).count();
        pools as f32 / LAYERS as f32
    };
    let mean = |arcs: Vec<MacroArc>| arcs.iter().map(share).sum::<f32>() / 10.0;
    let first = mean(update(&mut policy, 0, share));
    (1..150).for_each(|number| drop(update(&mut policy, number, share)));
    let last = mean(update(&mut policy, 150, share));
    // With a bound of 1.5, the most likely of six operations has a probability of at most four fifths.
    assert!(first < 0.4 && last > 0.5, "{first} {last}");
}

#[test]
fn the_penalty_draws_the_share_of_skips_to_its_target() {
    for (target, expected) in [(0.2, 0.0..0.3), (0.8, 0.7..1.0)] {
        let skip = Some(Skip { weight: 5.0, target });
        let mut policy = policy(Config { lr: 0.02, skip, ..Config::macro_reference() });
        let mut share = 0.0;
        for number in 0..300 {
            let arcs = update(&mut policy, number, |_| 0.0);
            share = arcs.iter().map(MacroArc::skip_rate).sum::<f64>() / 10.0;
        }
        assert!(expected.contains(&share), "{share} with the target {target}");
    }
}

/// The state as numbers that can be compared.
fn numbers(policy: &MacroPolicy) -> Vec<(String, Vec<f32>)> {
    let numbers = |tensor: candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    policy.state().into_iter().map(|(name, tensor)| (name, numbers(tensor))).collect()
}

#[test]
fn a_restored_policy_goes_on_as_if_never_interrupted() {
    let mut first = reference();
    let mut second = policy(Config { lr: 0.001, ..Config::macro_reference() });
    (0..3).for_each(|number| drop(update(&mut first, number, |arc| arc.skip_rate() as f32)));
    second.load_state(first.state()).unwrap();
    for policy in [&mut first, &mut second] {
        update(policy, 3, |arc| arc.skip_rate() as f32);
    }
    assert_eq!(numbers(&first), numbers(&second));
    assert_eq!((second.updates(), second.baseline()), (4, first.baseline()));
    let mut missing = first.state();
    missing.pop();
    assert!(matches!(second.load_state(missing), Err(Error::MissingTensor(_))));
}

#[test]
fn what_is_not_an_arc_of_the_policy_is_refused() {
    let mut policy = reference();
    let bounds = policy.config().bounds(0.0);
    let arc = MacroArc::random(LAYERS + 1, &mut Seed::new(1).stream("arc", &[])).to_ints();
    assert!(matches!(policy.score(bounds, &arc), Err(Error::Choices { expected: 15, got: 21, .. })));
    let mut choices = policy.most_likely(bounds).choices;
    choices[2] = 2;
    assert!(matches!(policy.score(bounds, &choices), Err(Error::Choice { decision: 2, n_choices: 2, .. })));
    choices[2] = 1;
    let nan = [RewardedChoices { choices, value: f32::NAN }];
    assert!(matches!(policy.reinforce(bounds, &nan), Err(Error::Reward { .. })));
    assert!(matches!(policy.reinforce(bounds, &[]), Err(Error::Episodes { .. })));
    let stacked = Config { lstm_layers: 2, ..Config::macro_reference() };
    assert!(MacroPolicy::new(&stacked, 3, Seed::new(1)).is_err());
    assert!(MacroPolicy::new(&Config::macro_reference(), 0, Seed::new(1)).is_err());
    assert!(MacroArcSpace { n_layers: LAYERS }.size() > 1.0);
}
