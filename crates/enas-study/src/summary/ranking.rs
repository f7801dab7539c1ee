//! Whether the score of the finals ranks random architectures as their test accuracy does.
//!
//! Score and accuracy come from different seeds. Within one training they share random effects and would agree for
//! that reason alone.

use enas_stats::{
    Bootstrap, Components, StandardScale, disattenuated, expected_choice, kendall_tau_b, mean,
    precision_at_top,
};
use serde::Serialize;

use super::group::GroupTrials;
use crate::record::Measurements;

/// Share of the architectures that form the top.
const TOP: f64 = 0.25;

/// Share of the training after which the score is taken. The last round of the finals has about as many steps.
const DECIDING: f64 = 0.7;

/// Numbers of random architectures to choose from, as far as there are as many.
const TRIED: [usize; 4] = [4, 8, 16, 32];

/// Rank correlations of random architectures.
#[derive(Debug)]
pub(super) struct Ranking {
    pub(super) tau: Option<f64>,
    pub(super) interval: Option<(f64, f64)>,
    pub(super) seed_tau: Option<f64>,
    pub(super) disattenuated: Option<f64>,
    pub(super) params: Option<f64>,
    pub(super) score_macs: Option<f64>,
    pub(super) train_loss: Option<f64>,
    pub(super) precision: Option<f64>,
    folds: Vec<Fold>,
}

/// Scores from one seed, and accuracies from the others (cross-validation over seeds).
#[derive(Clone, Debug, Default)]
struct Fold {
    /// The combined score of the finals; without validation results per epoch, the negative early training loss.
    score: Vec<f64>,
    /// Negative training loss at the end of a short training.
    train_loss: Vec<f64>,
    /// Accuracy on the half of the validation images for choosing.
    choose: Vec<f64>,
    /// Mean test accuracy with other seeds, each rounded to 0.1 percentage points.
    truth: Vec<f64>,
}

/// The expected test accuracy of the best of several random architectures, with another seed than the one it was
/// chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestOfK {
    /// Number of architectures to choose from.
    pub k: usize,
    /// The expected accuracy of the truly best, by the mean over all seeds.
    pub best: f64,
    /// That of the one with the best score.
    pub by_score: Option<f64>,
    /// That of the one with the highest validation accuracy after a whole training.
    pub by_validation: Option<f64>,
}

impl Ranking {
    pub(super) fn of(pool: &GroupTrials<'_>, bootstrap: &Bootstrap) -> Self {
        let folds = folds(pool);
        let n = folds.first().map_or(0, |fold| fold.truth.len());
        let all: Vec<usize> = (0..n).collect();
        let tau = mean_tau(&folds, &all, |fold| (&fold.score, &fold.truth));
        let interval = tau.and_then(|_| {
            bootstrap.interval("study/tau", |stream| {
                let drawn: Vec<usize> = (0..n).map(|_| stream.below(n)).collect();
                mean_tau(&folds, &drawn, |fold| (&fold.score, &fold.truth))
            })
        });
        let train_loss = mean_tau(&folds, &all, |fold| (&fold.train_loss, &fold.truth));
        let reliability = Components::of(&pool.accuracies())
            .and_then(|spread| spread.reliability(folds.len().saturating_sub(1).max(1) as f64));
        let truth = rounded(&pool.means());
        let (params, macs): (Vec<f64>, Vec<f64>) =
            pool.sizes().map(|size| (size.params as f64, size.macs as f64)).unzip();
        let of_size: Vec<Option<f64>> = folds
            .iter()
            .filter(|fold| fold.score.len() == macs.len())
            .map(|f| kendall_tau_b(&f.score, &macs))
            .collect();
        let top = ((n as f64 * TOP).ceil() as usize).max(1);
        let precisions: Vec<Option<f64>> =
            folds.iter().map(|fold| precision_at_top(&fold.score, &fold.truth, top)).collect();
        Self {
            tau,
            interval,
            seed_tau: seed_tau(pool),
            disattenuated: tau
                .zip(reliability)
                .and_then(|(tau, reliability)| disattenuated(tau, reliability)),
            params: kendall_tau_b(&params, &truth),
            score_macs: average(&of_size),
            train_loss,
            precision: average(&precisions),
            folds,
        }
    }

