//! Training settings of the finals: those of the search at the highest rate of its schedule. The rate falls only in
//! the last round.

use enas_child::schedule::{Schedule, Staircase};
use enas_child::{AuxHead, Config as ChildConfig};
use enas_run::config::{
    FinalsConfig, Keep, Metric, RefitConfig, RunConfig, SearchConfig, TimeLimit, TrainConfig,
};

/// Cumulative steps per candidate after each round, as multiples of `finals.steps`.
pub(crate) const ROUNDS: [u64; 3] = [1, 3, 10];
/// Share of the first round with a rising learning rate (linear warm-up).
const WARMUP: f64 = 0.1;
/// Batches for BN statistics re-estimation before a network is evaluated.
pub(super) const BN_BATCHES: u64 = 4;

/// Total steps of all networks of the finals.
pub(crate) fn steps_of_all(finals: &FinalsConfig) -> u64 {
    if !finals.are_wanted() {
        return 0;
    }
    let n = (finals.drawn() + finals.mutants) as u64;
    let [first, second, third] = ROUNDS;
    let to_compare = if finals.controls > 0 { finals.controls as u64 + 2 } else { 0 };
    let times =
        n * first + n.div_ceil(4) * (second - first) + n.div_ceil(16) * (third - second) + to_compare * third;
    times * finals.steps
}

/// The training settings of a candidate; an epoch has `steps_per_epoch` steps.
pub(crate) fn recipe(config: &SearchConfig, steps_per_epoch: u64) -> TrainConfig {
    let SearchConfig { run, data, child, schedule, finals, .. } = config;
    let highest = match schedule {
        Schedule::Cosine(cosine) => cosine.lr_max,
        Schedule::Staircase(stairs) => stairs.lr,
    };
    let epoch = steps_per_epoch.max(1);
    let steady = Staircase {
        lr: highest,
        rate: 1.0,
        every: 1,
        warmup_epochs: WARMUP * finals.steps as f64 / epoch as f64,
    };
    TrainConfig {
        keep: Keep::Last,
        metric: Metric::Accuracy,
        refit: RefitConfig::default(),
        run: RunConfig {
            epochs: (ROUNDS[2] * finals.steps).div_ceil(epoch).max(2),
            time: TimeLimit(None),
            bn_reestimate: BN_BATCHES,
            ..run.clone()
        },
        data: data.clone(),
        child: ChildConfig {
            filters: finals.filters.unwrap_or(child.filters),
            layers: finals.layers.unwrap_or(child.layers),
            aux_head: AuxHead::Off,
            drop_path_keep: 1.0,
            ..child.clone()
        },
        // The finals train cells only.
        macro_net: None,
        schedule: Schedule::Staircase(steady),
    }
}
