//! The words about folders that are not laid out as a data set.

use super::classes::ClassIndex;
use super::folder_labels::FolderLabel;
use super::folders::{children, has_images_directly, is_companion};
use crate::source::files::Source;
use crate::source::item::Part;
use crate::source::left_out::{LeftOutReason, Note, first_few};
use crate::source::names::kind_of_other;

/// What is wrong with top-level folders that are called like splits, and what to do.
pub(super) fn flat_splits_problem(source: &Source, folders: &[&str]) -> String {
    let names = folders.join(", ");
    let holds_classes =
        |folder: &&str| !children(source, folder).is_empty() && !has_images_directly(source, folder);
    if folders.iter().all(holds_classes) {
        return format!(
            "the folders {names} hold class folders, but only train, valid and test (or similar) are names of splits; \
             rename them to these. If they are the classes, give them other names"
        );
    }
    let hold = if folders.len() == 1 { "holds" } else { "hold" };
    format!(
        "{names} {hold} no class folders{}; put each image whose class is known into train/<class>/, and images \
         without a class elsewhere. If these are the classes, rename the folders{}",
        examples_in(source, folders),
        labels_for(source, "train/")
    )
}

/// A class that `reference` lacks, with its spelling there if only upper and lower case differ.
pub(super) fn with_spelling(class: &str, reference: &str, known: &ClassIndex) -> String {
    match known.names.iter().find(|known| known.to_lowercase() == class.to_lowercase()) {
        Some(known) => format!("{class} ({reference} has {known}: rename one of them)"),
        None => class.to_owned(),
    }
}

/// The warning about top-level folders with the same subfolders, such as `images` and `masks`, or `fold1` and `fold2`.
/// Probably the subfolders are the classes.
pub(super) fn equal_folders(source: &Source, top: &[&str]) -> Option<Note> {
    let (first, others) = top.split_first()?;
    // Companions are left out, whatever the classes are.
    let classes_in = |folder: &str| -> Vec<&str> {
        children(source, folder).into_iter().filter(|name| !is_companion(name)).collect()
    };
    let inside = classes_in(first);
    let is_equal = |folder: &&str| !has_images_directly(source, folder) && classes_in(folder) == inside;
    if others.is_empty() || inside.len() < 2 || !is_equal(first) || !others.iter().all(is_equal) {
        return None;
    }
    let folders = first_few(top);
    let inside = first_few(&inside);
    Some(Note::warning(
        format!("the folders {folders} hold folders of the same names ({inside})"),
        format!(
            "{folders} are taken as the classes; if {inside} are the classes, give one of the folders alone, such as \
             {}, or put their images together",
            source.path.join(first).display()
        ),
    ))
}

/// The first image of each folder, in brackets.
fn examples_in(source: &Source, folders: &[&str]) -> String {
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
        0 if archives.iter().any(|name| name.contains("-ubyte")) => format!(
            "only files of MNIST or a set like it ({}); enas data fetch mnist --from {} makes images of them \
             (fashion-mnist for that one)",
            first_few(&archives),
            source.path.display()
        ),
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
    labels_for(source, "")
}

/// [`labels_beside`] for class folders in the folder `parent`.
fn labels_for(source: &Source, parent: &str) -> String {
    let is_table =
        |name: &&String| name.to_lowercase().ends_with(".csv") || name.to_lowercase().ends_with(".tsv");
    // The form of answers that a competition gives has no labels.
    let is_form = |name: &&String| name.to_lowercase().contains("submission");
    let mut tables = source.others.iter().filter(is_table);
    let labels = tables.clone().find(|name| !is_form(name)).or_else(|| tables.next());
    match labels {
        None => String::new(),
        Some(table) => format!(
            ". Tables of labels such as {table} are not read: for each of its lines, move the image to \
             {parent}<label>/<image>"
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
            let folders = folders.join(" and ");
            let names = names.join(" and ");
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
