//! Checks that the images of a source form a usable data set. No pixels.

use super::duplicates::{self, ImageNames};
use super::{Skipped, class_balance};
use crate::config::Sampling;
use crate::error::Error;
use crate::finding::{Case, Finding, FindingKind, Severity, count};
use crate::image::white_level::{MaxSamples, WhiteLevels};
use crate::source::files::Source;
use crate::source::item::{Item, Part};
use crate::source::layout::{Layout, SplitFolders, labels_beside};
use crate::source::left_out::{LeftOut, LeftOutReason, Note};
use crate::source::names::kind_of_other;
use crate::visible::visible;

/// Which images of a source can be read, with class and part.
#[derive(Clone, Copy)]
pub(crate) struct Readability<'a> {
    /// Usable images.
    pub(crate) items: &'a [Item],
    /// Unusable images; `skipped` has the reason for each.
    pub(crate) unusable: &'a [Item],
    pub(crate) skipped: &'a [Skipped],
}

/// Requires at least two classes.
pub(crate) fn class_count(source: &Source, layout: &Layout) -> Result<(), Error> {
    match &layout.classes[..] {
        [_, _, ..] => Ok(()),
        found => Err(Error::Layout {
            path: source.path.clone(),
            problem: format!(
                "a data set needs at least 2 classes, each a folder of images; found only {}{}",
                found.first().map_or("none", String::as_str),
                labels_beside(source)
            ),
        }),
    }
}

/// Requires an image that may become training data in every class.
pub(crate) fn classes_can_be_learnt(
    source: &Source,
    splits: &SplitFolders,
    classes: &[String],
    images: Readability<'_>,
) -> Result<(), Error> {
    let trainable = |item: &&Item| matches!(item.part, None | Some(Part::Train));
    for (class, name) in classes.iter().enumerate() {
        let count = |items: &[Item]| items.iter().filter(trainable).filter(|i| i.class == class).count();
        if count(images.items) > 0 {
            continue;
        }
        let folder = splits.folder(Part::Train).map_or_else(|| source.path.clone(), |f| source.path.join(f));
        return Err(Error::EmptyClass {
            class: name.clone(),
            location: folder.join(name).display().to_string(),
            detail: match count(images.unusable) {
                0 => ": no file there ends in png, jpg, jpeg, bmp, gif, webp, tif or tiff; add images, or move the \
                      folder away if it is not a class".into(),
                n => format!(": all {n} files there were skipped, such as {}", first_unusable(images, class)),
            },
        });
    }
    Ok(())
}

/// The first skipped file of a class, with the reason.
fn first_unusable(images: Readability<'_>, class: usize) -> String {
    let position = images.unusable.iter().position(|i| i.class == class);
    // `unusable` and `skipped` have equal indices.
    position.map_or_else(String::new, |at| {
        let Skipped { path, reason } = &images.skipped[at];
        format!("{path} ({reason})")
    })
}

/// Requires images in every part.
pub(crate) fn parts(
    source: &Source,
    splits: &SplitFolders,
    drawn: &[Part],
    images: Readability<'_>,
) -> Result<(), Error> {
    for part in Part::ALL {
        if images.items.iter().any(|i| i.part == Some(part)) {
            continue;
        }
        let skipped = images.unusable.iter().filter(|i| i.part == Some(part)).count();
        let detail = match skipped {
            _ if drawn.contains(&part) => {
                "no class has enough images for another split; add images, at least 3 per class".into()
            }
            0 => format!(
                "there are no images below {}",
                visible(&source.path.join(splits.folder(part).unwrap_or(part.name())))
            ),
            n => format!("all {n} files there were skipped as unreadable"),
        };
        return Err(Error::EmptySplit { split: part.name(), path: source.path.clone(), detail });
    }
    Ok(())
}

/// For each part, the classes without images; parts with all classes are left out.
pub(crate) fn lacking<'a>(classes: &'a [String], items: &[Item]) -> Vec<(Part, Vec<&'a str>)> {
    let lacks = |part: Part, class: usize| !items.iter().any(|i| i.part == Some(part) && i.class == class);
    let of_part = |part| {
        let lacking = (0..classes.len()).filter(|&class| lacks(part, class));
        (part, lacking.map(|class| classes[class].as_str()).collect::<Vec<_>>())
    };
    Part::ALL.map(of_part).into_iter().filter(|(_, classes)| !classes.is_empty()).collect()
}

/// Logs what a run leaves out, and the decisions about its folders.
pub(crate) fn warn_of_left_out(source: &Source, layout: &Layout) {
    for Note { found, done, .. } in source.notes.iter().chain(&layout.notes) {
        tracing::warn!("{}: {}: {}", visible(&source.path), visible(found), visible(done));
    }
    left_out(source, layout).lines(&source.path).iter().for_each(|line| tracing::warn!("{line}"));
}

/// Everything that a data set leaves out. Files without the name of an image are opened if their names do not
/// tell what they are.
fn left_out(source: &Source, layout: &Layout) -> LeftOut {
    let mut all = source.left_out.clone();
    all.extend(&layout.left_out);
    for (i, name) in source.others.iter().enumerate() {
        let by_content = || match source.kind_of_content(i) {
            Some(_) => LeftOutReason::Misnamed,
            None => LeftOutReason::NotAnImage,
        };
        all.add(kind_of_other(name).unwrap_or_else(by_content), name.as_str());
    }
    all
}

/// The finding about images of more than 8 bits that are so dark relative to white that they keep few levels of grey.
pub(crate) fn few_levels<'a>(
    images: impl Iterator<Item = (&'a str, MaxSamples)>,
    white: WhiteLevels,
) -> Option<Finding> {
    let dark = images.filter(|(_, samples)| samples.keeps_few_levels(white));
    let case = |(name, samples): (&str, MaxSamples)| {
        let peaks =
            [samples.integer.map(f64::from), samples.wide.map(f64::from), samples.float.map(f64::from)];
        let peak = peaks.into_iter().flatten().fold(0.0, f64::max);
        Case { paths: vec![name.to_owned()], detail: format!("its largest sample is {peak}") }
    };
    let cases: Vec<Case> = dark.map(case).collect();
    (!cases.is_empty()).then(|| Finding {
        severity: Severity::Warning,
        kind: FindingKind::FewLevels,
        summary: format!(
            "{} fewer than 16 levels of grey, far below white",
            count(cases.len(), "image keeps", "images keep")
        ),
        consequence: "kept, nearly black: set data.white_level (data.wide_white_level above 16 bits, \
                      data.float_white_level for floats) to the largest sample, or bring the images to one range"
            .into(),
        cases,
    })
}

/// Problems that loading notices; `hashes` are the SHA-256 digests of all files by index.
pub(crate) fn data_warnings(
    files: &[String],
    classes: &[String],
    items: &[Item],
    hashes: &[[u8; 32]],
) -> Vec<Finding> {
    let groups = duplicates::exact_duplicates(items.iter().map(|item| hashes[item.file]));
    let mut findings = duplicates::findings(ImageNames { files, classes, items }, &groups, true);
    findings.retain(|finding| finding.severity == Severity::Warning);
    findings.extend(class_balance::imbalance(&class_balance::counts(classes, items), Sampling::default()));
    findings
}
