//! The division of an automatic run's time among its phases.

use enas_run::auto::AutoPlan;

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
    let (searches, network, possible_steps) = (false, None, None);
    AutoPlan { first: 0.0, search: 0.0, train: train.min(left), finish, searches, network, possible_steps }
}

#[cfg(test)]
mod tests {
    use super::*;

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
