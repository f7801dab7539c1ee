//! The meaning of a source's folders: classes, and possibly splits. No pixels, no random numbers.

mod classes;
mod folder_labels;
mod folders;
mod messages;
mod split_folders;

use std::collections::BTreeSet;

use crate::error::Error;
use crate::source::files::Source;
use crate::source::item::{Item, Part, is_split_name};
use crate::source::left_out::{LeftOut, LeftOutReason, Note};
use classes::ClassIndex;
use folder_labels::{FolderLabel, FolderLabels};
use folders::{children, problem};
pub(crate) use messages::labels_beside;
use messages::{
    UnlabelledSplit, equal_folders, flat_splits_problem, loose_images, only_unknown, unlabelled_problem,
    with_spelling,
};
pub(crate) use split_folders::SplitFolders;
use split_folders::{split_of_flat_name, split_of_name};

/// The classes of a source and the images of each.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Class names in byte order.
    pub(crate) classes: Vec<String>,
    /// Images in byte order of the file names.
    pub(crate) items: Vec<Item>,
    /// Parts that the folders do not give; they are drawn at random.
    pub(crate) drawn: &'static [Part],
    /// The split folders, if there are any.
    pub(crate) splits: SplitFolders,
    /// Images and folders without a class.
    pub(crate) left_out: LeftOut,
    /// Decisions about ambiguous folders, for the log of a run.
    pub(crate) notes: Vec<Note>,
}

/// Recognises a supported layout.
///
/// Folders called `train`, `valid` or `test`, or similar, that contain further folders form a layout with splits.
/// Otherwise every top-level folder is a class. Images in subfolders of a class folder belong to the class.
///
/// # Errors
/// [`Error::Layout`] if the folders have no supported layout.
pub(crate) fn read(source: &Source) -> Result<Layout, Error> {
    let top = children(source, "");
    if top.is_empty() {
        return Err(problem(source, format!("it has no class folders, {}", loose_images(source))));
    }
    if let Some(splits) = split_folders::find(source, &top)? {
        return with_splits(source, &top, splits);
    }
    let flat = flat_splits(source, &top);
    if !flat.is_empty() {
        return Err(problem(source, flat_splits_problem(source, &flat)));
    }
    without_splits(source, &top)
}

/// The images of one part, or all if there are no splits, for given classes: those of a model.
///
/// # Errors
/// [`Error::Layout`] if there are splits but not this one; [`Error::UnknownClasses`] for classes that are not given.
pub(crate) fn read_known_classes(source: &Source, part: Part, classes: &[String]) -> Result<Layout, Error> {
    let top = children(source, "");
    let splits = split_folders::find(source, &top)?;
    if let Some(splits) = &splits
        && splits.folder(part).is_none()
    {
        let found = top.join(", ");
        return Err(problem(source, format!("found the folders {found}, but no {}", part.name())));
    }
    let mut folder_labels = FolderLabels::of(source, splits.as_ref());
    folder_labels.labels.retain(|label| label.part.is_none_or(|p| p == part));
    let known = ClassIndex::of(classes.iter().map(String::as_str));
    let mut items = Vec::new();
    let mut unknown = BTreeSet::new();
    for FolderLabel { file, class, .. } in &folder_labels.labels {
        match known.class(class) {
            Some(class) => items.push(Item { file: *file, class, part: Some(part) }),
            None => drop(unknown.insert(with_spelling(class, "the model", &known))),
        }
    }
    if !unknown.is_empty() {
        if let Some(folder) = splits.as_ref().and_then(|splits| splits.folder(part))
            && let Some(only) = only_unknown(&folder_labels.labels, part, &known)
        {
            let unlabelled = [UnlabelledSplit { part, folder, only }];
            return Err(problem(source, unlabelled_problem(source, &unlabelled, "the model")));
        }
        return Err(Error::UnknownClasses {
            split: if splits.is_some() { part.name().into() } else { "the folder".into() },
            reference: "the model",
            path: source.path.clone(),
            classes: unknown.into_iter().collect(),
        });
    }
    let left_out = folder_labels.left_out;
    let splits = splits.unwrap_or_default();
    Ok(Layout { classes: classes.to_vec(), items, splits, left_out, ..Layout::default() })
}

/// The top-level folders with images if all of them are called like splits, so that they are no classes; else none.
///
/// Different additional words make classes: `crash test` and `train station`.
fn flat_splits<'a>(source: &Source, top: &[&'a str]) -> Vec<&'a str> {
    if top.iter().all(|name| is_split_name(name)) {
        return top.to_vec();
    }
    let filled: BTreeSet<&str> = source.files.iter().filter_map(|f| Some(f.split_once('/')?.0)).collect();
    let filled: Vec<&str> = top.iter().copied().filter(|name| filled.contains(name)).collect();
    let rests: Option<Vec<String>> =
        filled.iter().map(|n| split_of_flat_name(n).map(|(_, rest)| rest)).collect();
    let is_split = rests.is_some_and(|rests| {
        let distinct: BTreeSet<&String> = rests.iter().collect();
        rests.len() > 1 && (distinct.len() < rests.len() || rests.iter().any(String::is_empty))
    });
    if is_split { filled } else { Vec::new() }
}

