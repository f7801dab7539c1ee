//! Zip archives: the same data as a folder, and archives that must be refused.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use enas_data::{Config, Dataset, Error, LoadOptions, load};
use enas_rng::Seed;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::bundle::{Bundle, png, with_log, with_splits};

/// Packs everything below `root` into `to`, each name behind `prefix`.
pub(crate) fn pack(root: &Path, to: &Path, prefix: &str) {
    let mut zip = ZipWriter::new(File::create(to).unwrap());
    add(&mut zip, root, prefix.to_owned());
    zip.finish().unwrap();
}

fn add(zip: &mut ZipWriter<File>, folder: &Path, prefix: String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            zip.add_directory(&name, SimpleFileOptions::default()).unwrap();
            add(zip, &path, format!("{name}/"));
        } else {
            zip.start_file(&name, SimpleFileOptions::default()).unwrap();
            zip.write_all(&fs::read(path).unwrap()).unwrap();
        }
    }
}

/// An archive of the given entries.
fn archive(bundle: &Bundle, entries: &[(&str, &[u8])]) -> PathBuf {
    let path = bundle.root().join("made.zip");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    path
}

fn load_zip(path: &Path) -> Result<Dataset, Error> {
    load(&Config { path: path.into(), image_size: 6, ..Config::default() }, &LoadOptions::new(Seed::new(1)))
}

#[test]
fn a_zip_is_the_folder_it_was_made_from_with_or_without_a_wrapper() {
    let here = with_splits();
    let elsewhere = Bundle::new();
    let folder = load(&here.config(), &LoadOptions::new(Seed::new(1))).unwrap();
    for (file, prefix) in [("plain.zip", ""), ("wrapped.ZIP", "my photos/")] {
        let path = elsewhere.root().join(file);
        pack(here.root(), &path, prefix);
        let data = load_zip(&path).unwrap();
        assert_eq!(data.fingerprint, folder.fingerprint, "{file}");
        assert_eq!(data.split_file(), folder.split_file());
        assert!(
            (0..data.train.len()).all(|i| data.train.image(i).unwrap() == folder.train.image(i).unwrap())
        );
    }
    assert_eq!(load_zip(&elsewhere.root().join("plain.zip")).unwrap().name, "plain");
}

#[test]
fn a_zip_of_classes_is_divided_like_the_folder() {
    let here = Bundle::new().with("a", 10).with("b", 10);
    let elsewhere = Bundle::new();
    let folder = load(&here.config(), &LoadOptions::new(Seed::new(1))).unwrap();
    for (file, prefix) in [("plain.zip", ""), ("wrapped.zip", "w/")] {
        let path = elsewhere.root().join(file);
        pack(here.root(), &path, prefix);
        assert_eq!(load_zip(&path).unwrap().split_file(), folder.split_file(), "{file}");
    }
}

#[test]
fn bookkeeping_and_backslashes_of_other_systems_do_not_disturb() {
    let bundle = Bundle::new();
    let images: Vec<Vec<u8>> = (0..6).map(|i| png(1, i)).collect();
    let mut entries: Vec<(String, &[u8])> = Vec::new();
    for (i, bytes) in images.iter().enumerate() {
        entries.push((format!("w\\{}\\{i}.png", ["a", "b"][i % 2]), bytes));
    }
    entries.push(("__MACOSX/w/a/._0.png".into(), b"fork"));
    entries.push(("w/.DS_Store".into(), b"store"));
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(n, b)| (n.as_str(), *b)).collect();
    let data = load_zip(&archive(&bundle, &entries)).unwrap();
    assert_eq!(data.classes, ["a", "b"]);
    assert_eq!(data.fingerprint.files, 6);
}

