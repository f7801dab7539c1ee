//! The warm-up: training steps of the shared weights with fairly drawn architectures, before and between those of the
//! policy.
//!
//! Shared weights are trained unequally often. In the micro space a weight row of the last node belongs to one
//! operation and one input, so one step in 5·(nodes + 1) trains it; pools and identities need no training at all.
//! Rewards from the first step on therefore favour architectures without convolutions, and the policy then trains
//! convolutions even less.

use enas_rng::Seed;
use enas_run::config::WarmupConfig;

use super::space::ImageSpace;

/// Steps of the warm-up: the expected number after which the least sampled weight row has had `config.updates`
/// updates.
pub(super) fn steps(config: &WarmupConfig, space: &ImageSpace) -> u64 {
    space.sharers().saturating_mul(config.updates)
}

/// Whether this step after the warm-up uses a fair draw instead of a proposal of the strategy.
pub(super) fn is_fair_turn(config: &WarmupConfig, seed: Seed, step: u64) -> bool {
    config.fair > 0.0 && seed.stream("search/fair-turn", &[step]).uniform() < config.fair
}

#[cfg(test)]
mod tests {
    use enas_arc::Arch;
    use enas_strategy::{MacroSpace, MicroSpace};

    use super::*;

    fn cells(nodes: usize) -> ImageSpace {
        ImageSpace::Micro(MicroSpace::new(nodes).unwrap())
    }

    fn fair_ints(space: &ImageSpace, seed: Seed, step: u64) -> Vec<usize> {
        match space.fair(seed, step) {
            Arch::Micro(arc) => arc.to_ints(),
            Arch::Macro(arc) => arc.to_ints(),
        }
    }

    #[test]
    fn six_steps_use_every_operation_of_every_layer_once() {
        let space = ImageSpace::Macro(MacroSpace::new(4).unwrap());
        let arcs: Vec<Vec<usize>> = (6..12).map(|step| fair_ints(&space, Seed::new(3), step)).collect();
        for place in [0, 1, 3, 6] {
            let mut ops: Vec<usize> = arcs.iter().map(|ints| ints[place]).collect();
            ops.sort_unstable();
            assert_eq!(ops, [0, 1, 2, 3, 4, 5]);
        }
        assert_eq!(steps(&WarmupConfig { updates: 7, ..WarmupConfig::default() }, &space), 42);
    }

    #[test]
    fn five_steps_use_every_operation_of_every_branch_once() {
        for group in 0..20 {
            let arcs: Vec<Vec<usize>> =
                (0..5).map(|turn| fair_ints(&cells(5), Seed::new(3), 5 * group + turn)).collect();
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
        let steps = steps(&config, &cells(3));
        assert_eq!(steps, 5 * 4 * 40);
        // The weight rows of the last node: input and operation of its first branch.
        let mut counts = [[0u64; 5]; 4];
        for step in 0..steps {
            let ints = fair_ints(&cells(3), Seed::new(1), step);
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