fn without_splits(source: &Source, top: &[&str]) -> Result<Layout, Error> {
    let mut folder_labels = FolderLabels::of(source, None);
    let inside = splits_inside(&mut folder_labels);
    let classes = ClassIndex::of(top.iter().copied());
    let item = |label: &FolderLabel<'_>| {
        let class = classes.class(label.class).expect("every top-level folder is a class");
        Item { file: label.file, class, part: label.part }
    };
    let mut notes: Vec<Note> = classes.note().into_iter().collect();
    let drawn: &'static [Part] = match inside {
        None => {
            notes.extend(equal_folders(source, top).or_else(|| folder_labels.note_of_deep(source)));
            &Part::ALL
        }
        Some(splits) => {
            notes.extend(note_of_drawn(&splits));
            splits.drawn()
        }
    };
    let items = folder_labels.labels.iter().map(item).collect();
    Ok(Layout {
        classes: classes.names,
        items,
        drawn,
        splits: SplitFolders::default(),
        left_out: folder_labels.left_out,
        notes,
    })
}

/// Assigns a part to every image if the subfolders of all class folders are splits: `cat/train`, `cat/test`,
/// `dog/train`.
fn splits_inside(folder_labels: &mut FolderLabels<'_>) -> Option<SplitFolders> {
    let part_of = |label: &FolderLabel<'_>| {
        let (part, rest) = split_of_name(label.below.split('/').next()?)?;
        rest.is_empty().then_some(part)
    };
    let parts: Option<Vec<Part>> = folder_labels.labels.iter().map(part_of).collect();
    let parts = parts.filter(|parts| parts.contains(&Part::Train))?;
    let mut splits = SplitFolders::default();
    for (label, part) in folder_labels.labels.iter_mut().zip(parts) {
        label.part = Some(part);
        splits.set(part, part.name().to_owned());
    }
    Some(splits)
}

/// The note about parts that are drawn from the training images although there are split folders.
fn note_of_drawn(splits: &SplitFolders) -> Option<Note> {
    let (found, drawn) = match splits.drawn() {
        [Part::Test] => ("there is no test folder with classes", "the test split is drawn from train"),
        [Part::Valid, Part::Test] => {
            ("there is neither a valid nor a test folder with classes", "both splits are drawn from train")
        }
        _ => return None,
    };
    Some(Note::new(found, format!("{drawn}, class by class")))
}

fn with_splits(source: &Source, top: &[&str], splits: SplitFolders) -> Result<Layout, Error> {
    let Some(train) = splits.folder(Part::Train) else {
        let found = top.join(", ");
        return Err(problem(
            source,
            format!(
                "found the folders {found}, but no train. Only valid and test may be missing; without any split \
                 folders (just <class>/) all three are drawn at random"
            ),
        ));
    };
    let classes = children(source, train);
    if classes.is_empty() {
        return Err(problem(source, format!("its {train} folder has no class folders")));
    }
    let folder_labels = FolderLabels::of(source, Some(&splits));
    let classes = ClassIndex::of(classes.into_iter());
    let mut items = Vec::new();
    let mut unknown = BTreeSet::new();
    for &FolderLabel { file, class, part, .. } in &folder_labels.labels {
        match classes.class(class) {
            Some(class) => items.push(Item { file, class, part }),
            None => drop(unknown.insert((part, class))),
        }
    }
    if let Some(&(part, _)) = unknown.first() {
        let unlabelled = unlabelled_splits(&folder_labels.labels, &splits, &classes);
        if !unlabelled.is_empty() {
            return Err(problem(source, unlabelled_problem(source, &unlabelled, "train")));
        }
        let names = unknown.iter().filter(|(p, _)| *p == part).map(|(_, class)| *class);
        return Err(unknown_classes(source, part, names, &classes));
    }
    let notes = [note_of_drawn(&splits), folder_labels.note_of_deep(source), classes.note()];
    Ok(Layout {
        classes: classes.names,
        items,
        drawn: splits.drawn(),
        left_out: with_other_folders(folder_labels.left_out, top, &splits),
        splits,
        notes: notes.into_iter().flatten().collect(),
    })
}

/// The splits whose images lie in one folder that is not a class.
fn unlabelled_splits<'a>(
    labels: &'a [FolderLabel<'a>],
    splits: &'a SplitFolders,
    classes: &ClassIndex,
) -> Vec<UnlabelledSplit<'a>> {
    let unlabelled = |part| {
        let folder = splits.folder(part)?;
        Some(UnlabelledSplit { part, folder, only: only_unknown(labels, part, classes)? })
    };
    Part::ALL.into_iter().filter_map(unlabelled).collect()
}

/// The error for classes that the training split lacks, each with its spelling there.
fn unknown_classes<'a>(
    source: &Source,
    part: Option<Part>,
    names: impl Iterator<Item = &'a str>,
    known: &ClassIndex,
) -> Error {
    Error::UnknownClasses {
        split: part.map_or("the folder", Part::name).into(),
        reference: "train",
        path: source.path.clone(),
        classes: names.map(|class| with_spelling(class, "train", known)).collect(),
    }
}

/// Adds the folders next to the split folders, even if they contain no image.
fn with_other_folders(mut left_out: LeftOut, top: &[&str], splits: &SplitFolders) -> LeftOut {
    for folder in top.iter().filter(|folder| split_of_name(folder).is_none_or(|(_, rest)| !rest.is_empty())) {
        let is_split = |part| splits.folder(part).is_some_and(|f| f.split('/').next() == Some(*folder));
        if !Part::ALL.into_iter().any(is_split) {
            left_out.add(LeftOutReason::OtherFolder, *folder);
        }
    }
    left_out
}
