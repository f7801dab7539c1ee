//! The images that paths refer to: files, all images below directories, and zip archives.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc as SyncArc;

use anyhow::{Context as _, Result};
use enas_data::{ImageZip, InputSpec, is_image_name, is_system_folder, prepare_file};

use crate::output::visible;

/// An image to classify, or a path without images.
pub(super) enum Input {
    Image(PathBuf),
    /// An image in an archive, by its index there.
    Packed {
        archive: PathBuf,
        zip: SyncArc<ImageZip>,
        index: usize,
    },
    Useless {
        path: PathBuf,
        reason: String,
    },
}

impl Input {
    /// The path of the input; for an image in an archive, the archive's path followed by the name in it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Image(path) | Self::Useless { path, .. } => path.display().to_string(),
            Self::Packed { archive, zip, index } => format!("{}/{}", archive.display(), zip.names()[*index]),
        }
    }

    /// The image as network input, `[c, h, w]` with values 0 to 255.
    ///
    /// # Errors
    /// A message that says why the image is not available.
    pub(super) fn pixels(&self, spec: &InputSpec) -> Result<Vec<u8>, String> {
        match self {
            Self::Image(path) => prepare_file(path, spec).map_err(|error| error.to_string()),
            Self::Packed { zip, index, .. } => zip.prepare(*index, spec).map_err(|error| error.to_string()),
            Self::Useless { reason, .. } => Err(reason.clone()),
        }
    }
}

/// Why a file in a folder or archive is not classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// An image whose name does not say so.
    Misnamed,
    /// An image or film of an unsupported format.
    OtherKind,
    /// An archive inside a folder.
    Archive,
    /// An image whose name begins with a dot.
    Hidden,
    /// A folder of a system or a program.
    System,
    /// A pipe, a socket or a device.
    Special,
    /// Any other file.
    NotAnImage,
}

impl Reason {
    /// The words for one case, for several, and the remedy, which may be empty.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::Misnamed => [
                "file that is an image but not named like one",
                "files that are images but not named like one",
                "; give them names that end in jpg, png, … to use them",
            ],
            Self::OtherKind => [
                "file of a kind that is not read",
                "files of kinds that are not read",
                "; convert them to JPEG or PNG to use them",
            ],
            Self::Archive => ["archive", "archives", "; name it on the command line to use what it holds"],
            Self::Hidden => [
                "image whose name begins with a dot",
                "images whose names begin with a dot",
                "; rename them to use them",
            ],
            Self::System => ["folder of a system or a program", "folders of systems or programs", ""],
            Self::Special => ["pipe, socket or device", "pipes, sockets or devices", ""],
            Self::NotAnImage => {
                ["file that is not named like an image", "files that are not named like images", ""]
            }
        }
    }
}

/// The files of folders and archives that are not classified, so that none is ignored silently.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<(PathBuf, Reason), Vec<String>>);

impl LeftOut {
    fn add(&mut self, root: &Path, reason: Reason, path: &Path) {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        self.0.entry((root.to_owned(), reason)).or_default().push(name);
    }

    /// One line per folder and reason: the number, the first names, the remedy. The words are those of a training.
    pub(super) fn lines(&self) -> Vec<String> {
        const SHOWN: usize = 3;
        let line = |((root, reason), names): (&(PathBuf, Reason), &Vec<String>)| {
            let [one, many, remedy] = reason.words();
            let what = if names.len() == 1 { one } else { many };
            let more = if names.len() > SHOWN { ", …" } else { "" };
            let shown = names[..names.len().min(SHOWN)].join(", ");
            let shown = visible(&shown);
            format!("{}: left out {} {what} ({shown}{more}){remedy}", visible(root), names.len())
        };
        self.0.iter().map(line).collect()
    }
}

/// Endings of unsupported images and films, and of archives.
const OTHER_KINDS: [&str; 24] = [
    "heic", "heif", "avif", "jxl", "jp2", "j2k", "psd", "xcf", "svg", "ico", "tga", "ppm", "pgm", "exr",
    "hdr", "dng", "cr2", "cr3", "nef", "arw", "mp4", "mov", "avi", "mkv",
];
const ARCHIVES: [&str; 8] = ["zip", "tar", "gz", "tgz", "bz2", "xz", "7z", "rar"];
/// Files that systems put into folders of images.
const SYSTEM_FILES: [&str; 3] = ["thumbs.db", "ehthumbs.db", "desktop.ini"];

/// Why the file `name`, which is not named like an image, is left out; `None` for files of systems and hidden files.
fn reason(name: &str, is_image: impl FnOnce() -> bool) -> Option<Reason> {
    let shown = name.trim_start_matches('.');
    if name.starts_with("._") || SYSTEM_FILES.contains(&name.to_lowercase().as_str()) {
        return None;
    }
    if shown != name {
        return is_image_name(shown).then_some(Reason::Hidden);
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    Some(match ending.as_str() {
        ending if OTHER_KINDS.contains(&ending) => Reason::OtherKind,
        ending if ARCHIVES.contains(&ending) => Reason::Archive,
        "jfif" | "jpe" => Reason::Misnamed,
        _ if is_image() => Reason::Misnamed,
        _ => Reason::NotAnImage,
    })
}

/// Whether the file begins as an image of a supported format.
fn begins_as_image(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(64).read_to_end(&mut bytes));
    read.is_ok() && image::guess_format(&bytes).is_ok_and(|format| format.reading_enabled())
}

