//! The meaning of a source's folders: classes, and possibly splits. No pixels, no random numbers.

mod sorting;
mod splits;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::error::Error;
use crate::left_out::{LeftOut, Note, Reason, some};
use crate::source::{Source, kind_of_other};
use sorting::{Place, Sorting};
pub(crate) use splits::Splits;
use splits::{spelled, spelled_flat};

/// One of the three splits of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Training: images that weights are fitted to.
    Train,
    /// Validation: images that choices are made by.
    Valid,
    /// Test: images for the final accuracy only.
    Test,
}

impl Part {
    /// All parts in the usual order.
    pub const ALL: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

    /// `train`, `valid` or `test`, which is also the name of the folder.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Valid => "valid",
            Part::Test => "test",
        }
    }

    fn from_name(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// An image with its class and, if the folders give it, its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Index into [`Source::files`].
    pub(crate) file: usize,
    /// Index into [`Layout::classes`].
    pub(crate) class: usize,
    pub(crate) part: Option<Part>,
}

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
    pub(crate) splits: Splits,
    /// Images and folders without a class.
    pub(crate) left_out: LeftOut,
    /// Decisions about ambiguous folders, for the log of a run.
    pub(crate) notes: Vec<Note>,
}

/// Whether a folder of this name counts as a split.
pub(crate) fn is_split_name(name: &str) -> bool {
    Part::from_name(name).is_some()
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
        return Err(problem(source, format!("it has no class folders, {}", loose_pictures(source))));
    }
    if let Some(splits) = splits::find(source, &top)? {
        return with_splits(source, &top, splits);
    }
    let flat = flat_splits(source, &top);
    if !flat.is_empty() {
        return Err(problem(
            source,
            format!(
                "{} hold no class folders{}; put each picture whose class is known into train/<class>/, and pictures \
                 without a class elsewhere. If these are the classes, rename the folders{}",
                flat.join(", "),
                examples_in(source, &flat),
                labels_beside(source)
            ),
        ));
    }
    without_splits(source, &top)
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
    let rests: Option<Vec<String>> = filled.iter().map(|n| spelled_flat(n).map(|(_, rest)| rest)).collect();
    let is_split = rests.is_some_and(|rests| {
        let distinct: BTreeSet<&String> = rests.iter().collect();
        rests.len() > 1 && (distinct.len() < rests.len() || rests.iter().any(String::is_empty))
    });
    if is_split { filled } else { Vec::new() }
}

/// The first image of each folder, in brackets.
fn examples_in(source: &Source, folders: &[&str]) -> String {
    let first = |folder: &&str| {
        let is_inside = |f: &&String| f.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        source.files.iter().find(is_inside).map(String::as_str)
    };
    let found: Vec<&str> = folders.iter().filter_map(first).collect();
    if found.is_empty() { String::new() } else { format!(" (they hold {})", some(&found)) }
}

/// The images of one part, or all if there are no splits, for given classes: those of a model.
///
/// # Errors
/// [`Error::Layout`] if there are splits but not this one; [`Error::UnknownClasses`] for classes that are not given.
pub(crate) fn read_known_classes(source: &Source, part: Part, classes: &[String]) -> Result<Layout, Error> {
    let top = children(source, "");
    let splits = splits::find(source, &top)?;
    if let Some(splits) = &splits
        && splits.folder(part).is_none()
    {
        let found = top.join(", ");
        return Err(problem(source, format!("found the folders {found}, but no {}", part.name())));
    }
    let mut sorted = Sorting::of(source, splits.as_ref());
    sorted.places.retain(|place| place.part.is_none_or(|p| p == part));
    let known = Classes::of(classes.iter().map(String::as_str));
    let mut items = Vec::new();
    let mut unknown = BTreeSet::new();
    for Place { file, class, .. } in &sorted.places {
        match known.class(class) {
            Some(class) => items.push(Item { file: *file, class, part: Some(part) }),
            None => drop(unknown.insert((*class).to_owned())),
        }
    }
    if !unknown.is_empty() {
        if let Some(folder) = splits.as_ref().and_then(|splits| splits.folder(part))
            && let Some(only) = only_unknown(&sorted.places, part, &known)
        {
            let problem_is = unlabelled(source, &[(part, folder, only)], "the model");
            return Err(problem(source, problem_is));
        }
        return Err(Error::UnknownClasses {
            split: if splits.is_some() { part.name().into() } else { "the folder".into() },
            reference: "the model",
            path: source.path.clone(),
            classes: unknown.into_iter().collect(),
        });
    }
    let left_out = sorted.left_out;
    let splits = splits.unwrap_or_default();
    Ok(Layout { classes: classes.to_vec(), items, splits, left_out, ..Layout::default() })
}

