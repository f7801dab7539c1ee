//! Policies over plans other than the cells of the ENAS micro search.

use enas_controller::{Bounds, Config, Controller, Error, OpBias, Plan, PlanStep, Policy, RewardedChoices};
use enas_rng::{Seed, Stream};
use enas_testing::tensors::{Numbers, numbers, tensors};

fn op(decision: usize, first: usize, n_choices: usize) -> PlanStep {
    PlanStep::Op { decision, first, n_choices }
}

/// Every kind of step: two inputs that feed or not, decisions out of order, parts of a vocabulary that overlap, a state
/// that nobody reads, and a bias.
fn mixed() -> Plan {
    let index = |decision, first, n_choices| PlanStep::Index { decision, first, n_choices };
    let key = |feeds| PlanStep::Key { feeds };
    let steps = vec![
        key(false),
        key(true),
        index(1, 0, 2),
        op(0, 0, 3),
        key(true),
        key(true),
        index(2, 1, 2),
        op(3, 2, 4),
        op(4, 0, 1),
    ];
    Plan::new(steps).unwrap().with_bias(3, &[0.5, -0.5, 0.0, 0.25]).unwrap()
}

fn policy(plan: Plan, config: &Config) -> Policy {
    Policy::new(&Config { hidden_size: 12, ..config.clone() }, plan, Seed::new(5)).unwrap()
}

fn streams(n: u64) -> Vec<Stream> {
    (0..n).map(|i| Seed::new(9).stream("draw", &[i])).collect()
}

