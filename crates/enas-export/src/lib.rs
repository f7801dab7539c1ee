//! Export of trained networks as ONNX files, for programs that do not use this crate.
//!
//! [`export`] writes the inference of a [`Model`] as a graph of standard ONNX operators. The input are images as
//! bytes divided by 255, in batches of any size. Normalisation is part of the graph, and batch norms are folded into
//! the convolutions.
//!
//! Before the file gets its name, it is read back and run by another implementation of ONNX (rten). If that
//! disagrees with the network, the export fails and leaves no file.
//!
//! This crate depends on networks and files only; it does not train and does not print.
//!
//! ```no_run
//! use std::path::Path;
//! use enas_export::{ExportOptions, export};
//! use enas_run::Model;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load(Path::new("model.safetensors"))?;
//! let out = Path::new("model.onnx");
//! let options = ExportOptions { out, force: false, tolerance: None, samples: None, images: None, data: None };
//! let exported = export(&model, &options)?;
//! println!("{} bytes, {:e} from the network", exported.bytes, exported.max_abs_difference);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod about;
mod check;
mod error;
mod graph;
mod lower;
mod npy;
mod proto;
mod runtime;
mod sample_images;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Types of other crates that occur in this crate's interface.
pub use check::TOLERANCE;
pub use enas_data::Dataset;
pub use enas_run::Model;
use prost::Message;

use crate::check::Reference;
pub use crate::error::{Error, Result};
use crate::sample_images::SampleImages;

/// A Python script that gives the same answers as `enas predict`, from an exported file and an image.
///
/// It decodes, resizes and lays transparency over white as the metadata of the file say.
pub const PYTHON: &str = include_str!("predict.py");

/// The options of an export.
#[derive(Clone, Copy, Debug)]
pub struct ExportOptions<'a> {
    /// The file to write.
    pub out: &'a Path,
    /// Whether existing files are replaced.
    pub force: bool,
    /// Largest tolerated difference of a logit or a probability. `None` tolerates what rounding explains; for that
    /// the network is computed twice.
    pub tolerance: Option<f32>,
    /// A directory for the images of the check and the network's logits.
    ///
    /// `images.npy` holds `[n, c, h, w]` with values from 0 to 1, `logits.npy` holds `[n, classes]`.
    pub samples: Option<&'a Path>,
    /// Maximum number of images for the check, at least 8; `None` means 144. The time of the check is proportional to
    /// it.
    pub images: Option<usize>,
    /// The images that the model was trained and measured on, if they are at hand: reading them again takes time.
    pub data: Option<&'a Dataset>,
}

/// The result of an export that passed the check.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Largest absolute difference between a logit of the file and one of the network.
    pub max_abs_difference: f32,
    /// The tolerated difference: the value in [`ExportOptions`], or what rounding explains.
    ///
    /// The latter is the larger of two values: [`TOLERANCE`] times the largest logit, and ten times the effect of
    /// folding the batch norms. It is limited to a hundredth of the range of the logits, but not below [`TOLERANCE`].
    pub tolerance: f32,
    /// Number of images that were compared.
    pub images: usize,
    /// How many of them are synthetic, because the images of the model's data set did not suffice.
    pub synthetic: usize,
    /// Why the images of the model's data set could not be loaded.
    pub problem: Option<String>,
    /// Version of the ONNX operator set.
    pub opset: i64,
    /// Size of the file in bytes.
    pub bytes: usize,
}

