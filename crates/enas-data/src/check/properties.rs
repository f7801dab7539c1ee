//! Findings about images that are not plain 8-bit ones, and how they are converted.

use super::inspect::{Alpha, Properties};
use crate::config::Config;
use crate::dataset::Skipped;
use crate::finding::{Case, Finding, FindingKind, Severity, count};
use crate::image::white_level::WhiteLevels;

/// The finding for files that cannot be used.
pub(super) fn unreadable(config: &Config, skipped: &[Skipped]) -> Option<Finding> {
    let case = |s: &Skipped| Case { paths: vec![s.path.clone()], detail: s.reason.clone() };
    let (severity, consequence) = match config.strict {
        true => {
            (Severity::Error, "refused, as data.strict = true: repair or remove them, or set it to false")
        }
        false => (Severity::Warning, "skipped, each with a warning: repair or remove them"),
    };
    (!skipped.is_empty()).then(|| Finding {
        severity,
        kind: FindingKind::Unreadable,
        summary: format!("{} cannot be read", count(skipped.len(), "file", "files")),
        consequence: consequence.into(),
        cases: skipped.iter().map(case).collect(),
    })
}

/// One finding for each property that any image has.
pub(super) fn findings(config: &Config, images: &[(&str, Properties)], white: WhiteLevels) -> Vec<Finding> {
    let images = Images(images);
    let colours = if config.channels == 1 { "grey" } else { "red, green and blue" };
    let mut all = mistakes(images);
    all.extend(conversions(images, colours, white));
    all
}

/// The images that a finding may be about, by name.
#[derive(Clone, Copy)]
struct Images<'a>(&'a [(&'a str, Properties)]);

impl Images<'_> {
    /// The finding about all images of which `detail` says something; `what` describes one of them and several.
    fn finding(
        self,
        severity: Severity,
        kind: FindingKind,
        what: [&str; 2],
        consequence: &str,
        detail: &dyn Fn(&Properties) -> Option<String>,
    ) -> Option<Finding> {
        let case = |(name, properties): &(&str, Properties)| {
            Some(Case { paths: vec![(*name).to_owned()], detail: detail(properties)? })
        };
        let cases: Vec<Case> = self.0.iter().filter_map(case).collect();
        let summary = count(cases.len(), what[0], what[1]);
        (!cases.is_empty()).then(|| Finding {
            severity,
            kind,
            summary,
            consequence: consequence.into(),
            cases,
        })
    }

    fn note(
        self,
        kind: FindingKind,
        what: [&str; 2],
        consequence: &str,
        has: &dyn Fn(&Properties) -> bool,
    ) -> Option<Finding> {
        self.finding(Severity::Note, kind, what, consequence, &|t| has(t).then(String::new))
    }

    fn warning(
        self,
        kind: FindingKind,
        what: [&str; 2],
        consequence: &str,
        has: &dyn Fn(&Properties) -> bool,
    ) -> Option<Finding> {
        self.finding(Severity::Warning, kind, what, consequence, &|t| has(t).then(String::new))
    }
}

/// What may be mistakes of those who made the files.
fn mistakes(images: Images<'_>) -> Vec<Finding> {
    let all = [
        images.warning(
            FindingKind::CutOff,
            ["file ends before its image does", "files end before their images do"],
            "kept; where pixels are missing, the decoder makes them up: copy the files anew or remove them",
            &|t| t.cut_off,
        ),
        images.warning(
            FindingKind::Constant,
            ["image is of one colour throughout", "images are of one colour throughout"],
            "kept, although they show nothing: remove them if they are defects",
            &|t| t.constant,
        ),
        images.finding(
            Severity::Note,
            FindingKind::WrongExtension,
            ["file is of another kind than its name says", "files are of another kind than their names say"],
            "kept: the content decides how a file is read",
            &|t| t.misnamed.map(|kind| format!("its content is {kind}")),
        ),
    ];
    all.into_iter().flatten().collect()
}

/// What is converted to 8-bit samples of `colours`.
fn conversions(images: Images<'_>, colours: &str, white: WhiteLevels) -> Vec<Finding> {
    let all = [
        images.note(
            FindingKind::Deep,
            ["image has more than 8 bits per sample", "images have more than 8 bits per sample"],
            &format!("kept, scaled to 8 bits{}", white_level_hint(white)),
            &|t| t.deep,
        ),
        images.note(
            FindingKind::Cmyk,
            ["image is in printing colours (CMYK)", "images are in printing colours (CMYK)"],
            &format!("kept, converted to {colours}"),
            &|t| t.cmyk,
        ),
        images.finding(
            Severity::Note,
            FindingKind::Alpha,
            ["image has an alpha channel", "images have an alpha channel"],
            "kept, blended with white",
            &|t| {
                t.alpha.map(|alpha| match alpha {
                    Alpha::Transparent => String::new(),
                    Alpha::Opaque => "opaque throughout, so nothing changes".into(),
                })
            },
        ),
        images.note(
            FindingKind::Palette,
            ["image has a palette", "images have a palette"],
            &format!("kept, its colours converted to {colours}"),
            &|t| t.palette,
        ),
        images.note(
            FindingKind::Rotated,
            ["image has an EXIF orientation", "images have an EXIF orientation"],
            "kept, turned upright",
            &|t| t.rotated,
        ),
        images.note(
            FindingKind::Animated,
            ["file has more than one frame or page", "files have more than one frame or page"],
            "kept: the first is used, the others are ignored",
            &|t| t.animated,
        ),
    ];
    all.into_iter().flatten().collect()
}

/// The white levels, and the settings that change them.
fn white_level_hint(WhiteLevels { integer, wide, float }: WhiteLevels) -> String {
    let levels = [("white_level", integer), ("wide_white_level", wide), ("float_white_level", float)];
    let said = levels.into_iter().filter_map(|(key, level)| Some(format!("{} (data.{key})", level?)));
    let said: Vec<String> = said.collect();
    if said.is_empty() { String::new() } else { format!(", with white at {}", said.join(" and ")) }
}
