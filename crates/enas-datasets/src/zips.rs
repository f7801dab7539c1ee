//! `train.zip`, `valid.zip` and `test.zip` with class folders at the top level, unpacked without changes. Entries
//! elsewhere, or with names that would leave the archive, are refused.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use enas_data::{is_image_name, open_zip, visible};
use unicode_normalization::UnicodeNormalization;
use zip::ZipArchive;

use crate::install::ImageCounts;
use crate::progress::Progress;

/// Size limit of an image file in bytes, equal to that of the loader.
const MAX_FILE: u64 = 64 << 20;

/// The archives in `folder`: training, validation (may be absent) and test; `None` without the first.
pub(crate) fn find(folder: &Path) -> Option<[PathBuf; 3]> {
    let paths = ["train.zip", "valid.zip", "test.zip"].map(|name| folder.join(name));
    paths[0].exists().then_some(paths)
}

/// Unpacks the archives found by [`find`] below `to`.
pub(crate) fn unpack(archives: &[PathBuf; 3], to: &Path, progress: &dyn Progress) -> Result<ImageCounts> {
    let [train, valid, test] = archives;
    let valid = if valid.exists() { unpack_split(valid, &to.join("valid"), progress)? } else { 0 };
    Ok(ImageCounts {
        train: unpack_split(train, &to.join("train"), progress)?,
        valid,
        test: unpack_split(test, &to.join("test"), progress)?,
    })
}

/// Unpacks one archive; returns the number of its images.
fn unpack_split(path: &Path, to: &Path, progress: &dyn Progress) -> Result<usize> {
    let archive = open_zip(path)?;
    extract_archive(archive, path, to, progress).with_context(|| visible(&path).into_owned())
}

fn extract_archive(
    mut archive: ZipArchive<BufReader<File>>,
    path: &Path,
    to: &Path,
    progress: &dyn Progress,
) -> Result<usize> {
    progress.set_length(archive.len() as u64);
    progress.set_position(0);
    let mut written = BTreeSet::new();
    let mut others = 0;
    for i in 0..archive.len() {
        let entry = archive.by_index(i).with_context(|| format!("cannot read entry {i}"))?;
        let name = entry.name().with_context(|| format!("cannot read the name of entry {i}"))?.into_owned();
        let size = entry.size();
        match class_and_file(&name, entry.is_dir(), entry.is_symlink())
            .with_context(|| format!("{name:?}"))?
        {
            Some((class, file)) => {
                ensure!(
                    written.insert(normalized_name(&name)),
                    "{name:?}: another file differs only in capitals or the encoding of accents, and some systems \
                     treat both as the same; rename one"
                );
                write(entry, size, &to.join(class), file).with_context(|| format!("{name:?}"))?;
            }
            None if entry.is_dir() => {}
            None => others += 1,
        }
        progress.inc(1);
    }
    ensure!(!written.is_empty(), "no images in it; expected <class>/<image>.png and the like");
    if others > 0 {
        let files_are = match others {
            1 => "1 file that is not an image is".to_owned(),
            n => format!("{n} files that are not images are"),
        };
        progress.warn(&format!("{}: {files_are} left out", visible(&path)));
    }
    Ok(written.len())
}

/// A name as seen by the least strict file systems.
fn normalized_name(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase()
}

/// Class folder and file name of an image; `None` for entries that are skipped.
fn class_and_file(name: &str, is_dir: bool, is_symlink: bool) -> Result<Option<(&str, &str)>> {
    ensure!(!is_symlink, "a link, which a data set does not need");
    // Some archivers write this before every name.
    let name = name.strip_prefix("./").unwrap_or(name);
    if is_dir && name.is_empty() {
        return Ok(None);
    }
    let parts: Vec<&str> = name.trim_end_matches('/').split('/').collect();
    let escapes =
        |part: &&str| part.is_empty() || *part == "." || *part == ".." || part.contains(['\\', ':', '\0']);
    ensure!(!parts.iter().any(escapes), "a path that could leave the folder it is unpacked to");
    if is_dir || parts.iter().any(|part| part.starts_with('.') || *part == "__MACOSX") {
        return Ok(None);
    }
    match parts[..] {
        [class, file] if is_image_name(file) => Ok(Some((class, file))),
        _ if !is_image_name(name) => Ok(None),
        _ => bail!("expected <class>/<image> at the top level of the archive"),
    }
}

