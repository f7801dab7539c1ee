//! Assignments `key.path=value`, and what is said about wrong ones.

use toml::{Table, Value};

use super::settings::Settings;
use crate::error::{ConfigError, Result};

/// One assignment `key.path=value`.
pub(super) struct Assignment {
    pub(super) key: String,
    value: String,
}

impl Assignment {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let whole = |(key, value): (&str, &str)| {
            let key = key.trim().to_owned();
            let value = value.trim().to_owned();
            (!key.split('.').any(str::is_empty)).then_some(Self { key, value })
        };
        text.split_once('=').and_then(whole).ok_or_else(|| ConfigError {
            place: format!("--set {text}"),
            problem: "write key.path=value, such as run.epochs=10".into(),
        })
    }

    pub(super) fn place(&self) -> String {
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
pub(super) fn assign<C: Settings>(base: &C, assignments: &[Assignment]) -> Result<C> {
    let table = Table::try_from(base).expect("a configuration is plain data");
    let known = keys(&table, "");
    let mut changed = table.clone();
    for assignment in assignments {
        assignment.apply(&mut changed)?;
    }
    changed
        .try_into()
        .map_err(|e: toml::de::Error| find_invalid::<C>(&table, &known, assignments, e.message()).into())
}

/// Finds the assignment that makes the configuration invalid, by applying each of them alone.
///
/// A key that is unknown among those of the base may still be a valid optional key. Unknown keys are therefore
/// reported only after reading has failed.
fn find_invalid<C: Settings>(
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
            let error = assignment.error(in_words(e.message()));
            return with_suggestion(error, assignment, known);
        }
    }
    let places: Vec<String> = assignments.iter().map(Assignment::place).collect();
    ConfigError { place: places.join(" "), problem: message.to_owned() }
}

/// The message of an error about a value, with words for the types of Rust.
fn in_words(message: &str) -> String {
    match message.rsplit_once(", expected ") {
        Some((before, "u8" | "u16" | "u32" | "u64" | "usize" | "i64")) => {
            format!("{before}, expected a whole number")
        }
        Some((before, "f32" | "f64")) => format!("{before}, expected a number"),
        _ => message.to_owned(),
    }
}

/// Adds the nearest known key to an error about an unknown key.
fn with_suggestion(mut error: ConfigError, assignment: &Assignment, known: &[String]) -> ConfigError {
    if known.contains(&assignment.key) || !error.problem.starts_with("unknown") {
        return error;
    }
    // A key that has next to nothing of the one written is no help.
    let distance = |k: &String| strsim::levenshtein(k, &assignment.key);
    let nearest =
        known.iter().min_by_key(|k| distance(k)).filter(|k| distance(k) < assignment.key.chars().count());
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
