//! The split folders: `train`, `valid`, `test`, and common other names.

use super::folders::{children, has_images_directly, problem};
use crate::error::Error;
use crate::source::files::Source;
use crate::source::item::Part;

/// Names of each part, in lower case.
const WORDS: [(Part, &[&str]); 3] = [
    (Part::Train, &["train", "training", "trn", "trainset", "trainingset", "traindata"]),
    (
        Part::Valid,
        &["valid", "val", "validation", "validating", "dev", "devel", "validset", "valset", "validationset"],
    ),
    (Part::Test, &["test", "testing", "tst", "testset", "testingset", "testdata"]),
];

/// Additional words that do not change the meaning.
const FILLERS: [&str; 13] = [
    "set", "sets", "data", "dataset", "split", "folder", "dir", "image", "images", "img", "imgs", "pictures",
    "photos",
];

/// The split folders of a source, by part; a folder may contain another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SplitFolders([Option<String>; 3]);

impl SplitFolders {
    /// The folder of a part, if there is one.
    pub(crate) fn folder(&self, part: Part) -> Option<&str> {
        self.0[part as usize].as_deref()
    }

    /// The part whose folder contains a file, and the name relative to that folder.
    pub(crate) fn locate<'a>(&self, name: &'a str) -> Option<(Part, &'a str)> {
        Part::ALL.into_iter().find_map(|part| {
            let below = name.strip_prefix(self.folder(part)?)?.strip_prefix('/')?;
            Some((part, below))
        })
    }

    /// The parts that are drawn from the training images.
    pub(crate) fn drawn(&self) -> &'static [Part] {
        match (self.folder(Part::Valid), self.folder(Part::Test)) {
            (Some(_), Some(_)) => &[],
            (None, Some(_)) => &[Part::Valid],
            (Some(_), None) => &[Part::Test],
            (None, None) => &[Part::Valid, Part::Test],
        }
    }

    pub(crate) fn set(&mut self, part: Part, folder: String) {
        self.0[part as usize] = Some(folder);
    }

    /// Replaces each folder by the one in it that contains the classes. Validation and test folders without classes are
    /// removed: their images cannot be used. An empty folder is a mistake that later checks report.
    fn descend(&mut self, source: &Source) {
        for part in Part::ALL {
            let Some(folder) = self.folder(part) else { continue };
            let class_root = class_root(source, part, folder);
            let is_unlabelled =
                children(source, &class_root).is_empty() && has_images_directly(source, &class_root);
            match part != Part::Train && is_unlabelled {
                true => self.0[part as usize] = None,
                false => self.set(part, class_root),
            }
        }
    }
}

/// The part that a folder's name means, and the rest of the name: `seg_train` is the training part of `seg`.
pub(crate) fn split_of_name(name: &str) -> Option<(Part, String)> {
    let lower = name.to_lowercase();
    let mut part = None;
    let mut rest = Vec::new();
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let resolve_path = WORDS.iter().find(|(_, words)| words.contains(&word)).map(|(part, _)| *part);
        match resolve_path {
            Some(_) if part.is_some() => return None,
            Some(_) => part = resolve_path,
            None if FILLERS.contains(&word) => {}
            None => rest.push(word),
        }
    }
    Some((part?, rest.join("-")))
}

/// [`split_of_name`] for a folder without class folders: also with numbers and words in one, as in `test1`, `train2017`
/// and `TrainImages`.
pub(super) fn split_of_flat_name(name: &str) -> Option<(Part, String)> {
    let mut words = String::new();
    let mut last = ' ';
    for c in name.chars() {
        if last.is_lowercase() && c.is_uppercase() || last.is_alphabetic() && c.is_numeric() {
            words.push(' ');
        }
        words.push(c);
        last = c;
    }
    let is_number = |word: &&str| word.chars().all(char::is_numeric);
    let words: Vec<&str> = words.split(|c: char| !c.is_alphanumeric()).filter(|w| !is_number(w)).collect();
    split_of_name(&words.join(" "))
}