fn problem(source: &Source, problem: String) -> Error {
    Error::Layout { path: source.path.clone(), problem }
}

/// Describes what was found instead of class folders, and what to do.
fn loose_pictures(source: &Source) -> String {
    let archives: Vec<&str> = of_kind(source, Reason::Archive);
    let others: Vec<&str> = of_kind(source, Reason::OtherKind);
    match source.files.len() {
        0 if !archives.is_empty() => format!("only archives ({}); unpack them first", some(&archives)),
        0 if !others.is_empty() => {
            format!("only files of kinds that are not read ({}); convert them to JPEG or PNG", some(&others))
        }
        0 => {
            "nor any picture; expected train/<class>/, valid/<class>/, test/<class>/ or just <class>/".into()
        }
        n => {
            let labels = labels_beside(source);
            format!("only {n} pictures side by side; put each into a folder named after its class{labels}")
        }
    }
}

fn of_kind(source: &Source, reason: Reason) -> Vec<&str> {
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

/// Names of the folders directly in `parent` ("" for the root), in byte order.
fn children<'a>(source: &'a Source, parent: &str) -> Vec<&'a str> {
    let depth_one = |f: &'a String| {
        let rest = if parent.is_empty() { f } else { f.strip_prefix(parent)?.strip_prefix('/')? };
        (!rest.contains('/')).then_some(rest)
    };
    source.folders.iter().filter_map(depth_one).collect()
}

/// Whether the folder directly contains images.
fn has_images_directly(source: &Source, folder: &str) -> bool {
    let below = |file: &&String| {
        file.strip_prefix(folder).and_then(|f| f.strip_prefix('/')).is_some_and(|f| !f.contains('/'))
    };
    source.files.iter().find(below).is_some()
}

/// A name in the Unicode normal form NFC. Systems write the same name with composed or with decomposed letters.
fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// Class names, one for all folders with the same name in Unicode normal form.
struct Classes {
    names: Vec<String>,
    index: BTreeMap<String, usize>,
    /// The classes with several folders.
    joined: Vec<String>,
}

impl Classes {
    fn of<'a>(folders: impl Iterator<Item = &'a str>) -> Self {
        let mut classes = Self { names: Vec::new(), index: BTreeMap::new(), joined: Vec::new() };
        for folder in folders {
            let name = composed(folder);
            match classes.index.get(&name) {
                Some(_) => classes.joined.push(name),
                None => {
                    classes.index.insert(name, classes.names.len());
                    classes.names.push(folder.to_owned());
                }
            }
        }
        classes
    }

    /// The class of a folder.
    fn class(&self, folder: &str) -> Option<usize> {
        self.index.get(&composed(folder)).copied()
    }

    /// The note about folders that are one class.
    fn note(&self) -> Option<Note> {
        let joined: Vec<&str> = self.joined.iter().map(String::as_str).collect();
        (!joined.is_empty()).then(|| {
            let found = format!("folders of the same name in two Unicode spellings ({})", some(&joined));
            Note::new(found, "taken as one class")
        })
    }
}

/// The folder in which all images of `part` lie, if that is not a class.
fn only_unknown<'a>(places: &[Place<'a>], part: Part, known: &Classes) -> Option<&'a str> {
    let mut folders = places.iter().filter(|place| place.part == Some(part)).map(|place| place.class);
    let first = folders.next()?;
    let is_alike = |name: &String| name.to_lowercase() == first.to_lowercase();
    let is_class = known.class(first).is_some() || known.names.iter().any(is_alike);
    (known.names.len() > 1 && !is_class && folders.all(|other| other == first)).then_some(first)
}

/// The message about parts whose images lie in one folder that is not a class: part, its folder, and that one.
fn unlabelled(source: &Source, parts: &[(Part, &str, &str)], reference: &str) -> String {
    let holds = |(_, folder, only): &(Part, &str, &str)| format!("{folder}/{only}");
    let found: Vec<String> = parts.iter().map(holds).collect();
    let folders: Vec<&str> = parts.iter().map(|(_, folder, _)| *folder).collect();
    let names: Vec<&str> = parts.iter().map(|(part, ..)| part.name()).collect();
    let (hold, split) = match parts.len() {
        1 => ("holds the only pictures of its split, and its name is not a class", "split is"),
        _ => ("hold the only pictures of their splits, and their names are not classes", "splits are"),
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
        _ => "; `enas predict` labels pictures without a class".to_owned(),
    };
    format!(
        "{} {hold} of {reference}. Sort these pictures into {}/<class>/{table}{else_drawn}",
        found.join(" and "),
        folders[0]
    )
}

