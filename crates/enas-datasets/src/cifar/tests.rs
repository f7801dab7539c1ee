//! Archives made here, in both forms, whole and damaged.

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
pub(crate) fn small_archive(form: CifarFormat) -> Vec<u8> {
    archive(&members(form).iter().map(|(n, b)| (&**n, b.clone())).collect::<Vec<_>>())
}

fn members(form: CifarFormat) -> Vec<(String, Vec<u8>)> {
    let member = |slot: usize| {
        let (labels, pixels) = records(slot as u8);
        let bytes = match form {
            CifarFormat::Binary => binary(&labels, &pixels),
            CifarFormat::Python if slot.is_multiple_of(2) => python2(&labels, &pixels, (12, IMAGE as u16)),
            CifarFormat::Python => python3(&labels, &pixels, (12, IMAGE as u16)),
        };
        (format!("cifar-10-batches/{}", batch_name(slot, form)), bytes)
    };
    // The published archives hold the test batch among the others.
    [3, 5, 0, 4, 1, 2].map(member).to_vec()
}

fn read(bytes: &[u8], form: CifarFormat) -> Result<TrainTest> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.tar.gz");
    std::fs::write(&path, bytes).unwrap();
    read_archive(&path, form)
}

fn message(members: &[(String, Vec<u8>)]) -> String {
    let members: Vec<_> = members.iter().map(|(n, b)| (&**n, b.clone())).collect();
    format!("{:#}", read(&archive(&members), CifarFormat::Binary).unwrap_err())
}

#[test]
fn both_forms_of_the_archive_read_the_same_in_batch_order() {
    let parts = read(&small_archive(CifarFormat::Binary), CifarFormat::Binary).unwrap();
    assert_eq!(parts, read(&small_archive(CifarFormat::Python), CifarFormat::Python).unwrap());
    assert_eq!(parts.train.labels.len(), 60);
    let (labels, pixels) = records(2);
    assert_eq!(parts.train.labels[24..36], labels);
    assert_eq!(parts.train.pixels[24 * IMAGE..36 * IMAGE], pixels);
    assert_eq!(parts.test.labels, records(5).0);
}

#[test]
fn a_missing_batch_is_named() {
    let mut members = members(CifarFormat::Binary);
    members.remove(2);
    assert!(message(&members).ends_with("the archive lacks data_batch_1.bin"));
}

#[test]
fn a_batch_that_ends_within_a_record_is_refused() {
    let mut members = members(CifarFormat::Binary);
    members[0].1.truncate(3073 * 2 + 5);
    let text = message(&members);
    assert!(text.ends_with("data_batch_4.bin: byte 6146: the last record has 5 of 3073 bytes"), "{text}");
}

#[test]
fn a_label_over_9_is_refused_with_its_place() {
    let mut members = members(CifarFormat::Binary);
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
    let bytes = small_archive(CifarFormat::Binary);
    for keep in [0, 5, bytes.len() / 2, bytes.len() - 1] {
        assert!(read(&bytes[..keep], CifarFormat::Binary).is_err(), "{keep} of {} bytes", bytes.len());
    }
}

#[test]
fn a_damaged_checksum_is_noticed() {
    let mut bytes = small_archive(CifarFormat::Binary);
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    assert!(read(&bytes, CifarFormat::Binary).is_err());
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
    format!("{:#}", read(bytes, CifarFormat::Binary).unwrap_err())
}

#[test]
fn links_devices_and_folders_in_the_place_of_a_batch_are_refused() {
    use tar::EntryType;
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo, EntryType::Directory]
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
        let _ = read(&gzip(&bytes), CifarFormat::Binary);
        let _ = read(&bytes, CifarFormat::Python);
        let _ = parse_binary(&bytes);
    }
}
