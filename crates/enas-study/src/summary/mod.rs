//! The results of a study: how far the search is above random search, and whether its score ranks architectures.
//!
//! They depend only on the records and the seed.

mod gains;
mod group;
mod ranking;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use enas_rng::Seed;
use enas_stats::{Bootstrap, Components, Estimate, expected_best, mean, percentile, regret};
use serde::Serialize;

use self::group::GroupTrials;
use self::ranking::Ranking;
use crate::config::StudyCounts;
use crate::record::{Group, SearchPick, StudyTrial};

pub use self::gains::Comparison;
pub use self::group::GroupSummary;
pub use self::ranking::BestOfK;

/// The subject of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyInfo {
    /// The name of the data set.
    pub data: String,
    /// Seed of the resamples.
    pub seed: u64,
    /// The planned numbers of architectures and trainings.
    pub counts: StudyCounts,
}

/// The results of a study. Accuracies are from 0 to 1, differences are in percentage points, intervals are of 95 %.
/// Unknown values are null, and [`StudySummary::missing`] says why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudySummary {
    /// The name of the data set.
    pub data: String,
    /// Number of finished trainings and searches.
    pub done: usize,
    /// Planned number of trainings and searches.
    pub total: usize,
    /// The work that is missing, and what a comparison lacks.
    pub missing: Vec<String>,
    /// The groups that have trainings.
    pub groups: Vec<GroupSummary>,
    /// Kendall's τ-b between the score of a short training and the test accuracy of a whole one with another seed.
    pub tau: Option<f64>,
    /// Lower end of its interval.
    pub tau_low: Option<f64>,
    /// Upper end of its interval.
    pub tau_high: Option<f64>,
    /// Kendall's τ-b between the test accuracies of two seeds of the same architectures: about the largest `tau` that
    /// a score can reach.
    pub seed_tau: Option<f64>,
    /// `tau` corrected for the noise of the test accuracies (disattenuated).
    pub tau_disattenuated: Option<f64>,
    /// Kendall's τ-b between the number of weights and the test accuracy.
    pub tau_params: Option<f64>,
    /// Kendall's τ-b between the score and the multiply-adds.
    pub tau_score_macs: Option<f64>,
    /// Kendall's τ-b between the training loss of a short training alone and the test accuracy.
    pub tau_train_loss: Option<f64>,
    /// Share of the random architectures in the top quarter by score that are also in the top quarter by accuracy.
    /// The name comes from a pool of 40 architectures, whose top quarter has 10.
    pub precision_top10: Option<f64>,
    /// The same number under its full name.
    pub precision_top_quarter: Option<f64>,
    /// Percentile rank of each found architecture among the random ones, from 0 to 100.
    pub percentile: Vec<f64>,
    /// By how many percentage points each is below the best random one. The best of many measurements is too high on
    /// average.
    pub regret: Vec<f64>,
    /// The expected results of choosing among several random architectures.
    pub best_of: Vec<BestOfK>,
    /// By how many percentage points the found architectures are better than random ones.
    pub gain_points: Option<Estimate>,
    /// The same in units of the standard deviation between random architectures.
    pub gain_sigma: Option<f64>,
    /// By how many percentage points they are better than random wide ones.
    pub gain_wide: Option<Estimate>,
    /// By how many percentage points they are better than random ones of equal size and cost.
    pub gain_equal_size: Option<Estimate>,
    /// By how many percentage points the searches' own scores of them exceed those of random ones. The comparison
    /// with `gain_points` shows how far such scores can be trusted.
    pub gain_by_search: Option<f64>,
    /// By how many percentage points the small picks are better than random architectures of any size.
    pub gain_small: Option<Estimate>,
    /// Mean multiply-adds of the small picks, divided by those of random architectures.
    pub small_macs_share: Option<f64>,
    /// The hypervolume of accuracy and multiply-adds of the found architectures and the small picks, divided by that of
    /// as many random architectures.
    pub hypervolume_ratio: Option<Estimate>,
    /// The meaning of the differences.
    #[serde(rename = "verdicts")]
    pub comparisons: Comparisons,
}

/// The meaning of the differences; null without a difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparisons {
    /// Compared with random architectures.
    pub random: Option<Comparison>,
    /// Compared with random wide architectures.
    pub wide: Option<Comparison>,
    /// Compared with random architectures of equal size and cost.
    pub equal_size: Option<Comparison>,
}

