//! The printed result of an automatic run.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use enas_arc::Arc;
use enas_data::Dataset;
use enas_search::{AutoOutcome, AutoPhase, AutoRun, Gain, PairedDifference, Refitted, Verdict};
use serde::Serialize;

use crate::commands::{Context, finals, shell_word};
use crate::output::{duration, path, path_if_any, percent, visible};
use crate::standing::{self, Standing};
use crate::terminal::{command, stdout_paragraph, strong, warned};

/// The files written in addition to the model.
pub(super) struct Files {
    pub(super) onnx: Option<PathBuf>,
    pub(super) report: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(serialize_with = "path")]
    run: &'a Path,
    #[serde(serialize_with = "path")]
    model: &'a Path,
    #[serde(serialize_with = "path_if_any")]
    onnx: Option<&'a Path>,
    #[serde(serialize_with = "path_if_any")]
    report: Option<&'a Path>,
    arc: &'a Arc,
    from: AutoPhase,
    valid_accuracy: f64,
    test_accuracy: f64,
    /// Macro-F1 and balanced accuracy, if the trainings chose by macro-F1.
    #[serde(skip_serializing_if = "Option::is_none")]
    test_macro_f1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_balanced_accuracy: Option<f64>,
    test_correct: u64,
    test_total: u64,
    test_interval: [f64; 2],
    chance_level: bool,
    #[serde(skip)]
    is_cell_given: bool,
    #[serde(skip)]
    valid: Standing,
    #[serde(skip)]
    test: Standing,
    first_valid_accuracy: Option<f64>,
    #[serde(skip)]
    trained_valid_accuracy: Option<f64>,
    #[serde(skip)]
    shared_images: Option<String>,
    search_valid_accuracy: Option<f64>,
    random_valid_accuracy: Option<f64>,
    #[serde(skip)]
    search_difference: Option<PairedDifference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search_gain: Option<Gain>,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    refit: Option<Refitted>,
    seconds: f64,
}

/// Prints the result of an automatic run.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn print(
    context: &Context,
    run: &AutoRun,
    outcome: &AutoOutcome,
    data: &Dataset,
    files: &Files,
    is_cell_given: bool,
) -> Result<()> {
    let test = Standing::on(&data.test, outcome.test_accuracy).with_balanced(outcome.test_balanced);
    let document = Document {
        test_correct: test.correct,
        test_total: test.total,
        test_interval: test.interval(),
        chance_level: test.is_at_chance(),
        is_cell_given,
        valid: Standing::on(&data.valid, outcome.valid_accuracy),
        test,
        run: run.dir(),
        model: &outcome.model,
        onnx: files.onnx.as_deref(),
        report: files.report.as_deref(),
        arc: &outcome.arc,
        from: outcome.from,
        valid_accuracy: outcome.valid_accuracy,
        test_accuracy: outcome.test_accuracy,
        test_macro_f1: outcome.test_macro_f1,
        test_balanced_accuracy: outcome.test_balanced.map(|balanced| balanced.value),
        first_valid_accuracy: outcome.first_accuracy,
        trained_valid_accuracy: outcome.trained_accuracy,
        shared_images: standing::shared_images(data),
        search_valid_accuracy: outcome.search_accuracy,
        random_valid_accuracy: outcome.random_accuracy,
        search_difference: outcome.search_difference,
        search_gain: outcome.search_gain,
        warnings: &outcome.search_warnings,
        refit: outcome.refit,
        seconds: run.seconds(),
    };
    context.out.print(&document, |out| document.write(out))
}

