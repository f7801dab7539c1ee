//! Class names, compared in Unicode normal form.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use crate::source::left_out::{Note, first_few};

/// A name in the Unicode normal form NFC. Systems write the same name with composed or with decomposed letters.
pub(super) fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// Class names, one for all folders with the same name in Unicode normal form.
pub(super) struct ClassIndex {
    pub(super) names: Vec<String>,
    index: BTreeMap<String, usize>,
    /// The classes with several folders.
    merged: Vec<String>,
}

impl ClassIndex {
    pub(super) fn of<'a>(folders: impl Iterator<Item = &'a str>) -> Self {
        let mut classes = Self { names: Vec::new(), index: BTreeMap::new(), merged: Vec::new() };
        for folder in folders {
            let name = composed(folder);
            match classes.index.get(&name) {
                Some(_) => classes.merged.push(name),
                None => {
                    classes.index.insert(name, classes.names.len());
                    classes.names.push(folder.to_owned());
                }
            }
        }
        classes
    }

    /// The class of a folder.
    pub(super) fn class(&self, folder: &str) -> Option<usize> {
        self.index.get(&composed(folder)).copied()
    }

    /// The note about folders that are one class.
    pub(super) fn note(&self) -> Option<Note> {
        let merged: Vec<&str> = self.merged.iter().map(String::as_str).collect();
        (!merged.is_empty()).then(|| {
            let found = format!("folders of the same name in two Unicode spellings ({})", first_few(&merged));
            Note::new(found, "taken as one class")
        })
    }
}