    /// The expected results of choosing among several random architectures, whose mean accuracies are `truth`.
    pub(super) fn choices(
        &self,
        truth: &[f64],
        expected_best: impl Fn(&[f64], usize) -> Option<f64>,
    ) -> Vec<BestOfK> {
        let by = |k: usize, score: fn(&Fold) -> &Vec<f64>| {
            let of = |fold: &Fold| {
                let pairs: Vec<(f64, f64)> =
                    score(fold).iter().copied().zip(fold.truth.iter().copied()).collect();
                expected_choice(&pairs, k)
            };
            average(&self.folds.iter().map(of).collect::<Vec<_>>())
        };
        let choice = |&k: &usize| {
            let best = expected_best(truth, k)?;
            Some(BestOfK {
                k,
                best,
                by_score: by(k, |fold| &fold.score),
                by_validation: by(k, |fold| &fold.choose),
            })
        };
        TRIED.iter().filter_map(choice).collect()
    }
}

/// One fold per seed that all repeatedly trained architectures have; none if there are fewer than two seeds. If some
/// seeds have validation results per epoch, only those give folds.
fn folds(pool: &GroupTrials<'_>) -> Vec<Fold> {
    let repeated: Vec<_> = pool.by_arc.values().filter(|repeats| repeats.len() > 1).collect();
    let seeds = repeated.iter().map(|repeats| repeats.len()).min().unwrap_or(0);
    let fold = |seed: usize| {
        let mut fold = Fold::default();
        for repeats in &repeated {
            let measured: Vec<_> = repeats.values().take(seeds).map(|trial| &trial.measured).collect();
            let others: Vec<f64> = measured
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != seed)
                .map(|(_, measured)| measured.test_accuracy)
                .collect();
            fold.train_loss.push(-measured[seed].early_loss);
            fold.choose.push(measured[seed].choose_accuracy);
            fold.truth.push(mean(&rounded(&others)));
        }
        let of_seed = |repeats: &&_| -> Option<&Measurements> {
            let repeats: &std::collections::BTreeMap<u64, &crate::record::StudyTrial> = repeats;
            repeats.values().nth(seed).map(|trial| &trial.measured)
        };
        let combined =
            repeated.iter().map(of_seed).collect::<Option<Vec<_>>>().and_then(|all| combined(&all));
        (fold, combined)
    };
    let folds: Vec<(Fold, Option<Vec<f64>>)> = (0..seeds).map(fold).collect();
    let is_combined = folds.iter().any(|(_, combined)| combined.is_some());
    folds
        .into_iter()
        .filter(|(_, combined)| combined.is_some() || !is_combined)
        .map(|(fold, combined)| {
            let score = combined.unwrap_or_else(|| fold.train_loss.clone());
            Fold { score, ..fold }
        })
        .collect()
}

/// The combined score of the finals for trainings with one seed: training loss, validation loss and validation
/// accuracy at [`DECIDING`], standardised and added. `None` if a training has no validation results per epoch.
fn combined(trials: &[&Measurements]) -> Option<Vec<f64>> {
    let of = |measured: &&Measurements| {
        let epoch = ((DECIDING * measured.losses.len() as f64).round() as usize).max(1);
        let late = measured.losses.get(epoch / 3..epoch)?;
        let (loss, accuracy) =
            (measured.choose_losses.get(epoch - 1)?, measured.choose_accuracies.get(epoch - 1)?);
        Some([-mean(late), -loss, *accuracy])
    };
    let measures: Vec<[f64; 3]> = trials.iter().map(of).collect::<Option<_>>()?;
    let scales = [0, 1, 2].map(|k| StandardScale::of(&measures.iter().map(|m| m[k]).collect::<Vec<f64>>()));
    let score = |m: &[f64; 3]| m.iter().zip(scales).map(|(value, scale)| scale.z(*value)).sum();
    Some(measures.iter().map(score).collect())
}

/// The mean τ over the folds, for the architectures `drawn`.
fn mean_tau(folds: &[Fold], drawn: &[usize], sides: fn(&Fold) -> (&Vec<f64>, &Vec<f64>)) -> Option<f64> {
    let tau = |fold: &Fold| {
        let (first, second) = sides(fold);
        let at = |values: &[f64]| drawn.iter().map(|&i| values[i]).collect::<Vec<f64>>();
        kendall_tau_b(&at(first), &at(second))
    };
    average(&folds.iter().map(tau).collect::<Vec<_>>())
}

