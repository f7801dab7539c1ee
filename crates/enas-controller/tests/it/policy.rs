//! The untrained policy's numbers, and that training moves it.

use enas_arc::{Arc, ArcSpace, Cell, Op};
use enas_controller::{Config, Controller, Episode, Sample};
use enas_rng::Seed;
use enas_testing::tensors::numbers;

fn published(seed: u64) -> Controller {
    Controller::new(&Config::reference(), 5, Seed::new(seed)).unwrap()
}

/// Separable convolutions of a cell, both sides of every node.
fn convolutions(cell: &Cell) -> usize {
    let ops = cell.nodes().iter().flat_map(|node| [node.x.op, node.y.op]);
    ops.filter(|op| matches!(op, Op::SepConv3x3 | Op::SepConv5x5)).count()
}

#[test]
fn an_untrained_published_policy_has_the_known_entropy_and_likelihood() {
    for seed in 0..3 {
        let controller = published(seed);
        let bounds = controller.config().bounds(0.0);
        for draw in 0..5 {
            let sample = controller.sample(bounds, &mut Seed::new(seed).stream("arc", &[draw]));
            assert!((sample.entropy - 57.187).abs() < 0.005, "seed {seed}: {}", sample.entropy);
            let (k1, k2) =
                (convolutions(sample.arc.normal()) as f32, convolutions(sample.arc.reduction()) as f32);
            let nll = 26.317 + 1.1543 * k1 + 2.0943 * (10.0 - k1) + 1.3692 * k2 + 1.8092 * (10.0 - k2);
            // Around the formula the starting weights leave a standard deviation of 0.0064.
            assert!((-sample.log_prob - nll).abs() < 0.03, "seed {seed}: {} is not {nll}", -sample.log_prob);
        }
    }
}

#[test]
fn an_untrained_published_policy_prefers_convolutions_as_far_as_it_may() {
    let controller = published(0);
    let bounds = controller.config().bounds(0.0);
    let arc = controller.most_likely(bounds).arc;
    let decisions = controller.decisions(bounds, &arc).unwrap();
    let (normal, reduction) = decisions.split_at(20);
    let expected = [[0.3153, 0.3153, 0.1231, 0.1231, 0.1231], [0.2543, 0.2543, 0.1638, 0.1638, 0.1638]];
    for (cell, expected) in [normal, reduction].into_iter().zip(expected) {
        for op in cell.iter().skip(1).step_by(2) {
            let close = op.probabilities.iter().zip(expected).all(|(p, e)| (p - e).abs() < 0.005);
            assert!(close, "{:?} is not {expected:?}", op.probabilities);
        }
    }
}

#[test]
fn the_published_bias_of_convolutions_can_never_learn() {
    let controller = published(1);
    let bounds = controller.config().bounds(0.0);
    let arcs: Vec<Arc> = (0..4).map(|i| Arc::random(5, &mut Seed::new(1).stream("arc", &[i]))).collect();
    let gradients = numbers(controller.nll_gradient(bounds, &arcs, &[1.0; 4]).unwrap());
    let of = |name: &str| &gradients.iter().find(|tensor| tensor.name == name).unwrap().data;
    let bias = of("softmax/b");
    assert_eq!(bias[..2], [0.0, 0.0]);
    assert!(bias[2..].iter().all(|&g| g != 0.0));
    assert!(of("softmax/w").chunks(5).all(|row| row[0] == 0.0 && row[1] == 0.0));
}

#[test]
fn without_bias_and_bounds_near_zero_all_arcs_are_equally_likely() {
    let controller = Controller::new(&Config::improved(), 5, Seed::new(0)).unwrap();
    let bounds = enas_controller::Bounds { tanh_constant: Some(1e-6), temperature: None };
    // What is left is the constant bias of the normal cell.
    let normal_ops = 10.0 * {
        let high = 0.25f64.exp();
        let low = (-0.25f64).exp();
        let sum = 2.0 * high + 3.0 * low;
        sum.ln() - (2.0 * high * 0.25 - 3.0 * low * 0.25) / sum
    };
    let expected = ArcSpace { n_nodes: 5 }.max_entropy() - 10.0 * 5f64.ln() + normal_ops;
    let entropy = controller.most_likely(bounds).entropy;
    assert!((f64::from(entropy) - expected).abs() < 1e-4, "{entropy} is not {expected}");
}

/// Trains with the share of some operations as accuracy; returns its mean over the first and the last twenty updates.
fn share_of(ops: &[Op], config: &Config, updates: u64) -> (f32, f32) {
    let seed = Seed::new(7);
    // A few times the published rate, to keep the test short.
    let config = Config { hidden_size: 16, lr: 0.02, ..config.clone() };
    let mut controller = Controller::new(&config, 3, seed).unwrap();
    let mut shares = vec![];
    for update in 0..updates {
        let bounds = config.bounds(update as f64 / updates as f64);
        let mut rngs: Vec<_> =
            (0..config.aggregate as u64).map(|i| seed.stream("arc", &[update, i])).collect();
        let rewarded = |sample: Sample| {
            let nodes =
                [sample.arc.normal(), sample.arc.reduction()].map(|cell| cell.nodes().to_vec()).concat();
            let hits =
                nodes.iter().flat_map(|node| [node.x.op, node.y.op]).filter(|op| ops.contains(op)).count();
            Episode { arc: sample.arc, accuracy: hits as f32 / 12.0 }
        };
        let episodes: Vec<_> = controller.sample_many(bounds, &mut rngs).into_iter().map(rewarded).collect();
        shares.push(controller.reinforce(bounds, &episodes).unwrap().mean_accuracy);
    }
    let mean = |shares: &[f32]| shares.iter().sum::<f32>() / shares.len() as f32;
    (mean(&shares[..20]), mean(&shares[shares.len() - 20..]))
}

#[test]
fn rewarded_operations_become_frequent_under_the_published_settings() {
    let (start, end) = share_of(&[Op::SepConv3x3, Op::SepConv5x5], &Config::reference(), 120);
    // An untrained policy takes 0.57 and the bounds allow 0.67; the means are within 0.015 or so.
    assert!(end > start + 0.03, "{start} to {end}");
}

#[test]
fn a_rewarded_operation_becomes_the_rule_under_the_improved_settings() {
    let (start, end) = share_of(&[Op::Identity], &Config::improved(), 80);
    assert!(start < 0.4 && end > 0.8, "{start} to {end}");
}

#[test]
fn only_a_bias_that_can_learn_tells_the_two_convolutions_apart() {
    let (_, published) = share_of(&[Op::SepConv5x5], &Config::reference(), 80);
    let (_, improved) = share_of(&[Op::SepConv5x5], &Config::improved(), 80);
    assert!(published < 0.37, "bounded by 0.363, got {published}");
    assert!(improved > 0.7, "{improved}");
}
