//! The class and split of each image, from the folders that contain it, and images without a class.

use std::collections::BTreeSet;

use super::Part;
use super::splits::{Splits, spelled};
use crate::left_out::{LeftOut, Note, Reason, some};
use crate::source::Source;

/// Class and part of an image.
pub(super) struct Place<'a> {
    /// Index into [`Source::files`].
    pub(super) file: usize,
    pub(super) class: &'a str,
    pub(super) part: Option<Part>,
    /// The subfolder of the class folder that contains it; empty if there is none.
    pub(super) below: &'a str,
}

/// All images of a source with their classes.
pub(super) struct Sorting<'a> {
    pub(super) places: Vec<Place<'a>>,
    pub(super) left_out: LeftOut,
}

impl<'a> Sorting<'a> {
    pub(super) fn of(source: &'a Source, splits: Option<&Splits>) -> Self {
        let mut sorting = Self { places: Vec::new(), left_out: LeftOut::default() };
        for (file, name) in source.files.iter().enumerate() {
            let (part, below) = match splits {
                None => (None, name.as_str()),
                Some(splits) => match splits.place(name) {
                    Some((part, below)) => (Some(part), below),
                    None => {
                        sorting.leave_out(name);
                        continue;
                    }
                },
            };
            match below.split_once('/') {
                None => sorting.left_out.add(Reason::Beside, name.as_str()),
                Some((class, rest)) => {
                    let below = rest.rsplit_once('/').map_or("", |(below, _)| below);
                    sorting.places.push(Place { file, class, part, below });
                }
            }
        }
        sorting.leave_out_companions(source);
        sorting
    }

    /// Leaves out an image outside all split folders.
    fn leave_out(&mut self, name: &str) {
        match name.split_once('/') {
            Some((folder, _)) if spelled(folder).is_none() => self.left_out.add(Reason::OtherFolder, folder),
            _ => self.left_out.add(Reason::Beside, name),
        }
    }

    /// Leaves out companions of a class's images: folders of masks, thumbnails and similar.
    fn leave_out_companions(&mut self, source: &Source) {
        const COMPANIONS: [&str; 11] = [
            "mask",
            "masks",
            "annotation",
            "annotations",
            "segmentation",
            "segmentations",
            "groundtruth",
            "ground_truth",
            "thumb",
            "thumbs",
            "thumbnails",
        ];
        let companion = |place: &Place<'_>| {
            let parts: Vec<&str> = place.below.split('/').collect();
            let at = parts.iter().position(|part| COMPANIONS.contains(&part.to_lowercase().as_str()))?;
            let name = &source.files[place.file];
            let above = name.split('/').count() - 1 - parts.len();
            Some(name.split('/').take(above + at + 1).collect::<Vec<_>>().join("/"))
        };
        let with_others: BTreeSet<&str> =
            self.places.iter().filter(|place| companion(place).is_none()).map(|place| place.class).collect();
        let left_out = &mut self.left_out;
        self.places.retain(|place| match companion(place) {
            Some(folder) if with_others.contains(place.class) => {
                left_out.add(Reason::Companion, folder);
                false
            }
            _ => true,
        });
    }

    /// The note about images in subfolders of class folders.
    pub(super) fn note_of_deep(&self, source: &Source) -> Option<Note> {
        let deep: Vec<&Place<'_>> = self.places.iter().filter(|place| !place.below.is_empty()).collect();
        let folders: BTreeSet<String> = deep
            .iter()
            .filter_map(|place| {
                source.files[place.file].rsplit_once('/').map(|(folder, _)| folder.to_owned())
            })
            .collect();
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        let direct: BTreeSet<(Option<Part>, &str)> = self
            .places
            .iter()
            .filter(|place| place.below.is_empty())
            .map(|place| (place.part, place.class))
            .collect();
        let only_deep = deep.iter().any(|place| !direct.contains(&(place.part, place.class)));
        let hint = if only_deep { "; if those folders are the classes, move them up" } else { "" };
        (!deep.is_empty()).then(|| {
            let what = match deep.len() {
                1 => "1 image lies in a folder inside a class folder".to_owned(),
                n => format!("{n} images lie in folders inside class folders"),
            };
            Note::new(format!("{what} ({})", some(&folders)), format!("counted for the class{hint}"))
        })
    }
}
