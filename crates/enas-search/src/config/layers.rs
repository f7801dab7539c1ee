//! Builds a configuration: a preset or a file, then `--set` assignments, then validation.

use std::path::{Path, PathBuf};

use enas_arc::SpaceKind;
use enas_child::MacroConfig;
use enas_child::schedule::Schedule;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{ClassWeights, EvolutionConfig, MOST, RunConfig, SearchConfig, StrategyConfig, TrainConfig};
use crate::bounded::{SMALL_FILE, read_text};
use crate::error::{ConfigError, Error, Result};
use crate::presets::{Preset, presets};
use crate::run::Kind;
use crate::tta::Tta;

/// The settings of one command: [`SearchConfig`] or [`TrainConfig`].
pub trait Settings: Serialize + DeserializeOwned + Clone {
    /// The command that these settings belong to.
    const KIND: Kind;

    /// The text of a preset for this command.
    fn of_preset(preset: &Preset) -> &'static str;

    /// Length, batches, seed and checkpoints.
    fn run(&self) -> &RunConfig;

    /// The images.
    fn data(&self) -> &enas_data::Config;

    /// The run and data settings, for changes.
    fn parts_mut(&mut self) -> (&mut RunConfig, &mut enas_data::Config);

    /// Refuses values outside their range.
    ///
    /// # Errors
    /// The first invalid key, with its value and what is allowed.
    fn validate(&self) -> Result<(), Invalid>;

    /// [`Self::validate`] for settings that were not built by [`Layers`].
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    fn check(&self) -> Result<()> {
        self.validate().map_err(|Invalid { key, problem }| ConfigError { place: key, problem }.into())
    }
}

/// A value outside its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The dotted key.
    pub key: String,
    /// What is wrong, including the key.
    pub problem: String,
}

/// A configuration builder: one complete base, then assignments. Later assignments override earlier ones.
///
/// ```
/// use enas_search::{Layers, SearchConfig};
///
/// let config: SearchConfig = Layers::preset("quick").set("run.epochs=3").set("child.filters=8").load()?;
/// assert_eq!((config.run.epochs, config.child.filters), (3, 8));
///
/// let error = Layers::preset("quick").set("run.epoch=3").load::<SearchConfig>().unwrap_err();
/// assert!(error.to_string().contains("did you mean run.epochs?"));
/// # Ok::<(), enas_search::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Layers {
    base: Base,
    assignments: Vec<String>,
}

#[derive(Clone, Debug)]
enum Base {
    Preset(String),
    File(PathBuf),
    Text { name: String, text: String },
}

impl Layers {
    /// Starts from an embedded preset; see [`presets`].
    pub fn preset(name: impl Into<String>) -> Self {
        Self { base: Base::Preset(name.into()), assignments: Vec::new() }
    }

    /// Starts from a complete TOML file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { base: Base::File(path.into()), assignments: Vec::new() }
    }

    /// Starts from a complete TOML text; error messages call it `name`.
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

    fn source<C: Settings>(&self) -> Result<Source> {
        match &self.base {
            Base::Preset(name) => {
                let preset = Preset::named(name)?;
                Ok(Source {
                    name: format!("preset {name}"),
                    text: C::of_preset(preset).to_owned(),
                    is_file: false,
                })
            }
            Base::File(path) => Source::read(path),
            Base::Text { name, text } => {
                Ok(Source { name: name.clone(), text: text.clone(), is_file: false })
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
            let problem = format!("there is no such preset; there are {}", names.join(", "));
            ConfigError { place: format!("preset {name}"), problem }.into()
        })
    }
}

/// A configuration text and its name in messages.
struct Source {
    name: String,
    text: String,
    is_file: bool,
}

