//! The printed result of a training.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use enas_arc::{Arc, Arch};
use enas_data::Dataset;
use enas_search::{Ended, Refit, Refitted, TrainOutcome};
use serde::Serialize;

use crate::commands::{Context, shell_word};
use crate::output::{cost, counted, duration, path, percent, visible};
use crate::standing::{self, Standing};
use crate::terminal::{command, stdout_paragraph, strong, warned};

/// The JSON document. Its keys are part of the interface.
#[derive(Serialize)]
pub(super) struct Trained<'a, A = Arc> {
    #[serde(serialize_with = "path")]
    run: &'a PathBuf,
    #[serde(serialize_with = "path")]
    model: &'a PathBuf,
    arc: &'a A,
    train_loss: f64,
    valid_accuracy: f64,
    test_accuracy: f64,
    test_macro_f1: f64,
    test_correct: u64,
    test_total: u64,
    /// The 95 % confidence interval of the test accuracy, 0 to 1.
    test_interval: [f64; 2],
    /// Whether neither the test accuracy is measurably above that of always predicting the most frequent class, nor the
    /// balanced accuracy above that by chance.
    chance_level: bool,
    epochs: u64,
    ended: Ended,
    /// The refit after the measurement, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refit: Option<Refit>,
    seconds: f64,
    params: usize,
    macs: u64,
    #[serde(skip)]
    valid: Standing,
    #[serde(skip)]
    test: Standing,
    /// A warning if the splits share images.
    #[serde(skip)]
    shared_images: Option<String>,
    /// Whether cross-validation would give more test images.
    #[serde(skip)]
    pub(super) could_fold: bool,
}

/// With fewer test images than this, the confidence interval of an accuracy is wider than 14 points.
const FEW: u64 = 50;

/// Prints the result of a training.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn print(context: &Context, trained: &TrainOutcome<Arch>, data: &Dataset) -> Result<()> {
    let document = Trained::new(trained, data);
    context.out.print(&document, |out| document.write(out))
}

impl<'a, A> Trained<'a, A> {
    pub(super) fn new(trained: &'a TrainOutcome<A>, data: &Dataset) -> Self {
        let test = Standing::on(&data.test, trained.test_accuracy).with_balanced(trained.test_balanced);
        Self {
            test_correct: test.correct,
            test_total: test.total,
            test_interval: test.interval(),
            chance_level: test.is_at_chance(),
            valid: Standing::on(&data.valid, trained.valid_accuracy),
            test,
            run: &trained.run,
            model: &trained.model,
            arc: &trained.arc,
            train_loss: trained.train_loss,
            valid_accuracy: trained.valid_accuracy,
            test_accuracy: trained.test_accuracy,
            test_macro_f1: trained.test_macro_f1,
            shared_images: standing::shared_images(data),
            could_fold: !data.has_own_splits(),
            epochs: trained.epochs,
            ended: trained.ended,
            refit: trained.refit,
            seconds: trained.seconds,
            params: trained.params,
            macs: trained.macs,
        }
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", stdout_paragraph("test        ", &strong(&self.test.line())))?;
        writeln!(out, "            macro-F1 {}", percent(self.test_macro_f1))?;
        if let Some(line) = self.test.balanced_line() {
            writeln!(out, "            balanced accuracy {line}")?;
        }
        if let Some(warning) = self.test.warning() {
            writeln!(out, "{}", warned(&stdout_paragraph("            ", &warning)))?;
        }
        if let Some(warning) = &self.shared_images {
            writeln!(out, "{}", warned(&stdout_paragraph("            ", warning)))?;
        }
        if self.test.total < FEW && self.could_fold {
            let advice =
                "few images to test with: enas train DATA --folds 5 tests on all of them, one fold at a time";
            writeln!(out, "{}", stdout_paragraph("            ", advice))?;
        }
        writeln!(out, "{}", stdout_paragraph("validation  ", &self.valid.line()))?;
        if let Some(Refit { images, fitted, .. }) = self.refit {
            let refit = standing::after_refit(&Refitted { images, fitted });
            writeln!(out, "{}", stdout_paragraph("refit       ", &refit))?;
        }
        let loss = format!("{:.4} on the training split in the last epoch", self.train_loss);
        writeln!(out, "{}", stdout_paragraph("loss        ", &loss))?;
        writeln!(out, "{}", stdout_paragraph("network     ", &cost(self.params, self.macs)))?;
        let why = match self.ended {
            Ended::Epochs => "",
            Ended::Time => ", as many as there was time for",
            Ended::Patience => ", the last of them without improvement",
        };
        let time = format!("{} for {}{why}", duration(self.seconds), counted(self.epochs, "epoch"));
        writeln!(out, "{}", stdout_paragraph("time        ", &time))?;
        writeln!(out, "model       {}\n", visible(&self.model))?;
        let model = shell_word(self.model);
        writeln!(out, "next: {}", command(&format!("enas eval --model {model}")))?;
        writeln!(out, "      {}", command(&format!("enas predict --model {model} IMAGE…")))
    }
}