/// Writes an entry with a declared size of `size` bytes.
fn write(entry: impl Read, size: u64, folder: &Path, name: &str) -> Result<()> {
    ensure!(size <= MAX_FILE, "{size} bytes, at most {MAX_FILE} are read as an image");
    let mut bytes = Vec::new();
    entry.take(size + 1).read_to_end(&mut bytes).context("damaged")?;
    ensure!(bytes.len() as u64 == size, "damaged: it does not have the {size} bytes that it says");
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", visible(&folder)))?;
    let path = folder.join(name);
    ensure!(!path.exists(), "occurs twice");
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", visible(&path)))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    pub(crate) fn write_zip(path: &Path, members: &[(&str, &[u8])]) {
        let mut zip = ZipWriter::new(File::create(path).unwrap());
        for (name, bytes) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn unpack_one(members: &[(&str, &[u8])]) -> (Result<usize>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.zip");
        write_zip(&path, members);
        let result = unpack_split(&path, &folder.path().join("out/train"), &());
        (result, folder)
    }

    #[test]
    fn images_keep_their_names_and_bytes() {
        let (result, folder) =
            unpack_one(&[("cat/a.png", b"A"), ("dog/b.JPG", b"B"), ("dog/Thumbs.db", b"-")]);
        assert_eq!(result.unwrap(), 2);
        assert_eq!(fs::read(folder.path().join("out/train/dog/b.JPG")).unwrap(), b"B");
        assert!(!folder.path().join("out/train/dog/Thumbs.db").exists());
    }

    #[test]
    fn a_path_that_leaves_the_folder_is_refused_and_writes_nothing() {
        for name in
            ["../evil.png", "cat/../../evil.png", "/evil/a.png", "cat\\..\\..\\evil.png", "C:/evil.png"]
        {
            let (result, folder) = unpack_one(&[(name, b"X")]);
            let text = format!("{:#}", result.unwrap_err());
            assert!(text.contains("points outside of the archive"), "{name}: {text}");
            assert!(!folder.path().join("out").exists(), "{name}");
        }
    }

    #[test]
    fn paths_that_mean_something_else_elsewhere_are_refused() {
        for name in ["cat/./a.png", "cat//a.png", "cat/a:b.png"] {
            let text = format!("{:#}", unpack_one(&[(name, b"X")]).0.unwrap_err());
            assert!(text.contains("a path that could leave the folder"), "{name}: {text}");
        }
    }

    #[test]
    fn names_that_differ_only_in_case_or_accents_are_refused() {
        for (one, other) in
            [("cat/a.png", "cat/A.png"), ("cat/a.png", "Cat/a.png"), ("x/\u{e9}.png", "x/e\u{301}.png")]
        {
            let (result, folder) = unpack_one(&[(one, b"X"), (other, b"Y")]);
            let text = format!("{:#}", result.unwrap_err());
            assert!(text.contains("only in capitals or the encoding of accents"), "{one}, {other}: {text}");
            assert_eq!(fs::read_dir(folder.path().join("out/train")).unwrap().count(), 1, "{other}");
        }
    }

    #[test]
    fn a_file_that_is_larger_or_smaller_than_it_says_is_refused() {
        for size in [3u32, 5] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("train.zip");
            write_zip(&path, &[("cat/a.png", b"four")]);
            let mut bytes = fs::read(&path).unwrap();
            let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
            bytes[directory + 24..directory + 28].copy_from_slice(&size.to_le_bytes());
            fs::write(&path, bytes).unwrap();
            let error = unpack_split(&path, &folder.path().join("out"), &()).unwrap_err();
            assert!(format!("{error:#}").contains("\"cat/a.png\": damaged"), "{size}: {error:#}");
            assert!(!folder.path().join("out").exists());
        }
    }

    #[test]
    fn a_file_that_no_image_is_as_large_as_is_refused() {
        let zeros = vec![0; (MAX_FILE + 1) as usize];
        let text = format!("{:#}", unpack_one(&[("cat/a.png", &zeros)]).0.unwrap_err());
        assert!(text.contains("67108865 bytes, at most 67108864 are read"), "{text}");
    }

    #[test]
    fn a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.zip");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        zip.add_symlink("cat/a.png", "/etc/passwd", SimpleFileOptions::default()).unwrap();
        zip.finish().unwrap();
        let error = unpack_split(&path, &folder.path().join("out"), &()).unwrap_err();
        assert!(format!("{error:#}").contains("a link"));
    }

    #[test]
    fn names_that_begin_with_a_dot_and_a_slash_are_as_without() {
        let (result, folder) = unpack_one(&[("./cat/a.png", b"A"), ("./dog/b.png", b"B")]);
        assert_eq!(result.unwrap(), 2);
        assert_eq!(fs::read(folder.path().join("out/train/dog/b.png")).unwrap(), b"B");
    }

    #[test]
    fn images_outside_class_folders_are_refused() {
        for name in ["a.png", "train/cat/a.png"] {
            let text = format!("{:#}", unpack_one(&[(name, b"X")]).0.unwrap_err());
            assert!(text.contains("expected <class>/<image> at the top level"), "{name}: {text}");
        }
    }

    #[test]
    fn an_archive_without_images_is_refused() {
        let text = format!("{:#}", unpack_one(&[("README", b"X")]).0.unwrap_err());
        assert!(text.contains("no images in it"), "{text}");
    }

    #[test]
    fn a_file_that_is_no_zip_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.zip");
        fs::write(&path, "no zip").unwrap();
        let error = unpack_split(&path, &folder.path().join("out"), &()).unwrap_err();
        assert!(format!("{error:#}").contains("train.zip is not a readable zip archive"));
    }
}
