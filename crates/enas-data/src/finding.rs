//! What is found in a data set, as plain data: while it is loaded, or by the data check.

use serde::{Deserialize, Serialize};

/// Number of usable images of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassCount {
    /// Name of the class.
    pub class: String,
    /// Images in the training split.
    pub train: usize,
    /// Images in the validation split.
    pub valid: usize,
    /// Images in the test split.
    pub test: usize,
}

/// A finding: one kind of problem or property, with all cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// Its kind.
    pub kind: FindingKind,
    /// What was found, with numbers, as half a sentence.
    pub summary: String,
    /// What the program does about it, or what it means for a run, as one sentence.
    pub consequence: String,
    /// The cases, sorted by their first path.
    pub cases: Vec<Case>,
}

/// A case of a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The affected files or folders, relative to the root of the data, in byte order. Several if they belong
    /// together; none if the whole data set is affected.
    pub paths: Vec<String>,
    /// Details of this case; may be empty.
    pub detail: String,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// No run can start.
    Error,
    /// Results will be worse or misleading.
    Warning,
    /// For information; nothing needs to be done.
    Note,
}

/// The kind of a finding, in the order of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Folders, classes or splits do not form a usable data set.
    Layout,
    /// Files that cannot be read as images.
    Unreadable,
    /// Truncated JPEG files.
    CutOff,
    /// The same file under different labels.
    ConflictingLabels,
    /// Nearly the same image under different labels.
    NearConflictingLabels,
    /// The same file in more than one split (leakage).
    Leakage,
    /// Nearly the same image in more than one split.
    NearLeakage,
    /// Class imbalance: a class has many times the images of another.
    Imbalance,
    /// Classes with very few training images.
    TinyClass,
    /// Classes that the validation or test split lacks.
    MissingClass,
    /// A validation or test split with few images.
    SmallSplit,
    /// The same file more than once in a split.
    Duplicate,
    /// Nearly the same image more than once in a split.
    NearDuplicate,
    /// Images of a single colour.
    Constant,
    /// Images that keep few levels of grey, because white is far above their samples.
    FewLevels,
    /// Images outside the class folders.
    Unlabelled,
    /// Folders that are nested too deeply to be read.
    TooDeep,
    /// Folders and files that are not used for other reasons: of systems, of runs, masks.
    LeftOut,
    /// Class folders without an image.
    EmptyFolder,
    /// Names that differ only in upper and lower case.
    SameButForCase,
    /// Files without the name of an image.
    #[serde(rename = "not-a-picture")]
    NotAnImage,
    /// Images with a wrong file extension.
    WrongExtension,
    /// Images much smaller than the network input.
    Small,
    /// Images much larger than the network input.
    Large,
    /// Images of different sizes.
    MixedSizes,
    /// Images of different aspect ratios.
    MixedProportions,
    /// Samples of more than 8 bits.
    Deep,
    /// CMYK colours.
    Cmyk,
    /// An alpha channel or transparent pixels.
    Alpha,
    /// Palette colours.
    Palette,
    /// An EXIF orientation.
    Rotated,
    /// More than one frame or page.
    Animated,
}

impl FindingKind {
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
            Self::SmallSplit => "small-split",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near-duplicate",
            Self::Constant => "constant",
            Self::FewLevels => "few-levels",
            Self::Unlabelled => "unlabelled",
            Self::TooDeep => "too-deep",
            Self::LeftOut => "left-out",
            Self::EmptyFolder => "empty-folder",
            Self::SameButForCase => "same-but-for-case",
            Self::NotAnImage => "not-a-picture",
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
    /// One line with the finding, an example and the consequence.
    pub fn line(&self) -> String {
        /// Most paths of the example.
        const SHOWN: usize = 3;
        let example = match self.cases.first() {
            Some(Case { paths, .. }) if paths.iter().any(|path| !self.summary.contains(path)) => {
                let more = match paths.len().saturating_sub(SHOWN) {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                format!(" (such as {}{more})", paths[..paths.len().min(SHOWN)].join(" and "))
            }
            _ => String::new(),
        };
        format!("{}{example}: {}", self.summary, self.consequence)
    }
}

/// `n thing` or `n things`.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_few_of_many_copies() {
        let paths: Vec<String> = (0..42).map(|i| format!("a/{i:02}.png")).collect();
        let finding = Finding {
            severity: Severity::Warning,
            kind: FindingKind::Leakage,
            summary: "1 group of the same image".into(),
            consequence: "kept".into(),
            cases: vec![Case { paths, detail: String::new() }],
        };
        assert_eq!(
            finding.line(),
            "1 group of the same image (such as a/00.png and a/01.png and a/02.png and 39 more): kept"
        );
    }

    #[test]
    fn names_are_those_of_the_serialised_form() {
        for kind in [
            FindingKind::Layout,
            FindingKind::NearConflictingLabels,
            FindingKind::NotAnImage,
            FindingKind::SameButForCase,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
