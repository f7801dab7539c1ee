//! A summary as text: table rows, lines, Markdown.

use std::fmt::Write;

use enas_stats::Estimate;

use super::StudySummary;
use super::gains::Comparison;
use super::group::GroupSummary;
use super::ranking::BestOfK;
use crate::record::Group;

/// The column titles of the table of groups.
pub(crate) const HEADS: [&str; 7] =
    ["architectures", "number", "trainings", "test accuracy", "sd between", "sd of seeds", "multiply-adds"];

impl StudySummary {
    /// The table of groups: column titles, then one row per group.
    pub fn table(&self) -> Vec<Vec<String>> {
        let heads = HEADS.map(str::to_owned).to_vec();
        std::iter::once(heads).chain(self.groups.iter().map(GroupSummary::row)).collect()
    }

    /// The findings as names and texts.
    pub fn findings(&self) -> Vec<(&'static str, String)> {
        let mut said: Vec<(&'static str, String)> = Vec::new();
        let gains = [
            ("over random", self.gain_points, self.comparisons.random),
            ("over wide cells", self.gain_wide, self.comparisons.wide),
            ("at equal size", self.gain_equal_size, self.comparisons.equal_size),
        ];
        for (name, gain, comparison) in gains {
            if let (Some(gain), Some(comparison)) = (gain, comparison) {
                let sigma = match self.gain_sigma {
                    Some(sigma) if name == "over random" => {
                        format!(" ({sigma:+.1} standard deviations of random ones)")
                    }
                    _ => String::new(),
                };
                said.push((name, format!("{}{sigma}: {comparison}", points(gain))));
            }
        }
        if !self.percentile.is_empty() {
            let each: Vec<String> = self.percentile.iter().map(|p| format!("{p:.0}")).collect();
            said.push(("percentile", format!("{} among the random ones", each.join(", "))));
        }
        said.extend(self.ranking_findings());
        if let (Some(gain), Some(share)) = (self.gain_small, self.small_macs_share) {
            let text = format!("{} over random ones, at {share:.2} times their multiply-adds", points(gain));
            said.push(("small ones", text));
        }
        if let Some(ratio) = self.hypervolume_ratio {
            let interval = if ratio.is_bounded() {
                format!(", 95 % interval {:.2} to {:.2}", ratio.low, ratio.high)
            } else {
                String::new()
            };
            let text = format!(
                "{:.2} times the area of accuracy and multiply-adds that as many random ones cover{interval}",
                ratio.mean
            );
            said.push(("front", text));
        }
        if let (Some(own), Some(gain)) = (self.gain_by_search, self.gain_points) {
            let text = format!(
                "the searches themselves say {own:+.1} points over random ones; trained alone it is {:+.2}",
                gain.mean
            );
            said.push(("own scores", text));
        }
        said
    }

    /// The findings about the score of a short training.
    fn ranking_findings(&self) -> Vec<(&'static str, String)> {
        let mut said = Vec::new();
        if let (Some(tau), Some(low), Some(high)) = (self.tau, self.tau_low, self.tau_high) {
            let mut text = format!("τ {tau:.2}, 95 % interval {low:.2} to {high:.2}, with the test accuracy");
            let others = [
                ("without noise of the accuracy", self.tau_disattenuated),
                ("between two seeds", self.seed_tau),
                ("of the training loss alone", self.tau_train_loss),
                ("of the number of weights", self.tau_params),
            ];
            for (what, tau) in others {
                if let Some(tau) = tau {
                    write!(text, "; {what} {tau:.2}").expect("a string grows");
                }
            }
            said.push(("short training", text));
        }
        if let Some(precision) = self.precision_top_quarter {
            said.push((
                "top quarter",
                format!("{:.0} % of the best by score are among the best", 100.0 * precision),
            ));
        }
        let tried = |choice: &BestOfK| {
            let by = |share: Option<f64>| share.map_or("–".to_owned(), |x| format!("{:.2}", 100.0 * x));
            format!("{} of {} (at best {})", by(choice.by_score), choice.k, by(Some(choice.best)))
        };
        if !self.best_of.is_empty() {
            let each: Vec<String> = self.best_of.iter().map(tried).collect();
            said.push((
                "random search",
                format!("test accuracy of the best by score, in percent: {}", each.join(", ")),
            ));
        }
        said
    }

    /// The conclusion about the search in one sentence.
    pub fn conclusion(&self) -> String {
        match (self.comparisons.random, self.gain_points) {
            (Some(Comparison::Better), Some(gain)) => {
                format!(
                    "The search finds better architectures than chance: {}.{}",
                    points(gain),
                    self.reservations()
                )
            }
            (Some(Comparison::Worse), Some(gain)) => {
                format!("The search finds worse architectures than chance: {}.", points(gain))
            }
            (Some(Comparison::NoMeasurableDifference), Some(gain)) => {
                format!("No measurable difference between the search and chance: {}.", points(gain))
            }
            _ => "Too little was done to compare the search with chance.".to_owned(),
        }
    }

    /// The reservations about a gain over all random architectures.
    fn reservations(&self) -> String {
        let not = |comparison: Option<Comparison>| {
            comparison.is_some_and(|comparison| comparison != Comparison::Better)
        };
        match (not(self.comparisons.equal_size), not(self.comparisons.wide)) {
            (true, true) => " No gain is shown over random ones of equal size or over wide ones.".into(),
            (true, false) => " No gain is shown over random ones of equal size.".into(),
            (false, true) => " No gain is shown over random wide ones.".into(),
            (false, false) => String::new(),
        }
    }

    /// The whole summary as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("# Study of {}\n\n{}\n\n", self.data, self.conclusion());
        for (i, row) in self.table().iter().enumerate() {
            writeln!(text, "| {} |", row.join(" | ")).expect("a string grows");
            if i == 0 {
                writeln!(text, "|{}", " --- |".repeat(row.len())).expect("a string grows");
            }
        }
        text.push('\n');
        for (name, finding) in self.findings() {
            writeln!(text, "- **{name}**: {finding}").expect("a string grows");
        }
        let missing: Vec<String> = self.missing.iter().map(|what| format!("- {what}\n")).collect();
        if !missing.is_empty() {
            write!(text, "\nMissing, or to be known:\n\n{}", missing.concat()).expect("a string grows");
        }
        text
    }
}

