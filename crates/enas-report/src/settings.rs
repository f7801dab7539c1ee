//! The settings of a run as a flat list, independent of the version that wrote them.

use std::path::Path;

use enas_run::{SMALL_FILE, read_plain_text};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Dotted keys with their values, in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunSettings {
    /// Values in TOML notation, but strings without quotes.
    pub all: Vec<(String, String)>,
    table: Table,
}

impl RunSettings {
    /// Reads a file; returns no settings if it is missing or not valid TOML.
    pub fn read(path: &Path) -> Self {
        let table = read_plain_text(path, SMALL_FILE).ok().and_then(|text| text.parse::<Table>().ok());
        let mut all = Vec::new();
        let table = table.unwrap_or_default();
        collect("", &table, &mut all);
        Self { all, table }
    }

    /// Deserialises a section.
    ///
    /// # Errors
    /// If the section is missing or does not fit `T`, for example because another version wrote it.
    pub fn section<T: DeserializeOwned>(&self, key: &str) -> Result<T, String> {
        let value = self.table.get(key).ok_or_else(|| format!("config.toml has no section {key}"))?;
        value
            .clone()
            .try_into()
            .map_err(|e: toml::de::Error| format!("config.toml, section {key}: {}", e.message()))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<String> {
        self.all.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone())
    }

    /// The value of a key that holds a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}

fn collect(prefix: &str, table: &Table, all: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => collect(&format!("{key}."), inner, all),
            Value::String(text) => all.push((key, text.clone())),
            other => all.push((key, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_dotted_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "keep = \"best\"\n[run]\nseed = 7\n[run.x]\ny = [1, 2]\n").unwrap();
        let settings = RunSettings::read(&path);
        assert_eq!(settings.get("keep").as_deref(), Some("best"));
        assert_eq!(
            (settings.number("run.seed"), settings.get("run.x.y").as_deref()),
            (Some(7), Some("[1, 2]"))
        );
        assert_eq!(RunSettings::read(&dir.path().join("missing")), RunSettings::default());
    }
}