impl Source {
    fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, SMALL_FILE).map_err(|source| Error::Io {
            action: "cannot read the configuration",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { name: path.display().to_string(), text, is_file: true })
    }

    fn parse<C: Settings>(&self) -> Result<C> {
        toml::from_str(&self.text).map_err(|e| {
            let place = match e.span() {
                Some(span) => self.line(self.text[..span.start].matches('\n').count()),
                None => self.name.clone(),
            };
            let problem = format!("{} (in a configuration for `{}`)", e.message(), C::KIND);
            ConfigError { place, problem }.into()
        })
    }

    /// The error for a value that parsed but is out of range, with its place.
    fn locate(&self, invalid: Invalid, assignments: &[Assignment]) -> Error {
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

/// One assignment `key.path=value`.
struct Assignment {
    key: String,
    value: String,
}

impl Assignment {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let whole = |(key, value): (&str, &str)| {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            (!key.split('.').any(str::is_empty)).then_some(Self { key, value })
        };
        text.split_once('=').and_then(whole).ok_or_else(|| ConfigError {
            place: format!("--set {text}"),
            problem: "write key.path=value, such as run.epochs=10".into(),
        })
    }

    fn place(&self) -> String {
        format!("--set {}={}", self.key, self.value)
    }

    fn error(&self, problem: String) -> ConfigError {
        ConfigError { place: self.place(), problem }
    }

    /// Sets the value in the table, or removes the key if the value is empty.
    fn apply(&self, root: &mut Table) -> Result<(), ConfigError> {
        let (path, name) = self.key.rsplit_once('.').unwrap_or(("", &self.key));
        let mut table = root;
        for part in path.split('.').filter(|p| !p.is_empty()) {
            // An optional table may be absent. A misspelt table is reported when the whole configuration is read.
            table = match table.entry(part).or_insert_with(|| Value::Table(Table::new())) {
                Value::Table(inner) => inner,
                _ => return Err(self.error(format!("{part} is a value and has no keys"))),
            };
        }
        if matches!(table.get(name), Some(Value::Table(_))) {
            return Err(self.error("this is a table; set one of its keys".into()));
        }
        if self.value.is_empty() {
            table.remove(name);
            return Ok(());
        }
        let old = table.get(name);
        let new = self.typed(old);
        if name == "kind" && old.is_some_and(|old| *old != new) {
            table.clear();
        }
        table.insert(name.to_owned(), new);
        Ok(())
    }

    /// The value as TOML, except that a string is replaced by a string: a folder may be called `7`.
    fn typed(&self, old: Option<&Value>) -> Value {
        let parsed = toml::from_str::<Table>(&format!("v = {}", self.value)).ok();
        let parsed = parsed.filter(|t| t.len() == 1).and_then(|mut t| t.remove("v"));
        match (parsed, old) {
            (Some(value @ Value::String(_)), _) => value,
            (_, Some(Value::String(_))) | (None, _) => Value::String(self.value.clone()),
            (Some(value), _) => value,
        }
    }
}

/// Applies assignments to a complete configuration.
fn assign<C: Settings>(base: &C, assignments: &[Assignment]) -> Result<C> {
    let table = Table::try_from(base).expect("a configuration is plain data");
    let known = keys(&table, "");
    let mut changed = table.clone();
    for assignment in assignments {
        assignment.apply(&mut changed)?;
    }
    changed
        .try_into()
        .map_err(|e: toml::de::Error| blame::<C>(&table, &known, assignments, e.message()).into())
}

/// Finds the assignment that makes the configuration invalid, by applying each of them alone.
///
/// A key that is unknown among those of the base may still be a valid optional key. Unknown keys are therefore
/// reported only after reading has failed.
fn blame<C: Settings>(
    base: &Table,
    known: &[String],
    assignments: &[Assignment],
    message: &str,
) -> ConfigError {
    // Keys of a table whose `kind` changes are valid only together, so they are not tested alone.
    let kinds: Vec<&str> = assignments.iter().filter_map(|a| a.key.strip_suffix(".kind")).collect();
    let retyped = |a: &Assignment| kinds.iter().any(|table| a.key.starts_with(&format!("{table}.")));
    for assignment in assignments {
        let mut alone = base.clone();
        if assignment.apply(&mut alone).is_err() || retyped(assignment) {
            continue;
        }
        if let Err(e) = alone.try_into::<C>() {
            let error = assignment.error(e.message().to_owned());
            return with_suggestion(error, assignment, known);
        }
    }
    let places: Vec<String> = assignments.iter().map(Assignment::place).collect();
    ConfigError { place: places.join(" "), problem: message.to_owned() }
}

/// Adds the nearest known key to an error about an unknown key.
fn with_suggestion(mut error: ConfigError, assignment: &Assignment, known: &[String]) -> ConfigError {
    if known.contains(&assignment.key) || !error.problem.starts_with("unknown") {
        return error;
    }
    let nearest = known.iter().min_by_key(|k| distance(k, &assignment.key));
    error.problem = match nearest {
        Some(key) => format!("there is no key {}; did you mean {key}?", assignment.key),
        None => format!("there is no key {}", assignment.key),
    };
    error
}

/// The dotted keys of all values in a table.
fn keys(table: &Table, prefix: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => all.extend(keys(inner, &key)),
            _ => all.push(key),
        }
    }
    all
}