impl GroupSummary {
    fn row(&self) -> Vec<String> {
        let sd = |points: Option<f64>| points.map_or("–".to_owned(), |sd| format!("{sd:.2}"));
        vec![
            self.group.description().to_owned(),
            self.arcs.to_string(),
            self.trainings.to_string(),
            share(self.test_accuracy),
            if self.group == Group::Control { "–".to_owned() } else { sd(self.sd_points) },
            sd(self.seed_sd_points),
            format!("{:.0}", self.macs),
        ]
    }
}

/// An accuracy with its interval, in percent.
fn share(estimate: Estimate) -> String {
    let Estimate { mean, low, high } = estimate.scaled(100.0);
    if estimate.is_bounded() {
        format!("{mean:.2} % ({low:.2} to {high:.2})")
    } else {
        format!("{mean:.2} %")
    }
}

/// A difference with its interval, in percentage points.
fn points(estimate: Estimate) -> String {
    let Estimate { mean, low, high } = estimate;
    if estimate.is_bounded() {
        format!("{mean:+.2} points, 95 % interval {low:+.2} to {high:+.2}")
    } else {
        format!("{mean:+.2} points, without an interval")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{study, subject};
    use super::*;

    fn of(gain: f64, by_size: f64) -> StudySummary {
        let (trials, picks) = study(gain, by_size);
        StudySummary::of(&subject(), &trials, &picks)
    }

    #[test]
    fn better_is_said_only_where_the_interval_says_so() {
        assert!(
            of(0.05, 0.0).conclusion().starts_with("The search finds better"),
            "{}",
            of(0.05, 0.0).conclusion()
        );
        assert!(
            of(0.05, 0.05).conclusion().contains("No gain is shown over random ones of equal size"),
            "{}",
            of(0.05, 0.05).conclusion()
        );
        assert!(of(0.003, 0.0).conclusion().starts_with("No measurable difference"));
        assert!(of(-0.05, 0.0).conclusion().starts_with("The search finds worse"));
        let nothing = StudySummary::of(&subject(), &[], &[]);
        assert!(nothing.conclusion().starts_with("Too little"));
    }

    #[test]
    fn the_table_has_a_row_for_each_group_and_a_cell_for_each_head() {
        let table = of(0.05, 0.0).table();
        assert_eq!(table.len(), 6);
        assert!(table.iter().all(|row| row.len() == HEADS.len()));
        assert_eq!(table[1][..3], ["random", "12", "24"]);
    }

    #[test]
    fn markdown_has_the_table_the_findings_and_what_is_missing() {
        let (trials, picks) = study(0.05, 0.0);
        let early: Vec<_> = trials.into_iter().filter(|trial| trial.key.group != Group::Control).collect();
        let text = StudySummary::of(&subject(), &early, &picks).markdown();
        assert!(text.starts_with("# Study of photos\n\nThe search finds better"), "{text}");
        assert!(text.contains("| random | 12 | 24 |") && text.contains("- **over random**: +"), "{text}");
        assert!(text.contains("- 0 of 6 trainings of random architectures of equal size\n"), "{text}");
        assert!(!text.contains("at equal size**"), "{text}");
    }
}
