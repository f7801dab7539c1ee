//! The finals of a search: accuracy against cost of every network that was trained alone, and the comparison of the
//! network found with random ones.

use enas_run::{CandidateOrigin, Finalist, FinalsOutcome, Pick};

use crate::chart::{Chart, ChartAxis, ChartSeries, Format, Mark};
use crate::curves::{Figure, figure};
use crate::log::Log;
use crate::search_choice::Random;
use crate::text::{counted, percent};

/// The result of the finals, for a page.
#[derive(Clone, Debug)]
pub(crate) struct Finals {
    /// Accuracy against multiply-adds.
    pub(crate) figure: Option<Figure>,
    /// The result of the comparison with random architectures.
    pub(crate) verdict: String,
    /// The networks small, balanced and accurate.
    pub(crate) picks: Vec<PickRow>,
    /// The random architectures that were trained as long as the best candidate.
    pub(crate) random: Option<Random>,
    /// The network found.
    pub(crate) found: Finalist,
    /// Number of validation images that no choice used.
    pub(crate) images: usize,
    /// Whether the pick `small` has at most half the usual multiply-adds.
    pub(crate) has_small: bool,
}

/// One of the networks that a user can choose from.
#[derive(Clone, Debug)]
pub(crate) struct PickRow {
    /// Its name as an argument of the command line.
    pub(crate) name: &'static str,
    /// The network with its measurements.
    pub(crate) network: Finalist,
    /// Number of parameters.
    pub(crate) params: u64,
}

/// The finals in the log of a finished search; `None` if there were none.
pub(crate) fn finals(log: &Log) -> Option<Finals> {
    let result = log.of("result").last()?;
    let outcome: FinalsOutcome = serde_json::from_value(result.clone()).ok()?;
    let picks = [("small", Pick::Small), ("balanced", Pick::Balanced), ("accurate", Pick::Accurate)];
    let row = |(name, pick)| {
        outcome.finalist(outcome.picks.of(pick)).map(|network| PickRow {
            name,
            params: network.params as u64,
            network: network.clone(),
        })
    };
    let random = outcome.control.as_ref().map(|control| Random {
        count: control.arcs,
        mean: control.mean,
        best: control.best,
    });
    Some(Finals {
        random,
        found: outcome.finalist(&outcome.picks.balanced)?.clone(),
        images: outcome.images[1],
        has_small: outcome.has_small(),
        figure: front(&outcome),
        verdict: verdict(&outcome),
        picks: picks.into_iter().filter_map(row).collect(),
    })
}

/// The chart of accuracy against cost.
///
/// Only networks that were trained equally long can be compared. So the chart distinguishes those of the last round
/// from those that were trained for fewer steps.
fn front(outcome: &FinalsOutcome) -> Option<Figure> {
    let last = outcome.finalists.iter().map(|finalist| finalist.steps).max().unwrap_or(0);
    let points = |wanted: &dyn Fn(&Finalist) -> bool| {
        let mut points: Vec<[f64; 2]> = outcome
            .finalists
            .iter()
            .filter(|finalist| wanted(finalist))
            .map(|finalist| [finalist.macs as f64 / 1e6, finalist.valid_report])
            .collect();
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        points
    };
    let is_random = |finalist: &Finalist| matches!(finalist.origin, CandidateOrigin::Random);
    let series = |name: &str, colour, points| ChartSeries::line(name, colour, points).with(Mark::Dots);
    let chart = Chart {
        title: "Accuracy and cost".into(),
        description: "Each dot is a network that was trained alone.".into(),
        x: ChartAxis::new("million multiply-adds per image", Format::Number),
        y: ChartAxis::new("accuracy", Format::Percent),
        series: vec![
            series("shorter training", 6, points(&|finalist| finalist.steps < last)),
            series(
                "random, trained as long",
                2,
                points(&|finalist| finalist.steps == last && is_random(finalist)),
            ),
            series("found", 1, points(&|finalist| finalist.steps == last && !is_random(finalist))),
        ],
        ..Chart::default()
    };
    let caption = "Accuracy on images that no choice used. Up and to the left is better. Networks with a shorter training reach less.";
    figure("finals", chart, caption)
}

