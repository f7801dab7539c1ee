//! The division of an automatic run's time among its phases.

use std::time::Duration;

use enas_run::auto::AutoPlan;
use enas_run::config::TimeLimit;
use enas_run::directory::run::FollowUpWork;

use super::costs::Work;

/// Maximum share of the time for the first model.
const FIRST: f64 = 0.06;
/// Share of the remaining time that the search may take even if the training could use it.
const SEARCH: f64 = 0.45;
/// The same share if there is time for fewer than [`FEW_STEPS`] training steps; the search then has finals only.
const FINALS: f64 = 0.25;
/// Number of training steps below which shared weights learn too little.
const FEW_STEPS: f64 = 15_000.0;

/// Divides what `limit` leaves after `spent` seconds. Without a limit, or if everything fits, every phase gets
/// the time that its configuration asks for.
pub(super) fn divide(limit: Option<f64>, spent: f64, work: &Work, finish: f64) -> AutoPlan {
    let finish = finish + work.predict;
    let whole = AutoPlan {
        first: work.first,
        search: work.search,
        train: work.train,
        finish,
        searches: true,
        network: None,
        possible_steps: None,
    };
    let Some(limit) = limit else { return whole };
    let left = (limit - spent - finish).max(0.0);
    let first = work.first.min(FIRST * left);
    let rest = left - first;
    let share = if left < FEW_STEPS * work.step { FINALS } else { SEARCH };
    // The search gets what the training does not need, but at least its share of the rest.
    let search = work.search.min((rest - work.train).max(share * rest));
    AutoPlan { first, search, train: work.train.min(rest - search), ..whole }
}

/// A plan with a training only: `train` seconds, or what `limit` leaves after `spent` seconds.
pub(super) fn without_search(limit: Option<f64>, spent: f64, train: f64, finish: f64) -> AutoPlan {
    let left = limit.map_or(f64::INFINITY, |limit| (limit - spent - finish).max(0.0));
    let searches = false;
    let network = None;
    let possible_steps = None;
    AutoPlan { first: 0.0, search: 0.0, train: train.min(left), finish, searches, network, possible_steps }
}

/// The time of a phase. A limit has whole seconds; the rest of its last second is for work after the phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PhaseTime {
    pub(super) limit: TimeLimit,
    pub(super) follow_up: FollowUpWork,
}

impl PhaseTime {
    /// The time of a phase of `seconds`; `None` for no limit. One second is the minimum, enough for one step and a
    /// model.
    pub(super) fn of(seconds: Option<f64>) -> Self {
        let seconds = seconds.map(|seconds| seconds.max(1.0));
        let limit = TimeLimit(seconds.map(|seconds| Duration::from_secs(seconds.ceil() as u64)));
        let rest = seconds.map_or(0.0, |seconds| seconds.ceil() - seconds);
        Self { limit, follow_up: FollowUpWork { images: 0, seconds: rest } }
    }
}

/// Says that the limit leaves too little time for one epoch of `steps` steps in each training, and which one would
/// do. `left` of the limit are left after `spent` seconds.
pub(super) fn report_short_limit(plan: &AutoPlan, spent: f64, left: f64, steps: u64) {
    let Some(needed) = shortest(plan, left, steps).filter(|needed| *needed > left) else { return };
    tracing::warn!(
        "the time limit is short: with about {} s every training would complete an epoch; the models will have learned \
         from a part of the images",
        (spent + needed).ceil()
    );
}

/// Seconds of one epoch of each training, and of what follows; `None` without a limit.
fn shortest(plan: &AutoPlan, left: f64, steps: u64) -> Option<f64> {
    // Both are negative if the images took longer to read than the limit allows.
    let step = (left / plan.possible_steps?).abs();
    let epoch = steps as f64 * Some(step).filter(|step| step.is_finite())?;
    // The training of a search takes about half of the time.
    let times = if plan.searches { 2.0 } else { 1.0 };
    Some(plan.finish + times * epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_phase_is_kept_to_a_fraction_of_a_second() {
        let time = PhaseTime::of(Some(13.25));
        assert_eq!((time.limit.to_string(), time.follow_up.seconds), ("14s".to_owned(), 0.75));
        assert_eq!(PhaseTime::of(Some(-3.0)).limit.to_string(), "1s");
        assert_eq!(PhaseTime::of(None).limit, TimeLimit(None));
    }

    #[test]
    fn the_shortest_limit_has_time_for_an_epoch_and_the_end() {
        let plan = AutoPlan { possible_steps: Some(200.0), ..without_search(Some(20.0), 0.0, 1e9, 3.0) };
        assert_eq!(shortest(&plan, 20.0, 100), Some(3.0 + 10.0));
        let late = AutoPlan { possible_steps: Some(-200.0), ..plan };
        assert_eq!(shortest(&late, -20.0, 100), Some(3.0 + 10.0));
        assert_eq!(shortest(&plan, f64::INFINITY, 100), None);
    }

    const WORK: Work = Work { first: 50.0, search: 1000.0, train: 1000.0, predict: 1.0, step: 0.1 };

    #[test]
    fn without_a_limit_every_phase_does_what_it_wants() {
        assert_eq!(divide(None, 9.0, &WORK, 5.0).total(), 2056.0);
    }

    #[test]
    fn a_wide_limit_changes_nothing() {
        assert_eq!(divide(Some(3000.0), 9.0, &WORK, 5.0), divide(None, 9.0, &WORK, 5.0));
    }

    #[test]
    fn a_tight_limit_is_used_up_and_kept() {
        let plan = divide(Some(600.0), 20.0, &WORK, 29.0);
        assert!((plan.total() + 20.0 - 600.0).abs() < 1e-9, "{plan:?}");
        assert!((plan.first - 33.0).abs() < 1e-9 && plan.search < plan.train, "{plan:?}");
    }

    #[test]
    fn what_one_phase_does_not_need_goes_to_the_other() {
        let short_training = divide(Some(600.0), 0.0, &Work { train: 100.0, predict: 0.0, ..WORK }, 0.0);
        assert!((short_training.search - (600.0 - 36.0 - 100.0)).abs() < 1e-9, "{short_training:?}");
        let short_search = divide(Some(600.0), 0.0, &Work { search: 10.0, predict: 0.0, ..WORK }, 0.0);
        assert!((short_search.train - (600.0 - 36.0 - 10.0)).abs() < 1e-9, "{short_search:?}");
    }

    #[test]
    fn a_limit_that_is_over_leaves_nothing_and_nothing_negative() {
        let plan = divide(Some(10.0), 30.0, &WORK, 5.0);
        assert_eq!((plan.first, plan.search, plan.train), (0.0, 0.0, 0.0));
    }
}