/// The mean τ over all pairs of seeds.
fn seed_tau(pool: &GroupTrials<'_>) -> Option<f64> {
    let repeated: Vec<_> = pool.by_arc.values().filter(|repeats| repeats.len() > 1).collect();
    let seeds = repeated.iter().map(|repeats| repeats.len()).min()?;
    let of = |seed: usize| {
        let accuracy = |repeats: &&_| -> Option<f64> {
            let repeats: &std::collections::BTreeMap<u64, &crate::record::StudyTrial> = repeats;
            Some(repeats.values().nth(seed)?.measured.test_accuracy)
        };
        rounded(&repeated.iter().filter_map(accuracy).collect::<Vec<f64>>())
    };
    let pairs = (0..seeds).flat_map(|a| (0..a).map(move |b| (a, b)));
    average(&pairs.map(|(a, b)| kendall_tau_b(&of(a), &of(b))).collect::<Vec<_>>())
}

/// Accuracies rounded to 0.1 percentage points: smaller differences are noise and count as ties.
fn rounded(accuracies: &[f64]) -> Vec<f64> {
    accuracies.iter().map(|x| (x * 1000.0).round() / 1000.0).collect()
}

/// The mean; `None` if there are no values or one is `None`.
fn average(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().collect::<Option<_>>()?;
    (!known.is_empty()).then(|| mean(&known))
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::super::tests::study;
    use super::*;
    use crate::record::{Group, StudyTrial};

    fn ranking(trials: &[StudyTrial]) -> Ranking {
        Ranking::of(&GroupTrials::of(Group::Pool, trials), &Bootstrap::new(Seed::new(1)).with_resamples(500))
    }

    #[test]
    fn a_score_that_follows_the_truth_ranks_well() {
        let found = ranking(&study(0.0, 0.0).0);
        let (tau, (low, high)) = (found.tau.unwrap(), found.interval.unwrap());
        assert!(tau > 0.7 && low > 0.4 && low <= tau && tau <= high, "{found:?}");
        assert!(found.disattenuated.unwrap() >= tau && found.seed_tau.unwrap() > 0.7, "{found:?}");
        assert!(found.precision.unwrap() > 0.5 && found.params.unwrap() > 0.8, "{found:?}");
        assert_eq!(found.score_macs, None, "all have equally many multiply-adds");
    }

    #[test]
    fn luck_of_a_training_is_no_merit_of_its_score() {
        // All architectures are alike, and each score equals the noise of its own training.
        let mut stream = Seed::new(2).stream("test", &[]);
        let mut trials = study(0.0, 0.0).0;
        for trial in &mut trials {
            let luck = 0.01 * f64::from(stream.normal());
            trial.measured.test_accuracy = 0.8 + luck;
            trial.measured.early_loss = -luck;
        }
        let found = ranking(&trials);
        assert!(found.tau.unwrap().abs() < 0.5, "{found:?}");
        let (low, high) = found.interval.unwrap();
        assert!(low < 0.0 && high > 0.0, "{found:?}");
    }

    #[test]
    fn validation_results_per_epoch_enter_the_score() {
        let measured = |loss: f64, accuracy: f64| {
            let mut measured = study(0.0, 0.0).0[0].measured.clone();
            measured.losses = vec![1.0, loss, loss];
            measured.choose_losses = vec![1.0, loss, loss];
            measured.choose_accuracies = vec![0.1, accuracy, accuracy];
            measured
        };
        let trials = [measured(0.5, 0.8), measured(0.6, 0.9), measured(0.4, 0.7)];
        let score = combined(&trials.iter().collect::<Vec<_>>()).unwrap();
        assert!(score[2] > score[0] && score[0] > score[1], "two losses outweigh one accuracy: {score:?}");
        let mut early = trials[0].clone();
        early.choose_losses.clear();
        assert_eq!(combined(&[&trials[0], &early]), None);
    }

    #[test]
    fn the_choice_by_score_lies_between_chance_and_the_best() {
        let trials = study(0.0, 0.0).0;
        let pool = GroupTrials::of(Group::Pool, &trials);
        let choices = ranking(&trials).choices(&pool.means(), enas_stats::expected_best);
        assert_eq!(choices.iter().map(|choice| choice.k).collect::<Vec<_>>(), [4, 8]);
        for BestOfK { best, by_score, .. } in choices {
            let by_score = by_score.unwrap();
            assert!(by_score > 0.83 && by_score < best + 0.003, "{by_score} beside {best}");
        }
    }

    #[test]
    fn one_seed_says_nothing_of_a_score() {
        let trials: Vec<StudyTrial> = study(0.0, 0.0).0.into_iter().filter(|t| t.key.repeat == 0).collect();
        let found = ranking(&trials);
        assert_eq!((found.tau, found.interval, found.precision), (None, None, None));
        assert!(found.params.is_some());
    }
}
