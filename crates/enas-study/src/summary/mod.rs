//! What the trainings of a study say: how far the search is above chance, and whether its score ranks architectures.
//!
//! Numbers follow from the records and the seed alone.

mod gains;
mod ranks;
#[cfg(test)]
pub(crate) mod tests;
mod units;
mod words;

use enas_rng::Seed;
use enas_stats::{Bootstrap, Components, Estimate, expected_best, mean, percentile, regret};
use serde::Serialize;

use self::units::Units;
use crate::config::Counts;
use crate::record::{Group, Pick, Trial};

pub use self::gains::Verdict;
pub use self::ranks::Choice;

/// What a study is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The name of the images.
    pub data: String,
    /// What resamples are drawn from.
    pub seed: u64,
    /// How many architectures and trainings there should be.
    pub counts: Counts,
}

/// What the trainings of a study say. Accuracies are shares, differences are percentage points; intervals are of 95 %. What
/// cannot be said is null, and [`Summary::missing`] says why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The name of the images.
    pub data: String,
    /// Trainings and searches that are finished.
    pub done: usize,
    /// All of them.
    pub total: usize,
    /// What there is not yet, and what a comparison lacks.
    pub missing: Vec<String>,
    /// The groups that have trainings.
    pub groups: Vec<GroupSummary>,
    /// Kendall's τ-b between the score of a short training and the test accuracy of a whole one with another seed.
    pub tau: Option<f64>,
    /// Lower end of its interval.
    pub tau_low: Option<f64>,
    /// Upper end.
    pub tau_high: Option<f64>,
    /// τ between the test accuracies of two seeds of the same architectures: no score has a higher one, by and large.
    pub seed_tau: Option<f64>,
    /// `tau` with the noise of the test accuracies taken out.
    pub tau_disattenuated: Option<f64>,
    /// τ between the number of weights and the test accuracy.
    pub tau_params: Option<f64>,
    /// τ between the score and the multiply-adds.
    pub tau_score_macs: Option<f64>,
    /// Share of the random architectures in the top quarter by the score that are also in the top quarter by accuracy; of
    /// 40 architectures these are 10.
    pub precision_top10: Option<f64>,
    /// The same number under its full name.
    pub precision_top_quarter: Option<f64>,
    /// Share of the random architectures that each architecture found is above, in percent.
    pub percentile: Vec<f64>,
    /// By how many points each is below the best random one, which is best by luck too.
    pub regret: Vec<f64>,
    /// What trying several random architectures gives.
    pub best_of: Vec<Choice>,
    /// By how many points the architectures found are above random ones.
    pub gain_points: Option<Estimate>,
    /// The same in standard deviations between random architectures.
    pub gain_sigma: Option<f64>,
    /// By how many points they are above random wide ones.
    pub gain_wide: Option<Estimate>,
    /// By how many points they are above random ones of their size and cost.
    pub gain_equal_size: Option<Estimate>,
    /// By how many points the searches' own scores of them are above those of random ones. Next to `gain_points` it shows
    /// what such scores are worth.
    pub gain_by_search: Option<f64>,
    /// By how many points the small ones found are above random ones, most of which cost more.
    pub gain_small: Option<Estimate>,
    /// Their multiply-adds as a share of those of random ones, both on average.
    pub small_macs_share: Option<f64>,
    /// The area in front of which accuracy and multiply-adds of those found lie, small ones included, over that of as many
    /// random ones.
    pub hypervolume_ratio: Option<Estimate>,
    /// What the differences say.
    pub verdicts: Verdicts,
}

/// What the differences say; null where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdicts {
    /// Beside random architectures.
    pub random: Option<Verdict>,
    /// Beside random wide ones.
    pub wide: Option<Verdict>,
    /// Beside random ones of equal size and cost.
    pub equal_size: Option<Verdict>,
}

/// The trainings of a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupSummary {
    /// Which one.
    pub group: Group,
    /// Architectures with at least one training.
    pub arcs: usize,
    /// Trainings.
    pub trainings: usize,
    /// Mean test accuracy over the architectures.
    pub test_accuracy: Estimate,
    /// Lowest and highest mean test accuracy of an architecture.
    pub range: [f64; 2],
    /// Standard deviation between architectures in points, that of the seeds taken out.
    pub sd_points: Option<f64>,
    /// Standard deviation between seeds of an architecture, in points.
    pub seed_sd_points: Option<f64>,
    /// Share of the variance between the architectures' means that is not noise of seeds.
    pub reliability: Option<f64>,
    /// Mean number of weights.
    pub params: f64,
    /// Mean number of multiply-adds per image.
    pub macs: f64,
    /// Controls that are not within the tolerances of size and cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_fitting: Option<usize>,
}