#[test]
fn damaged_archives_are_errors_and_damaged_entries_are_skipped() {
    let bundle = Bundle::new();
    let junk = bundle.file("junk.zip", b"this is no archive");
    assert!(matches!(load_zip(&junk), Err(Error::Zip { .. })), "{:?}", load_zip(&junk).err());
    assert!(load_zip(&junk).unwrap_err().to_string().contains("junk.zip is not a readable zip archive"));

    let here = with_splits();
    let path = bundle.root().join("whole.zip");
    pack(here.root(), &path, "");
    let bytes = fs::read(&path).unwrap();
    let cut = bundle.file("cut.zip", &bytes[..bytes.len() - 40]);
    for path in [cut, bundle.file("empty.zip", b""), bundle.file("begun.zip", &bytes[..100])] {
        let error = load_zip(&path).unwrap_err();
        assert!(matches!(error, Error::ZipIncomplete { .. }), "{error:?}");
        assert!(error.to_string().ends_with("is not a complete zip; download or copy it again"), "{error}");
    }

    // One flipped bit inside an image: the checksum of the entry does not fit any more.
    let image = fs::read(here.root().join("train/cat/000.png")).unwrap();
    let mut stored = ZipWriter::new(File::create(&path).unwrap());
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for name in ["a/0.png", "a/1.png", "a/2.png", "a/3.png", "b/0.png", "b/1.png", "b/2.png"] {
        stored.start_file(name, options).unwrap();
        stored.write_all(&image).unwrap();
    }
    stored.finish().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(image.len()).position(|w| w == image).unwrap();
    bytes[at + 50] ^= 1;
    fs::write(&path, bytes).unwrap();
    let data = load_zip(&path).unwrap();
    assert_eq!(data.skipped.len(), 1);
    assert!(
        data.skipped[0].path == "a/0.png" && data.skipped[0].reason.contains("checksum"),
        "{:?}",
        data.skipped
    );
}

#[test]
fn entries_that_leave_the_archive_are_refused_by_name() {
    let bundle = Bundle::new();
    for name in ["../evil.png", "a/../../evil.png", "/etc/evil.png"] {
        let error = load_zip(&archive(&bundle, &[("a/0.png", &png(1, 1)), (name, &png(1, 1))])).unwrap_err();
        assert!(matches!(error, Error::ZipRefused { .. }), "{name}: {error}");
        assert!(error.to_string().contains("evil.png"), "{error}");
    }
}

#[test]
fn encrypted_archives_are_refused_with_the_remedy() {
    let bundle = Bundle::new();
    let path = archive(&bundle, &[("a/0.png", &png(1, 1)), ("b/0.png", &png(1, 2))]);
    // Sets the encryption flag of every entry, in the local headers and in the directory.
    let mut bytes = fs::read(&path).unwrap();
    for (signature, flag) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let found: Vec<usize> =
            (0..bytes.len() - 4).filter(|&i| &bytes[i..i + 4] == signature.as_slice()).collect();
        assert_eq!(found.len(), 2);
        found.into_iter().for_each(|at| bytes[at + flag] |= 1);
    }
    fs::write(&path, bytes).unwrap();
    let error = load_zip(&path).unwrap_err().to_string();
    assert!(error.contains("\"a/0.png\" is encrypted; make an archive without a password"), "{error}");
}

#[test]
fn methods_that_are_not_read_are_named_once() {
    for (method, name) in [(9u16, "Deflate64"), (12, "bzip2"), (14, "LZMA"), (93, "Zstandard")] {
        let bundle = Bundle::new();
        let images: Vec<(String, Vec<u8>)> =
            (0..12).map(|i| (format!("{}/{i}.png", ["a", "b"][i % 2]), png(1, i as u8))).collect();
        let entries: Vec<(&str, &[u8])> = images.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
        let path = archive(&bundle, &entries);
        let mut bytes = fs::read(&path).unwrap();
        for (signature, field) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
            let found: Vec<usize> =
                (0..bytes.len() - 4).filter(|&i| &bytes[i..i + 4] == signature.as_slice()).collect();
            assert_eq!(found.len(), 12);
            for at in found {
                bytes[at + field..at + field + 2].copy_from_slice(&method.to_le_bytes());
            }
        }
        fs::write(&path, bytes).unwrap();
        let (error, log) = with_log(|| load_zip(&path).unwrap_err());
        let text = error.to_string();
        assert!(matches!(error, Error::ZipRefused { .. }) && log.is_empty(), "{text}: {log}");
        let expected =
            format!("compressed with {name}, which is not read; unpack it, or zip it again with deflate");
        assert!(text.contains(&expected), "{text}");
    }
}

