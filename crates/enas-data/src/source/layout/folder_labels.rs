//! The class and split of each image, from the folders that contain it, and images without a class.

use std::collections::BTreeSet;

use super::folders::is_companion;
use super::split_folders::{SplitFolders, split_of_name};
use crate::source::files::Source;
use crate::source::item::Part;
use crate::source::left_out::{LeftOut, LeftOutReason, Note, first_few};

/// Class and part of an image.
pub(super) struct FolderLabel<'a> {
    /// Index into [`Source::files`].
    pub(super) file: usize,
    pub(super) class: &'a str,
    pub(super) part: Option<Part>,
    /// The subfolder of the class folder that contains it; empty if there is none.
    pub(super) below: &'a str,
}

/// All images of a source with their classes.
pub(super) struct FolderLabels<'a> {
    pub(super) labels: Vec<FolderLabel<'a>>,
    pub(super) left_out: LeftOut,
}

impl<'a> FolderLabels<'a> {
    pub(super) fn of(source: &'a Source, splits: Option<&SplitFolders>) -> Self {
        let mut folder_labels = Self { labels: Vec::new(), left_out: LeftOut::default() };
        for (file, name) in source.files.iter().enumerate() {
            let (part, below) = match splits {
                None => (None, name.as_str()),
                Some(splits) => match splits.locate(name) {
                    Some((part, below)) => (Some(part), below),
                    None => {
                        folder_labels.leave_out(name);
                        continue;
                    }
                },
            };
            match below.split_once('/') {
                None => folder_labels.left_out.add(LeftOutReason::Beside, name.as_str()),
                Some((class, rest)) => {
                    let below = rest.rsplit_once('/').map_or("", |(below, _)| below);
                    folder_labels.labels.push(FolderLabel { file, class, part, below });
                }
            }
        }
        folder_labels.leave_out_companions(source);
        folder_labels
    }

    /// Leaves out an image outside all split folders.
    fn leave_out(&mut self, name: &str) {
        match name.split_once('/') {
            Some((folder, _)) if split_of_name(folder).is_none() => {
                self.left_out.add(LeftOutReason::OtherFolder, folder)
            }
            _ => self.left_out.add(LeftOutReason::Beside, name),
        }
    }

    /// Leaves out companions of a class's images: folders of masks, thumbnails and similar.
    fn leave_out_companions(&mut self, source: &Source) {
        let companion = |label: &FolderLabel<'_>| {
            let parts: Vec<&str> = label.below.split('/').collect();
            let at = parts.iter().position(|part| is_companion(part))?;
            let name = &source.files[label.file];
            let above = name.split('/').count() - 1 - parts.len();
            Some(name.split('/').take(above + at + 1).collect::<Vec<_>>().join("/"))
        };
        let with_others: BTreeSet<&str> =
            self.labels.iter().filter(|label| companion(label).is_none()).map(|label| label.class).collect();
        let left_out = &mut self.left_out;
        self.labels.retain(|label| match companion(label) {
            Some(folder) if with_others.contains(label.class) => {
                left_out.add(LeftOutReason::Companion, folder);
                false
            }
            _ => true,
        });
    }

    /// The note about images in subfolders of class folders.
    pub(super) fn note_of_deep(&self, source: &Source) -> Option<Note> {
        let deep: Vec<&FolderLabel<'_>> =
            self.labels.iter().filter(|label| !label.below.is_empty()).collect();
        let folders: BTreeSet<String> = deep
            .iter()
            .filter_map(|label| {
                source.files[label.file].rsplit_once('/').map(|(folder, _)| folder.to_owned())
            })
            .collect();
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        let direct: BTreeSet<(Option<Part>, &str)> = self
            .labels
            .iter()
            .filter(|label| label.below.is_empty())
            .map(|label| (label.part, label.class))
            .collect();
        let only_deep = deep.iter().any(|label| !direct.contains(&(label.part, label.class)));
        let hint = if only_deep { "; if those folders are the classes, move them up" } else { "" };
        (!deep.is_empty()).then(|| {
            let what = match deep.len() {
                1 => "1 image is in a folder inside a class folder".to_owned(),
                n => format!("{n} images are in folders inside class folders"),
            };
            Note::new(format!("{what} ({})", first_few(&folders)), format!("counted for the class{hint}"))
        })
    }
}
