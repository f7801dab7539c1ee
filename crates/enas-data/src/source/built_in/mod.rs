//! The built-in data sets, by name.

pub mod digits;
pub mod fashion_small;
pub mod lossless;
pub(crate) mod set;

use std::path::{Path, PathBuf};

use digits::DIGITS;
use fashion_small::FASHION_SMALL;
use set::BuiltIn;

/// All built-in data sets.
static ALL: [&BuiltIn; 2] = [&digits::SET, &fashion_small::SET];

/// Their names, which can be used in place of a path.
pub const BUILT_IN: [&str; 2] = [DIGITS, FASHION_SMALL];

/// The data set with this name.
pub(crate) fn find(path: &Path) -> Option<&'static BuiltIn> {
    ALL.into_iter().find(|set| path.as_os_str() == set.name)
}

/// The path meant by a user. A file or folder wins over a built-in data set of the same name and becomes `./NAME`,
/// which is unambiguous.
pub fn resolve_path(path: &Path) -> PathBuf {
    if find(path).is_some() && path.exists() { Path::new(".").join(path) } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_nothing_else_is() {
        for (set, name) in ALL.iter().zip(BUILT_IN) {
            assert_eq!(find(Path::new(name)).unwrap().name, name);
            assert_eq!(set.name, name);
        }
        for other in ["", "Digits", "./digits", "fashion", "fashion-small/", "data/fashion-small"] {
            let found = find(Path::new(other)).map(|set| set.name);
            assert_eq!(found, None, "{other}");
        }
    }

    #[test]
    fn files_lie_in_the_folders_and_class_names_are_in_byte_order() {
        for set in ALL {
            assert!(set.classes.is_sorted(), "{}", set.name);
            let folders = set.folders();
            assert!(folders.is_sorted());
            let files = set.files();
            assert!(
                files.iter().all(|(name, _)| folders.contains(&name[..name.rfind('/').unwrap()].to_owned()))
            );
            assert_eq!(files.len() * set.side * set.side, set.images.pixels.len(), "{}", set.name);
        }
    }
}
