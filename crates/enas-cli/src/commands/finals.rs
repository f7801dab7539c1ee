//! The result of the finals of a search in words.

use std::io::{self, Write};

use enas_search::{Control, Finalist, FinalsOutcome, Gain, Pick, Verdict};

use crate::output::{counted, grouped, percent};
use crate::standing::Standing;
use crate::terminal::{Field, field, fitted, stdout_paragraph, stdout_width, strong};

/// Writes the accuracy of the network found and its gain over random architectures.
pub(super) fn write_result(
    out: &mut dyn Write,
    finals: &FinalsOutcome,
    standing: &Standing,
) -> io::Result<()> {
    let found = finals.balanced();
    writeln!(out, "{}", stdout_paragraph("validation      ", &strong(&standing.line())))?;
    let trained = format!(
        "on {} that no choice used, after {} of training alone",
        counted(finals.images[1] as u64, "image"),
        in_steps(found.steps)
    );
    writeln!(out, "{}", stdout_paragraph("                ", &trained))?;
    writeln!(out, "{}", stdout_paragraph("random          ", &beside_random(finals)))?;
    if let Some(equal_size) = &finals.equal_size {
        let line = format!(
            "{} of nearly the same size, trained as long: mean {}",
            of(equal_size),
            percent(equal_size.mean)
        );
        writeln!(out, "{}", stdout_paragraph("                ", &line))?;
    }
    let first = &finals.first_round;
    if first.random > 0 {
        let line = format!(
            "more accurate than {} of {} random or wide architectures after the same {}",
            first.beaten,
            first.random,
            in_steps(first.steps)
        );
        writeln!(out, "{}", stdout_paragraph("first round     ", &line))?;
    }
    if finals.shows_nothing_yet() {
        writeln!(out, "{}", stdout_paragraph("                ", NOTHING_YET))?;
    }
    Ok(())
}

/// Advice after a search whose gain is not measurable.
pub(super) const NOTHING_YET: &str = "this shows nothing yet about what searching brings: more time (--time) trains more networks, and \
                           each for longer";

/// Writes the three networks that a user can choose from.
pub(super) fn write_networks(out: &mut dyn Write, finals: &FinalsOutcome) -> io::Result<()> {
    writeln!(out, "networks to train (enas train --run DIR --pick NAME):")?;
    for (name, pick) in [("small", Pick::Small), ("balanced", Pick::Balanced), ("accurate", Pick::Accurate)] {
        let Some(network) = finals.finalist(finals.picks.of(pick)) else { continue };
        writeln!(out, "{}", fitted(network_fields(name, network), stdout_width()))?;
    }
    if !finals.has_small() {
        let line = format!(
            "small is the smallest that was trained to the end: none has at most half the {} multiply-adds of a usual random \
             architecture",
            grouped(finals.usual_macs)
        );
        writeln!(out, "{}", stdout_paragraph("  ", &line))?;
    }
    Ok(())
}

/// The row of a network. Where it is too wide, the multiply-adds are dropped first, then the latency.
fn network_fields(name: &str, network: &Finalist) -> Vec<Field> {
    let latency = network.latency_ms.map_or(String::new(), |ms| format!("{ms:>8.2} ms"));
    vec![
        field(0, format!("  {name:<9} {:>9}", percent(network.valid_report))),
        field(0, format!("{:>11} parameters", grouped(network.params as u64))),
        field(2, format!("{:>13} multiply-adds", grouped(network.macs))),
        field(1, latency),
    ]
}

/// The random architectures with the same training, and the difference to them, in words.
fn beside_random(finals: &FinalsOutcome) -> String {
    let Some(control) = &finals.control else {
        return "no random architecture was trained as long, so the gain of the search is unknown".into();
    };
    let mean = percent(control.mean);
    let best = percent(control.best);
    let gain = finals.gain.map_or(String::new(), |gain| format!(". {}", in_words(gain)));
    format!("mean {mean}, best {best} of {} with the same training{gain}", of(control))
}

/// A number of steps in words.
fn in_steps(n: u64) -> String {
    format!("{} step{}", grouped(n), if n == 1 { "" } else { "s" })
}

fn of(control: &Control) -> String {
    counted(control.arcs as u64, "random architecture")
}

/// A gain in words. "Better" and "worse" require a confidence interval that excludes zero.
pub(super) fn in_words(gain: Gain) -> String {
    let Gain { points, low, high } = gain;
    let verdict = gain.verdict();
    let than = if verdict == Verdict::NoMeasurableDifference { "" } else { " than they are on average" };
    let words = verdict.words();
    format!(
        "The architecture found: {points:+.1} points, 95 % interval {low:+.1} to {high:+.1}, {words}{than}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::measure_text_width;
    use enas_search::CandidateOrigin;

    #[test]
    fn the_row_of_a_network_fits_terminals_of_60_80_and_120_columns() {
        let network = Finalist {
            arc: "0 0 1 2 0 3 1 4".parse().unwrap(),
            origin: CandidateOrigin::Random,
            params: 1_234_567,
            macs: 1_234_567_890,
            latency_ms: Some(12.5),
            steps: 3,
            score: None,
            valid_choose: 1.0,
            valid_report: 1.0,
        };
        let row = |width| fitted(network_fields("accurate", &network), width);
        for width in [60, 80, 120] {
            assert!(measure_text_width(&row(Some(width))) <= width, "{width}: {}", row(Some(width)));
        }
        assert!(row(Some(60)).contains("1 234 567 parameters") && !row(Some(60)).contains("multiply-adds"));
        assert!(row(None).contains("multiply-adds") && row(None).ends_with("12.50 ms"));
    }

    #[test]
    fn a_single_step_is_no_plural() {
        assert_eq!([in_steps(1), in_steps(1200)], ["1 step".to_owned(), format!("{} steps", grouped(1200))]);
    }

    #[test]
    fn only_an_interval_beyond_zero_is_called_better_or_worse() {
        let said = |low, high| in_words(Gain { points: 1.0, low, high });
        assert!(
            said(0.2, 1.8)
                .ends_with("95 % interval +0.2 to +1.8, measurably better than they are on average")
        );
        assert!(said(-0.2, 2.2).ends_with("no measurable difference"));
        assert!(said(-2.0, -0.1).contains("measurably worse"));
    }
}