/// All vectors of choices of a plan.
fn all(plan: &Plan) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &n in plan.n_choices() {
        let longer = |choices: Vec<usize>| (0..n).map(move |choice| [&choices[..], &[choice]].concat());
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

#[test]
fn a_plan_counts_its_decisions_and_choices() {
    assert_eq!(mixed().n_choices(), [3, 2, 2, 4, 1]);
    assert_eq!((mixed().vocabulary(), all(&mixed()).len()), (6, 48));
    let columns = Plan::of_choices(&[3, 1, 4]).unwrap();
    assert_eq!((columns.vocabulary(), columns.steps().len()), (8, 3));
}

#[test]
fn probabilities_of_all_vectors_sum_to_one_and_draws_score_as_they_were_drawn() {
    for plan in [mixed(), Plan::of_choices(&[3, 2, 4]).unwrap()] {
        let policy = policy(plan, &Config::improved());
        let bounds = policy.config().bounds(0.5);
        let probability =
            |choices: &Vec<usize>| f64::from(policy.score(bounds, choices).unwrap().log_prob).exp();
        let sum: f64 = all(policy.plan()).iter().map(probability).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        let together = policy.sample_many(bounds, &mut streams(7));
        for (draw, mut stream) in together.into_iter().zip(streams(7)) {
            assert_eq!(policy.sample(bounds, &mut stream), draw);
            assert_eq!(policy.score(bounds, &draw.choices).unwrap(), draw);
        }
    }
}

#[test]
fn gradients_equal_finite_differences_for_every_variable() {
    let zero = Config { op_bias: OpBias::Zero, tanh_constant: None, lstm_layers: 2, ..Config::reference() };
    for (plan, config) in [
        (mixed(), Config::improved()),
        (mixed(), zero.clone()),
        (Plan::of_choices(&[3, 2, 4]).unwrap(), zero),
    ] {
        let mut policy = policy(plan, &config);
        let mut state = numbers(policy.state());
        for Numbers { name, data, .. } in &mut state {
            let scale = if name.contains("adam") { 1.0 } else { 4.0 };
            data.iter_mut().for_each(|w| *w *= scale);
        }
        policy.load_state(tensors(&state)).unwrap();
        let bounds = Bounds { tanh_constant: config.tanh_constant, temperature: Some(0.9) };
        let vectors: Vec<Vec<usize>> = all(policy.plan()).into_iter().step_by(11).take(3).collect();
        let coefficients = [1.0, -0.5, 0.25];
        for Numbers { name, data: gradient, .. } in
            numbers(policy.nll_gradient(bounds, &vectors, &coefficients).unwrap())
        {
            let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            if norm == 0.0 {
                // What a plan without index decisions does not use.
                assert!(name.starts_with("attention/"), "{name} has no gradient");
                continue;
            }
            let at = |distance: f64| {
                let mut moved = policy.clone();
                let mut state = numbers(moved.state());
                let weights = &mut state.iter_mut().find(|tensor| tensor.name == name).unwrap().data;
                weights
                    .iter_mut()
                    .zip(&gradient)
                    .for_each(|(w, g)| *w += (distance * f64::from(*g) / norm) as f32);
                moved.load_state(tensors(&state)).unwrap();
                let nll = |v: &Vec<usize>| -f64::from(moved.score(bounds, v).unwrap().log_prob);
                vectors.iter().zip(coefficients).map(|(v, c)| f64::from(c) * nll(v)).sum::<f64>()
            };
            let h = 0.03;
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            assert!((slope - norm).abs() < 5e-3 * norm + 3e-4, "{name}: {norm} is not {slope}");
        }
    }
}

#[test]
fn a_rewarded_combination_is_learned() {
    let mut policy = policy(mixed(), &Config { lr: 0.05, ..Config::improved() });
    let worth =
        |choices: &[usize]| (choices[0] == 2) as u32 + (choices[2] == 1) as u32 + (choices[3] == 3) as u32;
    for update in 0..100u32 {
        let bounds = policy.config().bounds(f64::from(update) / 100.0);
        let mut rngs: Vec<_> =
            (0..10u64).map(|i| Seed::new(1).stream("draw", &[u64::from(update), i])).collect();
        let rewarded = policy.sample_many(bounds, &mut rngs).into_iter();
        // Any finite number is a reward, not only fractions.
        let rewarded = rewarded
            .map(|d| RewardedChoices { value: 100.0 * worth(&d.choices) as f32 - 50.0, choices: d.choices });
        policy.reinforce(bounds, &rewarded.collect::<Vec<_>>()).unwrap();
    }
    assert_eq!(worth(&policy.most_likely(policy.config().bounds(1.0)).choices), 3);
}

#[test]
fn the_micro_plan_is_the_controllers() {
    let config = Config { hidden_size: 16, ..Config::improved() };
    let controller = Controller::new(&config, 3, Seed::new(2)).unwrap();
    let policy = Policy::new(&config, Plan::micro(3).unwrap(), Seed::new(2)).unwrap();
    assert_eq!(numbers(controller.state()), numbers(policy.state()));
    let bounds = config.bounds(0.0);
    let (arcs, draws) =
        (controller.sample_many(bounds, &mut streams(5)), policy.sample_many(bounds, &mut streams(5)));
    for (arc, draw) in arcs.iter().zip(draws) {
        assert_eq!((arc.arc.to_ints(), arc.log_prob), (draw.choices, draw.log_prob));
    }
}

#[test]
fn choices_and_rewards_that_do_not_exist_are_refused_and_change_nothing() {
    let mut policy = policy(Plan::of_choices(&[3, 2]).unwrap(), &Config::improved());
    let bounds = policy.config().bounds(0.0);
    assert_eq!(policy.score(bounds, &[1]), Err(Error::Choices { position: 0, expected: 2, got: 1 }));
    let error = policy.score(bounds, &[1, 2]).unwrap_err();
    assert_eq!(error, Error::Choice { position: 0, decision: 1, choice: 2, n_choices: 2 });
    let before = numbers(policy.state());
    let rewarded = |value, choice| RewardedChoices { choices: vec![choice, 0], value };
    for (second, place) in [(rewarded(f32::NAN, 0), "reward 1"), (rewarded(0.5, 3), "vector 1, decision 0")] {
        let error = policy.reinforce(bounds, &[rewarded(0.1, 1), second]).unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
    assert!(matches!(policy.reinforce(bounds, &[rewarded(0.1, 1)]), Err(Error::Episodes { got: 1, .. })));
    assert!(matches!(policy.nll_gradient(bounds, &[vec![9, 9]], &[1.0]), Err(Error::Choice { .. })));
    assert_eq!(numbers(policy.state()), before);
}
