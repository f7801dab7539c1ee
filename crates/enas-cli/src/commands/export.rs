//! `enas export`: exports a model for other programs.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use enas_data::Dataset;
use enas_export::{ExportOptions, Exported};
use enas_search::Model;
use serde::Serialize;

use super::{Context, use_threads};
use crate::args::{ModelPlace, output_path, whole};
use crate::failure::{OrUsage, SUCCESS, usage};
use crate::locate;
use crate::output::{counted, grouped, visible};
use crate::terminal::stdout_paragraph;

/// Write a model as an ONNX file, for other programs and devices
///
/// The input is a batch of any size, [batch, channels, height, width], grey or RGB, values byte/255 from 0 to 1.
/// Normalisation is part of the graph. The outputs are `logits` and `probabilities`. Class names, architecture, and how
/// training resized its images are in the metadata. An independent implementation of ONNX runs the graph on 144 images
/// first. If a logit differs from ours by more than rounding explains, nothing is written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enas export --run runs/photos-train-1
  enas export --model model.safetensors --out app/photos.onnx --samples check

In Python (pip install onnxruntime numpy pillow):
  enas export --python > predict.py
  python predict.py model.onnx photo.png")]
pub(crate) struct Export {
    #[command(flatten)]
    place: ModelPlace,
    /// Print a Python script that answers as `enas predict` does, from the file and images, and write nothing
    #[arg(long)]
    python: bool,
    /// The format to write
    #[arg(long, value_enum, default_value_t = Format::Onnx)]
    format: Format,
    /// The file to write [default: model.onnx next to the model]
    #[arg(long, value_name = "FILE", value_parser = output_path())]
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
    if args.python {
        return print_python(context);
    }
    use_threads(args.threads)?;
    let path = locate::model(&args.place, None)?;
    let model = Model::load(&path)?;
    let Format::Onnx = args.format;
    let out = args.out.clone().unwrap_or_else(|| path.with_extension("onnx"));
    if is_same_file(&out, &path) {
        return Err(usage(format!("--out {} is the model itself; name another file", visible(&out))));
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
        let path = visible(&document.path);
        let bytes = grouped(document.bytes as u64);
        let file = format!("{path}: {bytes} bytes, ONNX operators of version {}", document.opset);
        writeln!(to, "{}", stdout_paragraph("", &file))?;
        let images = counted(document.images as u64, "image");
        let difference = document.max_abs_difference;
        let compared =
            format!("largest difference of a logit on {images} ({}): {difference:.1e}", source(&exported));
        writeln!(to, "{}", stdout_paragraph("", &compared))
    })?;
    Ok(SUCCESS)
}

/// Prints the script that uses an exported file.
fn print_python(context: &Context) -> Result<u8> {
    #[derive(Serialize)]
    struct Script {
        python: &'static str,
    }
    let script = Script { python: enas_export::PYTHON };
    context.out.print(&script, |to| to.write_all(script.python.as_bytes()))?;
    Ok(SUCCESS)
}

/// Number of images for the check of the exported file under a time limit. The check's time is proportional to it.
const CHECKED: usize = 8;
/// Multiply-adds per second that the check computes on a busy machine; an AMD EPYC (Zen 4) reached 9e8 with one thread,
/// and 5e8 with eight processes on two cores.
const CHECKED_PER_SECOND: f64 = 4.5e8;

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

#[cfg(test)]
mod tests {
    use super::*;
    use enas_search::{ConfigBuilder, Run, TrainConfig};
    use image::{GrayImage, Luma};
    use std::fs;

    /// A tiny model, trained on images that are gone afterwards, and these images as they were loaded.
    fn trained(folder: &Path) -> (PathBuf, Dataset) {
        let images = folder.join("pictures");
        for class in 0..2_u8 {
            let below = images.join(class.to_string());
            fs::create_dir_all(&below).unwrap();
            for i in 0..40_u8 {
                let image = GrayImage::from_pixel(12, 12, Luma([100 * class + i]));
                image.save(below.join(format!("{i}.png"))).unwrap();
            }
        }
        let path = format!("data.path={}", images.display());
        let settings = ["run.epochs=1", "child.filters=4", "child.layers=1", "child.nodes=1", &path];
        let settings = settings.iter().fold(ConfigBuilder::preset("quick"), |all, one| all.set(*one));
        let config: TrainConfig = settings.set("data.image_size=12").load().unwrap();
        let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed())).unwrap();
        let arc: enas_arc::Arc = "0 0 1 2 0 3 1 4".parse().unwrap();
        let mut run = Run::for_training(Some(&folder.join("run")), &config, &arc, &data).unwrap();
        let model = enas_search::train(&config, &arc, &data, &mut run, &mut ()).unwrap().model;
        fs::remove_dir_all(images).unwrap();
        (model, data)
    }

    #[test]
    fn the_check_after_a_run_uses_the_images_at_hand_and_few_of_them_if_time_is_short() {
        let folder = tempfile::tempdir().unwrap();
        let (path, data) = trained(folder.path());
        let model = Model::load(&path).unwrap();
        let out = folder.path().join("x.onnx");
        let export = |images, data| {
            let out = out.as_path();
            let force = true;
            let tolerance = None;
            let samples = None;
            enas_export::export(&model, &ExportOptions { out, force, tolerance, samples, images, data })
                .unwrap()
        };
        let few = export(Some(CHECKED), Some(&data));
        assert_eq!((few.images, few.synthetic, few.problem), (CHECKED, 0, None), "no file was read");
        assert_eq!(export(None, Some(&data)).problem, None);
        let read_again = export(Some(CHECKED), None);
        assert_eq!((read_again.images, read_again.synthetic), (CHECKED, CHECKED));
        assert!(read_again.problem.is_some(), "the images are gone");
    }

    #[test]
    fn a_check_for_which_there_is_no_time_is_left_out_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, data) = trained(folder.path());
        let none = beside(&path, &data, Some(0.0)).unwrap_err();
        assert_eq!(none.to_string(), "there is no time left to check it");
        assert!(!path.with_extension("onnx").exists());
        for left in [Some(3600.0), None] {
            let written = beside(&path, &data, left).unwrap();
            assert!(written.is_file() && written == path.with_extension("onnx"));
        }
    }
}
