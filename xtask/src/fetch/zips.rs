//! `train.zip`, `valid.zip` and `test.zip`, whose top level is the class folders, as they are: names and
//! bytes of the pictures stay. What lies elsewhere in an archive, or tries to leave it, is refused.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use enas_data::is_picture_name;
use indicatif::ProgressBar;
use zip::ZipArchive;

use super::install::Counts;

/// Largest picture file that is believed.
const MAX_FILE: u64 = 256 << 20;

/// The archives in `folder`: training, validation (may be missing) and test; `None` without the first.
pub(crate) fn find(folder: &Path) -> Option<[PathBuf; 3]> {
    let paths = ["train.zip", "valid.zip", "test.zip"].map(|name| folder.join(name));
    paths[0].exists().then_some(paths)
}

/// Unpacks the archives that [`find`] found below `to`.
pub(crate) fn unpack(archives: &[PathBuf; 3], to: &Path, bar: &ProgressBar) -> Result<Counts> {
    let [train, valid, test] = archives;
    let valid = if valid.exists() { unpack_split(valid, &to.join("valid"), bar)? } else { 0 };
    Ok(Counts {
        train: unpack_split(train, &to.join("train"), bar)?,
        valid,
        test: unpack_split(test, &to.join("test"), bar)?,
    })
}

/// Unpacks one archive; the number of its pictures.
fn unpack_split(path: &Path, to: &Path, bar: &ProgressBar) -> Result<usize> {
    unpack_archive(path, to, bar).with_context(|| path.display().to_string())
}

fn unpack_archive(path: &Path, to: &Path, bar: &ProgressBar) -> Result<usize> {
    let file = File::open(path).context("cannot open")?;
    let mut archive = ZipArchive::new(BufReader::new(file)).context("not a readable zip archive")?;
    bar.set_length(archive.len() as u64);
    bar.set_position(0);
    let (mut pictures, mut others) = (0, 0);
    for i in 0..archive.len() {
        let entry = archive.by_index(i).with_context(|| format!("cannot read entry {i}"))?;
        let name = entry.name().to_owned();
        match place(&name, entry.is_dir(), entry.is_symlink()).with_context(|| format!("{name:?}"))? {
            Some((class, file)) => {
                write(entry, &to.join(class), file).with_context(|| format!("{name:?}"))?;
                pictures += 1;
            }
            None if entry.is_dir() => {}
            None => others += 1,
        }
        bar.inc(1);
    }
    ensure!(pictures > 0, "no pictures in it; expected <class>/<picture>.png and the like");
    if others > 0 {
        eprintln!("{}: {others} files that are no pictures are left out", path.display());
    }
    Ok(pictures)
}

/// Class folder and file name of a picture; `None` for what is skipped.
fn place(name: &str, is_dir: bool, is_symlink: bool) -> Result<Option<(&str, &str)>> {
    ensure!(!is_symlink, "a link, which a data set has no use for");
    let parts: Vec<&str> = name.trim_end_matches('/').split('/').collect();
    let escapes =
        |part: &&str| part.is_empty() || *part == "." || *part == ".." || part.contains(['\\', ':', '\0']);
    ensure!(!parts.iter().any(escapes), "a path that could leave the folder it is unpacked to");
    if is_dir || parts.iter().any(|part| part.starts_with('.') || *part == "__MACOSX") {
        return Ok(None);
    }
    match parts[..] {
        [class, file] if is_picture_name(file) => Ok(Some((class, file))),
        _ if !is_picture_name(name) => Ok(None),
        _ => bail!("expected <class>/<picture> at the top level of the archive"),
    }
}

fn write(entry: impl Read, folder: &Path, name: &str) -> Result<()> {
    let mut bytes = Vec::new();
    entry.take(MAX_FILE + 1).read_to_end(&mut bytes).context("damaged")?;
    ensure!(bytes.len() as u64 <= MAX_FILE, "more than {MAX_FILE} bytes");
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(name);
    ensure!(!path.exists(), "occurs twice");
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
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
        let result = unpack_split(&path, &folder.path().join("out/train"), &ProgressBar::hidden());
        (result, folder)
    }

    #[test]
    fn pictures_keep_their_names_and_bytes() {
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
            assert!(text.contains("a path that could leave the folder"), "{name}: {text}");
            assert!(!folder.path().join("out").exists(), "{name}");
        }
    }

    #[test]
    fn a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.zip");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        zip.add_symlink("cat/a.png", "/etc/passwd", SimpleFileOptions::default()).unwrap();
        zip.finish().unwrap();
        let error = unpack_split(&path, &folder.path().join("out"), &ProgressBar::hidden()).unwrap_err();
        assert!(format!("{error:#}").contains("a link"));
    }

    #[test]
    fn pictures_outside_class_folders_are_refused() {
        for name in ["a.png", "train/cat/a.png"] {
            let text = format!("{:#}", unpack_one(&[(name, b"X")]).0.unwrap_err());
            assert!(text.contains("expected <class>/<picture> at the top level"), "{name}: {text}");
        }
    }

    #[test]
    fn an_archive_without_pictures_is_refused() {
        let text = format!("{:#}", unpack_one(&[("README", b"X")]).0.unwrap_err());
        assert!(text.contains("no pictures in it"), "{text}");
    }

    #[test]
    fn a_file_that_is_no_zip_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.zip");
        fs::write(&path, "no zip").unwrap();
        let error = unpack_split(&path, &folder.path().join("out"), &ProgressBar::hidden()).unwrap_err();
        assert!(format!("{error:#}").contains("train.zip: not a readable zip archive"));
    }
}
