//! Test whether the images of a run are those it was started with, and the list of differences.
//!
//! The fingerprint in the manifest decides. `pictures.json` stores the digest of every file, so that an error can
//! name the differences.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use enas_data::{Dataset, Fingerprint, ImageFile, LoadOptions, Storage, visible};
use enas_rng::Seed;

use crate::directory::files::{IMAGE_DIGESTS, stored_split, write_json};
use crate::error::{Error, Result};
use crate::memory::MemoryPlan;

/// Maximum number of differences that are named.
const NAMED: usize = 10;

/// The images that a run was started with.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedData<'a> {
    /// The directory of the run.
    pub dir: &'a Path,
    /// The name of the data set.
    pub name: &'a str,
    /// Number and hash of its files.
    pub fingerprint: &'a Fingerprint,
    /// What to do if they are missing, besides restoring them.
    pub or_else: &'static str,
}

/// Stores the digests that the fingerprint of `data` was made from.
///
/// # Errors
/// [`Error::Io`] if they cannot be written.
pub fn store(dir: &Path, data: &Dataset) -> Result<()> {
    write_json(&dir.join(IMAGE_DIGESTS), &by_name(&data.files))
}

impl ExpectedData<'_> {
    /// Loads the images in the splits of the run, stored as a plan says or, without one, as the machine's memory
    /// allows.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] with the differences if they have changed; [`Error::Mismatch`] if they are missing;
    /// otherwise as [`enas_data::load`].
    pub fn load(&self, config: &enas_data::Config, seed: Seed, plan: Option<&MemoryPlan>) -> Result<Dataset> {
        match plan {
            Some(plan) => plan.load_by(|storage| self.load_stored(config, seed, storage)),
            None => self.load_stored(config, seed, MemoryPlan::holding(config)),
        }
    }

    fn load_stored(&self, config: &enas_data::Config, seed: Seed, storage: Storage) -> Result<Dataset> {
        let split = stored_split(self.dir)?;
        match enas_data::load(config, &LoadOptions { split: Some(&split), storage, ..LoadOptions::new(seed) })
        {
            Ok(data) => self.check(&data).map(|()| data),
            Err(error @ enas_data::Error::Missing { .. }) => Err(self.are_gone(&error)),
            // Added or removed files can cause any error. If files differ, that is the error to report.
            Err(error) => match enas_data::image_files(&config.path) {
                Ok(files) if !self.differences(&files).is_empty() => Err(self.have_changed(&files)),
                _ => Err(error.into()),
            },
        }
    }

    /// Checks that there is something at the place of the images.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with what to do.
    pub fn find(&self, config: &enas_data::Config) -> Result<()> {
        if config.is_built_in() || config.path.exists() {
            return Ok(());
        }
        Err(self.are_gone(&enas_data::Error::Missing { path: config.path.clone() }))
    }

    /// Refuses other images.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] with the differences.
    pub fn check(&self, data: &Dataset) -> Result<()> {
        if data.fingerprint == *self.fingerprint { Ok(()) } else { Err(self.have_changed(&data.files)) }
    }

    fn are_gone(&self, error: &enas_data::Error) -> Error {
        let run = visible(&self.dir);
        Error::Mismatch(format!(
            "{error}; {run} needs the images it was started with: bring them back{}",
            self.or_else
        ))
    }

    fn have_changed(&self, now: &[ImageFile]) -> Error {
        let differences = self.differences(now);
        let mut problem = format!("the images of {} are not those the run was started with", self.name);
        if !differences.is_empty() {
            problem += &format!(": {}", counted(&differences));
        }
        for Difference { kind, name } in differences.iter().take(NAMED) {
            // Writing to a string cannot fail.
            let _ = write!(problem, "\n  {:<8} {name}", kind.word());
        }
        if let Some(more) = differences.len().checked_sub(NAMED).filter(|more| *more > 0) {
            let _ = write!(problem, "\n  and {more} more");
        }
        let separator = if differences.is_empty() { "; " } else { "\n" };
        Error::run_directory(self.dir, &format!("{problem}{separator}restore them, or start a new run"))
    }

    /// Differences from the files at the start, sorted by name; empty if those are unknown.
    fn differences(&self, now: &[ImageFile]) -> Vec<Difference> {
        let text = fs::read_to_string(self.dir.join(IMAGE_DIGESTS)).unwrap_or_default();
        let Ok(then) = serde_json::from_str::<BTreeMap<String, String>>(&text) else { return Vec::new() };
        let now = by_name(now);
        let mut found: Vec<Difference> = Vec::new();
        for (name, digest) in &then {
            match now.get(name.as_str()) {
                None => found.push(Difference { kind: Kind::Removed, name: name.clone() }),
                Some(other) if other != digest => {
                    found.push(Difference { kind: Kind::Changed, name: name.clone() });
                }
                Some(_) => {}
            }
        }
        let added = now.keys().filter(|name| !then.contains_key(**name));
        found.extend(added.map(|name| Difference { kind: Kind::Added, name: (*name).to_owned() }));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

fn by_name(files: &[ImageFile]) -> BTreeMap<&str, &str> {
    files.iter().map(|file| (file.name.as_str(), file.digest.as_str())).collect()
}

/// A file that differs.
struct Difference {
    kind: Kind,
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Added,
    Removed,
    Changed,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Added, Self::Removed, Self::Changed];

    fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// `2 added, 1 changed`.
fn counted(differences: &[Difference]) -> String {
    let of = |kind: Kind| (differences.iter().filter(|d| d.kind == kind).count(), kind.word());
    let counts = Kind::ALL.map(of).into_iter().filter(|(n, _)| *n > 0);
    counts.map(|(n, word)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
}