/// 70 MiB of zeros compress to about 70 kB, within what deflate can do, so the archive is opened; the entry is
/// larger than an image may be and is skipped without being kept.
#[test]
fn an_entry_that_unpacks_without_end_is_skipped() {
    let bundle = Bundle::new();
    let zeros = vec![0; 70 << 20];
    let images: Vec<Vec<u8>> = (0..6).map(|i| png(1, i)).collect();
    let mut entries: Vec<(&str, &[u8])> = vec![("a/bomb.png", &zeros)];
    for (name, bytes) in
        ["a/0.png", "a/1.png", "a/2.png", "b/0.png", "b/1.png", "b/2.png"].iter().zip(&images)
    {
        entries.push((name, bytes));
    }
    let data = load_zip(&archive(&bundle, &entries)).unwrap();
    assert_eq!(data.skipped.len(), 1);
    assert!(data.skipped[0].reason.contains("more than 64 MiB"), "{:?}", data.skipped);
}

/// The directory claims 4 GB for an entry of some hundred bytes.
#[test]
fn an_archive_that_promises_more_than_deflate_can_give_is_refused() {
    let bundle = Bundle::new();
    let path = archive(&bundle, &[("a/0.png", &png(1, 1)), ("b/0.png", &png(1, 2))]);
    let mut bytes = fs::read(&path).unwrap();
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[directory + 24..directory + 28].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = load_zip(&path).unwrap_err().to_string();
    assert!(error.contains("no real archive"), "{error}");
}

/// Replaces every occurrence of a name in an archive by another of the same length.
fn rename(path: &Path, from: &str, to: &str) {
    let mut bytes = fs::read(path).unwrap();
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|&i| bytes[i..].starts_with(from.as_bytes())).collect();
    assert_eq!(places.len(), 2, "in the local header and in the directory");
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_name_that_occurs_twice_is_refused() {
    let bundle = Bundle::new();
    let entries = [("a/0.png", png(1, 1)), ("a/1.png", png(1, 2)), ("b/0.png", png(1, 3))];
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
    for second in ["a/0.png", "a\\0.png"] {
        let path = archive(&bundle, &entries);
        rename(&path, "a/1.png", second);
        let error = load_zip(&path).unwrap_err();
        assert!(matches!(error, Error::ZipRefused { .. }), "{second}: {error}");
        assert!(error.to_string().contains("\"a/0.png\" occurs twice"), "{second}: {error}");
    }
}

/// All entries of the directory are made to point to the first one's bytes.
#[test]
fn entries_that_share_their_bytes_are_refused() {
    let bundle = Bundle::new();
    let noise: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let names: Vec<String> = (0..20).map(|i| format!("a/{i:02}.png")).collect();
    let mut entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    entries[0].1 = &noise;
    let path = archive(&bundle, &entries);
    let mut bytes = fs::read(&path).unwrap();
    let directory: Vec<usize> = (0..bytes.len() - 4).filter(|&i| &bytes[i..i + 4] == b"PK\x01\x02").collect();
    assert_eq!(directory.len(), 20);
    for &at in &directory {
        bytes.copy_within(directory[0] + 16..directory[0] + 28, at + 16);
        bytes.copy_within(directory[0] + 42..directory[0] + 46, at + 42);
    }
    fs::write(&path, bytes).unwrap();
    let error = load_zip(&path).unwrap_err().to_string();
    assert!(error.contains("so they share some"), "{error}");
}