/// Writes a model as an ONNX file and checks it in another runtime.
///
/// # Errors
/// [`Error::Exists`] and [`Error::Target`] if a file must not be written, [`Error::Io`] if it cannot be written.
/// [`Error::Unreadable`] and [`Error::Differs`] if the check fails, [`Error::NotFinite`] if the network's logits are
/// infinite or NaN. After an error the file does not exist, or is the old one.
pub fn export(model: &Model, options: &ExportOptions<'_>) -> Result<Exported> {
    let &ExportOptions { out, force, tolerance, samples, images, data } = options;
    let sample_paths = samples.map(|folder| [folder.join("pictures.npy"), folder.join("logits.npy")]);
    std::iter::once(out)
        .chain(sample_paths.iter().flatten().map(PathBuf::as_path))
        .try_for_each(|path| check_target(path, force))?;
    let bytes = encode(model)?;
    let unfinished = Unfinished::write(out, &bytes)?;

    let sample_images = SampleImages::of(model, data, images);
    let reference = Reference { network: model.network(), normalization: model.normalization() };
    let logits = check::own_logits(reference, &sample_images.pixels)?;
    let tolerance = match tolerance {
        Some(tolerance) => tolerance,
        None => check::allowance(&logits, check::rounding(reference, &sample_images.pixels, &logits)?),
    };
    let claim = check::Claim { network: model.network(), temperature: model.temperature() };
    let compared = check::compare(&unfinished.path, claim, &sample_images.pixels, &logits, tolerance);
    let max_abs_difference = compared.map_err(|error| error.about(out))?;
    if let (Some(folder), Some([images_file, logits_file])) = (samples, &sample_paths) {
        fs::create_dir_all(folder).map_err(|source| io_error("cannot create", folder, source))?;
        let input = model.input();
        let values: Vec<f32> = sample_images.pixels.iter().map(|byte| check::unit(*byte)).collect();
        let shape = [sample_images.n, input.channels, input.height, input.width];
        write(images_file, &npy::encode(&shape, &values))?;
        write(logits_file, &npy::encode(&[sample_images.n, model.classes().len()], &logits))?;
    }
    unfinished.finish(out)?;
    let SampleImages { n, synthetic, problem, .. } = sample_images;
    let opset = graph::OPSET;
    let bytes = bytes.len();
    Ok(Exported { max_abs_difference, tolerance, images: n, synthetic, problem, opset, bytes })
}

/// The bytes of the file. Equal models give equal bytes.
fn encode(model: &Model) -> Result<Vec<u8>> {
    let inference_graph = model.network().inference_graph()?;
    let order = about::channel_order(model);
    let graph = lower::lower(&inference_graph, model.normalization(), model.temperature(), order)?;
    Ok(file(graph, about::doc(model), about::metadata(model)).encode_to_vec())
}

/// Wraps a graph into the message of an ONNX file.
fn file(graph: proto::Graph, doc: String, metadata: Vec<proto::Entry>) -> proto::Model {
    let operators = proto::OperatorSet { domain: Some(String::new()), version: Some(graph::OPSET) };
    proto::Model {
        ir_version: Some(proto::IR_VERSION),
        opset_import: vec![operators],
        producer_name: Some("enas".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        doc_string: Some(doc),
        graph: Some(graph),
        metadata_props: metadata,
    }
}

/// Checks that a file may be written: it must not be a directory, and must not exist without `force`.
fn check_target(path: &Path, force: bool) -> Result<()> {
    let target = |problem| Error::Target { path: path.to_owned(), problem };
    if path.is_dir() {
        return Err(target("is a folder; name a file in it"));
    }
    if path.file_name().is_none() {
        return Err(target("is no name of a file"));
    }
    if !force && path.exists() {
        return Err(Error::Exists { path: path.to_owned() });
    }
    Ok(())
}

/// A file under a temporary name. It is removed unless [`finish`](Self::finish) renames it.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn write(out: &Path, bytes: &[u8]) -> Result<Self> {
        let mut path = out.as_os_str().to_owned();
        path.push(".part");
        let unfinished = Self { path: path.into() };
        write(&unfinished.path, bytes).map_err(|error| error.about(out))?;
        Ok(unfinished)
    }

    fn finish(self, out: &Path) -> Result<()> {
        fs::rename(&self.path, out).map_err(|source| io_error("cannot write", out, source))
    }
}

impl Drop for Unfinished {
    /// Removes the temporary file. After [`finish`](Self::finish) there is none; the error is ignored.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| io_error("cannot write", path, source))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

/// Compiles and runs the example in `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
