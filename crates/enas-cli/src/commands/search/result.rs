//! The printed result of a search.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use enas_arc::Arch;
use enas_data::Dataset;
use enas_search::{
    Candidate, CandidateOrigin, Finalist, FinalsOutcome, Origin, PairedDifference, SearchOutcome, Selection,
};
use serde::Serialize;

use crate::commands::subject::FinalSize;
use crate::commands::{Context, finals, shell_word};
use crate::output::{cost, counted, duration, grouped, path, percent, visible};
use crate::standing::Standing;
use crate::terminal::{command, stdout_paragraph, strong, warned};

/// Number of candidates in the printed ranking. JSON lists all of them.
const RANKED: usize = 5;

/// The JSON document. Its keys are part of the interface.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(serialize_with = "path")]
    run: &'a PathBuf,
    arc: &'a Arch,
    valid_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_macro_f1: Option<f64>,
    random_valid_accuracy: Option<f64>,
    random_best_valid_accuracy: Option<f64>,
    epochs: u64,
    seconds: f64,
    params: usize,
    macs: u64,
    /// The network that `enas train` would build from the architecture; `None` if it could not.
    final_network: Option<FinalSize>,
    /// All measured architectures that are not random, the one found first. They are measured by their short
    /// trainings, or by the shared weights if there were no finals.
    candidates: Vec<Listed>,
    random: Vec<Listed>,
    /// The accuracy of the architecture found minus that of the best random one, in percentage points.
    difference: Option<PairedDifference>,
    warnings: &'a [String],
    #[serde(flatten)]
    finals: Option<&'a FinalsOutcome>,
    #[serde(skip)]
    standing: Standing,
    #[serde(skip)]
    random_best: Option<Standing>,
}

/// Prints the result of a search.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn print(
    context: &Context,
    found: &SearchOutcome<Arch>,
    preset: Option<&str>,
    final_network: Option<FinalSize>,
    data: &Dataset,
) -> Result<()> {
    let of_finals = found.finals.as_ref();
    let best = match of_finals {
        Some(finals) => finals.control.as_ref().map(|control| control.best),
        None => found.selection.best_random().map(|best| best.valid_accuracy),
    };
    let reporting = of_finals.map_or(data.valid.len(), |finals| finals.images[1]);
    let document = Found {
        final_network,
        standing: Standing::on_part(reporting, &data.valid, found.valid_accuracy),
        run: &found.run,
        arc: &found.arc,
        valid_accuracy: found.valid_accuracy,
        valid_macro_f1: found.valid_macro_f1,
        random_valid_accuracy: found.random_valid_accuracy,
        random_best_valid_accuracy: best,
        random_best: best.map(|accuracy| Standing::on_part(reporting, &data.valid, accuracy)),
        finals: of_finals,
        difference: found.difference,
        warnings: &found.warnings,
        epochs: found.epochs,
        seconds: found.seconds,
        params: found.params,
        macs: found.macs,
        candidates: listed(found, false),
        random: listed(found, true),
    };
    context.out.print(&document, |out| document.write(out, preset))
}

/// The origin of an architecture, as named by the phase that measured it.
#[derive(Serialize)]
#[serde(untagged)]
enum Provenance {
    SharedWeights(Origin),
    Finals(CandidateOrigin),
}

/// An architecture with its measurements.
#[derive(Serialize)]
struct Listed {
    arc: Arch,
    origin: Provenance,
    valid_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_macro_f1: Option<f64>,
    macs: u64,
}

impl Listed {
    fn of(candidate: &Candidate<Arch>) -> Self {
        Self {
            arc: candidate.arc.clone(),
            origin: Provenance::SharedWeights(candidate.origin),
            valid_accuracy: candidate.valid_accuracy,
            valid_macro_f1: candidate.valid_macro_f1,
            macs: candidate.macs,
        }
    }
}

/// All architectures measured on the same images: either the random ones, or the others with the one found first.
fn listed(found: &SearchOutcome<Arch>, random: bool) -> Vec<Listed> {
    let Some(finals) = &found.finals else {
        let Selection { candidates, random: of_chance } = &found.selection;
        let all = if random { of_chance } else { candidates };
        return all.iter().map(Listed::of).collect();
    };
    let own = found.arc.micro();
    let is_wanted = |finalist: &&Finalist| {
        Some(&finalist.arc) != own && (finalist.origin == CandidateOrigin::Random) == random
    };
    let first = own.and_then(|arc| finals.finalist(arc)).filter(|_| !random);
    let all = first.into_iter().chain(finals.finalists.iter().filter(is_wanted));
    all.map(|finalist| Listed {
        arc: Arch::from(&finalist.arc),
        origin: Provenance::Finals(finalist.origin),
        valid_accuracy: finalist.valid_report,
        valid_macro_f1: None,
        macs: finalist.macs,
    })
    .collect()
}

