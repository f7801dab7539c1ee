//! Discovery of runs. Requests of `enas-watch` can only name runs found here; no part of a request becomes a path.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Maximum depth at which runs are looked for: `runs/<data>-auto-<n>/search` and a directory around it.
const DEPTH: usize = 4;
/// Maximum number of directories visited.
const DIRECTORIES: usize = 20_000;
/// Maximum number of runs found.
pub const MOST: usize = 500;

/// A run directory, or a directory of several runs that belong together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its name: the path below the directory that was searched.
    pub name: String,
    /// Its path.
    pub dir: PathBuf,
}

impl Found {
    /// The name, percent-encoded for a URL. Slashes stay.
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for &byte in self.name.as_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    slug.push(char::from(byte))
                }
                _ => slug.push_str(&format!("%{byte:02X}")),
            }
        }
        slug
    }
}

/// Whether `dir` is a run directory.
pub fn is_run(dir: &Path) -> bool {
    dir.join("manifest.json").is_file()
}

/// Whether `dir` is the directory of an automatic run, which contains other runs.
pub fn is_automatic(dir: &Path) -> bool {
    dir.join("auto.json").is_file()
}

/// Whether `dir` contains trainings that differ in their seeds.
pub(super) fn is_several_seeds(dir: &Path) -> bool {
    dir.join("seeds.json").is_file()
}

/// Whether `dir` was created for a run but has no manifest. The run has just begun, or the manifest was lost.
fn is_remains(dir: &Path) -> bool {
    let mut entries = fs::read_dir(dir).into_iter().flatten().flatten();
    dir.join("run.lock").is_file() && !entries.any(|entry| is_run(&entry.path()))
}

/// All runs at or below `root`, sorted by name, and whether there are more than [`MOST`].
///
/// Each phase of an automatic run counts as a run.
pub fn runs(root: &Path) -> (Vec<Found>, bool) {
    search(root, is_run)
}

/// Like [`runs`], but automatic runs and trainings with several seeds count as one each. Remains of damaged runs
/// count, too.
pub fn folders(root: &Path) -> (Vec<Found>, bool) {
    search(root, |dir| is_automatic(dir) || is_several_seeds(dir) || is_run(dir) || is_remains(dir))
}

fn search(root: &Path, is_one: fn(&Path) -> bool) -> (Vec<Found>, bool) {
    let own = root.file_name().map(|name| name.to_string_lossy().into_owned());
    let own = own.unwrap_or_else(|| root.to_string_lossy().into_owned());
    if is_one(root) {
        return (vec![Found { name: own, dir: root.to_owned() }], false);
    }
    // The phases of all automatic runs have the same names; so the directory's own name precedes them.
    below(root, if is_automatic(root) { &own } else { "" }, is_one)
}

/// The directories below `root` for which `is_one`, in the order of their paths, each named by `prefix` and its path
/// from there.
fn below(root: &Path, prefix: &str, is_one: fn(&Path) -> bool) -> (Vec<Found>, bool) {
    let mut found = Vec::new();
    let mut left = DIRECTORIES;
    let mut walk =
        WalkDir::new(root).min_depth(1).max_depth(DEPTH).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        // A directory that cannot be read, or a link to one around it.
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_dir() {
            continue;
        }
        // A link upwards leads to the root once more.
        if entry.depth() > 1 && is_same(entry.path(), root) {
            walk.skip_current_dir();
            continue;
        }
        if left == 0 || found.len() > MOST {
            break;
        }
        left -= 1;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let is_run = !is_hidden && is_one(entry.path());
        if is_run {
            found.push(Found { name: name(entry.path(), root, prefix), dir: entry.path().to_owned() });
        }
        if is_hidden || is_run {
            walk.skip_current_dir();
        }
    }
    let more = found.len() > MOST || left == 0;
    found.truncate(MOST);
    (found, more)
}

/// Whether two paths lead to one directory.
fn is_same(one: &Path, other: &Path) -> bool {
    fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

/// The path of `dir` from `root` on, behind `prefix`, with slashes on every system.
fn name(dir: &Path, root: &Path, prefix: &str) -> String {
    let own = dir.strip_prefix(root).unwrap_or(dir).components();
    let own = own.map(|part| part.as_os_str().to_string_lossy().into_owned());
    let parts = Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()).into_iter().chain(own);
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(root: &Path, dirs: &[&str]) {
        for dir in dirs {
            fs::create_dir_all(root.join(dir)).unwrap();
            fs::write(root.join(dir).join("manifest.json"), "{}").unwrap();
        }
    }

    fn names(root: &Path) -> Vec<String> {
        runs(root).0.into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn runs_are_found_alone_and_inside_automatic_ones() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("runs");
        assert_eq!(runs(&root), (vec![], false), "a folder that is not there yet holds none");
        make(
            &root,
            &["b-search-1", "a-auto-1/search", "a-auto-1/first", ".hidden/x", "1/2/3/4", "1/2/3/x/5"],
        );
        fs::create_dir_all(root.join("b-search-1/checkpoints/inner")).unwrap();
        fs::write(root.join("b-search-1/checkpoints/inner/manifest.json"), "{}").unwrap();
        fs::write(root.join("a-auto-1/auto.json"), "{}").unwrap();
        assert_eq!(names(&root), ["1/2/3/4", "a-auto-1/first", "a-auto-1/search", "b-search-1"]);
        assert_eq!(names(&root.join("b-search-1")), ["b-search-1"]);
        assert_eq!(names(&root.join("a-auto-1")), ["a-auto-1/first", "a-auto-1/search"]);
    }

    #[test]
    fn what_belongs_together_is_one_folder() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["a-auto-1/train", "b-train-1/seed-1", "b-train-1/seed-2", "c-search-1"]);
        let touch = |path: &str| {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), "{}").unwrap();
        };
        for path in ["a-auto-1/auto.json", "b-train-1/seeds.json", "d-train-1/run.lock", "e/f.txt"] {
            touch(path);
        }
        let names: Vec<String> = folders(dir.path()).0.into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["a-auto-1", "b-train-1", "c-search-1", "d-train-1"]);
        // A lock file without `auto.json` must not hide the phases of an automatic run.
        fs::remove_file(dir.path().join("a-auto-1/auto.json")).unwrap();
        touch("a-auto-1/run.lock");
        assert_eq!(folders(dir.path()).0[0].name, "a-auto-1/train");
    }

    #[cfg(unix)]
    #[test]
    fn no_run_is_found_twice_through_a_link_back() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["runs/a", "elsewhere/b"]);
        std::os::unix::fs::symlink("..", dir.path().join("runs/up")).unwrap();
        std::os::unix::fs::symlink(".", dir.path().join("runs/self")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", dir.path().join("runs/more")).unwrap();
        assert_eq!(names(&dir.path().join("runs")), ["a", "more/b", "up/elsewhere/b"]);
    }

    #[test]
    fn addresses_hold_nothing_that_a_browser_would_change() {
        let slug = |name: &str| Found { name: name.into(), dir: PathBuf::new() }.slug();
        assert_eq!(slug("a-auto-1/search"), "a-auto-1/search");
        assert_eq!(slug("my run?#<é>%"), "my%20run%3F%23%3C%C3%A9%3E%25");
    }

    #[test]
    fn more_runs_than_are_shown_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<String> = (0..MOST + 3).map(|i| format!("r{i:04}")).collect();
        make(dir.path(), &all.iter().map(String::as_str).collect::<Vec<_>>());
        let (found, more) = runs(dir.path());
        assert_eq!((found.len(), more), (MOST, true));
    }
}