/// The Levenshtein distance: the least number of insertions, deletions and replacements of characters that turns one
/// word into the other.
///
/// The dynamic-programming table is kept as one row, updated in place: O(|a|·|b|) time, O(|b|) memory.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // `row[j]` is the distance between the characters of `a` so far and the first `j` characters of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Settings for SearchConfig {
    const KIND: Kind = Kind::Search;

    fn of_preset(preset: &Preset) -> &'static str {
        preset.search
    }

    fn run(&self) -> &RunConfig {
        &self.run
    }

    fn data(&self) -> &enas_data::Config {
        &self.data
    }

    fn parts_mut(&mut self) -> (&mut RunConfig, &mut enas_data::Config) {
        (&mut self.run, &mut self.data)
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.run.validate()?;
        trainings_alone(&self.run)?;
        data(&self.data)?;
        once(&self.run, &self.data)?;
        child(&self.child)?;
        schedule(&self.schedule)?;
        controller(&self.controller)?;
        within("controller.steps", self.controller.steps as u64, 1, MOST)?;
        strategy(&self.strategy)?;
        at_least("reward.batch_size", self.reward.batch_size as u64, 1)?;
        within("select.samples", self.select.samples as u64, 1, MOST_ARCS)?;
        within("select.random", self.select.random as u64, 0, MOST_ARCS)?;
        macro_net(self.macro_net.as_ref())?;
        space(self)?;
        phases(self)
    }
}

/// Refuses settings that only searches for cells support.
fn space(config: &SearchConfig) -> Result<(), Invalid> {
    if config.space == SpaceKind::Micro {
        return Ok(());
    }
    let wide = matches!(config.strategy, StrategyConfig::Wide {});
    let refused = [
        ("finals.steps", config.finals.are_wanted(), "finals train cells only; set finals.steps=0"),
        ("limits", !config.limits.is_empty(), "limits are kept by finals, which train cells only"),
        ("strategy.kind", wide, "\"wide\" is a kind of cells; choose reinforce, evolution or uniform"),
    ];
    match refused.into_iter().find(|(_, is_set, _)| *is_set) {
        Some((key, _, why)) => {
            Err(Invalid { key: key.into(), problem: format!("{key} with space = \"macro\": {why}") })
        }
        None => Ok(()),
    }
}

/// Validates the sizes of evolution.
fn strategy(config: &StrategyConfig) -> Result<(), Invalid> {
    let StrategyConfig::Evolution(EvolutionConfig { population, sample }) = *config else { return Ok(()) };
    within("strategy.population", population as u64, 1, MOST_ARCS)?;
    within("strategy.sample", sample as u64, 1, MOST_ARCS)
}

/// Validates warm-up, finals and limits.
fn phases(config: &SearchConfig) -> Result<(), Invalid> {
    let SearchConfig { warmup, finals, limits, .. } = config;
    within("warmup.updates", warmup.updates, 0, MOST)?;
    share("warmup.fair", warmup.fair)?;
    share("warmup.collapse", warmup.collapse)?;
    let counts = [
        ("finals.policy", finals.policy),
        ("finals.wide", finals.wide),
        ("finals.random", finals.random),
        ("finals.mutants", finals.mutants),
        ("finals.controls", finals.controls),
    ];
    counts.into_iter().try_for_each(|(key, n)| within(key, n as u64, 0, MOST_ARCS))?;
    within("finals.steps", finals.steps, 0, MOST)?;
    let sizes = [("finals.filters", finals.filters), ("finals.layers", finals.layers)];
    sizes.into_iter().try_for_each(|(key, n)| n.map_or(Ok(()), |n| within(key, n as u64, 1, MOST)))?;
    let needs_finals = |key: &str| Invalid {
        key: key.into(),
        problem: format!(
            "{key} needs finals: set finals.steps, and finals.wide or finals.random, to 1 or more"
        ),
    };
    match limits.latency_ms {
        Some(ms) if !(ms > 0.0 && ms.is_finite()) => {
            let problem = format!("limits.latency_ms = {ms} is out of range; allowed: above 0");
            Err(Invalid { key: "limits.latency_ms".into(), problem })
        }
        _ if !limits.is_empty() && !finals.are_wanted() => Err(needs_finals("limits")),
        _ => Ok(()),
    }
}

impl Settings for TrainConfig {
    const KIND: Kind = Kind::Train;

    fn of_preset(preset: &Preset) -> &'static str {
        preset.train
    }

    fn run(&self) -> &RunConfig {
        &self.run
    }

    fn data(&self) -> &enas_data::Config {
        &self.data
    }

    fn parts_mut(&mut self) -> (&mut RunConfig, &mut enas_data::Config) {
        (&mut self.run, &mut self.data)
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.run.validate()?;
        data(&self.data)?;
        once(&self.run, &self.data)?;
        child(&self.child)?;
        macro_net(self.macro_net.as_ref())?;
        self.refit.check(self)?;
        schedule(&self.schedule)
    }
}

