//! The names in a folder or an archive, without run directories and without folders around everything.

use std::collections::{BTreeMap, BTreeSet};

use super::item::is_split_name;
use super::names::{is_image_name, is_system_folder, unlisted};
use crate::source::left_out::{LeftOut, LeftOutReason};

/// Settings files of a run, and files that a run writes.
const SETTINGS: [&str; 2] = ["config.toml", "search.toml"];
const WRITTEN: [&str; 5] = ["manifest.json", "metrics.jsonl", "split.json", "pictures.json", "auto.json"];

/// Names with `/` between folders, and the place of each file.
pub(super) struct Listing<T> {
    /// Files with the name of an image.
    pub(super) files: Vec<(String, T)>,
    /// Other files.
    pub(super) others: Vec<(String, T)>,
    /// All folders.
    pub(super) folders: BTreeSet<String>,
    pub(super) left_out: LeftOut,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { files: Vec::new(), others: Vec::new(), folders: BTreeSet::new(), left_out: LeftOut::default() }
    }
}

impl<T> Listing<T> {
    /// Adds a file; `own` is the last part of its name.
    pub(super) fn add_file(&mut self, name: String, own: &str, place: T) {
        match unlisted(own) {
            Some(reason) => reason.into_iter().for_each(|reason| self.left_out.add(reason, name.clone())),
            None if is_image_name(own) => self.files.push((name, place)),
            None => self.others.push((name, place)),
        }
    }

    /// Adds a folder and its parents; `false` for a system folder, whose content is left out.
    pub(super) fn add_folder(&mut self, name: &str) -> bool {
        let ends = name.match_indices('/').map(|(end, _)| end).chain([name.len()]);
        let mut start = 0;
        for end in ends {
            let folder = &name[..end];
            let own = &name[start..end];
            if is_system_folder(own) {
                self.left_out.add(LeftOutReason::System, folder);
                return false;
            }
            if !self.folders.contains(folder) {
                self.folders.insert(folder.to_owned());
            }
            start = end + 1;
        }
        true
    }

    /// Removes a folder that is not read.
    pub(super) fn leave_out_folder(&mut self, name: &str, reason: LeftOutReason) {
        self.folders.remove(name);
        self.left_out.add(reason, name);
    }

    /// Leaves out run directories, and folders that contain nothing else.
    pub(super) fn leave_out_runs(&mut self) {
        let mut runs = self.runs();
        // From the inside out: a folder of run directories without an image is left out as well.
        for folder in self.folders.iter().rev() {
            let is_around = runs.iter().any(|run| is_below(run, folder));
            let is_named = folder.rsplit('/').next() == Some("runs");
            if (is_around || is_named) && !self.holds_images(folder, &runs) {
                runs.insert(folder.clone());
            }
        }
        let outermost: Vec<String> =
            runs.iter().filter(|run| !runs.iter().any(|other| is_below(run, other))).cloned().collect();
        if outermost.is_empty() {
            return;
        }
        let is_gone = |name: &str| outermost.iter().any(|run| name == run || is_below(name, run));
        self.files.retain(|(name, _)| !is_gone(name));
        self.others.retain(|(name, _)| !is_gone(name));
        self.folders.retain(|name| !is_gone(name));
        outermost.iter().for_each(|run| self.left_out.add(LeftOutReason::Runs, run.as_str()));
    }

    /// Run directories: folders with settings of a run and a file that a run writes.
    fn runs(&self) -> BTreeSet<String> {
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, _) in &self.others {
            if let Some((folder, own)) = name.rsplit_once('/')
                && (SETTINGS.contains(&own) || WRITTEN.contains(&own))
            {
                found.entry(folder).or_default().insert(own);
            }
        }
        let is_run = |folder: &str, files: &BTreeSet<&str>| {
            let has_checkpoints = || self.folders.contains(&format!("{folder}/checkpoints"));
            SETTINGS.iter().any(|file| files.contains(file))
                && (WRITTEN.iter().any(|file| files.contains(file)) || has_checkpoints())
        };
        found.into_iter().filter(|(f, files)| is_run(f, files)).map(|(f, _)| f.to_owned()).collect()
    }

    fn holds_images(&self, folder: &str, but: &BTreeSet<String>) -> bool {
        let inside = |name: &str| is_below(name, folder) && !but.iter().any(|run| is_below(name, run));
        self.files.iter().any(|(name, _)| inside(name))
    }

    /// Removes folders that contain everything else, one by one; returns their path, empty if there are none. A
    /// folder with the name of one of `classes` is never removed.
    pub(super) fn strip_wrappers(&mut self, classes: &[String]) -> String {
        let mut path = String::new();
        while let Some(wrapper) = self.wrapper(classes) {
            self.drop_wrapper(&wrapper);
            path = if path.is_empty() { wrapper } else { format!("{path}/{wrapper}") };
        }
        path
    }

    /// The only folder with images, if they are in further folders.
    fn wrapper(&self, classes: &[String]) -> Option<String> {
        let tops: BTreeSet<&str> =
            self.files.iter().filter_map(|(name, _)| Some(name.split_once('/')?.0)).collect();
        let only_folder = || {
            let mut tops = self.folders.iter().filter(|folder| !folder.contains('/'));
            tops.next().filter(|_| tops.next().is_none()).map(String::as_str)
        };
        let wrapper = match tops.len() {
            // Without any image, the only folder is entered, so that errors refer to its content.
            0 if self.files.is_empty() => only_folder()?,
            1 => tops.first().copied()?,
            _ => return None,
        };
        let prefix = format!("{wrapper}/");
        let mut inside = self.files.iter().filter_map(|(name, _)| name.strip_prefix(&prefix));
        let wraps = inside.any(|name| name.contains('/'))
            || self.files.is_empty() && self.folders.iter().any(|f| f.starts_with(&prefix));
        let is_meant = is_split_name(wrapper) || classes.iter().any(|class| class == wrapper);
        (wraps && !is_meant).then(|| wrapper.to_owned())
    }

    fn drop_wrapper(&mut self, wrapper: &str) {
        let prefix = format!("{wrapper}/");
        let (inside, outside): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.files).into_iter().partition(|(name, _)| name.starts_with(&prefix));
        for (name, _) in outside {
            self.left_out.add(LeftOutReason::Beside, name);
        }
        let strip = |name: String| match name.strip_prefix(&prefix) {
            Some(inner) => inner.to_owned(),
            // Files other than images may be next to the wrapper.
            None => name,
        };
        self.files = inside;
        for (name, _) in self.files.iter_mut().chain(&mut self.others) {
            *name = strip(std::mem::take(name));
        }
        self.left_out.rename(strip);
        let inner = |f: String| f.strip_prefix(&prefix).map(str::to_owned);
        self.folders = std::mem::take(&mut self.folders).into_iter().filter_map(inner).collect();
    }

    /// Everything in byte order of the names: images, other files, and the places of both.
    pub(super) fn sorted(self) -> SortedListing<T> {
        let Self { mut files, mut others, folders, left_out } = self;
        files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        others.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let (files, mut places): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let (others, rest): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        places.extend(rest);
        SortedListing { files, others, folders: folders.into_iter().collect(), places, left_out }
    }
}

/// A listing in its final order; `places` holds those of the images, then those of the other files.
pub(super) struct SortedListing<T> {
    pub(super) files: Vec<String>,
    pub(super) others: Vec<String>,
    pub(super) folders: Vec<String>,
    pub(super) places: Vec<T>,
    pub(super) left_out: LeftOut,
}

fn is_below(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
