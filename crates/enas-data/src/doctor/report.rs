//! What the doctor found, as plain data: to be printed, stored or embedded.

use serde::{Deserialize, Serialize};

use super::sizes::Sizes;
use crate::layout::Part;

/// Everything found in one data set. Equal data and settings give equal reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The folder or zip that was looked at.
    pub path: String,
    /// Whether a run could start with these data: no finding is an error.
    pub can_start: bool,
    /// Files that are called like pictures and lie in a class folder.
    pub files: usize,
    /// Those of them that can be read.
    pub usable: usize,
    /// Usable images that have colours; none are told where images are looked at in grey (`data.channels = 1`).
    #[serde(default)]
    pub coloured: usize,
    /// Parts that the folders do not give, so that chance makes them from the seed.
    pub drawn: Vec<Part>,
    /// Usable pictures of every class, in label order.
    pub classes: Vec<ClassCount>,
    /// Sizes and proportions of the usable pictures; `None` without one.
    pub sizes: Option<Sizes>,
    /// What was found, the most serious first.
    pub findings: Vec<Finding>,
}

/// Usable pictures of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassCount {
    /// Name of the class.
    pub class: String,
    /// Pictures that weights are fitted to.
    pub train: usize,
    /// Pictures that choices are made by.
    pub valid: usize,
    /// Pictures that the final accuracy is measured with.
    pub test: usize,
}

/// One kind of thing that is noteworthy, with every case of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// What it is.
    pub kind: Kind,
    /// What was found, with numbers: half a sentence.
    pub summary: String,
    /// What the program does about it, or what it means for a run: one sentence.
    pub consequence: String,
    /// The cases, in the order of their first path.
    pub cases: Vec<Case>,
}

/// One case of a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The files or folders concerned, below the root of the data, in byte order: several where they belong
    /// together. None where the data set as a whole is concerned.
    pub paths: Vec<String>,
    /// What is particular about this case; may be empty.
    pub detail: String,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// No run can start.
    Error,
    /// Results will be worse, or not mean what they seem to.
    Warning,
    /// Good to know; nothing needs to be done.
    Note,
}

/// What a finding is about. In the order in which findings of one severity are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Folders, classes or splits are not as a run needs them.
    Layout,
    /// Files that cannot be read as pictures.
    Unreadable,
    /// JPEG files that end before their picture does.
    CutOff,
    /// The same file under different labels.
    ConflictingLabels,
    /// Nearly the same picture under different labels.
    NearConflictingLabels,
    /// The same file in more than one split.
    Leakage,
    /// Nearly the same picture in more than one split.
    NearLeakage,
    /// A class that has many times the pictures of another.
    Imbalance,
    /// Classes of very few training pictures.
    TinyClass,
    /// Classes that valid or test lack.
    MissingClass,
    /// The same file more than once in one split.
    Duplicate,
    /// Nearly the same picture more than once in one split.
    NearDuplicate,
    /// Pictures of one colour throughout.
    Constant,
    /// Pictures outside the class folders.
    Unlabelled,
    /// Folders too deep to be looked into.
    TooDeep,
    /// Folders and files that are not used for another reason: of systems, of runs, of masks.
    LeftOut,
    /// Class folders without a picture.
    EmptyFolder,
    /// Names that differ only in upper and lower case.
    SameButForCase,
    /// Files that are not called like pictures.
    NotAPicture,
    /// Pictures whose content is of another kind than their name says.
    WrongExtension,
    /// Pictures much smaller than the input of the network.
    Small,
    /// Pictures much larger than the input of the network.
    Large,
    /// Pictures of different sizes.
    MixedSizes,
    /// Pictures of different proportions.
    MixedProportions,
    /// Samples of more than 8 bits.
    Deep,
    /// Printing colours.
    Cmyk,
    /// An alpha channel or transparent pixels.
    Alpha,
    /// Colours from a palette.
    Palette,
    /// An EXIF orientation.
    Rotated,
    /// More than one frame or page.
    Animated,
}

impl Kind {
    /// The name in reports, such as `near-leakage`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layout => "layout",
            Self::Unreadable => "unreadable",
            Self::CutOff => "cut-off",
            Self::ConflictingLabels => "conflicting-labels",
            Self::NearConflictingLabels => "near-conflicting-labels",
            Self::Leakage => "leakage",
            Self::NearLeakage => "near-leakage",
            Self::Imbalance => "imbalance",
            Self::TinyClass => "tiny-class",
            Self::MissingClass => "missing-class",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near-duplicate",
            Self::Constant => "constant",
            Self::Unlabelled => "unlabelled",
            Self::TooDeep => "too-deep",
            Self::LeftOut => "left-out",
            Self::EmptyFolder => "empty-folder",
            Self::SameButForCase => "same-but-for-case",
            Self::NotAPicture => "not-a-picture",
            Self::WrongExtension => "wrong-extension",
            Self::Small => "small",
            Self::Large => "large",
            Self::MixedSizes => "mixed-sizes",
            Self::MixedProportions => "mixed-proportions",
            Self::Deep => "deep",
            Self::Cmyk => "cmyk",
            Self::Alpha => "alpha",
            Self::Palette => "palette",
            Self::Rotated => "rotated",
            Self::Animated => "animated",
        }
    }
}

impl Finding {
    /// As one line: what was found, an example, what it means.
    pub fn line(&self) -> String {
        let example = match self.cases.first() {
            Some(Case { paths, .. }) if paths.iter().any(|path| !self.summary.contains(path)) => {
                format!(" (such as {})", paths.join(" and "))
            }
            _ => String::new(),
        };
        format!("{}{example}: {}", self.summary, self.consequence)
    }
}

/// `n thing` or `n things`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_serialised_form() {
        for kind in [Kind::Layout, Kind::NearConflictingLabels, Kind::NotAPicture, Kind::SameButForCase] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
