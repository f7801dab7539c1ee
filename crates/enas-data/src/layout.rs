//! What the folders of a source mean: classes, and perhaps splits. No pixels, no randomness.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::source::Source;

/// One of the three parts of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Pictures that weights are fitted to.
    Train,
    /// Pictures that choices are made by.
    Valid,
    /// Pictures that only the final accuracy is measured with.
    Test,
}

impl Part {
    /// All parts in the usual order.
    pub const ALL: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

    /// `train`, `valid` or `test`: also the name of the folder.
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

/// A picture with its class and, where the folders say so, its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Index into [`Source::files`].
    pub(crate) file: usize,
    /// Index into [`Layout::classes`].
    pub(crate) class: usize,
    pub(crate) part: Option<Part>,
}

/// The classes of a source and every picture that belongs to one.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Class names in byte order.
    pub(crate) classes: Vec<String>,
    /// In the byte order of the file names.
    pub(crate) items: Vec<Item>,
    /// Parts that the folders do not give, so that chance has to.
    pub(crate) drawn: &'static [Part],
    /// What lies beside the classes and is left out, as messages.
    pub(crate) ignored: Vec<String>,
}

/// Whether a folder of this name is taken for a split.
pub(crate) fn is_split_name(name: &str) -> bool {
    Part::from_name(name).is_some()
}

/// Recognises one of the two promised layouts.
///
/// Folders called `train`, `valid` or `test` that hold further folders make a layout with splits; otherwise
/// every top-level folder is a class.
pub(crate) fn read(source: &Source) -> Result<Layout, Error> {
    let top = children(source, "");
    if top.is_empty() {
        return Err(problem(source, format!("it has no class folders, {}", loose_pictures(source))));
    }
    let splits: Vec<&str> = top.iter().copied().filter(|name| is_split_name(name)).collect();
    if has_splits(source, &top) {
        return with_splits(source, &top);
    }
    if !splits.is_empty() && splits.len() == top.len() {
        let found = splits.join(", ");
        return Err(problem(
            source,
            format!("{found} hold no class folders; pictures belong into train/<class>/, test/<class>/"),
        ));
    }
    without_splits(source, &top)
}

/// The pictures of one part, or all where there are no splits, for classes that are already known: a model's.
pub(crate) fn read_known_classes(source: &Source, part: Part, classes: &[String]) -> Result<Layout, Error> {
    let top = children(source, "");
    let has_splits = has_splits(source, &top);
    if has_splits && !top.contains(&part.name()) {
        return Err(problem(source, format!("found the folders {}, but no {}", top.join(", "), part.name())));
    }
    let mut items = Vec::new();
    let mut unknown = BTreeSet::new();
    for (file, name) in source.files.iter().enumerate() {
        let parts: Vec<&str> = name.split('/').collect();
        let class = match parts[..] {
            [split, class, _] if has_splits && split == part.name() => class,
            [class, _] if !has_splits => class,
            _ => continue,
        };
        match classes.iter().position(|c| c == class) {
            Some(class) => items.push(Item { file, class, part: Some(part) }),
            None => drop(unknown.insert(class.to_owned())),
        }
    }
    if !unknown.is_empty() {
        return Err(Error::UnknownClasses {
            split: if has_splits { part.name().into() } else { "the folder".into() },
            reference: "the model",
            path: source.path.clone(),
            classes: unknown.into_iter().collect(),
        });
    }
    Ok(Layout { classes: classes.to_vec(), items, drawn: &[], ignored: Vec::new() })
}

/// Whether the top-level folders include a split that holds further folders.
fn has_splits(source: &Source, top: &[&str]) -> bool {
    top.iter().any(|name| is_split_name(name) && !children(source, name).is_empty())
}

fn problem(source: &Source, problem: String) -> Error {
    Error::Layout { path: source.path.clone(), problem }
}

fn loose_pictures(source: &Source) -> String {
    match source.files.iter().filter(|f| !f.contains('/')).count() {
        0 => {
            "nor any picture; expected train/<class>/, valid/<class>/, test/<class>/ or just <class>/".into()
        }
        n => format!("only {n} pictures side by side; put each into a folder named after its class"),
    }
}

