//! The result of the finals of a search in words.

use std::io::{self, Write};

use enas_search::{Control, FinalsOutcome, Gain, Pick};

use crate::output::{counted, grouped, percent};
use crate::standing::Standing;
use crate::terminal::{paragraph, stdout_width, strong};

/// Writes the accuracy of the network found and its gain over random architectures.
pub(super) fn write_result(
    out: &mut dyn Write,
    finals: &FinalsOutcome,
    standing: &Standing,
) -> io::Result<()> {
    let found = finals.balanced();
    writeln!(out, "validation      {}", strong(&standing.line()))?;
    let trained = format!(
        "on {} that no choice used, after {} steps of training alone",
        counted(finals.images[1] as u64, "image"),
        grouped(found.steps)
    );
    writeln!(out, "{}", paragraph("                ", &trained, stdout_width()))?;
    writeln!(out, "{}", paragraph("random          ", &beside_random(finals), stdout_width()))?;
    if let Some(equal_size) = &finals.equal_size {
        let line = format!(
            "{} of nearly the same size, trained as long: mean {}",
            of(equal_size),
            percent(equal_size.mean)
        );
        writeln!(out, "{}", paragraph("                ", &line, stdout_width()))?;
    }
    let first = &finals.first_round;
    if first.random > 0 {
        let line = format!(
            "more accurate than {} of {} random architectures after the same {} steps",
            first.beaten,
            first.random,
            grouped(first.steps)
        );
        writeln!(out, "{}", paragraph("first round     ", &line, stdout_width()))?;
    }
    Ok(())
}

/// Writes the three networks that a user can choose from.
pub(super) fn write_networks(out: &mut dyn Write, finals: &FinalsOutcome) -> io::Result<()> {
    writeln!(out, "networks to train (enas train --run DIR --pick NAME):")?;
    for (name, pick) in [("small", Pick::Small), ("balanced", Pick::Balanced), ("accurate", Pick::Accurate)] {
        let Some(network) = finals.finalist(finals.picks.of(pick)) else { continue };
        let latency = network.latency_ms.map_or(String::new(), |ms| format!("{ms:>8.2} ms"));
        writeln!(
            out,
            "  {name:<9} {:>9}  {:>11} parameters  {:>13} multiply-adds  {latency}",
            percent(network.valid_report),
            grouped(network.params as u64),
            grouped(network.macs)
        )?;
    }
    Ok(())
}

/// The random architectures with the same training, and the difference to them, in words.
fn beside_random(finals: &FinalsOutcome) -> String {
    let Some(control) = &finals.control else {
        return "no random architecture was trained as long, so the gain of the search is unknown".into();
    };
    let (mean, best) = (percent(control.mean), percent(control.best));
    let gain = finals.gain.map_or(String::new(), |gain| format!(". {}", in_words(gain)));
    format!("mean {mean}, best {best} of {} with the same training{gain}", of(control))
}

fn of(control: &Control) -> String {
    counted(control.arcs as u64, "random architecture")
}

/// A gain in words. "Better" and "worse" require a confidence interval that excludes zero.
pub(super) fn in_words(gain: Gain) -> String {
    let Gain { points, low, high } = gain;
    let verdict = if low > 0.0 {
        "measurably better than they are on average"
    } else if high < 0.0 {
        "measurably worse than they are on average"
    } else {
        "no measurable difference"
    };
    format!("The architecture found: {points:+.1} points, 95 % interval {low:+.1} to {high:+.1}, {verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;

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
