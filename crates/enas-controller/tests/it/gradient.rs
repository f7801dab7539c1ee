//! The hand-written backward pass against finite differences, for every variable and kind of policy.

use enas_arc::Arc;
use enas_controller::{Bounds, Config, Controller, OpBias};
use enas_rng::Seed;
use enas_testing::tensors::{Numbers, numbers, tensors};

/// Moves one variable by `distance` along a direction and returns Σ coefficient · -ln π.
fn value(
    controller: &Controller,
    bounds: Bounds,
    weighted: &[(Arc, f32)],
    variable: &str,
    direction: &[f32],
    distance: f32,
) -> f64 {
    let mut moved = controller.clone();
    let mut state = numbers(moved.state());
    let weights = state.iter_mut().find(|tensor| tensor.name == variable).unwrap();
    weights.data.iter_mut().zip(direction).for_each(|(w, d)| *w += distance * d);
    moved.load_state(tensors(&state)).unwrap();
    let terms = weighted
        .iter()
        .map(|(arc, c)| f64::from(*c) * -f64::from(moved.score(bounds, arc).unwrap().log_prob));
    terms.sum()
}

/// Compares slopes along the gradient itself and along two random directions.
fn check(config: &Config, n_nodes: usize, bounds: Bounds, init_scale: f32) {
    let seed = Seed::new(11);
    let mut controller = Controller::new(config, n_nodes, seed).unwrap();
    let mut state = numbers(controller.state());
    for tensor in &mut state {
        if tensor.name.contains("adam") || tensor.name == "softmax/b" {
            continue;
        }
        // Larger weights than the starting ones, so that no part of the network is nearly linear.
        tensor.data.iter_mut().for_each(|w| *w *= init_scale);
    }
    controller.load_state(tensors(&state)).unwrap();
    let weighted: Vec<(Arc, f32)> = [1.0, -0.5, 0.25]
        .iter()
        .enumerate()
        .map(|(i, &c)| (Arc::random(n_nodes, &mut seed.stream("arc", &[i as u64])), c))
        .collect();
    let (arcs, coefficients): (Vec<_>, Vec<_>) = weighted.iter().cloned().unzip();
    for Numbers { name, data: gradient, .. } in
        numbers(controller.nll_gradient(bounds, &arcs, &coefficients).unwrap())
    {
        let mut stream = seed.stream(&name, &[]);
        let mut random = || (0..gradient.len()).map(|_| stream.range(-1.0, 1.0)).collect::<Vec<f32>>();
        let directions = [gradient.clone(), random(), random()];
        let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        for (which, mut direction) in directions.into_iter().enumerate() {
            let length = norm(&direction);
            assert!(length > 0.0, "{name} has no gradient at all");
            direction.iter_mut().for_each(|d| *d = (f64::from(*d) / length) as f32);
            let at = |distance| value(&controller, bounds, &weighted, &name, &direction, distance);
            // The five-point formula: its error falls with the fourth power of the distance.
            let h = 0.04;
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * f64::from(h));
            let got: f64 = gradient.iter().zip(&direction).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
            let allowed = 2e-3 * slope.abs() + 2e-4 * norm(&gradient).max(1.0);
            assert!((got - slope).abs() < allowed, "{name}, direction {which}: {got} is not {slope}");
        }
    }
}

#[test]
fn the_published_kind_of_policy_has_the_right_gradient_for_every_variable() {
    let config = Config { hidden_size: 16, ..Config::reference() };
    check(&config, 5, config.bounds(0.0), 5.0);
}

#[test]
fn a_free_bias_and_moved_bounds_have_the_right_gradient() {
    let config = Config { hidden_size: 12, ..Config::improved() };
    check(&config, 4, Bounds { tanh_constant: Some(1.7), temperature: Some(0.8) }, 5.0);
}

#[test]
fn unbounded_logits_and_three_layers_have_the_right_gradient() {
    let config = Config {
        hidden_size: 10,
        lstm_layers: 3,
        tanh_constant: None,
        temperature: Some(2.0),
        op_bias: OpBias::Zero,
        ..Config::reference()
    };
    check(&config, 3, config.bounds(0.0), 5.0);
}
