//! The system's fonts, for class names with characters that the font of the program lacks.

use std::env;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use enas_draw::FallbackFonts;

/// Larger files are not read. They are fonts of coloured pictures.
const LARGEST: u64 = 64 << 20;
/// How many folders deep fonts are searched for.
const DEPTH: usize = 4;
/// Where fonts lie: on Linux, macOS and Windows.
const FOLDERS: [&str; 4] =
    ["/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "/Library/Fonts"];
/// The same below a folder that an environment variable names.
const FOLDERS_BELOW: [(&str, &str); 6] = [
    ("XDG_DATA_HOME", "fonts"),
    ("HOME", ".local/share/fonts"),
    ("HOME", ".fonts"),
    ("HOME", "Library/Fonts"),
    ("WINDIR", "Fonts"),
    ("LOCALAPPDATA", "Microsoft/Windows/Fonts"),
];
/// Parts of the names of fonts that are read last, because others are easier to read.
const STYLES: [&str; 8] = ["bold", "black", "heavy", "light", "thin", "italic", "oblique", "medium"];

/// The fonts of the system that some character of the labels needs. Without such a character no folder is read.
pub(crate) fn for_labels<'a>(labels: impl Iterator<Item = &'a str>) -> FallbackFonts {
    let files = iter::once_with(|| font_files(&folders())).flatten();
    FallbackFonts::find(labels, files.filter_map(|file| fs::read(file).ok()))
}

fn folders() -> Vec<PathBuf> {
    let below = FOLDERS_BELOW.iter().filter_map(|(variable, path)| {
        let folder = PathBuf::from(env::var_os(variable)?);
        folder.is_absolute().then(|| folder.join(path))
    });
    FOLDERS.iter().map(PathBuf::from).chain(below).collect()
}

/// The font files below these folders: regular fonts first, else by path.
fn font_files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    folders.iter().for_each(|folder| add_files(folder, DEPTH, &mut files));
    files.sort_by_cached_key(|file| (has_style(file), file.clone()));
    files
}

fn add_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(about) = fs::metadata(&path) else { continue };
        if about.is_dir() && depth > 0 {
            add_files(&path, depth - 1, files);
        } else if about.is_file() && about.len() <= LARGEST && is_font(&path) {
            files.push(path);
        }
    }
}

/// Whether a file is a font by its name. One font of macOS has a placeholder for every character.
fn is_font(file: &Path) -> bool {
    let name = lower_case_name(file);
    let is_placeholder = name.starts_with("lastresort");
    !is_placeholder && [".ttf", ".otf", ".ttc", ".otc"].iter().any(|ending| name.ends_with(ending))
}

fn has_style(file: &Path) -> bool {
    let name = lower_case_name(file);
    STYLES.iter().any(|style| name.contains(style))
}

fn lower_case_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fonts_are_found_in_folders_and_regular_ones_come_first() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("noto/cjk")).unwrap();
        let names = ["noto/cjk/Noto-Bold.ttc", "noto/cjk/Noto-Regular.ttc", "noto/readme.txt", "z.TTF"];
        for name in names.iter().chain(&["LastResort.otf"]) {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found = font_files(&[dir.path().to_owned(), dir.path().join("missing")]);
        let found: Vec<&Path> = found.iter().map(|file| file.strip_prefix(dir.path()).unwrap()).collect();
        assert_eq!(found, [names[1], names[3], names[0]].map(Path::new));
    }
}
