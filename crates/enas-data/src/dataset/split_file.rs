//! The stored assignment of images to splits. No pixels.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::source::item::{Item, Part};

/// The assignment of files to splits. It is stored with a run; see [`crate::LoadOptions::split`].
///
/// Names are relative to the root of the data, with `/` between folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFile {
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Images of the training split.
    pub train: Vec<String>,
    /// Images of the validation split.
    pub valid: Vec<String>,
    /// Images of the test split.
    pub test: Vec<String>,
}

impl SplitFile {
    fn parts(&self) -> [(Part, &[String]); 3] {
        [(Part::Train, &self.train), (Part::Valid, &self.valid), (Part::Test, &self.test)]
    }
}

/// Assigns the parts of `stored` and drops items that it does not contain.
///
/// Returns the number of dropped items: images that were added after the split was made.
pub(crate) fn restore(
    items: &mut Vec<Item>,
    files: &[String],
    classes: &[String],
    stored: &SplitFile,
    root: &Path,
) -> Result<usize, Error> {
    let unfit = |problem: String| Error::StoredSplit { path: root.into(), problem };
    if classes != stored.classes {
        return Err(unfit(format!(
            "it was made for the classes {}, but the folders are {}",
            stored.classes.join(", "),
            classes.join(", ")
        )));
    }
    let mut part_of = BTreeMap::new();
    for (part, names) in stored.parts() {
        for name in names {
            if part_of.insert(name.as_str(), part).is_some_and(|other| other != part) {
                return Err(unfit(format!("{name} is in two parts")));
            }
        }
    }
    let before = items.len();
    items.retain_mut(|item| {
        item.part = part_of.remove(files[item.file].as_str());
        item.part.is_some()
    });
    if let Some((missing, _)) = part_of.first_key_value() {
        let gone = match part_of.len() {
            1 => format!("1 of its images is gone or unreadable, {missing}"),
            n => format!("{n} of its images are gone or unreadable, such as {missing}"),
        };
        return Err(unfit(format!("{gone}; restore what is missing, or start a new run")));
    }
    Ok(before - items.len())
}
