//! The printed result of an automatic run.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use enas_arc::Arc;
use enas_data::Dataset;
use enas_search::{AutoOutcome, AutoPhase, AutoRun, Gain, PairedDifference, Refitted};
use serde::Serialize;

use crate::commands::{Context, finals, shell_word};
use crate::output::{duration, path, path_if_any, percent};
use crate::standing::{self, Standing};
use crate::terminal::{command, paragraph, stdout_width, strong, warned};

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
    (outcome, data): (&AutoOutcome, &Dataset),
    files: &Files,
    is_cell_given: bool,
) -> Result<()> {
    let test = Standing::on(&data.test, outcome.test_accuracy);
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
        first_valid_accuracy: outcome.first_accuracy,
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
        writeln!(out, "test        {}", strong(&self.test.line()))?;
        if let Some(warning) = self.test.warning() {
            writeln!(out, "{}", warned(&paragraph("            ", &warning, stdout_width())))?;
        }
        writeln!(out, "validation  {}", self.valid.line())?;
        if let Some(refit) = &self.refit {
            writeln!(out, "{}", paragraph("refit       ", &standing::after_refit(refit), stdout_width()))?;
        }
        if let (Some(found), Some(random)) = (self.search_valid_accuracy, self.random_valid_accuracy) {
            let (found, random) = (percent(found), percent(random));
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
            writeln!(out, "{}", paragraph("search      ", &line, stdout_width()))?;
            for warning in self.warnings {
                writeln!(out, "{}", warned(&paragraph("            ", warning, stdout_width())))?;
            }
        }
        match (self.from, self.first_valid_accuracy) {
            (_, None) if self.is_cell_given => {
                writeln!(out, "network     the given cell, without a search")?;
            }
            (_, None) => writeln!(out, "network     a ready cell, without a search")?,
            (AutoPhase::First, _) => writeln!(
                out,
                "note        the first model, of a random architecture, has the highest validation accuracy and is kept"
            )?,
            (_, Some(first)) => {
                writeln!(out, "first model {} (random architecture, short training)", percent(first))?;
            }
        }
        writeln!(out, "time        {}", duration(self.seconds))?;
        writeln!(out, "model       {}", self.model.display())?;
        for (name, path) in [("onnx", self.onnx), ("report", self.report)] {
            if let Some(path) = path {
                writeln!(out, "{name:<11} {}", path.display())?;
            }
        }
        writeln!(out)?;
        let next = format!("enas predict --model {} IMAGE…", shell_word(self.model));
        writeln!(out, "next: {}", command(&next))
    }
}

/// The difference to the best random architecture in words.
fn beside(difference: PairedDifference) -> String {
    let PairedDifference { points, low, high } = difference;
    let is = difference.verdict().words();
    format!("{:+.1} points ({:+.1} to {:+.1}), {is}", points, low, high)
}
