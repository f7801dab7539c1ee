//! The lines that say what an automatic run or a search will do.

use enas_search::{AutoPlan, SearchPlan, SearchWhen};

use crate::output::{duration, grouped};

pub(super) fn planned(plan: &AutoPlan, is_cell_given: bool) -> String {
    let total = duration(plan.total());
    let network = plan.network.map_or(String::new(), |network| {
        format!(
            " with child.filters={} and child.layers={}, as the time allows",
            network.filters, network.layers
        )
    });
    let [first, search, train, finish] = [plan.first, plan.search, plan.train, plan.finish].map(duration);
    if [plan.first, plan.search, plan.train].iter().all(|seconds| *seconds <= 0.0) {
        return format!(
            "plan: the time limit has passed; each training does the least, about a second, afterwards {finish}. A longer \
             --time, or smaller copies of the images, give more"
        );
    }
    if is_cell_given {
        return format!(
            "plan: training of the given cell {train}{network}, afterwards {finish}; in all about {total}. There is no \
             search, because --cell gives the cell"
        );
    }
    if !plan.searches {
        return format!(
            "plan: training of a ready cell {train}{network}, afterwards {finish}; in all about {total}. A search \
             would need {} training images and time for {} steps; --search always does it anyway",
            grouped(SearchWhen::IMAGES as u64),
            grouped(SearchWhen::STEPS as u64),
        );
    }
    format!(
        "plan: first model {first}, search {search}, training {train}{network}, afterwards {finish}; in all about {total}"
    )
}

/// The phases of a search with the reason, and the smallest difference that its images can show.
pub(super) fn search_planned(plan: &SearchPlan) -> String {
    let SearchPlan { shares_weights, steps, warmup_steps, candidates, reporting } = *plan;
    let finals = format!("then {candidates} networks are trained alone, and the best go on");
    // Half width of a 95 % interval for two networks that disagree on a tenth of the images.
    let visible = 100.0 * 1.96 * (0.1 / reporting.max(1) as f64).sqrt();
    let phases = if shares_weights {
        format!(
            "plan: {} steps of shared weights, the first {} before any reward; {finals}",
            grouped(steps),
            grouped(warmup_steps)
        )
    } else {
        format!(
            "plan: no shared weights ({}); {} networks are trained alone, and the best go on",
            if steps < 2 * warmup_steps {
                format!(
                    "{} steps are too few for them, they need {}",
                    grouped(steps),
                    grouped(2 * warmup_steps)
                )
            } else {
                "finals.policy is 0".to_owned()
            },
            candidates
        )
    };
    format!(
        "{phases}. The result is measured on {} validation images: differences below about {visible:.1} points may be \
         chance",
        grouped(reporting as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_after_the_limit_says_so() {
        let first = 0.0;
        let search = 0.0;
        let train = 0.0;
        let finish = 4.0;
        let plan = AutoPlan {
            first,
            search,
            train,
            finish,
            searches: false,
            network: None,
            possible_steps: Some(0.0),
        };
        let said = planned(&plan, false);
        assert!(said.contains("the time limit has passed") && !said.contains("in all about"), "{said}");
        assert!(planned(&AutoPlan { train: 3.0, ..plan }, false).contains("in all about 7.0 s"));
    }
}
