//! The CIFAR-10 archives, binary and Python: five training batches and a test batch in a gzipped tar.
//!
//! Members are read into memory one by one. Nothing is written to disk under a name from the archive.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use enas_data::visible;
use flate2::read::MultiGzDecoder;

use crate::images::{RawImages, TrainTest};
use crate::limited_reader::LimitedReader;
use crate::pickle::{self, Value};

/// Bytes of one image: three channels of 32×32.
const IMAGE: usize = 3 * 32 * 32;

/// Size limit of a batch in bytes; the published ones have 31 MB.
const MAX_BATCH: u64 = 64 << 20;

/// Limit of an archive's unpacked size in bytes; the published ones have 186 MB.
const MAX_CONTENT: u64 = 1 << 30;

/// Number of training batches; the test batch is stored after them.
const TRAIN_BATCHES: usize = 5;

/// The two forms of the archive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CifarFormat {
    /// `data_batch_1.bin` …: a label and 3,072 pixels per record.
    Binary,
    /// `data_batch_1` …: pickled dictionaries.
    Python,
}

/// Reads the archive at `path`.
pub(crate) fn read_archive(path: &Path, form: CifarFormat) -> Result<TrainTest> {
    read_parts(path, form).with_context(|| visible(&path).into_owned())
}

fn read_parts(path: &Path, form: CifarFormat) -> Result<TrainTest> {
    let mut archive = open(path)?;
    let mut batches: [Option<RawImages>; TRAIN_BATCHES + 1] = Default::default();
    // Raw entries: otherwise the reader would allocate any length that a member claims for its long name.
    for entry in archive.entries()?.raw(true) {
        let entry = entry.context("cannot read the archive; it is cut short or damaged")?;
        if is_tar_metadata(entry.header().entry_type()) {
            continue;
        }
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(slot) = slot(&member, form) else { continue };
        ensure!(entry.header().entry_type().is_file(), "{member}: not a plain file");
        ensure!(batches[slot].is_none(), "{member}: occurs twice");
        batches[slot] = Some(read_batch(entry, form).with_context(|| member)?);
    }
    // Reads to the end, because the checksum of a gzip stream follows its last byte.
    io::copy(&mut archive.into_inner(), &mut io::sink()).context("the end of the archive is damaged")?;
    join(batches, form)
}

/// Opens the archive at `path`, gzipped or not.
fn open(path: &Path) -> Result<tar::Archive<LimitedReader<Box<dyn Read>>>> {
    let mut file = File::open(path).context("cannot open")?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    file.rewind()?;
    let file = BufReader::new(file);
    let content: Box<dyn Read> =
        if magic == [0x1f, 0x8b] { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(tar::Archive::new(LimitedReader::new(content, MAX_CONTENT)))
}

/// The form of the archive at `path`, from its first member that is a batch; `None` without one.
pub(crate) fn form_of(path: &Path) -> Result<Option<CifarFormat>> {
    let mut archive = open(path)?;
    for entry in archive.entries()?.raw(true) {
        let entry = entry.context("cannot read the archive; it is cut short, damaged or of another kind")?;
        if is_tar_metadata(entry.header().entry_type()) {
            continue;
        }
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_batch = |form: &CifarFormat| slot(&member, *form).is_some();
        if let Some(form) = [CifarFormat::Binary, CifarFormat::Python].into_iter().find(is_batch) {
            return Ok(Some(form));
        }
    }
    Ok(None)
}

/// Whether a member only describes the next one, or all.
fn is_tar_metadata(kind: tar::EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

/// The index of the batch that a member is, if it is one.
fn slot(member: &str, form: CifarFormat) -> Option<usize> {
    let file = member.rsplit('/').next()?;
    (0..=TRAIN_BATCHES).find(|&slot| file == batch_name(slot, form))
}

fn batch_name(slot: usize, form: CifarFormat) -> String {
    let stem = if slot < TRAIN_BATCHES { format!("data_batch_{}", slot + 1) } else { "test_batch".into() };
    if form == CifarFormat::Binary { stem + ".bin" } else { stem }
}

fn read_batch(mut entry: tar::Entry<'_, impl Read>, form: CifarFormat) -> Result<RawImages> {
    let size = entry.size();
    ensure!(size <= MAX_BATCH, "{size} bytes, expected at most {MAX_BATCH}");
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).with_context(|| format!("cannot read past byte {}", bytes.len()))?;
    ensure!(bytes.len() as u64 == size, "byte {}: the archive ends, expected {size} bytes", bytes.len());
    match form {
        CifarFormat::Binary => parse_binary(&bytes),
        CifarFormat::Python => parse_python(&bytes),
    }
}

/// Parses records of one label and one image each.
fn parse_binary(bytes: &[u8]) -> Result<RawImages> {
    const RECORD: usize = 1 + IMAGE;
    let whole = bytes.len() / RECORD * RECORD;
    ensure!(whole > 0, "{} bytes, expected records of {RECORD} bytes", bytes.len());
    ensure!(
        whole == bytes.len(),
        "byte {whole}: the last record has {} of {RECORD} bytes",
        bytes.len() - whole
    );
    let mut images = empty(bytes.len());
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        ensure!(record[0] <= 9, "byte {}: label {}, expected 0 to 9", i * RECORD, record[0]);
        images.labels.push(record[0]);
        images.pixels.extend(&record[1..]);
    }
    Ok(images)
}

/// Parses a dictionary with `labels`, a list of numbers, and `data`, an array of `[n, 3072]` bytes.
fn parse_python(bytes: &[u8]) -> Result<RawImages> {
    let batch = pickle::load(bytes)?;
    let Some(Value::List(labels)) = batch.get("labels") else { bail!("no list under \"labels\"") };
    let Some(Value::Array { shape, data }) = batch.get("data") else {
        bail!("no array of bytes under \"data\"")
    };
    ensure!(shape.len() == 2, "\"data\" has {} dimensions, expected 2", shape.len());
    ensure!(
        shape[..] == [labels.len(), IMAGE] && !labels.is_empty(),
        "\"data\" has shape {shape:?}, expected [{}, {IMAGE}] for {} labels",
        labels.len(),
        labels.len()
    );
    let mut images = empty(0);
    images.pixels = data.to_vec();
    for (i, label) in labels.iter().enumerate() {
        match label {
            Value::Int(label @ 0..=9) => images.labels.push(*label as u8),
            Value::Int(label) => bail!("label {i} is {label}, expected a number from 0 to 9"),
            _ => bail!("label {i} is not a number"),
        }
    }
    Ok(images)
}

fn empty(capacity: usize) -> RawImages {
    RawImages { channels: 3, height: 32, width: 32, pixels: Vec::with_capacity(capacity), labels: vec![] }
}

/// Joins the training batches in order, and adds the test batch.
fn join(batches: [Option<RawImages>; TRAIN_BATCHES + 1], form: CifarFormat) -> Result<TrainTest> {
    let missing: Vec<_> = (0..=TRAIN_BATCHES)
        .filter(|&slot| batches[slot].is_none())
        .map(|slot| batch_name(slot, form))
        .collect();
    ensure!(missing.is_empty(), "the archive lacks {}", missing.join(", "));
    let mut train = empty(batches.iter().flatten().map(|batch| batch.pixels.len()).sum());
    let mut test = empty(0);
    for (slot, batch) in batches.into_iter().flatten().enumerate() {
        if slot == TRAIN_BATCHES {
            test = batch;
        } else {
            train.pixels.extend(batch.pixels);
            train.labels.extend(batch.labels);
        }
    }
    Ok(TrainTest { train, test })
}

#[cfg(test)]
pub(crate) mod tests;
