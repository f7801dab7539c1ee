//! Findings from names alone: files and folders that are not used, and names that are too similar.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Case, Finding, Kind, Severity, count};
use crate::layout::Layout;
use crate::left_out::{LeftOut, Note, Reason};
use crate::source::{Source, kind_of_other};

/// All findings about names.
pub(super) fn findings(source: &Source, layout: &Layout) -> Vec<Finding> {
    let mut left_out = source.left_out.clone();
    left_out.extend(&layout.left_out);
    let of_names = [unlabelled(source, layout, &left_out), empty(source), alike(source), no_pictures(source)];
    let notes = source.notes.iter().chain(&layout.notes).map(decided);
    let of_names = of_names.into_iter().filter(|finding| !finding.cases.is_empty());
    of_names.chain(set_apart(&left_out)).chain(notes).collect()
}

fn unlabelled(source: &Source, layout: &Layout, left_out: &LeftOut) -> Finding {
    let labelled: BTreeSet<usize> = layout.items.iter().map(|item| item.file).collect();
    let companions = left_out.of_reason(Reason::Companion);
    let is_companion = |name: &str| {
        companions.iter().any(|folder| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    };
    let names = source.files.iter().enumerate().filter(|(i, _)| !labelled.contains(i));
    let inside = names.map(|(_, name)| name.as_str()).filter(|name| !is_companion(name));
    let names: BTreeSet<&str> = inside.chain(left_out.of_reason(Reason::Beside)).collect();
    let cases: Vec<Case> = names.into_iter().map(|name| alone(name, "")).collect();
    Finding {
        severity: Severity::Warning,
        kind: Kind::Unlabelled,
        summary: format!("{} in no class folder", count(cases.len(), "picture lies", "pictures lie")),
        consequence: "left out: put each into a folder named after its class".into(),
        cases,
    }
}

/// Findings for files and folders that are left out for other reasons.
fn set_apart(left_out: &LeftOut) -> impl Iterator<Item = Finding> {
    left_out.by_reason().filter_map(|(reason, names)| {
        let (severity, kind) = match reason {
            Reason::Beside | Reason::Misnamed | Reason::OtherKind | Reason::Archive | Reason::NotAnImage => {
                return None;
            }
            Reason::TooDeep => (Severity::Warning, Kind::TooDeep),
            Reason::OtherFolder | Reason::Companion | Reason::Hidden | Reason::Unreadable => {
                (Severity::Warning, Kind::LeftOut)
            }
            Reason::Runs | Reason::System | Reason::Circle | Reason::Special => {
                (Severity::Note, Kind::LeftOut)
            }
        };
        let (summary, remedy) = reason.describe(names.len());
        let consequence =
            if remedy.is_empty() { "left out".to_owned() } else { format!("left out: {remedy}") };
        let cases = names.into_iter().map(|name| alone(name, "")).collect();
        Some(Finding { severity, kind, summary, consequence, cases })
    })
}

/// The finding for a decision about the folders.
fn decided(Note { found, done }: &Note) -> Finding {
    let (summary, consequence) = (found.clone(), done.clone());
    Finding { severity: Severity::Note, kind: Kind::Layout, summary, consequence, cases: Vec::new() }
}

/// The finding for empty folders.
fn empty(source: &Source) -> Finding {
    let parent = |name: &str| name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let filled: BTreeSet<String> =
        source.files.iter().chain(&source.folders).filter_map(|name| parent(name)).collect();
    let empty = source.folders.iter().filter(|name| !filled.contains(*name) && name.matches('/').count() < 2);
    let cases: Vec<Case> = empty.map(|name| alone(name, "")).collect();
    Finding {
        severity: Severity::Warning,
        kind: Kind::EmptyFolder,
        summary: format!("{} no picture", count(cases.len(), "folder holds", "folders hold")),
        consequence: "nothing is learnt or measured there: add pictures, or remove the folder".into(),
        cases,
    }
}

/// The finding for names that become equal on file systems without upper and lower case.
fn alike(source: &Source) -> Finding {
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
        kind: Kind::SameButForCase,
        summary: format!(
            "{} only in upper and lower case",
            count(cases.len(), "group of names differs", "groups of names differ")
        ),
        consequence:
            "taken as different here, but one replaces the other on many systems: rename one of each".into(),
        cases,
    }
}

fn no_pictures(source: &Source) -> Finding {
    let detail = |i: usize, name: &str| match (kind_of_other(name), source.kind_of_content(i)) {
        (_, Some(kind)) => format!("its content is a {kind} picture: rename it to use it"),
        (Some(Reason::OtherKind), None) => "of a kind that is not read: convert it to JPEG or PNG".into(),
        (Some(Reason::Archive), None) => "an archive: unpack it to use what it holds".into(),
        _ => String::new(),
    };
    let cases: Vec<Case> =
        source.others.iter().enumerate().map(|(i, name)| alone(name, &detail(i, name))).collect();
    Finding {
        severity: Severity::Note,
        kind: Kind::NotAPicture,
        summary: format!("{} not called like a picture", count(cases.len(), "file is", "files are")),
        consequence: "left out: names of pictures end in png, jpg, jpeg, bmp, gif, webp, tif or tiff".into(),
        cases,
    }
}

fn alone(name: &str, detail: &str) -> Case {
    Case { paths: vec![name.to_owned()], detail: detail.to_owned() }
}
