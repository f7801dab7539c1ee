//! `enas eval`: evaluates a model on a split.

use std::io::{self, Write};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use enas_data::Part;
use enas_search::{ClassScore, Evaluation, MemoryPlan, Model};
use serde::Serialize;

use super::{Context, use_threads};
use crate::args::{Images, Machine, Memory, ModelPlace};
use crate::failure::SUCCESS;
use crate::output::{counted, percent, visible};
use crate::standing::Standing;
use crate::terminal::{stdout_paragraph, stdout_width, strong, warned};
use crate::{device, locate};

/// Measure a model: accuracy, precision and recall per class, confusion matrix
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas eval --run runs/photos-train-1
  enas eval --model runs/photos-train-1/model.safetensors photos --split valid --json")]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) place: ModelPlace,
    #[command(flatten)]
    pub(crate) images: Images,
    /// Which part of the data
    #[arg(long, value_enum, default_value_t = Split::Test)]
    pub(crate) split: Split,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Split {
    Train,
    Valid,
    Test,
}

/// A confusion matrix of more classes than this would not fit a terminal and is not shown.
const WIDEST_MATRIX: usize = 20;
/// The upper left corner of the confusion matrix.
const CORNER: &str = "true \\ given";

/// Runs `enas eval`.
///
/// # Errors
/// If the model or the data cannot be read, or do not fit each other.
pub(crate) fn run(context: &Context, args: &Eval) -> Result<u8> {
    use_threads(args.machine.threads)?;
    let loading = context.console.activity("reading the model and the images");
    let model = Model::load(&locate::model(&args.place, args.images.path())?)?;
    let gpu = device::gpu(args.machine.device)?;
    let path = args.images.path().map_or_else(|| model.data_path(), enas_data::resolve_path);
    if args.images.path().is_none() && !model.data_config().is_built_in() && !path.exists() {
        bail!(
            "there are no images at {}, where the model's training found them; say where they are now: \
             enas eval DATA, or --data PATH",
            visible(&path)
        );
    }
    let part = match args.split {
        Split::Train => Part::Train,
        Split::Valid => Part::Valid,
        Split::Test => Part::Test,
    };
    let learned_more = model.refit().is_some();
    let mut model = model.as_measured(&path, part)?;
    let memory = args.memory.memory.unwrap_or_default();
    let plan = MemoryPlan::for_evaluation(&model, &path, memory, gpu.is_some())?;
    tracing::info!("{plan}");
    model.set_memory(&plan);
    let (split, skipped) = match model.load_split(&path, part) {
        Ok(loaded) => loaded,
        // A copy of the training's images: those of this part are for the network that has not learned from them.
        Err(error) => {
            model = model.before_refit(part)?.ok_or(error)?;
            model.set_memory(&plan);
            model.load_split(&path, part)?
        }
    };
    if learned_more && model.refit().is_none() {
        context.console.note(
            "after its measurement the model also learned from these images: this is the network from before that",
        );
    }
    if let Some(gpu) = &gpu {
        model.use_gpu(gpu)?;
    }
    if !skipped.is_empty() {
        let note = match skipped.len() {
            1 => "1 file could not be used and is not counted".to_owned(),
            n => format!("{n} files could not be used and are not counted"),
        };
        context.console.note(&note);
    }
    drop(loading);
    let measuring =
        context.console.activity(&format!("classifying {}", counted(split.len() as u64, "image")));
    let document = Evaluated::new(&model.evaluate(&split)?);
    drop(measuring);
    context.out.print(&document, |out| document.write(out))?;
    Ok(SUCCESS)
}

/// The JSON document. Its keys are part of the interface.
#[derive(Serialize)]
struct Evaluated {
    accuracy: f64,
    balanced_accuracy: f64,
    /// Over the classes that have images.
    macro_f1: f64,
    correct: u64,
    total: u64,
    /// The 95 % confidence interval of the accuracy, 0 to 1.
    interval: [f64; 2],
    /// The accuracy of always predicting the most frequent class, 0 to 1.
    most_frequent: f64,
    /// Whether neither the accuracy is measurably above `most_frequent` nor the balanced accuracy above that by chance.
    chance_level: bool,
    #[serde(skip)]
    standing: Standing,
    per_class: Vec<ClassScore>,
    confusion: Vec<Vec<u64>>,
}