impl Document<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", stdout_paragraph("test        ", &strong(&self.test.line())))?;
        if let Some(f1) = self.test_macro_f1 {
            let f1 = format!("macro-F1 {}: every class counts equally, as the trainings chose", percent(f1));
            writeln!(out, "{}", stdout_paragraph("            ", &f1))?;
        }
        if let Some(line) = self.test.balanced_line() {
            writeln!(out, "{}", stdout_paragraph("            ", &format!("balanced accuracy {line}")))?;
        }
        if let Some(warning) = self.test.warning() {
            writeln!(out, "{}", warned(&stdout_paragraph("            ", &warning)))?;
        }
        writeln!(out, "{}", stdout_paragraph("validation  ", &self.valid.line()))?;
        if let Some(line) = &self.shared_images {
            writeln!(out, "{}", warned(&stdout_paragraph("            ", line)))?;
        }
        if let Some(refit) = &self.refit {
            writeln!(out, "{}", stdout_paragraph("refit       ", &standing::after_refit(refit)))?;
        }
        self.write_search(out)?;
        self.write_network(out)?;
        writeln!(out, "time        {}", duration(self.seconds))?;
        writeln!(out, "model       {}", visible(&self.model))?;
        for (name, path) in [("onnx", self.onnx), ("report", self.report)] {
            if let Some(path) = path {
                writeln!(out, "{name:<11} {}", visible(&path))?;
            }
        }
        writeln!(out)?;
        let next = format!("enas predict --model {} IMAGE…", shell_word(self.model));
        writeln!(out, "next: {}", command(&next))
    }

    /// What the search found, compared with random architectures.
    fn write_search(&self, out: &mut dyn Write) -> io::Result<()> {
        if let (Some(found), Some(random)) = (self.search_valid_accuracy, self.random_valid_accuracy) {
            let found = percent(found);
            let random = percent(random);
            let line = match self.search_gain {
                Some(gain) => format!(
                    "{found} of the validation images that no choice used, after a short training alone; random \
                     architectures with the same training {random} on average. {}",
                    finals::in_words(gain)
                ),
                None => format!(
                    "{found} of the validation images with shared weights, random architectures {random} on average{}; \
                     trained networks reach other accuracies",
                    self.search_difference.map_or(String::new(), |difference| format!(
                        ", the difference to the best of them is {}",
                        beside(difference)
                    )),
                ),
            };
            writeln!(out, "{}", stdout_paragraph("search      ", &line))?;
            if self.search_gain.is_some_and(|gain| gain.verdict() == Verdict::NoMeasurableDifference) {
                writeln!(out, "{}", stdout_paragraph("            ", finals::NOTHING_YET))?;
            }
            for warning in self.warnings {
                writeln!(out, "{}", warned(&stdout_paragraph("            ", warning)))?;
            }
        }
        Ok(())
    }

    /// Where the architecture is from.
    fn write_network(&self, out: &mut dyn Write) -> io::Result<()> {
        match (self.from, self.first_valid_accuracy) {
            (_, None) if self.is_cell_given => {
                writeln!(out, "network     the given cell, without a search")
            }
            (_, None) => writeln!(out, "network     a ready cell, without a search"),
            (AutoPhase::First, _) => {
                let trained = self.trained_valid_accuracy.map_or_else(|| "less".into(), percent);
                let line = format!(
                    "the first model, of a random architecture, is measurably better on the validation images and is \
                     kept; the final training of the searched one reached {trained} of them and is in the folder train \
                     of the run"
                );
                writeln!(out, "{}", stdout_paragraph("note        ", &line))
            }
            (_, Some(first)) => writeln!(out, "{}", self.of_first_model(first)),
        }
    }
}

impl Document<'_> {
    /// The line about the first model, which was not kept.
    fn of_first_model(&self, first: f64) -> String {
        let better = match self.trained_valid_accuracy {
            Some(trained) if first > trained => format!(
                "; no measurable difference to the {} of the training on {} validation images, so it is left aside",
                percent(trained),
                self.valid.total
            ),
            _ => String::new(),
        };
        let line = format!("{} (random architecture, short training){better}", percent(first));
        stdout_paragraph("first model ", &line)
    }
}

/// The difference to the best random architecture in words.
fn beside(difference: PairedDifference) -> String {
    let PairedDifference { points, low, high } = difference;
    let is = difference.verdict().words();
    format!("{:+.1} points ({:+.1} to {:+.1}), {is}", points, low, high)
}
