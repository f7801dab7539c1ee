//! Builds a configuration: a preset or a file, then `--set` assignments, then validation.

use std::path::{Path, PathBuf};

use enas_data::visible;

use super::assignment::{Assignment, assign};
use super::overlay;
use super::presets::{Preset, presets};
use super::search::SearchConfig;
use super::settings::{InvalidSetting, Settings};
use super::train::TrainConfig;
use crate::error::{ConfigError, Error, Result};
use crate::files::limited_read::{SMALL_FILE, read_text};

/// A configuration builder: a base of all settings, then assignments. Later assignments override earlier ones.
///
/// ```
/// use enas_run::{ConfigBuilder, SearchConfig};
///
/// let config: SearchConfig = ConfigBuilder::preset("quick").set("run.epochs=3").set("child.filters=8").load()?;
/// assert_eq!((config.run.epochs, config.child.filters), (3, 8));
///
/// let error = ConfigBuilder::preset("quick").set("run.epoch=3").load::<SearchConfig>().unwrap_err();
/// assert!(error.to_string().contains("did you mean run.epochs?"));
/// # Ok::<(), enas_run::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    base: Base,
    assignments: Vec<String>,
}

#[derive(Clone, Debug)]
enum Base {
    Preset(String),
    File(PathBuf),
    Text { name: String, text: String },
}

impl ConfigBuilder {
    /// Starts from an embedded preset; see [`presets`].
    pub fn preset(name: impl Into<String>) -> Self {
        Self { base: Base::Preset(name.into()), assignments: Vec::new() }
    }

    /// Starts from a TOML file of all settings, or of those that differ if it has `extends = "defaults"`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { base: Base::File(path.into()), assignments: Vec::new() }
    }

    /// Starts from a TOML text, as [`Self::file`]; error messages call it `name`.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { base: Base::Text { name: name.into(), text: text.into() }, assignments: Vec::new() }
    }

    /// Adds an assignment `key.path=value`. The value is TOML; text that is not valid TOML is taken as a string.
    ///
    /// Assigning another `kind` to a table with variants (`schedule.kind=staircase`) removes the other keys of that
    /// table, because they belong to the old kind. An empty value (`controller.temperature=`) removes an optional
    /// key.
    #[must_use]
    pub fn set(mut self, assignment: impl Into<String>) -> Self {
        self.assignments.push(assignment.into());
        self
    }

    /// Reads the base, applies the assignments and validates the result.
    ///
    /// # Errors
    /// [`Error::Config`] with the place (file and line, preset or assignment), the key and what is allowed;
    /// [`Error::Io`] if the file cannot be read.
    pub fn load<C: Settings>(&self) -> Result<C> {
        let source = self.source::<C>()?;
        let base: C = source.parse()?;
        let assignments =
            self.assignments.iter().map(|a| Assignment::parse(a)).collect::<Result<Vec<_>, _>>()?;
        let config = if assignments.is_empty() { base } else { assign(&base, &assignments)? };
        config.validate().map_err(|invalid| source.locate(invalid, &assignments))?;
        Ok(config)
    }

    fn source<C: Settings>(&self) -> Result<ConfigSource> {
        match &self.base {
            Base::Preset(name) => {
                let preset = Preset::named(name)?;
                Ok(ConfigSource {
                    name: format!("preset {name}"),
                    text: C::of_preset(preset).to_owned(),
                    is_file: false,
                })
            }
            Base::File(path) => ConfigSource::read(path),
            Base::Text { name, text } => {
                Ok(ConfigSource { name: name.clone(), text: text.clone(), is_file: false })
            }
        }
    }
}

impl Preset {
    /// The preset with this name.
    ///
    /// # Errors
    /// [`Error::Config`] with the names that exist.
    pub fn named(name: &str) -> Result<&'static Self> {
        presets().iter().find(|p| p.name == name).ok_or_else(|| {
            let names: Vec<&str> = presets().iter().map(|p| p.name).collect();
            let problem = format!("there is no such preset; presets: {}", names.join(", "));
            ConfigError { place: format!("preset {name}"), problem }.into()
        })
    }
}

/// A configuration text and its name in messages.
struct ConfigSource {
    name: String,
    text: String,
    is_file: bool,
}

impl ConfigSource {
    fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, SMALL_FILE).map_err(|source| Error::Io {
            action: "cannot read the configuration",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { name: visible(&path).into_owned(), text, is_file: true })
    }

    fn parse<C: Settings>(&self) -> Result<C> {
        overlay::read(C::defaults(), &self.text).map_err(|e| {
            let place = match e.span() {
                Some(span) => self.line(self.text[..span.start].matches('\n').count()),
                None => self.name.clone(),
            };
            let problem = format!("{} (in a configuration for `{}`)", e.message(), C::KIND);
            ConfigError { place, problem }.into()
        })
    }

    /// The error for a value that parsed but is out of range, with its place.
    fn locate(&self, invalid: InvalidSetting, assignments: &[Assignment]) -> Error {
        let assigned = assignments.iter().rev().find(|a| a.key == invalid.key);
        let place = match assigned {
            Some(assignment) => assignment.place(),
            None => line_of(&self.text, &invalid.key).map_or_else(|| self.name.clone(), |i| self.line(i)),
        };
        ConfigError { place, problem: invalid.problem }.into()
    }

    /// The place of a line, whose index counts from 0.
    fn line(&self, index: usize) -> String {
        let separator = if self.is_file { ":" } else { ", line " };
        format!("{}{separator}{}", self.name, index + 1)
    }
}

/// The index of the line that sets a dotted key, in a text that writes tables as `[table]` headers.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut current = "";
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            current = header.trim();
        } else if current == table && line.split('=').next().is_some_and(|k| k.trim() == name) {
            return Some(i);
        }
    }
    None
}

impl Default for SearchConfig {
    /// The preset `quick`, which uses the built-in digits.
    fn default() -> Self {
        ConfigBuilder::preset("quick").load().expect("a test loads every preset")
    }
}

impl Default for TrainConfig {
    /// The preset `quick`, which uses the built-in digits.
    fn default() -> Self {
        ConfigBuilder::preset("quick").load().expect("a test loads every preset")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_presets() {
        let folder: SearchConfig = ConfigBuilder::preset("folder").load().unwrap();
        assert_eq!(folder.child, enas_child::Config::default());
        assert_eq!(folder.controller, enas_controller::Config::default());
        let paths = [SearchConfig::default().data.path, TrainConfig::default().data.path];
        assert_eq!(paths, ["digits", "digits"].map(std::path::PathBuf::from));
    }
}
