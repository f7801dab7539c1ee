//! Discovery of runs. Requests of `enas-watch` can only name runs found here; no part of a request becomes a path.

use std::fs;
use std::path::{Path, PathBuf};

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
    dir.join("run.lock").is_file() && !children(dir).iter().any(|child| is_run(child))
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
    let mut walk = DirectoryWalk { found: Vec::new(), left: DIRECTORIES, is_one };
    // The phases of all automatic runs have the same names; so the directory's own name precedes them.
    walk.enter(root, if is_automatic(root) { &own } else { "" }, DEPTH);
    let more = walk.found.len() > MOST || walk.left == 0;
    walk.found.truncate(MOST);
    (walk.found, more)
}

/// The subdirectories, sorted by name.
fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut dirs: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}

struct DirectoryWalk {
    found: Vec<Found>,
    left: usize,
    is_one: fn(&Path) -> bool,
}

impl DirectoryWalk {
    fn enter(&mut self, dir: &Path, name: &str, depth: usize) {
        for dir in children(dir) {
            if self.left == 0 || self.found.len() > MOST {
                return;
            }
            self.left -= 1;
            let own = dir.file_name().unwrap_or_default().to_string_lossy();
            if own.starts_with('.') {
                continue;
            }
            let name = if name.is_empty() { own.into_owned() } else { format!("{name}/{own}") };
            if (self.is_one)(&dir) {
                self.found.push(Found { name, dir });
            } else if depth > 1 {
                self.enter(&dir, &name, depth - 1);
            }
        }
    }
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