/// Names of the folders directly in `parent` ("" for the root), in byte order.
fn children<'a>(source: &'a Source, parent: &str) -> Vec<&'a str> {
    let depth_one = |f: &'a String| {
        let rest = if parent.is_empty() { f } else { f.strip_prefix(parent)?.strip_prefix('/')? };
        (!rest.contains('/')).then_some(rest)
    };
    let unique: BTreeSet<&str> = source.folders.iter().filter_map(depth_one).collect();
    unique.into_iter().collect()
}

fn without_splits(source: &Source, top: &[&str]) -> Result<Layout, Error> {
    let class_of: BTreeMap<&str, usize> = top.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let mut items = Vec::new();
    for (file, name) in source.files.iter().enumerate() {
        let parts: Vec<&str> = name.split('/').collect();
        if let [class, _] = parts[..] {
            items.push(Item { file, class: class_of[class], part: None });
        }
    }
    let classes = top.iter().map(|name| name.to_string()).collect();
    Ok(Layout { classes, items, drawn: &Part::ALL, ignored: Vec::new() })
}

fn with_splits(source: &Source, top: &[&str]) -> Result<Layout, Error> {
    let mut ignored = other_folders(source, top)?;
    for part in [Part::Train, Part::Test] {
        if !top.contains(&part.name()) {
            let found = top.join(", ");
            return Err(problem(
                source,
                format!(
                    "found the folders {found}, but no {}. Only valid may be missing; without any split \
                     folders (just <class>/) all three are made by chance",
                    part.name()
                ),
            ));
        }
    }
    let classes = children(source, Part::Train.name());
    if classes.is_empty() {
        return Err(problem(source, "its train folder has no class folders".into()));
    }
    let class_of: BTreeMap<&str, usize> = classes.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let mut items = Vec::new();
    let mut unknown = BTreeSet::new();
    let mut unlabelled = 0;
    for (file, name) in source.files.iter().enumerate() {
        let parts: Vec<&str> = name.split('/').collect();
        let Some(part) = Part::from_name(parts[0]) else { continue };
        match parts[1..] {
            [class, _] => match class_of.get(class) {
                Some(&class) => items.push(Item { file, class, part: Some(part) }),
                None => drop(unknown.insert((part, class))),
            },
            _ => unlabelled += 1,
        }
    }
    if let Some(&(part, _)) = unknown.first() {
        let names = unknown.iter().filter(|(p, _)| *p == part).map(|(_, class)| class.to_string());
        return Err(Error::UnknownClasses {
            split: part.name().into(),
            reference: "train",
            path: source.path.clone(),
            classes: names.collect(),
        });
    }
    if unlabelled > 0 {
        let path = source.path.display();
        ignored.push(format!("{unlabelled} pictures in {path} lie in no class folder and are ignored"));
    }
    Ok(Layout {
        classes: classes.iter().map(|c| c.to_string()).collect(),
        items,
        drawn: if top.contains(&Part::Valid.name()) { &[] } else { &[Part::Valid] },
        ignored,
    })
}

/// Messages about folders beside the splits. A split under another name would be left out almost without a word, so it
/// is an error.
fn other_folders(source: &Source, top: &[&str]) -> Result<Vec<String>, Error> {
    const LOOK_ALIKES: [(&str, Part); 8] = [
        ("val", Part::Valid),
        ("validation", Part::Valid),
        ("dev", Part::Valid),
        ("training", Part::Train),
        ("testing", Part::Test),
        ("train_set", Part::Train),
        ("val_set", Part::Valid),
        ("test_set", Part::Test),
    ];
    let mut ignored = Vec::new();
    for &name in top.iter().filter(|name| !is_split_name(name)) {
        let lower = name.to_lowercase();
        let part = Part::from_name(&lower)
            .or_else(|| LOOK_ALIKES.iter().find(|(alias, _)| *alias == lower).map(|(_, part)| *part));
        match part {
            Some(part) => {
                return Err(problem(
                    source,
                    format!("found the folders {}; rename {name} to {}", top.join(", "), part.name()),
                ));
            }
            None => {
                let path = source.path.display();
                ignored.push(format!("{path}: the folder {name} beside the splits is ignored"));
            }
        }
    }
    Ok(ignored)
}
