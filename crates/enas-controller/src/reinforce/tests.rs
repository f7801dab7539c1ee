use enas_arc::Arc;
use enas_rng::Seed;
use enas_testing::tensors::flat;

use super::*;
use crate::{BaselineInit, Config};

fn small(config: Config) -> Controller {
    let config = Config { hidden_size: 16, ..config };
    Controller::new(&config, 3, Seed::new(2)).unwrap()
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
    let mut controller = small(Config { baseline_init: BaselineInit::FirstRewards, ..Config::reference() });
    let bounds = controller.config().bounds(0.0);
    let first = controller.reinforce(bounds, &episodes(&controller, &[0.2, 0.4])).unwrap();
    let a = first.episodes[0];
    let b = first.episodes[1];
    let start = (a.reward + b.reward) / 2.0;
    assert!((a.baseline - (0.99 * start + 0.01 * a.reward)).abs() < 1e-6);
    assert!((b.baseline - (0.99 * a.baseline + 0.01 * b.reward)).abs() < 1e-6);
    let second = controller.reinforce(bounds, &episodes(&controller, &[1.0])).unwrap();
    let c = second.episodes[0];
    assert!((c.baseline - (0.99 * b.baseline + 0.01 * c.reward)).abs() < 1e-6);
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
    let weights = |controller: &Controller| controller.policy.weights.read(|weights| weights.slices.concat());
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
                controller.policy.scratch.clear();
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