impl Evaluated {
    fn new(evaluation: &Evaluation) -> Self {
        let standing = Standing::of(evaluation);
        Self {
            interval: standing.interval(),
            most_frequent: standing.baseline(),
            chance_level: standing.is_at_chance(),
            standing,
            accuracy: evaluation.accuracy(),
            balanced_accuracy: evaluation.balanced_accuracy(),
            macro_f1: evaluation.macro_f1_of_present(),
            correct: evaluation.correct(),
            total: evaluation.total(),
            per_class: evaluation.per_class(),
            confusion: evaluation.confusion.clone(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", stdout_paragraph("accuracy ", &strong(&self.standing.line())))?;
        let f1 = percent(self.macro_f1);
        let recall = percent(self.balanced_accuracy);
        let present = self.standing.classes();
        let all = self.confusion.len();
        let of = match present < all {
            true => format!(" over the {present} of {all} classes that have images here"),
            false => String::new(),
        };
        let equal = format!("macro-F1 {f1}, balanced accuracy {recall}{of}: every class counts equally");
        writeln!(out, "{}", stdout_paragraph("", &equal))?;
        if present == 1 {
            let only = "with images of a single class, nothing says whether this is better than chance";
            writeln!(out, "{}", stdout_paragraph("", only))?;
        }
        if let Some(warning) = self.standing.warning() {
            writeln!(out, "{}", warned(&stdout_paragraph("", &warning)))?;
        }
        writeln!(out)?;
        self.write_classes(out)?;
        let is_too_wide = stdout_width().is_some_and(|width| self.confusion_width() > width);
        if self.confusion.len() > WIDEST_MATRIX || is_too_wide {
            return writeln!(out, "\nconfusion matrix of {} classes: see --json", self.confusion.len());
        }
        self.write_confusion(out)
    }

    fn write_classes(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.label_width("class");
        writeln!(
            out,
            "{:width$}  {:>9}  {:>8}  {:>8}  {:>7}",
            "class", "precision", "recall", "F1", "support"
        )?;
        for ClassScore { label, precision, recall, f1, support } in &self.per_class {
            let [precision, recall, f1] = [precision, recall, f1].map(|share| percent(*share));
            let label = visible(label);
            writeln!(out, "{label:width$}  {precision:>9}  {recall:>8}  {f1:>8}  {support:>7}")?;
        }
        Ok(())
    }

    fn write_confusion(&self, out: &mut dyn Write) -> io::Result<()> {
        let label = self.label_width(CORNER);
        let columns = self.confusion_columns();
        write!(out, "\n{CORNER:label$}")?;
        for (class, width) in self.per_class.iter().zip(&columns) {
            write!(out, "  {:>width$}", visible(&class.label))?;
        }
        writeln!(out)?;
        for (class, row) in self.per_class.iter().zip(&self.confusion) {
            write!(out, "{:label$}", visible(&class.label))?;
            for (count, width) in row.iter().zip(&columns) {
                write!(out, "  {count:>width$}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// Width of each column of the confusion matrix.
    fn confusion_columns(&self) -> Vec<usize> {
        self.per_class.iter().map(|class| visible(&class.label).chars().count().max(5)).collect()
    }

    /// Width of a line of the confusion matrix.
    fn confusion_width(&self) -> usize {
        self.label_width(CORNER) + self.confusion_columns().iter().map(|width| 2 + width).sum::<usize>()
    }

    fn label_width(&self, header: &str) -> usize {
        let labels = self.per_class.iter().map(|class| visible(&class.label).chars().count());
        labels.max().unwrap_or(0).max(header.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_show_every_class_and_every_count() {
        let classes = ["ant".to_owned(), "bee".to_owned()];
        let mut evaluation = Evaluation::new(&classes);
        evaluation.confusion = vec![vec![3, 1], vec![0, 4]];
        let mut out = Vec::new();
        Evaluated::new(&evaluation).write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("accuracy 87.50 % (7 of 8), 95 % interval 52.9 to 97.8\n"), "{text}");
        assert!(text.contains("macro-F1 87.30 %, balanced accuracy 87.50 %"), "{text}");
        assert!(text.contains("ant     100.00 %   75.00 %   85.71 %        4"), "{text}");
        assert!(text.contains("ant               3      1\n"), "{text}");
        let widest =
            text.lines().skip_while(|line| !line.starts_with(CORNER)).map(|line| line.chars().count());
        assert_eq!(widest.max(), Some(Evaluated::new(&evaluation).confusion_width()), "{text}");
    }

    #[test]
    fn images_of_one_class_are_measured_without_a_chance_level() {
        let classes = ["ant".to_owned(), "bee".to_owned()];
        let mut evaluation = Evaluation::new(&classes);
        evaluation.confusion = vec![vec![64, 36], vec![0, 0]];
        let mut out = Vec::new();
        let document = Evaluated::new(&evaluation);
        document.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!document.chance_level && !text.contains("at chance level"), "{text}");
        assert!(
            text.contains("balanced accuracy 64.00 % over the 1 of 2 classes that have images here"),
            "{text}"
        );
        assert!(text.contains("macro-F1 78.05 %"), "{text}");
    }
}
