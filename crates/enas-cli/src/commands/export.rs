//! `enas export`: exports a model for other programs.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use enas_data::Dataset;
use enas_export::{ExportOptions, Exported};
use enas_search::Model;
use serde::Serialize;

use super::{Context, use_threads};
use crate::args::{ModelPlace, whole};
use crate::failure::{OrUsage, SUCCESS, usage};
use crate::locate;
use crate::output::grouped;

/// Write a model as an ONNX file, for other programs and devices
///
/// The input is a batch of any size, [batch, channels, height, width], grey or RGB, values byte/255 from 0 to 1.
/// Normalisation is part of the graph. The outputs are `logits` and `probabilities`. Class names, architecture, and how
/// training resized its images are in the metadata. An independent implementation of ONNX runs the graph on 144 images
/// first. If a logit differs from ours by more than rounding explains, nothing is written.
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub(crate) struct Export {
    #[command(flatten)]
    place: ModelPlace,
    /// The format to write
    #[arg(long, value_enum, default_value_t = Format::Onnx)]
    format: Format,
    /// The file to write [default: model.onnx next to the model]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
    /// Also write the images of the check and our logits to this folder, as pictures.npy and logits.npy
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
    /// Largest accepted difference of a logit or a probability [default: what rounding explains]
    #[arg(long, value_name = "X", value_parser = positive)]
    tolerance: Option<f32>,
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1, 1024))]
    threads: Option<usize>,
}

/// Example commands, and how to use the file in Python.
fn examples() -> String {
    let python = enas_export::PYTHON.lines().map(|line| format!("  {line}\n")).collect::<String>();
    format!(
        "Examples:\n  enas export --run runs/photos-train-1\n  \
         enas export --model model.safetensors --out app/photos.onnx --samples check\n\n\
         In Python (pip install onnxruntime numpy pillow), these lines answer as enas predict does. As a file they are\n\
         run by: python predict.py model.onnx photo.png\n\n{python}"
    )
}

/// A format that other programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Open Neural Network Exchange
    Onnx,
}

/// Runs `enas export`.
///
/// # Errors
/// If the model cannot be read, the file cannot be written, or the exported graph computes something else.
pub(crate) fn run(context: &Context, args: &Export) -> Result<u8> {
    use_threads(args.threads)?;
    let path = locate::model(&args.place, None)?;
    let model = Model::load(&path)?;
    let Format::Onnx = args.format;
    let out = args.out.clone().unwrap_or_else(|| path.with_extension("onnx"));
    if is_same_file(&out, &path) {
        return Err(usage(format!("--out {} is the model itself; name another file", out.display())));
    }
    let &Export { force, tolerance, .. } = args;
    let samples = args.samples.as_deref();
    let options = ExportOptions { out: &out, force, tolerance, samples, images: None, data: None };
    let checking = context.console.activity("writing and checking the ONNX file");
    let exported = match enas_export::export(&model, &options) {
        Err(error) if error.is_usage() => Err(error).or_usage()?,
        result => result?,
    };
    drop(checking);
    if let Some(problem) = &exported.problem {
        context.console.note(&format!(
            "checked with synthetic images, because the model's own are not available: {problem}"
        ));
    }
    let document = Document::new(&out, &exported);
    context.out.print(&document, |to| {
        writeln!(
            to,
            "{path}: {bytes} bytes, ONNX operators of version {opset}\n\
             largest difference of a logit on {images} images ({source}): {max_abs_difference:.1e}",
            path = document.path,
            bytes = grouped(document.bytes as u64),
            opset = document.opset,
            images = document.images,
            source = source(&exported),
            max_abs_difference = document.max_abs_difference,
        )
    })?;
    Ok(SUCCESS)
}

/// Number of images for the check of the exported file under a time limit. The check's time is proportional to it.
const CHECKED: usize = 8;
/// Multiply-adds per second that the check computes at least; an AMD EPYC (Zen 4) reached 9e8 with one thread.
const CHECKED_PER_SECOND: f64 = 3e8;

/// Exports a model as `model.onnx` to its directory and returns the path. An existing file is replaced.
///
/// The check uses images of `data`: few of them if there is a time limit, which leaves the seconds `left`.
///
/// # Errors
/// As for [`run`], and if the check does not fit into the time.
pub(crate) fn beside(model: &Path, data: &Dataset, left: Option<f64>) -> Result<PathBuf> {
    let out = model.with_extension("onnx");
    let loaded = Model::load(model)?;
    let needed = CHECKED as f64 * loaded.macs()? as f64 / CHECKED_PER_SECOND;
    ensure!(left.is_none_or(|left| left >= needed), "there is no time left to check it");
    let images = left.map(|_| CHECKED);
    let options =
        ExportOptions { out: &out, force: true, tolerance: None, samples: None, images, data: Some(data) };
    enas_export::export(&loaded, &options)?;
    Ok(out)
}

/// The JSON document. Its keys are part of the interface.
#[derive(Serialize)]
struct Document {
    path: String,
    max_abs_difference: f32,
    tolerance: f32,
    #[serde(rename = "pictures")]
    images: usize,
    #[serde(rename = "synthetic_pictures")]
    synthetic: usize,
    opset: i64,
    bytes: usize,
}

impl Document {
    fn new(path: &Path, exported: &Exported) -> Self {
        let &Exported { max_abs_difference, tolerance, images, synthetic, opset, bytes, .. } = exported;
        let path = path.display().to_string();
        Self { path, max_abs_difference, tolerance, images, synthetic, opset, bytes }
    }
}

/// The origin of the images of the check, in words.
fn source(exported: &Exported) -> String {
    match exported.synthetic {
        0 => "held out from training".to_owned(),
        n if n == exported.images => "synthetic".to_owned(),
        n => format!("{n} of them synthetic"),
    }
}

fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(x) if x > 0.0 && x.is_finite() => Ok(x),
        _ => Err("write a number above 0".to_owned()),
    }
}

/// Whether two paths lead to the same existing file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
