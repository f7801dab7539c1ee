//! The words about folders that are not laid out as a data set.

use super::classes::ClassIndex;
use super::folder_labels::FolderLabel;
use crate::source::files::Source;
use crate::source::item::Part;
use crate::source::left_out::{LeftOutReason, first_few};
use crate::source::names::kind_of_other;

/// The first image of each folder, in brackets.
pub(super) fn examples_in(source: &Source, folders: &[&str]) -> String {
    let first = |folder: &&str| {
        let is_inside = |f: &&String| f.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        source.files.iter().find(is_inside).map(String::as_str)
    };
    let found: Vec<&str> = folders.iter().filter_map(first).collect();
    if found.is_empty() { String::new() } else { format!(" (they hold {})", first_few(&found)) }
}

/// Describes what was found instead of class folders, and what to do.
pub(super) fn loose_images(source: &Source) -> String {
    let archives: Vec<&str> = of_kind(source, LeftOutReason::Archive);
    let others: Vec<&str> = of_kind(source, LeftOutReason::OtherKind);
    match source.files.len() {
        0 if !archives.is_empty() => format!("only archives ({}); unpack them first", first_few(&archives)),
        0 if !others.is_empty() => {
            format!(
                "only files of kinds that are not read ({}); convert them to JPEG or PNG",
                first_few(&others)
            )
        }
        0 => "and no images; expected train/<class>/, valid/<class>/, test/<class>/ or just <class>/".into(),
        n => {
            let labels = labels_beside(source);
            format!(
                "only {n} images without class folders; put each into a folder named after its class{labels}"
            )
        }
    }
}

pub(super) fn of_kind(source: &Source, reason: LeftOutReason) -> Vec<&str> {
    let others = source.others.iter().map(String::as_str);
    others.filter(|name| kind_of_other(name) == Some(reason)).collect()
}

/// A hint about a table of labels, which is not supported.
pub(crate) fn labels_beside(source: &Source) -> String {
    let is_table =
        |name: &&String| name.to_lowercase().ends_with(".csv") || name.to_lowercase().ends_with(".tsv");
    // The form of answers that a competition gives has no labels.
    let is_form = |name: &&String| name.to_lowercase().contains("submission");
    let mut tables = source.others.iter().filter(is_table);
    let labels = tables.clone().find(|name| !is_form(name)).or_else(|| tables.next());
    match labels {
        None => String::new(),
        Some(table) => format!(
            ". Tables of labels such as {table} are not read: for each of its lines, move the image to <label>/<image>"
        ),
    }
}

/// The folder in which all images of `part` lie, if that is not a class.
pub(super) fn only_unknown<'a>(
    labels: &[FolderLabel<'a>],
    part: Part,
    known: &ClassIndex,
) -> Option<&'a str> {
    let mut folders = labels.iter().filter(|label| label.part == Some(part)).map(|label| label.class);
    let first = folders.next()?;
    let is_alike = |name: &String| name.to_lowercase() == first.to_lowercase();
    let is_class = known.class(first).is_some() || known.names.iter().any(is_alike);
    (known.names.len() > 1 && !is_class && folders.all(|other| other == first)).then_some(first)
}

/// A split whose images lie in one folder that is not a class.
pub(super) struct UnlabelledSplit<'a> {
    pub(super) part: Part,
    /// The folder of the split.
    pub(super) folder: &'a str,
    /// The only folder in it with images.
    pub(super) only: &'a str,
}

/// The message about splits whose images lie in one folder that is not a class.
pub(super) fn unlabelled_problem(source: &Source, splits: &[UnlabelledSplit<'_>], reference: &str) -> String {
    let holds = |split: &UnlabelledSplit<'_>| format!("{}/{}", split.folder, split.only);
    let found: Vec<String> = splits.iter().map(holds).collect();
    let folders: Vec<&str> = splits.iter().map(|split| split.folder).collect();
    let names: Vec<&str> = splits.iter().map(|split| split.part.name()).collect();
    let (hold, split) = match splits.len() {
        1 => ("holds the only images of its split, and its name is not a class", "split is"),
        _ => ("hold the only images of their splits, and their names are not classes", "splits are"),
    };
    let is_table = |name: &&String| {
        let is_inside = folders.iter().any(|f| name.strip_prefix(f).is_some_and(|r| r.starts_with('/')));
        is_inside && [".txt", ".csv", ".tsv"].iter().any(|end| name.to_lowercase().ends_with(end))
    };
    let table = match source.others.iter().find(is_table) {
        None => String::new(),
        Some(table) => format!(" (the classes may be in {table}, which is not read)"),
    };
    let else_drawn = match reference {
        "train" => {
            let (folders, names) = (folders.join(" and "), names.join(" and "));
            format!("; or move {folders} away, and the {names} {split} drawn from train")
        }
        _ => "; `enas predict` labels images without a class".to_owned(),
    };
    format!(
        "{} {hold} of {reference}. Sort these images into {}/<class>/{table}{else_drawn}",
        found.join(" and "),
        folders[0]
    )
}