/// The split folders among the top-level folders `top`; `None` if there are no splits.
///
/// A folder called `train`, `valid` or `test` that contains further folders makes a layout with splits. Other
/// spellings count only next to one of these, or if there are at least two of them. They never count for folders that
/// directly contain images.
///
/// # Errors
/// [`Error::Layout`] if two folders mean the same part.
pub(crate) fn find(source: &Source, top: &[&str]) -> Result<Option<SplitFolders>, Error> {
    let holds_folders = |name: &str| !children(source, name).is_empty();
    let is_exact = |name: &&str| Part::from_name(name).is_some();
    let has_exact = top.iter().any(|name| is_exact(name) && holds_folders(name));
    let candidate = |name: &&str| -> Option<(Part, String, String)> {
        let (part, rest) = split_of_name(name)?;
        let fits = has_exact && is_exact(name) || holds_folders(name) && !has_images_directly(source, name);
        fits.then(|| (part, rest, (*name).to_owned()))
    };
    let candidates: Vec<(Part, String, String)> = top.iter().filter_map(candidate).collect();
    let of = |rest: &str| -> Vec<&(Part, String, String)> {
        candidates.iter().filter(|(_, other, _)| other == rest).collect()
    };
    let is_enough = |group: &[&(Part, String, String)]| {
        let first = group.first().map(|(part, ..)| *part);
        group.iter().any(|(part, ..)| Some(*part) != first)
    };
    let group = if has_exact {
        of("")
    } else {
        let rests = candidates.iter().map(|(_, rest, _)| rest.as_str());
        match rests.map(of).find(|group| is_enough(group)) {
            Some(group) => group,
            None if candidates.len() == 1 && only_with_images(source, top, &candidates[0].2) => {
                of(&candidates[0].1)
            }
            None => return Ok(None),
        }
    };
    let mut splits = SplitFolders::default();
    for (part, _, name) in group {
        if let Some(other) = splits.folder(*part) {
            let what = part.name();
            return Err(problem(
                source,
                format!("{other} and {name} would both be {what}; put one into the other"),
            ));
        }
        splits.set(*part, name.clone());
    }
    splits.descend(source);
    Ok(Some(splits))
}

/// Whether all images are in this top-level folder.
fn only_with_images(source: &Source, top: &[&str], name: &str) -> bool {
    let holds = |folder: &str| source.files.iter().any(|file| file.split('/').next() == Some(folder));
    top.iter().all(|other| *other == name || !holds(other))
}

/// The folder that contains the classes, if there is one more level inside a split folder: `train/train`,
/// `train/images`.
fn class_root(source: &Source, part: Part, folder: &str) -> String {
    let mut folder = folder.to_owned();
    loop {
        let inside = children(source, &folder);
        let [only] = inside[..] else { return folder };
        let is_wrapper =
            split_of_name(only).map_or(FILLERS.contains(&only.to_lowercase().as_str()), |(p, _)| p == part);
        let path = format!("{folder}/{only}");
        if !is_wrapper || has_images_directly(source, &folder) || children(source, &path).is_empty() {
            return folder;
        }
        folder = path;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_call_splits_is_understood() {
        for (name, part) in [
            ("train", Part::Train),
            ("Training", Part::Train),
            ("TRAIN", Part::Train),
            ("training_set", Part::Train),
            ("Training Set", Part::Train),
            ("train-images", Part::Train),
            ("val", Part::Valid),
            ("Validation", Part::Valid),
            ("validation_data", Part::Valid),
            ("dev", Part::Valid),
            ("test_set", Part::Test),
            ("Testing", Part::Test),
        ] {
            assert_eq!(split_of_name(name), Some((part, String::new())), "{name}");
        }
        for (name, part) in [
            ("test1", Part::Test),
            ("train2017", Part::Train),
            ("TrainImages", Part::Train),
            ("train_images", Part::Train),
            ("TRAIN", Part::Train),
            ("val-2", Part::Valid),
        ] {
            assert_eq!(split_of_flat_name(name), Some((part, String::new())), "{name}");
        }
        assert_eq!(split_of_flat_name("testA"), Some((Part::Test, "a".into())));
        assert_eq!(split_of_flat_name("bus1"), None);
        assert_eq!(split_of_name("seg_train"), Some((Part::Train, "seg".into())));
        for name in ["cat", "trainer", "pretrain", "train_test", "contest", "validity", "set", "t"] {
            assert_eq!(split_of_name(name), None, "{name}");
        }
    }
}
