//! `enas predict`: classifies images and prints one line each. Unreadable files do not stop it.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use enas_search::Model;
use rayon::prelude::*;
use serde::Serialize;

use super::inputs::{Input, inputs};
use super::{Context, use_threads};
use crate::args::{Machine, ModelPlace, whole};
use crate::failure::{FAILED, SUCCESS};
use crate::messages::Activity;
use crate::output::{counted, visible};
use crate::{device, locate};

/// Label images with a model
///
/// Prints one line per image. A file that cannot be read gets a line with the reason; the others go on, and the
/// exit code is 1 at the end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas predict --run runs/photos-train-1 photo.png
  enas predict --model model.safetensors photo.png holiday/
  enas predict --model model.safetensors --top 3 --json holiday/
  find . -name '*.jpg' | enas predict --model model.safetensors --csv -")]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) place: ModelPlace,
    /// Images, folders or zips of images; - reads paths from stdin, one a line
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How many labels to give for each image
    #[arg(long, value_name = "K", default_value = "1", value_parser = whole(1, 1_000_000))]
    pub(crate) top: usize,
    /// Print the network's own probabilities, without calibration on its validation images
    #[arg(long)]
    pub(crate) raw: bool,
    /// Print comma-separated values with a header
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Number of images that are decoded and classified together.
const BATCH: usize = 64;

/// Runs `enas predict`.
///
/// # Errors
/// If the model or stdin cannot be read. An unreadable image gets a line of its own instead.
pub(crate) fn run(context: &Context, args: &Predict) -> Result<u8> {
    use_threads(args.machine.threads)?;
    let mut model = Model::load(&locate::model(&args.place, args.paths.first().map(PathBuf::as_path))?)?;
    if let Some(gpu) = device::gpu(args.machine.device)? {
        model.use_gpu(&gpu)?;
    }
    let top = args.top.min(model.classes().len());
    let listing = context.console.activity("looking for images");
    let (inputs, left_out) = inputs(&args.paths)?;
    drop(listing);
    ensure!(!inputs.is_empty(), "no image to label: - reads paths from stdin, and there was none");
    left_out.lines().iter().for_each(|line| context.console.note(line));
    let form = if args.csv { Form::Csv } else { Form::Human { width: path_width(&inputs) } };
    if form == Form::Csv {
        context.out.print(&(), |out| writeln!(out, "{}", csv_header(top)))?;
    }
    let mut read = 0;
    let mut failed = 0;
    let is_shared = context.console.is_terminal();
    let mut working: Option<Activity> = None;
    for batch in inputs.chunks(BATCH) {
        // Lines on stdout and a spinner on the same terminal would mix, so the work is shown during a batch only.
        let said = format!("classified {read} of {}", counted(inputs.len() as u64, "image"));
        match &working {
            Some(working) if !is_shared => working.say(&said),
            _ => working = Some(context.console.activity(&said)),
        }
        let lines = label(&model, batch, top, args.raw)?;
        if is_shared {
            working = None;
        }
        failed += lines.iter().filter(|line| matches!(line, Line::Unreadable { .. })).count();
        read += lines.len();
        lines.iter().try_for_each(|line| context.out.print(line, |out| line.write(out, form, top)))?;
    }
    drop(working);
    if failed > 0 {
        context.console.note(&format!("{failed} of {read} could not be labelled"));
    }
    Ok(if failed == 0 { SUCCESS } else { FAILED })
}

/// The format of lines that are not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Labels are aligned after paths of `width` columns and a colon.
    Human {
        width: usize,
    },
    Csv,
}

/// One line of output.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Labelled { path: String, label: String, probability: f32, top: Vec<Guess> },
    Unreadable { path: String, error: String },
}

/// A label and its predicted probability.
#[derive(Clone, Debug, Serialize)]
struct Guess {
    label: String,
    probability: f32,
}

/// Decodes images in parallel, classifies them in one batch, and keeps the order.
fn label(model: &Model, batch: &[Input], top: usize, raw: bool) -> Result<Vec<Line>> {
    let spec = model.input_spec();
    let decoded: Vec<Result<Vec<u8>, String>> = batch.par_iter().map(|input| input.pixels(&spec)).collect();
    let pixels: Vec<&Vec<u8>> = decoded.iter().flatten().collect();
    let images = model.images(&pixels)?;
    let probabilities = match (pixels.is_empty(), raw) {
        (true, _) => Vec::new(),
        (false, true) => model.raw_probabilities(&images)?.to_vec2::<f32>()?,
        (false, false) => model.probabilities(&images)?.to_vec2::<f32>()?,
    };
    let mut rows = probabilities.iter();
    let mut line = |(input, decoded): (&Input, &Result<Vec<u8>, String>)| {
        let path = input.name();
        match decoded {
            Ok(_) => {
                let row = rows.next().context("the model gave fewer predictions than there are images")?;
                Ok(Line::labelled(path, model.classes(), row, top))
            }
            Err(error) => Ok(Line::Unreadable { path, error: error.clone() }),
        }
    };
    batch.iter().zip(&decoded).map(&mut line).collect()
}

impl Line {
    /// The `top` most probable labels; ties are in the order of the classes.
    fn labelled(path: String, classes: &[String], row: &[f32], top: usize) -> Self {
        let mut guesses: Vec<Guess> = classes
            .iter()
            .zip(row)
            .map(|(label, &probability)| Guess { label: label.clone(), probability })
            .collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        guesses.truncate(top);
        let Guess { label, probability } = guesses[0].clone();
        Self::Labelled { path, label, probability, top: guesses }
    }