impl StudySummary {
    /// The summary of the records so far, in any order.
    pub fn of(subject: &StudyInfo, trials: &[StudyTrial], picks: &[SearchPick]) -> Self {
        let bootstrap = Bootstrap::new(Seed::new(subject.seed));
        let [pool, wide, controls, small, found] = Group::ALL.map(|group| GroupTrials::of(group, trials));
        let truth = pool.means();
        let found_means = found.means();
        let ranking = Ranking::of(&pool, &bootstrap);
        let gain = gains::gain_over(&found, &pool, &bootstrap);
        let gain_wide = gains::gain_over(&found, &wide, &bootstrap);
        let gain_equal_size =
            gains::gain_over_controls(&found, &controls, subject.counts.controls, &bootstrap);
        let spread = Components::of(&pool.accuracies()).map(|spread| spread.between).filter(|sd| *sd > 0.0);
        let against_pool = |measure: fn(f64, &[f64]) -> f64| match truth.as_slice() {
            [] => Vec::new(),
            truth => found_means.iter().map(|x| measure(*x, truth)).collect::<Vec<f64>>(),
        };
        let total = subject.total(picks);
        Self {
            data: subject.data.clone(),
            done: trials.len() + picks.len(),
            total,
            missing: missing(subject, trials, picks),
            groups: [&pool, &wide, &controls, &small, &found]
                .into_iter()
                .filter_map(|u| u.summary(&bootstrap))
                .collect(),
            tau: ranking.tau,
            tau_low: ranking.interval.map(|(low, _)| low),
            tau_high: ranking.interval.map(|(_, high)| high),
            seed_tau: ranking.seed_tau,
            tau_disattenuated: ranking.disattenuated,
            tau_params: ranking.params,
            tau_score_macs: ranking.score_macs,
            tau_train_loss: ranking.train_loss,
            precision_top10: ranking.precision,
            precision_top_quarter: ranking.precision,
            percentile: against_pool(percentile),
            regret: against_pool(regret).into_iter().map(|x| 100.0 * x).collect(),
            best_of: ranking.choices(&truth, expected_best),
            gain_points: gain,
            gain_sigma: gain.zip(spread).map(|(gain, sd)| gain.mean / (100.0 * sd)),
            gain_wide,
            gain_equal_size,
            gain_by_search: gain_by_search(picks),
            gain_small: gains::gain_over(&small, &pool, &bootstrap),
            small_macs_share: small.mean_macs().zip(pool.mean_macs()).map(|(small, pool)| small / pool),
            hypervolume_ratio: gains::hypervolume_ratio(&[&found, &small], &pool, &bootstrap),
            comparisons: Comparisons {
                random: gain.map(Comparison::of),
                wide: gain_wide.map(Comparison::of),
                equal_size: gain_equal_size.map(Comparison::of),
            },
        }
    }

    /// The summary of a group, if it has trainings.
    pub fn group(&self, group: Group) -> Option<&GroupSummary> {
        self.groups.iter().find(|summary| summary.group == group)
    }
}

impl StudyInfo {
    /// Planned number of trainings and searches, given what was found so far.
    fn total(&self, picks: &[SearchPick]) -> usize {
        let StudyCounts { pool, wide, searches, seeds, pick_seeds, controls } = self.counts;
        let of_searches = searches * (pick_seeds as usize + controls) + self.small_trainings(picks);
        searches + (pool + wide) * seeds as usize + of_searches
    }

    /// Planned number of trainings of small picks. Searches without finals have no small pick.
    fn small_trainings(&self, picks: &[SearchPick]) -> usize {
        let without = picks.iter().filter(|pick| pick.small.is_none()).count();
        self.counts.searches.saturating_sub(without) * self.counts.seeds as usize
    }
}

/// By how many percentage points the searches' own scores of their results exceed those of random architectures.
fn gain_by_search(picks: &[SearchPick]) -> Option<f64> {
    let gain = |pick: &SearchPick| Some(100.0 * (pick.valid_accuracy - pick.random_valid_accuracy?));
    let gains: Vec<f64> = picks.iter().filter_map(gain).collect();
    (!gains.is_empty()).then(|| mean(&gains))
}

/// The work that is missing, and what a comparison lacks.
fn missing(subject: &StudyInfo, trials: &[StudyTrial], picks: &[SearchPick]) -> Vec<String> {
    let StudyCounts { pool, wide, searches, seeds, pick_seeds, controls } = subject.counts;
    let of = |group| trials.iter().filter(|trial| trial.key.group == group).count();
    let wanted = [
        ("trainings of random architectures", of(Group::Pool), pool * seeds as usize),
        ("searches", picks.len(), searches),
        ("trainings of architectures found", of(Group::SearchPick), searches * pick_seeds as usize),
        ("trainings of random wide architectures", of(Group::Wide), wide * seeds as usize),
        ("trainings of random architectures of equal size", of(Group::Control), searches * controls),
        ("trainings of small architectures found", of(Group::Small), subject.small_trainings(picks)),
    ];
    let lacking = wanted.into_iter().filter(|(_, done, wanted)| done < wanted);
    let mut said: Vec<String> =
        lacking.map(|(what, done, wanted)| format!("{done} of {wanted} {what}")).collect();
    if seeds < 2 {
        said.push("τ needs two seeds: a score from a training would share its noise".into());
    }
    if searches == 1 {
        said.push("a single search has no interval; --searches 2 or more".into());
    }
    let unfit = trials.iter().filter(|trial| trial.fits == Some(false)).count();
    if unfit > 0 {
        said.push(format!(
            "{unfit} of {} architectures of equal size are not within 5 % of the weights and 10 % of the multiply-adds; they \
             are the nearest of those drawn",
            of(Group::Control)
        ));
    }
    said
}