impl RunConfig {
    fn validate(&self) -> Result<(), Invalid> {
        within("run.epochs", self.epochs, 1, MOST)?;
        within("run.passes", self.passes, 1, MOST)?;
        at_least("run.batch_size", self.batch_size as u64, 1)?;
        at_least("run.eval_batch", self.eval_batch as u64, 1)?;
        let key = "run.class_weights";
        self.class_weights
            .check()
            .map_err(|problem| Invalid { key: key.into(), problem: format!("{key}: {problem}") })?;
        at_least("run.log_every", self.log_every, 1)?;
        share("run.label_smoothing", self.label_smoothing)?;
        share("run.ema_decay", self.ema_decay)?;
        within("run.bn_reestimate", self.bn_reestimate, 0, MOST)?;
        within("run.patience", self.patience, 0, MOST)?;
        if self.ema_decay > 0.0 && self.bn_reestimate == 0 {
            let problem = "run.ema_decay needs run.bn_reestimate = 1 or more: averaged weights need statistics of their \
                           own";
            return Err(Invalid { key: "run.ema_decay".into(), problem: problem.into() });
        }
        Ok(())
    }
}

/// Refuses settings of trainings that a search would ignore.
fn trainings_alone(run: &RunConfig) -> Result<(), Invalid> {
    let settings = [
        ("run.ema_decay", run.ema_decay.to_string(), run.ema_decay != 0.0),
        ("run.bn_reestimate", run.bn_reestimate.to_string(), run.bn_reestimate != 0),
        ("run.patience", run.patience.to_string(), run.patience != 0),
        ("run.tta", "\"flip\"".to_owned(), run.tta != Tta::None),
    ];
    match settings.into_iter().find(|(_, _, is_set)| *is_set) {
        Some((key, value, _)) => {
            let problem = format!("{key} = {value} is for trainings; leave it off for a search");
            Err(Invalid { key: key.into(), problem })
        }
        None => Ok(()),
    }
}

/// Requires a number in [0, 1).
fn share(key: &str, value: f32) -> Result<(), Invalid> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    let problem = format!("{key} = {value} is out of range; allowed: 0 or more and below 1");
    Err(Invalid { key: key.to_owned(), problem })
}

/// Refuses balancing by class weights and by sampling at the same time.
fn once(run: &RunConfig, data: &enas_data::Config) -> Result<(), Invalid> {
    if run.class_weights != ClassWeights::Balanced || data.sampling != enas_data::Sampling::Balanced {
        return Ok(());
    }
    let problem = "run.class_weights = \"balanced\" together with data.sampling = \"balanced\" would make rare classes \
                   count more than the others; choose one of them";
    Err(Invalid { key: "run.class_weights".into(), problem: problem.into() })
}

/// Maximum number of arcs that are scored at the end of a search.
const MOST_ARCS: u64 = 1_000_000;

fn within(key: &str, value: u64, low: u64, high: u64) -> Result<(), Invalid> {
    at_least(key, value, low)?;
    if value <= high {
        return Ok(());
    }
    let problem = format!("{key} = {value} is out of range; allowed: {high} or less");
    Err(Invalid { key: key.to_owned(), problem })
}

fn at_least(key: &str, value: u64, low: u64) -> Result<(), Invalid> {
    if value >= low {
        return Ok(());
    }
    let problem = format!("{key} = {value} is out of range; allowed: {low} or more");
    Err(Invalid { key: key.to_owned(), problem })
}

fn data(config: &enas_data::Config) -> Result<(), Invalid> {
    config.check().map_err(|e| {
        let key = match &e {
            enas_data::Error::Config { key, .. } => format!("data.{key}"),
            _ => "data".to_owned(),
        };
        Invalid { key, problem: e.to_string() }
    })
}

fn controller(config: &enas_controller::Config) -> Result<(), Invalid> {
    config.validate().map_err(|e| {
        let key = match &e {
            enas_controller::Error::Config { key, .. } => format!("controller.{key}"),
            _ => "controller".to_owned(),
        };
        Invalid { key, problem: e.to_string() }
    })
}

fn child(config: &enas_child::Config) -> Result<(), Invalid> {
    config.validate().map_err(of_child)
}

fn macro_net(config: Option<&MacroConfig>) -> Result<(), Invalid> {
    config.map_or(Ok(()), |config| config.validate().map_err(of_child))
}

fn schedule(schedule: &Schedule) -> Result<(), Invalid> {
    schedule.validate().map_err(of_child)
}

fn of_child(error: enas_child::Error) -> Invalid {
    let key = match &error {
        enas_child::Error::Config { key, .. } => (*key).to_owned(),
        _ => "child".to_owned(),
    };
    Invalid { key, problem: error.to_string() }
}
