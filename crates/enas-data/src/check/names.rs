//! Findings from names alone: files and folders that are not used, and names that are too similar.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Case, Finding, FindingKind, Severity, count};
use crate::source::files::Source;
use crate::source::layout::Layout;
use crate::source::left_out::{LeftOut, LeftOutReason, Note};
use crate::source::names::kind_of_other;

/// All findings about names.
pub(super) fn findings(source: &Source, layout: &Layout) -> Vec<Finding> {
    let mut left_out = source.left_out.clone();
    left_out.extend(&layout.left_out);
    let of_names = [
        unlabelled_finding(source, layout, &left_out),
        empty_folders(source),
        same_but_for_case(source),
        not_images(source),
    ];
    let notes = source.notes.iter().chain(&layout.notes).map(note_finding);
    let of_names = of_names.into_iter().filter(|finding| !finding.cases.is_empty());
    of_names.chain(left_out_findings(&left_out)).chain(notes).collect()
}

fn unlabelled_finding(source: &Source, layout: &Layout, left_out: &LeftOut) -> Finding {
    let labelled: BTreeSet<usize> = layout.items.iter().map(|item| item.file).collect();
    let companions = left_out.of_reason(LeftOutReason::Companion);
    let is_companion = |name: &str| {
        companions.iter().any(|folder| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    };
    let names = source.files.iter().enumerate().filter(|(i, _)| !labelled.contains(i));
    let inside = names.map(|(_, name)| name.as_str()).filter(|name| !is_companion(name));
    let names: BTreeSet<&str> = inside.chain(left_out.of_reason(LeftOutReason::Beside)).collect();
    let cases: Vec<Case> = names.into_iter().map(|name| single_case(name, "")).collect();
    Finding {
        severity: Severity::Warning,
        kind: FindingKind::Unlabelled,
        summary: format!("{} outside of the class folders", count(cases.len(), "image is", "images are")),
        consequence: "left out: put each into a folder named after its class".into(),
        cases,
    }
}

/// Findings for files and folders that are left out for other reasons.
fn left_out_findings(left_out: &LeftOut) -> impl Iterator<Item = Finding> {
    left_out.by_reason().filter_map(|(reason, names)| {
        let (severity, kind) = match reason {
            LeftOutReason::Beside
            | LeftOutReason::Misnamed
            | LeftOutReason::OtherKind
            | LeftOutReason::Archive
            | LeftOutReason::NotAnImage => {
                return None;
            }
            LeftOutReason::TooDeep => (Severity::Warning, FindingKind::TooDeep),
            LeftOutReason::OtherFolder
            | LeftOutReason::Companion
            | LeftOutReason::Hidden
            | LeftOutReason::Unreadable => (Severity::Warning, FindingKind::LeftOut),
            LeftOutReason::Runs | LeftOutReason::System | LeftOutReason::Circle | LeftOutReason::Special => {
                (Severity::Note, FindingKind::LeftOut)
            }
        };
        let (summary, remedy) = reason.describe(names.len());
        let consequence =
            if remedy.is_empty() { "left out".to_owned() } else { format!("left out: {remedy}") };
        let cases = names.into_iter().map(|name| single_case(name, "")).collect();
        Some(Finding { severity, kind, summary, consequence, cases })
    })
}

/// The finding for a decision about the folders.
fn note_finding(Note { found, done, is_warning }: &Note) -> Finding {
    let severity = if *is_warning { Severity::Warning } else { Severity::Note };
    let summary = found.clone();
    let consequence = done.clone();
    Finding { severity, kind: FindingKind::Layout, summary, consequence, cases: Vec::new() }
}

/// The finding for empty folders.
fn empty_folders(source: &Source) -> Finding {
    let parent = |name: &str| name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let filled: BTreeSet<String> =
        source.files.iter().chain(&source.folders).filter_map(|name| parent(name)).collect();
    let empty_folders =
        source.folders.iter().filter(|name| !filled.contains(*name) && name.matches('/').count() < 2);
    let cases: Vec<Case> = empty_folders.map(|name| single_case(name, "")).collect();
    Finding {
        severity: Severity::Warning,
        kind: FindingKind::EmptyFolder,
        summary: format!("{} no images", count(cases.len(), "folder has", "folders have")),
        consequence: "nothing is learnt or measured there: add images, or remove the folder".into(),
        cases,
    }
}

/// The finding for names that become equal on file systems without upper and lower case.
fn same_but_for_case(source: &Source) -> Finding {
    let mut by_lower: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in source.folders.iter().chain(&source.files) {
        by_lower.entry(name.to_lowercase()).or_default().push(name.clone());
    }
    let mut cases: Vec<Case> = by_lower
        .into_values()
        .filter(|names| names.len() > 1)
        .map(|paths| Case { paths, detail: String::new() })
        .collect();
    cases.iter_mut().for_each(|case| case.paths.sort_unstable());
    cases.sort_unstable();
    Finding {
        severity: Severity::Warning,
        kind: FindingKind::SameButForCase,
        summary: format!(
            "{} only in upper and lower case",
            count(cases.len(), "group of names differs", "groups of names differ")
        ),
        consequence:
            "taken as different here, but one replaces the other on many systems: rename one of each".into(),
        cases,
    }
}

fn not_images(source: &Source) -> Finding {
    let detail = |i: usize, name: &str| match (kind_of_other(name), source.kind_of_content(i)) {
        (_, Some(kind)) => format!("its content is a {kind} image: rename it to use it"),
        (Some(LeftOutReason::OtherKind), None) => {
            "of a kind that is not read: convert it to JPEG or PNG".into()
        }
        (Some(LeftOutReason::Archive), None) => "an archive: unpack it to use what it holds".into(),
        _ => String::new(),
    };
    let cases: Vec<Case> =
        source.others.iter().enumerate().map(|(i, name)| single_case(name, &detail(i, name))).collect();
    Finding {
        severity: Severity::Note,
        kind: FindingKind::NotAnImage,
        summary: format!("{} not named like an image", count(cases.len(), "file is", "files are")),
        consequence: "left out: names of images end in png, jpg, jpeg, bmp, gif, webp, tif or tiff".into(),
        cases,
    }
}

fn single_case(name: &str, detail: &str) -> Case {
    Case { paths: vec![name.to_owned()], detail: detail.to_owned() }
}