impl Found<'_> {
    fn write(&self, out: &mut dyn Write, preset: Option<&str>) -> io::Result<()> {
        match self.finals {
            Some(finals) => finals::write_result(out, finals, &self.standing)?,
            None => self.write_shared_result(out)?,
        }
        for warning in self.warnings {
            writeln!(out, "{}", warned(&stdout_paragraph("warning         ", warning)))?;
        }
        if let Some(FinalSize { params, macs }) = self.final_network {
            writeln!(out, "{}", stdout_paragraph("final network   ", &cost(params, macs)))?;
        }
        // A search without shared weights has no epochs.
        let epochs = (self.epochs > 0).then(|| format!(" for {}", counted(self.epochs, "epoch")));
        let time = format!("{}{}", duration(self.seconds), epochs.unwrap_or_default());
        writeln!(out, "{}", stdout_paragraph("time            ", &time))?;
        writeln!(out, "run             {}\n", visible(&self.run))?;
        match self.finals {
            Some(finals) => finals::write_networks(out, finals)?,
            None => self.write_ranking(out)?,
        }
        writeln!(out, "\nbest architecture:\n{}", self.arc.readable())?;
        let preset = preset.map_or(String::new(), |name| format!(" --preset {name}"));
        let next = format!("enas train --run {}{preset}", shell_word(self.run));
        writeln!(out, "next: {}", command(&next))
    }

    /// Writes the result with shared weights, for searches without finals.
    fn write_shared_result(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", stdout_paragraph("validation      ", &strong(&self.standing.line())))?;
        let best = format!(
            "with the shared weights, the best of {}",
            counted(self.candidates.len() as u64, "candidate")
        );
        writeln!(out, "{}", stdout_paragraph("                ", &best))?;
        if let Some(f1) = self.valid_macro_f1 {
            writeln!(out, "macro-F1        {}", percent(f1))?;
        }
        if let Some(line) = self.beside_random() {
            writeln!(out, "{}", stdout_paragraph("random          ", &line))?;
        }
        writeln!(out, "{}", stdout_paragraph("note            ", NOT_TRAINED))?;
        let params = grouped(self.params as u64);
        let macs = grouped(self.macs);
        let params = format!("{params} parameters shared by all architectures;");
        writeln!(out, "{}", stdout_paragraph("search network  ", &params))?;
        let macs = format!("{macs} multiply-adds per image with this one");
        writeln!(out, "{}", stdout_paragraph("                ", &macs))
    }

    /// Writes the best candidates by rank. The report and JSON contain them as integers.
    fn write_ranking(&self, out: &mut dyn Write) -> io::Result<()> {
        let metric = if self.valid_macro_f1.is_some() { "macro-F1" } else { "accuracy" };
        let ranking =
            format!("ranking (validation {metric} with the shared weights; all of it in report.html):");
        writeln!(out, "{}", stdout_paragraph("", &ranking))?;
        for (place, candidate) in (1..).zip(self.candidates.iter().take(RANKED)) {
            let score = percent(candidate.valid_macro_f1.unwrap_or(candidate.valid_accuracy));
            writeln!(out, "  {place}. {score:>8}  {:>12} multiply-adds", grouped(candidate.macs))?;
        }
        Ok(())
    }

    /// The comparison with the random architectures in words.
    fn beside_random(&self) -> Option<String> {
        let mean = self.random_valid_accuracy?;
        let best = self.random_best?;
        let n = self.random.len();
        let difference = self.difference.map_or(String::new(), compared);
        Some(format!(
            "mean {} of {n} random architectures with the same weights; the best of them {}{difference}",
            percent(mean),
            best.line(),
        ))
    }
}

/// A difference in words. "Better" and "worse" require a confidence interval that excludes zero.
fn compared(difference: PairedDifference) -> String {
    let PairedDifference { points, low, high } = difference;
    format!(
        ". The architecture found against that one: {points:+.1} points on the same images, 95 % interval {low:+.1} to \
         {high:+.1}, {}",
        difference.verdict().words()
    )
}

/// A note on the meaning of accuracies with shared weights.
const NOT_TRAINED: &str =
    "accuracies with shared weights give a rough ranking only; the training of a network gives its accuracy";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_within_its_interval_is_not_called_better() {
        let said = compared(PairedDifference { points: 1.1, low: -2.0, high: 4.2 });
        assert!(said.ends_with("95 % interval -2.0 to +4.2, no measurable difference"), "{said}");
    }

    #[test]
    fn a_measurable_difference_is_called_what_it_is() {
        let better = compared(PairedDifference { points: 5.0, low: 1.0, high: 9.0 });
        assert!(better.contains("+5.0 points") && better.ends_with("measurably better"), "{better}");
        let worse = compared(PairedDifference { points: -5.0, low: -9.0, high: -1.0 });
        assert!(worse.ends_with("measurably worse"), "{worse}");
    }
}