impl Summary {
    /// Of the records so far, in any order.
    pub fn of(subject: &Subject, trials: &[Trial], picks: &[Pick]) -> Self {
        let bootstrap = Bootstrap::new(Seed::new(subject.seed));
        let [pool, wide, controls, small, found] = Group::ALL.map(|group| Units::of(group, trials));
        let truth = pool.means();
        let found_means = found.means();
        let ranks = ranks::Ranks::of(&pool, &bootstrap);
        let gain = gains::over(&found, &pool, &bootstrap);
        let gain_wide = gains::over(&found, &wide, &bootstrap);
        let gain_equal_size =
            gains::over_own_controls(&found, &controls, subject.counts.controls, &bootstrap);
        let spread = Components::of(&pool.accuracies()).map(|spread| spread.between).filter(|sd| *sd > 0.0);
        let beside = |measure: fn(f64, &[f64]) -> f64| match truth.as_slice() {
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
            tau: ranks.tau,
            tau_low: ranks.interval.map(|(low, _)| low),
            tau_high: ranks.interval.map(|(_, high)| high),
            seed_tau: ranks.seed_tau,
            tau_disattenuated: ranks.disattenuated,
            tau_params: ranks.params,
            tau_score_macs: ranks.score_macs,
            precision_top10: ranks.precision,
            precision_top_quarter: ranks.precision,
            percentile: beside(percentile),
            regret: beside(regret).into_iter().map(|x| 100.0 * x).collect(),
            best_of: ranks.choices(&truth, expected_best),
            gain_points: gain,
            gain_sigma: gain.zip(spread).map(|(gain, sd)| gain.mean / (100.0 * sd)),
            gain_wide,
            gain_equal_size,
            gain_by_search: by_search(picks),
            gain_small: gains::over(&small, &pool, &bootstrap),
            small_macs_share: small.mean_macs().zip(pool.mean_macs()).map(|(small, pool)| small / pool),
            hypervolume_ratio: gains::hypervolume_ratio(&[&found, &small], &pool, &bootstrap),
            verdicts: Verdicts {
                random: gain.map(Verdict::of),
                wide: gain_wide.map(Verdict::of),
                equal_size: gain_equal_size.map(Verdict::of),
            },
        }
    }

    /// The trainings of a group, if it has any.
    pub fn group(&self, group: Group) -> Option<&GroupSummary> {
        self.groups.iter().find(|summary| summary.group == group)
    }
}

impl Subject {
    /// All trainings and searches, given what was found so far.
    fn total(&self, picks: &[Pick]) -> usize {
        let Counts { pool, wide, searches, seeds, pick_seeds, controls } = self.counts;
        let of_searches = searches * (pick_seeds as usize + controls) + self.of_small(picks);
        searches + (pool + wide) * seeds as usize + of_searches
    }

    /// Trainings of small architectures: searches without finals have none.
    fn of_small(&self, picks: &[Pick]) -> usize {
        let without = picks.iter().filter(|pick| pick.small.is_none()).count();
        self.counts.searches.saturating_sub(without) * self.counts.seeds as usize
    }
}

/// By how many points the searches' own scores of what they found are above those of random architectures.
fn by_search(picks: &[Pick]) -> Option<f64> {
    let gain = |pick: &Pick| Some(100.0 * (pick.valid_accuracy - pick.random_valid_accuracy?));
    let gains: Vec<f64> = picks.iter().filter_map(gain).collect();
    (!gains.is_empty()).then(|| mean(&gains))
}

/// What there is not yet, and what a comparison lacks.
fn missing(subject: &Subject, trials: &[Trial], picks: &[Pick]) -> Vec<String> {
    let Counts { pool, wide, searches, seeds, pick_seeds, controls } = subject.counts;
    let of = |group| trials.iter().filter(|trial| trial.key.group == group).count();
    let wanted = [
        ("trainings of random architectures", of(Group::Pool), pool * seeds as usize),
        ("searches", picks.len(), searches),
        ("trainings of architectures found", of(Group::Pick), searches * pick_seeds as usize),
        ("trainings of random wide architectures", of(Group::Wide), wide * seeds as usize),
        ("trainings of random architectures of equal size", of(Group::Control), searches * controls),
        ("trainings of small architectures found", of(Group::Small), subject.of_small(picks)),
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
