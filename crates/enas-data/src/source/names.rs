//! What the name of a file or folder tells before it is opened.

use crate::source::left_out::LeftOutReason;

/// Folders that operating systems, storage devices and programs create among the user's files.
const SYSTEM_FOLDERS: [&str; 12] = [
    "@eadir",
    "@recycle",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "__macosx",
    "__pycache__",
    "node_modules",
];

/// Files of the same kind.
const SYSTEM_FILES: [&str; 5] = ["thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", "icon\r"];

/// Extensions of archives.
const ARCHIVES: [&str; 11] = ["zip", "tar", "gz", "tgz", "bz2", "xz", "txz", "zst", "7z", "rar", "lzma"];

/// Extensions of unsupported images, volumes and films.
const OTHER_KINDS: [&str; 45] = [
    "heic", "heif", "avif", "jxl", "jp2", "j2k", "jpx", "psd", "xcf", "svg", "ico", "icns", "tga", "ppm",
    "pgm", "pbm", "pnm", "pfm", "exr", "hdr", "dds", "dcm", "dicom", "nii", "npy", "npz", "mat", "cr2",
    "cr3", "nef", "arw", "dng", "orf", "rw2", "raf", "raw", "fits", "mp4", "mov", "avi", "mkv", "webm",
    "mpg", "m4v", "eps",
];

/// Extensions of files that are never images, so that their content is not read.
const PLAIN: [&str; 34] = [
    "txt",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "ndjson",
    "xml",
    "yaml",
    "yml",
    "toml",
    "md",
    "rst",
    "html",
    "htm",
    "pdf",
    "doc",
    "docx",
    "xls",
    "xlsx",
    "rtf",
    "log",
    "cfg",
    "py",
    "ipynb",
    "sh",
    "pt",
    "pth",
    "onnx",
    "safetensors",
    "h5",
    "pkl",
    "tfrecord",
    "parquet",
    "db",
];

/// Whether the name is that of an image: the extension is png, jpg, jpeg, bmp, gif, webp, tif or tiff (in any case),
/// and it does not start with a dot.
pub fn is_image_name(name: &str) -> bool {
    const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "gif", "webp", "tif", "tiff"];
    let file = name.rsplit('/').next().unwrap_or(name);
    let extension = file.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    !file.starts_with('.') && extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// Whether a folder belongs to a system or a program, by its name: `.git`, `@eaDir`, `lost+found`.
pub fn is_system_folder(name: &str) -> bool {
    name.starts_with('.') || SYSTEM_FOLDERS.contains(&name.to_lowercase().as_str())
}

/// Why a file is not listed, by its own name. Hidden files that are not images are ignored.
pub(super) fn unlisted(name: &str) -> Option<Option<LeftOutReason>> {
    if name.starts_with("._") || SYSTEM_FILES.contains(&name.to_lowercase().as_str()) {
        return Some(Some(LeftOutReason::System));
    }
    let shown = name.trim_start_matches('.');
    (shown != name).then(|| is_image_name(shown).then_some(LeftOutReason::Hidden))
}

/// Why a file without the name of an image is not used; `None` if its content has to be read.
pub(crate) fn kind_of_other(name: &str) -> Option<LeftOutReason> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    let ending = ending.as_str();
    match () {
        () if ARCHIVES.contains(&ending) => Some(LeftOutReason::Archive),
        () if OTHER_KINDS.contains(&ending) => Some(LeftOutReason::OtherKind),
        () if PLAIN.contains(&ending) => Some(LeftOutReason::NotAnImage),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_names_are_told_by_their_extension_in_any_case() {
        for name in ["a.png", "b/c.JPG", "d.e.Jpeg", "x.TIF", "x.tiff", "x.webp", "x.gif", "x.bmp"] {
            assert!(is_image_name(name), "{name}");
        }
        for name in ["a.txt", "png", ".a.png", "b/.DS_Store", "c/._x.jpg", "a.png.zip", "a/b.png/c"] {
            assert!(!is_image_name(name), "{name}");
        }
    }

    #[test]
    fn folders_of_systems_and_programs_are_known() {
        for name in ["@eaDir", "__pycache__", ".git", "#recycle", "$RECYCLE.BIN", "lost+found", "__MACOSX"] {
            assert!(is_system_folder(name), "{name}");
        }
        for name in ["cat", "eaDir", "recycle", "git", "_", "lost and found"] {
            assert!(!is_system_folder(name), "{name}");
        }
    }

    #[test]
    fn files_that_are_not_listed_say_why() {
        assert_eq!(unlisted("Thumbs.db"), Some(Some(LeftOutReason::System)));
        assert_eq!(unlisted("._a.jpg"), Some(Some(LeftOutReason::System)));
        assert_eq!(unlisted(".a.jpg"), Some(Some(LeftOutReason::Hidden)));
        assert_eq!(unlisted(".fetch-data.json"), Some(None));
        assert_eq!(unlisted("a.jpg"), None);
    }

    #[test]
    fn other_files_are_told_apart_by_their_ending() {
        assert_eq!(kind_of_other("a/b.HEIC"), Some(LeftOutReason::OtherKind));
        assert_eq!(kind_of_other("cat.zip"), Some(LeftOutReason::Archive));
        assert_eq!(kind_of_other("a/labels.csv"), Some(LeftOutReason::NotAnImage));
        assert_eq!(kind_of_other("a.b/photo"), None);
        assert_eq!(kind_of_other("photo.jfif"), None);
    }
}
