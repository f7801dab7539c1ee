//! What names alone say: files and folders that are left out, and names that are too alike.

use std::collections::{BTreeMap, BTreeSet};

use super::inspect::kind_name;
use super::report::{Case, Finding, Kind, Severity, count};
use crate::layout::Item;
use crate::source::Source;

/// Bytes that tell what kind of picture a file is.
const MAGIC: u64 = 16;

/// All findings about names. `items` are the pictures that belong to a class.
pub(super) fn findings(source: &Source, items: &[Item]) -> Vec<Finding> {
    [unlabelled(source, items), too_deep(source), empty(source), alike(source), no_pictures(source)]
        .into_iter()
        .filter(|finding| !finding.cases.is_empty())
        .collect()
}

fn unlabelled(source: &Source, items: &[Item]) -> Finding {
    let labelled: BTreeSet<usize> = items.iter().map(|item| item.file).collect();
    let names = source.files.iter().enumerate().filter(|(i, _)| !labelled.contains(i));
    let cases: Vec<Case> = names.map(|(_, name)| alone(name, "")).collect();
    Finding {
        severity: Severity::Warning,
        kind: Kind::Unlabelled,
        summary: format!("{} in no class folder", count(cases.len(), "picture lies", "pictures lie")),
        consequence: "left out: put each directly into a folder named after its class".into(),
        cases,
    }
}

/// Folders below the class folders of splits, which are not even listed.
fn too_deep(source: &Source) -> Finding {
    let deep = source.folders.iter().filter(|name| name.matches('/').count() >= 2);
    let cases: Vec<Case> = deep.map(|name| alone(name, "")).collect();
    Finding {
        severity: Severity::Warning,
        kind: Kind::TooDeep,
        summary: format!("{} inside class folders", count(cases.len(), "folder lies", "folders lie")),
        consequence: "left out with all that they hold: pictures belong directly into their class folder"
            .into(),
        cases,
    }
}

/// Folders without a picture or a folder in them.
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

/// Two such names become one on file systems that do not tell case apart.
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
    let detail = |i: usize| {
        let kind = image::guess_format(&source.beginning(i, MAGIC)).ok().and_then(kind_name);
        kind.map_or_else(String::new, |kind| format!("its content is a {kind} picture: rename it to use it"))
    };
    let cases: Vec<Case> =
        source.others.iter().enumerate().map(|(i, name)| alone(name, &detail(i))).collect();
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