    fn write(&self, out: &mut dyn Write, form: Form, top: usize) -> io::Result<()> {
        match (self, form) {
            (Self::Labelled { path, top, .. }, Form::Human { width }) => {
                let guesses: Vec<String> = top.iter().map(Guess::human).collect();
                writeln!(out, "{:width$} {}", format!("{}:", visible(path)), guesses.join(", "))
            }
            (Self::Unreadable { path, error }, Form::Human { .. }) => {
                writeln!(out, "{}: error: {}", visible(path), visible(error))
            }
            (Self::Labelled { path, top, .. }, Form::Csv) => {
                let guesses = top.iter().flat_map(|g| [g.label.clone(), g.probability.to_string()]);
                csv_line(out, std::iter::once(path.clone()).chain(guesses).chain([String::new()]))
            }
            (Self::Unreadable { path, error }, Form::Csv) => {
                let empty = vec![String::new(); 2 * top];
                csv_line(out, std::iter::once(path.clone()).chain(empty).chain([error.clone()]))
            }
        }
    }
}

impl Guess {
    fn human(&self) -> String {
        format!("{} ({})", visible(&self.label), sureness(self.probability))
    }
}

/// A probability in whole percent. Only exact values are shown as 0 % or 100 %.
fn sureness(probability: f32) -> String {
    let percent = 100.0 * probability;
    match percent.round() {
        whole if whole >= 100.0 && percent < 100.0 => ">99 %".to_owned(),
        whole if whole <= 0.0 && percent > 0.0 => "<1 %".to_owned(),
        whole => format!("{whole:.0} %"),
    }
}

/// Number of columns for paths. A few longer ones do not shift all labels.
fn path_width(inputs: &[Input]) -> usize {
    const WIDEST: usize = 60;
    let widths = inputs.iter().map(|input| visible(&input.name()).chars().count());
    widths.filter(|width| *width <= WIDEST).max().map_or(0, |width| width + 1)
}

/// `path,label,probability,label_2,probability_2,…,error`.
fn csv_header(top: usize) -> String {
    let mut header = "path,label,probability".to_owned();
    for place in 2..=top {
        header += &format!(",label_{place},probability_{place}");
    }
    header + ",error"
}

/// Writes a line of CSV with quoting as in RFC 4180.
fn csv_line(out: &mut dyn Write, fields: impl Iterator<Item = String>) -> io::Result<()> {
    let quoted = |field: String| {
        let plain = !field.contains([',', '"', '\n', '\r']);
        if plain { field } else { format!("\"{}\"", field.replace('"', "\"\"")) }
    };
    writeln!(out, "{}", fields.map(quoted).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["cat", "dog", "eel"].map(String::from).into()
    }

    fn written(line: &Line, form: Form, top: usize) -> String {
        let mut out = Vec::new();
        line.write(&mut out, form, top).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn guesses_come_likeliest_first_and_ties_in_class_order() {
        let line = Line::labelled("a.png".into(), &classes(), &[0.2, 0.6, 0.2], 3);
        assert_eq!(
            written(&line, Form::Human { width: 8 }, 3),
            "a.png:   dog (60 %), cat (20 %), eel (20 %)\n"
        );
    }

    #[test]
    fn a_name_of_two_lines_stays_on_one() {
        let labels = ["new\nline".to_owned(), "dog".to_owned()];
        let line = Line::labelled("a\tb\n.png".into(), &labels, &[0.75, 0.25], 1);
        assert_eq!(written(&line, Form::Human { width: 8 }, 1), "a\\tb\\n.png: new\\nline (75 %)\n");
        let bad = Line::Unreadable { path: "x\ry".into(), error: "e".into() };
        assert_eq!(written(&bad, Form::Human { width: 8 }, 1), "x\\ry: error: e\n");
    }

    #[test]
    fn nothing_is_called_certain_that_is_not() {
        let shown = [1.0, 0.9999, 0.69, 0.004, 0.0].map(sureness);
        assert_eq!(shown, ["100 %", ">99 %", "69 %", "<1 %", "0 %"]);
    }

    #[test]
    fn every_csv_line_has_as_many_fields_as_the_header() {
        let good = Line::labelled("a,b.png".into(), &classes(), &[0.5, 0.25, 0.25], 2);
        let bad = Line::Unreadable { path: "x".into(), error: "says \"no\"".into() };
        assert_eq!(csv_header(2), "path,label,probability,label_2,probability_2,error");
        assert_eq!(written(&good, Form::Csv, 2), "\"a,b.png\",cat,0.5,dog,0.25,\n");
        assert_eq!(written(&bad, Form::Csv, 2), "x,,,,,\"says \"\"no\"\"\"\n");
    }

    #[test]
    fn json_lines_have_the_promised_keys() {
        let good = Line::labelled("a".into(), &classes(), &[0.5, 0.25, 0.25], 1);
        let json =
            r#"{"path":"a","label":"cat","probability":0.5,"top":[{"label":"cat","probability":0.5}]}"#;
        assert_eq!(serde_json::to_string(&good).unwrap(), json);
        let bad = Line::Unreadable { path: "x".into(), error: "e".into() };
        assert_eq!(serde_json::to_string(&bad).unwrap(), r#"{"path":"x","error":"e"}"#);
    }
}
