//! Files and folders that no run uses, by reason, so that nothing is ignored silently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::visible::visible;

/// Why a file or folder is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOutReason {
    /// An image outside the class folders.
    Beside,
    /// A folder next to the split folders.
    OtherFolder,
    /// A folder of masks, thumbnails and the like inside a class folder.
    Companion,
    /// A file that contains a supported image but does not have the name of one.
    Misnamed,
    /// An image or film of an unsupported format.
    OtherKind,
    /// An archive inside the data.
    Archive,
    /// An image whose name begins with a dot.
    Hidden,
    /// A run directory, or a folder of them.
    Runs,
    /// A folder or file of the system or of another program.
    System,
    /// A link to a folder above it.
    Circle,
    /// A folder that is nested too deeply.
    TooDeep,
    /// A folder that cannot be read.
    Unreadable,
    /// A pipe, a socket or a device.
    Special,
    /// Any other file without the name of an image.
    NotAnImage,
}

impl LeftOutReason {
    /// The words for one case, for several, and the remedy.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::Beside => [
                "image outside of the class folders",
                "images outside of the class folders",
                "put each into a folder named after its class to use it",
            ],
            Self::OtherFolder => [
                "folder next to the splits",
                "folders next to the splits",
                "if it is a split, rename it to valid or test to use it",
            ],
            Self::Companion => [
                "folder of masks, thumbnails or the like in a class folder",
                "folders of masks, thumbnails or the like in class folders",
                "rename it if its images belong to the class",
            ],
            Self::Misnamed => [
                "file that is an image but not named like one",
                "files that are images but not named like one",
                "give them names that end in jpg, png, … to use them",
            ],
            Self::OtherKind => [
                "file of a kind that is not read",
                "files of kinds that are not read",
                "convert them to JPEG or PNG to use them",
            ],
            Self::Archive => ["archive", "archives", "unpack them to use what they hold"],
            Self::Hidden => [
                "image whose name begins with a dot",
                "images whose names begin with a dot",
                "rename them to use them",
            ],
            Self::Runs => ["folder of runs", "folders of runs", ""],
            Self::System => [
                "hidden folder or file of a system or program",
                "hidden folders and files of systems or programs",
                "",
            ],
            Self::Circle => {
                ["link that leads back to a folder above", "links that lead back to a folder above", ""]
            }
            Self::TooDeep => {
                ["folder nested too deeply", "folders nested too deeply", "move it up to use it"]
            }
            Self::Unreadable => {
                ["folder that cannot be read", "folders that cannot be read", "make it readable to use it"]
            }
            Self::Special => ["pipe, socket or device", "pipes, sockets or devices", ""],
            Self::NotAnImage => {
                ["file that is not named like an image", "files that are not named like images", ""]
            }
        }
    }

    /// What was found, as half a sentence, and the remedy, which may be empty.
    pub(crate) fn describe(self, n: usize) -> (String, &'static str) {
        let [one, many, remedy] = self.words();
        (format!("{n} {}", if n == 1 { one } else { many }), remedy)
    }
}

/// Unused files and folders, relative to the root of the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut(BTreeMap<LeftOutReason, BTreeSet<String>>);

impl LeftOut {
    pub(crate) fn add(&mut self, reason: LeftOutReason, name: impl Into<String>) {
        self.0.entry(reason).or_default().insert(name.into());
    }

    /// Adds everything of `other`.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (reason, names) in &other.0 {
            self.0.entry(*reason).or_default().extend(names.iter().cloned());
        }
    }

    /// The reasons with their names, in byte order.
    pub(crate) fn by_reason(&self) -> impl Iterator<Item = (LeftOutReason, Vec<&str>)> {
        self.0.iter().map(|(reason, names)| (*reason, names.iter().map(String::as_str).collect()))
    }

    /// The names for one reason, in byte order.
    pub(crate) fn of_reason(&self, reason: LeftOutReason) -> Vec<&str> {
        self.0.get(&reason).into_iter().flatten().map(String::as_str).collect()
    }

    /// Changes every name.
    pub(crate) fn rename(&mut self, rename: impl Fn(String) -> String) {
        for names in self.0.values_mut() {
            *names = std::mem::take(names).into_iter().map(&rename).collect();
        }
    }

    /// One line per reason: the number, the first names, the remedy.
    pub(crate) fn lines(&self, root: &Path) -> Vec<String> {
        let line = |(reason, names): (LeftOutReason, Vec<&str>)| {
            let (what, remedy) = reason.describe(names.len());
            let remedy = if remedy.is_empty() { String::new() } else { format!("; {remedy}") };
            format!("{}: left out {what} ({}){remedy}", visible(&root), visible(&first_few(&names)))
        };
        self.by_reason().map(line).collect()
    }
}

/// A decision about ambiguous folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// What was found, as half a sentence.
    pub(crate) found: String,
    /// What is done about it.
    pub(crate) done: String,
    /// Whether the decision is probably wrong.
    pub(crate) is_warning: bool,
}

impl Note {
    pub(crate) fn new(found: impl Into<String>, done: impl Into<String>) -> Self {
        Self { found: found.into(), done: done.into(), is_warning: false }
    }

    /// A decision that is probably wrong, with the remedy.
    pub(crate) fn warning(found: impl Into<String>, done: impl Into<String>) -> Self {
        Self { is_warning: true, ..Self::new(found, done) }
    }
}

/// The first few names.
pub(crate) fn first_few(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_one_line_with_the_count_and_the_first_names() {
        let mut left_out = LeftOut::default();
        ["d.png", "a.png", "c.png", "b.png"]
            .iter()
            .for_each(|name| left_out.add(LeftOutReason::Beside, *name));
        left_out.add(LeftOutReason::System, ".git");
        assert_eq!(
            left_out.lines(Path::new("photos")),
            [
                "photos: left out 4 images outside of the class folders (a.png, b.png, c.png, …); \
                 put each into a folder named after its class to use it",
                "photos: left out 1 hidden folder or file of a system or program (.git)",
            ]
        );
    }
}