/// The inputs of the paths, in their order, and the files that are left out. Images below a directory are sorted by the
/// bytes of their names.
///
/// # Errors
/// If stdin cannot be read.
pub(super) fn inputs(paths: &[PathBuf]) -> Result<(Vec<Input>, LeftOut)> {
    let mut found = Vec::new();
    let mut left_out = LeftOut::default();
    for path in paths {
        if path.as_os_str() == "-" {
            for line in io::stdin().lock().lines() {
                let line = line.context("cannot read paths from stdin")?;
                if !line.is_empty() {
                    found.extend(inputs_at(Path::new(&line), &mut left_out));
                }
            }
        } else {
            found.extend(inputs_at(path, &mut left_out));
        }
    }
    Ok((found, left_out))
}

fn inputs_at(path: &Path, left_out: &mut LeftOut) -> Vec<Input> {
    let useless = |reason: String| vec![Input::Useless { path: path.to_owned(), reason }];
    if path.is_dir() {
        let mut found = Vec::new();
        return match walk(path, path, &mut Vec::new(), &mut found, left_out) {
            Err(error) => useless(error.to_string()),
            Ok(()) if found.is_empty() => useless("no images in this folder".to_owned()),
            Ok(()) => found,
        };
    }
    if !path.is_file() || !ImageZip::is_zip(path) {
        return match is_other_archive(path) {
            true => useless(
                "an archive of a kind that is not read; unpack it first, or make a zip of it".to_owned(),
            ),
            false => vec![Input::Image(path.to_owned())],
        };
    }
    leave_out_packed(path, left_out);
    match ImageZip::open(path) {
        Err(error) => useless(error.to_string()),
        Ok(zip) if zip.names().is_empty() => useless("no images in this archive".to_owned()),
        Ok(zip) => {
            let n = zip.names().len();
            let zip = SyncArc::new(zip);
            let packed = |index| Input::Packed { archive: path.to_owned(), zip: zip.clone(), index };
            (0..n).map(packed).collect()
        }
    }
}

/// Whether a file is called like an archive other than a zip and is not an image.
fn is_other_archive(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is_archive = ending != "zip" && ARCHIVES.contains(&ending.as_str());
    is_archive && path.is_file() && !begins_as_image(path)
}

/// Adds the files of an archive that are not named like images. Their content is not read.
fn leave_out_packed(path: &Path, left_out: &mut LeftOut) {
    let Ok(archive) = enas_data::open_zip(path) else { return };
    let mut names: Vec<_> = archive.file_names().filter_map(Result::ok).collect();
    names.sort_unstable();
    for name in names.iter().filter(|name| !name.ends_with('/')) {
        let (folders, own) = name.rsplit_once('/').unwrap_or(("", name.as_ref()));
        if !is_image_name(own)
            && !folders.split('/').any(is_system_folder)
            && let Some(reason) = reason(own, || false)
        {
            left_out.add(path, reason, Path::new(name.as_ref()));
        }
    }
}

/// Adds the images below a directory.
///
/// Symbolic links are followed, as in a search, but not to a directory above. `above` holds the real paths of the
/// directories around this one.
fn walk(
    root: &Path,
    folder: &Path,
    above: &mut Vec<PathBuf>,
    found: &mut Vec<Input>,
    left_out: &mut LeftOut,
) -> io::Result<()> {
    let real = fs::canonicalize(folder)?;
    if above.iter().any(|folder| folder.starts_with(&real)) {
        return Ok(());
    }
    above.push(real);
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let path = entry.path();
        let name = name.to_string_lossy();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && !is_system_folder(&name) => {
                walk(root, &path, above, found, left_out)?;
            }
            Ok(metadata) if metadata.is_dir() => left_out.add(root, Reason::System, &path),
            // Pipes and devices are skipped: reading them could block forever.
            Ok(metadata) if !metadata.is_file() => left_out.add(root, Reason::Special, &path),
            _ if is_image_name(&name) => found.push(Input::Image(path)),
            _ => {
                if let Some(reason) = reason(&name, || begins_as_image(&path)) {
                    left_out.add(root, reason, &path);
                }
            }
        }
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_left_out_say_why() {
        let why = |name| reason(name, || false);
        assert_eq!(why("a.HEIC"), Some(Reason::OtherKind));
        assert_eq!(why("a.jfif"), Some(Reason::Misnamed));
        assert_eq!(why("a.JPE"), Some(Reason::Misnamed));
        assert_eq!(why("more.zip"), Some(Reason::Archive));
        assert_eq!(why("notes.txt"), Some(Reason::NotAnImage));
        assert_eq!(reason("photo", || true), Some(Reason::Misnamed));
        assert_eq!(why(".a.png"), Some(Reason::Hidden));
        assert_eq!((why("Thumbs.db"), why("._a.png"), why(".gitignore")), (None, None, None));
    }

    #[test]
    fn each_reason_is_one_line() {
        let mut left_out = LeftOut::default();
        let root = Path::new("new");
        ["a", "b", "c", "d"].iter().for_each(|name| {
            left_out.add(root, Reason::OtherKind, &root.join(format!("x/{name}.heic")));
        });
        left_out.add(root, Reason::NotAnImage, &root.join("notes.txt"));
        assert_eq!(
            left_out.lines(),
            [
                "new: left out 4 files of kinds that are not read (x/a.heic, x/b.heic, x/c.heic, …); \
                 convert them to JPEG or PNG to use them",
                "new: left out 1 file that is not named like an image (notes.txt)",
            ]
        );
    }
}
