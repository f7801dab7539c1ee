//! The names in a folder or an archive, and what is taken away from them before anybody asks what they mean: run
//! directories, and folders around everything.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{is_system_folder, unlisted};
use crate::layout::is_split_name;
use crate::left_out::{LeftOut, Reason};
use crate::prepare::is_picture_name;

/// Files with the settings of a run, and files that one writes.
const SETTINGS: [&str; 2] = ["config.toml", "search.toml"];
const WRITTEN: [&str; 5] = ["manifest.json", "metrics.jsonl", "split.json", "pictures.json", "auto.json"];

/// Names with `/` between folders, and where each file is.
pub(super) struct Listing<T> {
    /// Files that are called like images.
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
    /// Takes a file in. `own` is the last part of its name.
    pub(super) fn add_file(&mut self, name: String, own: &str, place: T) {
        match unlisted(own) {
            Some(reason) => reason.into_iter().for_each(|reason| self.left_out.add(reason, name.clone())),
            None if is_picture_name(own) => self.files.push((name, place)),
            None => self.others.push((name, place)),
        }
    }

    /// Takes a folder in, with those it lies in; `false` if it is one of a system's, with all that lies in it.
    pub(super) fn add_folder(&mut self, name: &str) -> bool {
        let ends = name.match_indices('/').map(|(end, _)| end).chain([name.len()]);
        let mut start = 0;
        for end in ends {
            let (folder, own) = (&name[..end], &name[start..end]);
            if is_system_folder(own) {
                self.left_out.add(Reason::System, folder);
                return false;
            }
            if !self.folders.contains(folder) {
                self.folders.insert(folder.to_owned());
            }
            start = end + 1;
        }
        true
    }

    /// Takes a folder out again that is not looked into.
    pub(super) fn leave_out_folder(&mut self, name: &str, reason: Reason) {
        self.folders.remove(name);
        self.left_out.add(reason, name);
    }

    /// Takes run directories away, and folders that hold nothing else.
    pub(super) fn leave_out_runs(&mut self) {
        let mut runs = self.runs();
        // From the inside to the outside: a folder around run directories that holds no image is one of runs as well.
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
        outermost.iter().for_each(|run| self.left_out.add(Reason::Runs, run.as_str()));
    }

    /// Run directories: they hold the settings of a run, and something that a run writes.
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

    /// Drops folders around everything, one after the other, and gives their path; none if there is none. A folder that
    /// is called like one of `classes` is never dropped.
    pub(super) fn unwrap(&mut self, classes: &[String]) -> String {
        let mut path = String::new();
        while let Some(wrapper) = self.wrapper(classes) {
            self.drop_wrapper(&wrapper);
            path = if path.is_empty() { wrapper } else { format!("{path}/{wrapper}") };
        }
        path
    }

    /// The only folder with images in it, if those lie in further folders.
    fn wrapper(&self, classes: &[String]) -> Option<String> {
        let tops: BTreeSet<&str> =
            self.files.iter().filter_map(|(name, _)| Some(name.split_once('/')?.0)).collect();
        let only_folder = || {
            let mut tops = self.folders.iter().filter(|folder| !folder.contains('/'));
            tops.next().filter(|_| tops.next().is_none()).map(String::as_str)
        };
        let wrapper = match tops.len() {
            // Without any image, what is wrong is said of the inside.
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
            self.left_out.add(Reason::Beside, name);
        }
        let strip = |name: String| match name.strip_prefix(&prefix) {
            Some(inner) => inner.to_owned(),
            // What is not an image may lie beside the wrapper.
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

    /// Everything in byte order of the names: the images, the other files, and where each of both is.
    pub(super) fn sorted(self) -> Sorted<T> {
        let Self { mut files, mut others, folders, left_out } = self;
        files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        others.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let (files, mut places): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let (others, rest): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        places.extend(rest);
        Sorted { files, others, folders: folders.into_iter().collect(), places, left_out }
    }
}

/// A listing in its final order; `places` are those of the images and then of the others.
pub(super) struct Sorted<T> {
    pub(super) files: Vec<String>,
    pub(super) others: Vec<String>,
    pub(super) folders: Vec<String>,
    pub(super) places: Vec<T>,
    pub(super) left_out: LeftOut,
}

fn is_below(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
