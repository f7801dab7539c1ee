//! Trained networks as ONNX files, for programs that know nothing of this one.
//!
//! [`export`] writes the inference of a [`Model`] as a graph of standard operations. Pictures go in as bytes divided by
//! 255; normalisation is inside, batch norms are folded into the convolutions, and any number of pictures makes a
//! batch. The written file is read back and run by another implementation of ONNX before it gets its name: a file
//! that disagrees with the network is never delivered.
//!
//! Knows networks and files; trains nothing and prints nothing.
//!
//! ```no_run
//! use std::path::Path;
//! use enas_export::{Options, export};
//! use enas_search::Model;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load(Path::new("model.safetensors"))?;
//! let out = Path::new("model.onnx");
//! let exported = export(&model, &Options { out, force: false, tolerance: None, samples: None, images: None })?;
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
mod operators;
mod pictures;
mod proto;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What this crate exports, from the crate below it.
pub use enas_search::Model;
use prost::Message;

use crate::check::Reference;
pub use crate::error::{Error, Result};
use crate::pictures::Pictures;

/// The least that the check allows, for logits of about 1. See [`Exported::tolerance`] for others.
pub const TOLERANCE: f32 = 1e-4;

/// Lines of Python that answer as `enas predict` does, with an exported file and an image: they decode, resize and lay
/// transparency over white as the metadata of the file say.
pub const PYTHON: &str = include_str!("predict.py");

/// Where to write and what.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The file to write.
    pub out: &'a Path,
    /// Whether files that exist are replaced.
    pub force: bool,
    /// Largest difference of a logit or a probability that passes; none for what rounding explains, which is found out
    /// by computing the network twice.
    pub tolerance: Option<f32>,
    /// A folder for the pictures of the check and the network's logits: `pictures.npy` `[n, c, h, w]`, from 0 to 1,
    /// and `logits.npy` `[n, classes]`.
    pub samples: Option<&'a Path>,
    /// Most images of the check, at least 8; none for 144. The other runtime takes its time for each.
    pub images: Option<usize>,
}

/// An exported file that passed the check.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Largest difference of a logit from the network's own.
    pub max_abs_difference: f32,
    /// What was allowed: what [`Options`] say, or as much as rounding explains. That is [`TOLERANCE`] of the largest
    /// logit, or some times what folding the batch norms changes in our own arithmetic, whichever is more; but never so
    /// much that it would be seen in the spread of the logits.
    pub tolerance: f32,
    /// Pictures that were compared.
    pub pictures: usize,
    /// How many of them were invented, for want of the model's own.
    pub synthetic: usize,
    /// Why the model's own pictures could not be had.
    pub problem: Option<String>,
    /// Version of the ONNX operators.
    pub opset: i64,
    /// Size of the file.
    pub bytes: usize,
}

/// Writes a model as an ONNX file after checking it in another runtime.
///
/// # Errors
/// [`Error::Exists`] and [`Error::Target`] for a file that must not be written; [`Error::Io`] where it cannot be;
/// [`Error::Unreadable`] and [`Error::Differs`] if the check fails. No file is left then.
pub fn export(model: &Model, options: &Options<'_>) -> Result<Exported> {
    let &Options { out, force, tolerance, samples, images } = options;
    let sample_paths = samples.map(|folder| [folder.join("pictures.npy"), folder.join("logits.npy")]);
    std::iter::once(out)
        .chain(sample_paths.iter().flatten().map(PathBuf::as_path))
        .try_for_each(|path| check_target(path, force))?;
    let bytes = encode(model)?;
    let unfinished = Unfinished::write(out, &bytes)?;

    let pictures = Pictures::of(model, images);
    let reference = Reference { network: model.network(), normalization: model.normalization() };
    let logits = check::own_logits(reference, &pictures.pixels)?;
    let tolerance = match tolerance {
        Some(tolerance) => tolerance,
        None => check::allowance(&logits, check::rounding(reference, &pictures.pixels, &logits)?),
    };
    let claim = check::Claim { network: model.network(), temperature: model.temperature() };
    let compared = check::compare(&unfinished.path, claim, &pictures.pixels, &logits, tolerance);
    let max_abs_difference = compared.map_err(|error| error.about(out))?;
    if let (Some(folder), Some([pictures_file, logits_file])) = (samples, &sample_paths) {
        fs::create_dir_all(folder).map_err(|source| io_error("cannot create", folder, source))?;
        let input = model.input();
        let values: Vec<f32> = pictures.pixels.iter().map(|byte| check::unit(*byte)).collect();
        let shape = [pictures.n, input.channels, input.height, input.width];
        write(pictures_file, &npy::encode(&shape, &values))?;
        write(logits_file, &npy::encode(&[pictures.n, model.classes().len()], &logits))?;
    }
    unfinished.finish(out)?;
    let Pictures { n, synthetic, problem, .. } = pictures;
    let (opset, bytes) = (graph::OPSET, bytes.len());
    Ok(Exported { max_abs_difference, tolerance, pictures: n, synthetic, problem, opset, bytes })
}

/// The bytes of the file; equal for equal models.
fn encode(model: &Model) -> Result<Vec<u8>> {
    let outline = model.network().outline()?;
    let order = about::channel_order(model);
    let graph = lower::lower(&outline, model.normalization(), model.temperature(), order)?;
    Ok(file(graph, about::doc(model), about::metadata(model)).encode_to_vec())
}

/// A graph with what belongs around it.
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

/// Refuses to overwrite.
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

/// A file that has not got its name yet, and never gets it if anything goes wrong.
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
    /// After [`finish`](Self::finish) there is nothing to remove, and before that nothing worth keeping.
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

/// The example of the read-me compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