fn without_splits(source: &Source, top: &[&str]) -> Result<Layout, Error> {
    let mut sorting = Sorting::of(source, None);
    let inside = splits_inside(&mut sorting);
    let classes = Classes::of(top.iter().copied());
    let item = |place: &Place<'_>| {
        let class = classes.class(place.class).expect("every top-level folder is a class");
        Item { file: place.file, class, part: place.part }
    };
    let mut notes: Vec<Note> = classes.note().into_iter().collect();
    let drawn: &'static [Part] = match inside {
        None => {
            notes.extend(sorting.note_of_deep(source));
            &Part::ALL
        }
        Some(splits) => {
            notes.extend(note_of_drawn(&splits));
            splits.drawn()
        }
    };
    let items = sorting.places.iter().map(item).collect();
    Ok(Layout {
        classes: classes.names,
        items,
        drawn,
        splits: Splits::default(),
        left_out: sorting.left_out,
        notes,
    })
}

/// Assigns a part to every image if the subfolders of all class folders are splits: `cat/train`, `cat/test`,
/// `dog/train`.
fn splits_inside(sorting: &mut Sorting<'_>) -> Option<Splits> {
    let part_of = |place: &Place<'_>| {
        let (part, rest) = spelled(place.below.split('/').next()?)?;
        rest.is_empty().then_some(part)
    };
    let parts: Option<Vec<Part>> = sorting.places.iter().map(part_of).collect();
    let parts = parts.filter(|parts| parts.contains(&Part::Train))?;
    let mut splits = Splits::default();
    for (place, part) in sorting.places.iter_mut().zip(parts) {
        place.part = Some(part);
        splits.set(part, part.name().to_owned());
    }
    Some(splits)
}

/// The note about parts that are drawn from the training images although there are split folders.
fn note_of_drawn(splits: &Splits) -> Option<Note> {
    let (found, drawn) = match splits.drawn() {
        [Part::Test] => ("there is no test folder with classes", "the test split is drawn from train"),
        [Part::Valid, Part::Test] => {
            ("there is neither a valid nor a test folder with classes", "both splits are drawn from train")
        }
        _ => return None,
    };
    Some(Note::new(found, format!("{drawn}, class by class")))
}

fn with_splits(source: &Source, top: &[&str], splits: Splits) -> Result<Layout, Error> {
    let Some(train) = splits.folder(Part::Train) else {
        let found = top.join(", ");
        return Err(problem(
            source,
            format!(
                "found the folders {found}, but no train. Only valid and test may be missing; without any split \
                 folders (just <class>/) all three are made by chance"
            ),
        ));
    };
    let classes = children(source, train);
    if classes.is_empty() {
        return Err(problem(source, format!("its {train} folder has no class folders")));
    }
    let sorting = Sorting::of(source, Some(&splits));
    let classes = Classes::of(classes.into_iter());
    let mut items = Vec::new();
    let mut unknown = BTreeSet::new();
    for &Place { file, class, part, .. } in &sorting.places {
        match classes.class(class) {
            Some(class) => items.push(Item { file, class, part }),
            None => drop(unknown.insert((part, class))),
        }
    }
    if let Some(&(part, _)) = unknown.first() {
        let unsorted: Vec<(Part, &str, &str)> = Part::ALL
            .into_iter()
            .filter_map(|part| {
                Some((part, splits.folder(part)?, only_unknown(&sorting.places, part, &classes)?))
            })
            .collect();
        if !unsorted.is_empty() {
            return Err(problem(source, unlabelled(source, &unsorted, "train")));
        }
        let alike =
            |class: &str| classes.names.iter().find(|known| known.to_lowercase() == class.to_lowercase());
        let named = |class: &str| match alike(class) {
            Some(known) => format!("{class} (train has {known}: rename one of them)"),
            None => class.to_owned(),
        };
        let names = unknown.iter().filter(|(p, _)| *p == part).map(|(_, class)| named(class));
        return Err(Error::UnknownClasses {
            split: part.map_or("the folder", Part::name).into(),
            reference: "train",
            path: source.path.clone(),
            classes: names.collect(),
        });
    }
    let notes = [note_of_drawn(&splits), sorting.note_of_deep(source), classes.note()];
    Ok(Layout {
        classes: classes.names,
        items,
        drawn: splits.drawn(),
        left_out: with_other_folders(sorting.left_out, top, &splits),
        splits,
        notes: notes.into_iter().flatten().collect(),
    })
}

/// Adds the folders next to the split folders, even if they contain no image.
fn with_other_folders(mut left_out: LeftOut, top: &[&str], splits: &Splits) -> LeftOut {
    for folder in top.iter().filter(|folder| spelled(folder).is_none_or(|(_, rest)| !rest.is_empty())) {
        let is_split = |part| splits.folder(part).is_some_and(|f| f.split('/').next() == Some(*folder));
        if !Part::ALL.into_iter().any(is_split) {
            left_out.add(Reason::OtherFolder, *folder);
        }
    }
    left_out
}
