//! The CIFAR-10 archives, binary and Python: five training batches and a test batch in a gzipped tar.
//!
//! Members are read into memory one by one. Nothing is written to disk under a name from the archive.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

use crate::capped::Capped;
use crate::images::{Images, Parts};
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
pub enum Form {
    /// `data_batch_1.bin` …: a label and 3,072 pixels per record.
    Binary,
    /// `data_batch_1` …: pickled dictionaries.
    Python,
}

/// Reads the archive at `path`.
pub(crate) fn read_archive(path: &Path, form: Form) -> Result<Parts> {
    read_parts(path, form).with_context(|| path.display().to_string())
}

fn read_parts(path: &Path, form: Form) -> Result<Parts> {
    let mut archive = open(path)?;
    let mut batches: [Option<Images>; TRAIN_BATCHES + 1] = Default::default();
    // Raw entries: otherwise the reader would allocate any length that a member claims for its long name.
    for entry in archive.entries()?.raw(true) {
        let entry = entry.context("cannot read the archive; it is cut short or damaged")?;
        if describes_another(entry.header().entry_type()) {
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
fn open(path: &Path) -> Result<tar::Archive<Capped<Box<dyn Read>>>> {
    let mut file = File::open(path).context("cannot open")?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    file.rewind()?;
    let file = BufReader::new(file);
    let content: Box<dyn Read> =
        if magic == [0x1f, 0x8b] { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(tar::Archive::new(Capped::new(content, MAX_CONTENT)))
}

/// The form of the archive at `path`, from its first member that is a batch; `None` without one.
pub(crate) fn form_of(path: &Path) -> Result<Option<Form>> {
    let mut archive = open(path)?;
    for entry in archive.entries()?.raw(true) {
        let entry = entry.context("cannot read the archive; it is cut short, damaged or of another kind")?;
        if describes_another(entry.header().entry_type()) {
            continue;
        }
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_batch = |form: &Form| slot(&member, *form).is_some();
        if let Some(form) = [Form::Binary, Form::Python].into_iter().find(is_batch) {
            return Ok(Some(form));
        }
    }
    Ok(None)
}

/// Whether a member only describes the next one, or all.
fn describes_another(kind: tar::EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

/// The index of the batch that a member is, if it is one.
fn slot(member: &str, form: Form) -> Option<usize> {
    let file = member.rsplit('/').next()?;
    (0..=TRAIN_BATCHES).find(|&slot| file == batch_name(slot, form))
}

fn batch_name(slot: usize, form: Form) -> String {
    let stem = if slot < TRAIN_BATCHES { format!("data_batch_{}", slot + 1) } else { "test_batch".into() };
    if form == Form::Binary { stem + ".bin" } else { stem }
}

fn read_batch(mut entry: tar::Entry<'_, impl Read>, form: Form) -> Result<Images> {
    let size = entry.size();
    ensure!(size <= MAX_BATCH, "{size} bytes, expected at most {MAX_BATCH}");
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).with_context(|| format!("cannot read past byte {}", bytes.len()))?;
    ensure!(bytes.len() as u64 == size, "byte {}: the archive ends, expected {size} bytes", bytes.len());
    match form {
        Form::Binary => parse_binary(&bytes),
        Form::Python => parse_python(&bytes),
    }
}

/// Parses records of one label and one image each.
fn parse_binary(bytes: &[u8]) -> Result<Images> {
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
fn parse_python(bytes: &[u8]) -> Result<Images> {
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
            _ => bail!("label {i} is no number"),
        }
    }
    Ok(images)
}

fn empty(capacity: usize) -> Images {
    Images { channels: 3, height: 32, width: 32, pixels: Vec::with_capacity(capacity), labels: vec![] }
}

/// Joins the training batches in order, and adds the test batch.
fn join(batches: [Option<Images>; TRAIN_BATCHES + 1], form: Form) -> Result<Parts> {
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
    Ok(Parts { train, test })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::idx::tests::gzip;
    use crate::pickle::tests::{python2, python3};

    /// Twelve records with labels from `first` on; the pixels encode their position.
    pub(crate) fn records(first: u8) -> (Vec<u8>, Vec<u8>) {
        let labels: Vec<u8> = (0..12).map(|i| (first + i) % 10).collect();
        let pixels = (0..12 * IMAGE).map(|i| (i / 1024 * 7) as u8 ^ first).collect();
        (labels, pixels)
    }

    fn binary(labels: &[u8], pixels: &[u8]) -> Vec<u8> {
        labels.iter().zip(pixels.chunks(IMAGE)).flat_map(|(&l, p)| [&[l], p].concat()).collect()
    }

    /// A gzipped tar of the named members.
    pub(crate) fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &bytes[..]).unwrap();
        }
        gzip(&builder.into_inner().unwrap())
    }

    /// A complete archive of 60 training images and 12 test images.
    pub(crate) fn small_archive(form: Form) -> Vec<u8> {
        archive(&members(form).iter().map(|(n, b)| (&**n, b.clone())).collect::<Vec<_>>())
    }

    fn members(form: Form) -> Vec<(String, Vec<u8>)> {
        let member = |slot: usize| {
            let (labels, pixels) = records(slot as u8);
            let bytes = match form {
                Form::Binary => binary(&labels, &pixels),
                Form::Python if slot.is_multiple_of(2) => python2(&labels, &pixels, (12, IMAGE as u16)),
                Form::Python => python3(&labels, &pixels, (12, IMAGE as u16)),
            };
            (format!("cifar-10-batches/{}", batch_name(slot, form)), bytes)
        };
        // The published archives hold the test batch among the others.
        [3, 5, 0, 4, 1, 2].map(member).to_vec()
    }

    fn read(bytes: &[u8], form: Form) -> Result<Parts> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.tar.gz");
        std::fs::write(&path, bytes).unwrap();
        read_archive(&path, form)
    }

    fn message(members: &[(String, Vec<u8>)]) -> String {
        let members: Vec<_> = members.iter().map(|(n, b)| (&**n, b.clone())).collect();
        format!("{:#}", read(&archive(&members), Form::Binary).unwrap_err())
    }

    #[test]
    fn both_forms_of_the_archive_read_the_same_in_batch_order() {
        let parts = read(&small_archive(Form::Binary), Form::Binary).unwrap();
        assert_eq!(parts, read(&small_archive(Form::Python), Form::Python).unwrap());
        assert_eq!(parts.train.labels.len(), 60);
        let (labels, pixels) = records(2);
        assert_eq!(parts.train.labels[24..36], labels);
        assert_eq!(parts.train.pixels[24 * IMAGE..36 * IMAGE], pixels);
        assert_eq!(parts.test.labels, records(5).0);
    }

    #[test]
    fn a_missing_batch_is_named() {
        let mut members = members(Form::Binary);
        members.remove(2);
        assert!(message(&members).ends_with("the archive lacks data_batch_1.bin"));
    }

    #[test]
    fn a_batch_that_ends_within_a_record_is_refused() {
        let mut members = members(Form::Binary);
        members[0].1.truncate(3073 * 2 + 5);
        let text = message(&members);
        assert!(text.ends_with("data_batch_4.bin: byte 6146: the last record has 5 of 3073 bytes"), "{text}");
    }

    #[test]
    fn a_label_over_9_is_refused_with_its_place() {
        let mut members = members(Form::Binary);
        members[1].1[3073] = 10;
        let text = message(&members);
        assert!(text.ends_with("test_batch.bin: byte 3073: label 10, expected 0 to 9"), "{text}");
    }

    #[test]
    fn a_python_batch_with_too_few_labels_is_refused() {
        let error = parse_python(&python2(&[1], &[0; 2 * IMAGE], (2, IMAGE as u16))).unwrap_err();
        assert!(error.to_string().contains("shape [2, 3072], expected [1, 3072]"), "{error}");
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let bytes = small_archive(Form::Binary);
        for keep in [0, 5, bytes.len() / 2, bytes.len() - 1] {
            assert!(read(&bytes[..keep], Form::Binary).is_err(), "{keep} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn a_damaged_checksum_is_noticed() {
        let mut bytes = small_archive(Form::Binary);
        let at = bytes.len() - 8;
        bytes[at] ^= 1;
        assert!(read(&bytes, Form::Binary).is_err());
    }

    /// A gzipped tar with members of the given type, name and size, filled with zeros.
    fn strange_archive(members: &[(tar::EntryType, &str, u64)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for &(kind, name, size) in members {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            builder.append(&header, io::repeat(0).take(size)).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn refusal(bytes: &[u8]) -> String {
        format!("{:#}", read(bytes, Form::Binary).unwrap_err())
    }

    #[test]
    fn links_devices_and_folders_in_the_place_of_a_batch_are_refused() {
        use tar::EntryType;
        for kind in
            [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo, EntryType::Directory]
        {
            let text = refusal(&strange_archive(&[(kind, "x/data_batch_1.bin", 0)]));
            assert!(text.ends_with("x/data_batch_1.bin: not a plain file"), "{kind:?}: {text}");
        }
        let text = refusal(&strange_archive(&[(EntryType::GNUSparse, "data_batch_1.bin", 0)]));
        assert!(text.ends_with("not a plain file"), "{text}");
    }

    #[test]
    fn paths_that_leave_the_archive_write_nothing() {
        let text = refusal(&strange_archive(&[(tar::EntryType::Regular, "../../../tmp/evil", 10)]));
        assert!(text.contains("the archive lacks data_batch_1.bin"), "{text}");
    }

    #[test]
    fn a_size_that_no_batch_has_is_refused_before_it_is_read() {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..16].copy_from_slice(b"data_batch_1.bin");
        header.set_size(1 << 40);
        header.set_cksum();
        let text = refusal(&gzip(header.as_bytes()));
        assert!(text.ends_with("data_batch_1.bin: 1099511627776 bytes, expected at most 67108864"), "{text}");
    }

    /// 1.1 GB of zeros in 5 MB, as the long name of a member, which the reader would keep in memory.
    #[test]
    fn a_bomb_ends_at_the_limit_whatever_it_pretends_to_be() {
        for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader, tar::EntryType::Regular] {
            let text = refusal(&strange_archive(&[(kind, "././@LongLink", 1_100_000_000)]));
            assert!(text.contains("it unpacks into more than 1073741824 bytes"), "{kind:?}: {text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            let _ = read(&gzip(&bytes), Form::Binary);
            let _ = read(&bytes, Form::Python);
            let _ = parse_binary(&bytes);
        }
    }
}
