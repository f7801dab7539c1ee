//! Which architectures the shared weights are trained with before, and beside, those of the policy.
//!
//! A reward compares architectures by weights that were trained unequally often: the row of a late node, an operation and
//! an input is hit by one step in 5·(nodes + 1), while pools and identities need no training at all. Rewards from the
//! first step on therefore favour architectures without convolutions, which are then trained even less.

use enas_arc::{Arc, Op};
use enas_rng::Seed;

use crate::config::WarmupConfig;

/// Steps of the warm-up: as many as the least sampled row needs to be expected to have had all its updates.
pub(super) fn steps(config: &WarmupConfig, nodes: usize) -> u64 {
    (Op::ALL.len() as u64 * (nodes as u64 + 1)).saturating_mul(config.updates)
}

/// The architecture of a step, drawn fairly: inputs uniformly, and operations so that any five steps in a row, counted from
/// a multiple of five, use each operation of each branch once (strict fairness; Chu et al., ICCV 2021).
pub(super) fn fair_arc(nodes: usize, seed: Seed, step: u64) -> Arc {
    let n_ops = Op::ALL.len();
    let (group, turn) = (step / n_ops as u64, (step % n_ops as u64) as usize);
    let mut inputs = seed.stream("search/fair-inputs", &[step]);
    let mut operations = seed.stream("search/fair-operations", &[group]);
    let mut numbers = Vec::with_capacity(8 * nodes);
    for node in (0..nodes).chain(0..nodes) {
        for _side in 0..2 {
            let mut order: Vec<i64> = (0..n_ops as i64).collect();
            operations.shuffle(&mut order);
            numbers.push(inputs.below(node + 2) as i64);
            numbers.push(order[turn]);
        }
    }
    Arc::from_ints(&numbers).expect("every number is one of those that its position allows")
}

/// Whether the architecture of a step after the warm-up is drawn fairly all the same.
pub(super) fn is_fair_turn(config: &WarmupConfig, seed: Seed, step: u64) -> bool {
    config.fair > 0.0 && seed.stream("search/fair-turn", &[step]).uniform() < config.fair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_steps_use_every_operation_of_every_branch_once() {
        for group in 0..20 {
            let arcs: Vec<Vec<usize>> =
                (0..5).map(|turn| fair_arc(5, Seed::new(3), 5 * group + turn).to_ints()).collect();
            for branch in 0..20 {
                let mut ops: Vec<usize> = arcs.iter().map(|ints| ints[2 * branch + 1]).collect();
                ops.sort_unstable();
                assert_eq!(ops, [0, 1, 2, 3, 4]);
            }
        }
    }

    #[test]
    fn every_row_has_had_its_updates_after_the_warm_up() {
        let config = WarmupConfig { updates: 40, ..WarmupConfig::default() };
        let steps = steps(&config, 3);
        assert_eq!(steps, 5 * 4 * 40);
        // The rows of the last node: input and operation of each of its two sides.
        let mut counts = [[0u64; 5]; 4];
        for step in 0..steps {
            let ints = fair_arc(3, Seed::new(1), step).to_ints();
            counts[ints[8]][ints[9]] += 1;
        }
        let least = counts.iter().flatten().min().unwrap();
        assert!((25..=40).contains(least), "{counts:?}");
    }

    #[test]
    fn so_many_turns_are_fair_as_are_asked_for() {
        let config = WarmupConfig { fair: 0.3, ..WarmupConfig::default() };
        let fair = (0..10_000).filter(|&step| is_fair_turn(&config, Seed::new(2), step)).count();
        assert!((2800..3200).contains(&fair), "{fair}");
        assert!(!is_fair_turn(&WarmupConfig::default(), Seed::new(2), 7));
    }
}