/// The comparison in words. "Better" and "worse" require a confidence interval that excludes zero.
fn verdict(outcome: &FinalsOutcome) -> String {
    let found = outcome.balanced();
    let mut said = format!(
        "After {} of training alone the network found reaches {} of the {} validation images that no choice used.",
        counted(found.steps, "step", "steps"),
        percent(found.valid_report),
        outcome.images[1]
    );
    if let (Some(control), Some(gain)) = (&outcome.control, outcome.gain) {
        said += &format!(
            " Beside {} with the same training, {} on average: {:+.1} points, 95\u{a0}% interval {:+.1} to {:+.1}: {}.",
            counted(control.arcs as u64, "random architecture", "random architectures"),
            percent(control.mean),
            gain.points,
            gain.low,
            gain.high,
            gain.verdict().words()
        );
    }
    if let Some(equal_size) = &outcome.equal_size {
        said += &format!(
            " Random ones of nearly its size reach {} on average ({}).",
            percent(equal_size.mean),
            equal_size.arcs
        );
    }
    let first = &outcome.first_round;
    if first.random > 0 {
        said += &format!(
            " After the first {} it was more accurate than {} of {} random or wide ones.",
            counted(first.steps, "step", "steps"),
            first.beaten,
            first.random
        );
    }
    if outcome.shows_nothing_yet() {
        said += " This shows nothing yet about what searching brings: give the search more time.";
    }
    said
}

#[cfg(test)]
mod tests {
    use enas_run::Control;
    use serde_json::json;

    use super::*;

    const A: &str = "0 0 1 4  0 1 1 4";
    const B: &str = "0 0 1 4  0 1 1 3";

    fn outcome(low: f64, high: f64) -> FinalsOutcome {
        let finalist = |arc: &str, origin: &str, accuracy: f64| {
            json!({"arc": arc, "origin": origin, "params": 10, "macs": 2_000_000, "latency_ms": 1.5, "steps": 30,
                   "score": 0.5, "valid_choose": 0.9, "valid_report": accuracy})
        };
        serde_json::from_value(json!({
            "finalists": [finalist(A, "wide", 0.95), finalist(B, "random", 0.9)],
            "control": {"arcs": 1, "best": 0.9, "mean": 0.9},
            "gain": {"points": 5.0, "low": low, "high": high},
            "first_round": {"random": 2, "beaten": 1, "steps": 3},
            "picks": {"small": A, "balanced": A, "accurate": A},
            "usual_macs": 2_000_000, "images": [50, 51]
        }))
        .unwrap()
    }

    #[test]
    fn the_verdict_claims_no_more_than_the_interval() {
        assert!(verdict(&outcome(0.5, 9.5)).contains("interval +0.5 to +9.5: measurably better."));
        assert!(verdict(&outcome(-0.5, 10.5)).contains("no measurable difference"));
        assert!(verdict(&outcome(-9.0, -1.0)).contains("measurably worse"));
    }

    #[test]
    fn the_verdict_names_every_comparison_that_was_made() {
        let mut all = outcome(0.5, 9.5);
        all.equal_size = Some(Control { arcs: 4, best: 0.94, mean: 0.925 });
        all.control = Some(Control { arcs: 3, best: 0.93, mean: 0.9 });
        assert_eq!(
            verdict(&all),
            "After 30\u{a0}steps of training alone the network found reaches 95.00\u{a0}% of the 51 validation images that no choice used. Beside 3\u{a0}random architectures with the same training, 90.00\u{a0}% on average: +5.0 \
             points, 95\u{a0}% interval +0.5 to +9.5: measurably better. Random ones of nearly its size reach 92.50\u{a0}% \
             on average (4). After the first 3\u{a0}steps it was more accurate than 1 of 2 random or wide ones."
        );
    }

    #[test]
    fn the_verdict_is_silent_about_comparisons_that_were_not_made() {
        let mut alone = outcome(0.5, 9.5);
        (alone.control, alone.gain, alone.first_round.random) = (None, None, 0);
        assert_eq!(
            verdict(&alone),
            "After 30\u{a0}steps of training alone the network found reaches 95.00\u{a0}% of the 51 validation images that no choice used. This shows \
             nothing yet about what searching brings: give the search more time."
        );
    }

    #[test]
    fn a_gain_that_is_not_measurable_is_said_to_show_nothing_yet() {
        let nothing = "shows nothing yet";
        assert!(!verdict(&outcome(0.5, 9.5)).contains(nothing));
        let said = verdict(&outcome(-0.5, 10.5));
        assert!(said.contains(nothing) && said.contains("1 of 2 random or wide ones"), "{said}");
        assert!(said.contains("Beside 1\u{a0}random architecture with"), "{said}");
    }

    #[test]
    fn the_chart_has_a_dot_for_every_network() {
        let figure = front(&outcome(0.5, 9.5)).unwrap();
        assert!(
            figure.svg.contains("found") && figure.svg.contains("random, trained as long"),
            "{}",
            figure.svg
        );
        assert_eq!(figure.table.rows.len(), 1, "both have the same multiply-adds");
    }
}
