//! Which runs there are. Only what is found here can be asked for: no request ever becomes a path.

use std::fs;
use std::path::{Path, PathBuf};

/// How deep runs may lie: `runs/<data>-auto-<n>/search` and a folder around it.
const DEPTH: usize = 4;
/// Most directories looked into.
const DIRECTORIES: usize = 20_000;
/// Most runs shown.
pub(crate) const RUNS: usize = 500;

/// A run directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// What it is called: its path below the folder that is watched.
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
}

impl Found {
    /// The name as it stands in an address.
    pub(crate) fn slug(&self) -> String {
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

/// Whether a directory is that of a run.
pub(crate) fn is_run(dir: &Path) -> bool {
    dir.join("manifest.json").is_file()
}

/// Whether a directory is that of an automatic run, which holds others.
pub(crate) fn is_automatic(dir: &Path) -> bool {
    dir.join("auto.json").is_file()
}

/// All runs at or below `root`, by name, and whether there are more than are shown.
pub(crate) fn runs(root: &Path) -> (Vec<Found>, bool) {
    let own = root.file_name().map(|name| name.to_string_lossy().into_owned());
    let own = own.unwrap_or_else(|| root.to_string_lossy().into_owned());
    if is_run(root) {
        return (vec![Found { name: own, dir: root.to_owned() }], false);
    }
    let mut walk = Walk { found: Vec::new(), left: DIRECTORIES };
    // An automatic run has the same names of phases as any other.
    walk.enter(root, if is_automatic(root) { &own } else { "" }, DEPTH);
    let more = walk.found.len() > RUNS || walk.left == 0;
    walk.found.truncate(RUNS);
    (walk.found, more)
}

struct Walk {
    found: Vec<Found>,
    left: usize,
}

impl Walk {
    fn enter(&mut self, dir: &Path, name: &str, depth: usize) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        let mut dirs: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|p| p.is_dir()).collect();
        dirs.sort();
        for dir in dirs {
            if self.left == 0 || self.found.len() > RUNS {
                return;
            }
            self.left -= 1;
            let own = dir.file_name().unwrap_or_default().to_string_lossy();
            if own.starts_with('.') {
                continue;
            }
            let name = if name.is_empty() { own.into_owned() } else { format!("{name}/{own}") };
            if is_run(&dir) {
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
    fn addresses_hold_nothing_that_a_browser_would_change() {
        let slug = |name: &str| Found { name: name.into(), dir: PathBuf::new() }.slug();
        assert_eq!(slug("a-auto-1/search"), "a-auto-1/search");
        assert_eq!(slug("my run?#<é>%"), "my%20run%3F%23%3C%C3%A9%3E%25");
    }

    #[test]
    fn more_runs_than_are_shown_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<String> = (0..RUNS + 3).map(|i| format!("r{i:04}")).collect();
        make(dir.path(), &all.iter().map(String::as_str).collect::<Vec<_>>());
        let (found, more) = runs(dir.path());
        assert_eq!((found.len(), more), (RUNS, true));
    }
}
