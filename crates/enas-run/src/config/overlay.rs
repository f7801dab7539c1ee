//! A configuration that extends the defaults holds only what differs from them; this puts both together. All presets
//! are of this kind.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The key that marks a text that extends the defaults, and its value.
const EXTENDS: &str = "extends";
const DEFAULTS: &str = "defaults";
/// The key of such a text that lists the optional tables and keys of the defaults that it does not have.
const ABSENT: &str = "absent";

/// Reads a text of settings: all of them, or on top of `defaults` if it says so.
///
/// # Errors
/// If a text is not TOML or the settings are not those of `C`. In a text that extends the defaults, only errors of
/// syntax have a place.
pub(super) fn read<C: DeserializeOwned>(defaults: &str, text: &str) -> Result<C, toml::de::Error> {
    let mut own: Table = toml::from_str(text)?;
    match own.remove(EXTENDS) {
        None => return toml::from_str(text),
        Some(Value::String(base)) if base == DEFAULTS => {}
        Some(other) => {
            let problem = format!("{EXTENDS} is {other}; it can only be \"{DEFAULTS}\"");
            return Err(serde::de::Error::custom(problem));
        }
    }
    let mut settings: Table = toml::from_str(defaults)?;
    let absent = own.remove(ABSENT);
    for key in absent.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str) {
        remove(&mut settings, key);
    }
    overlay(&mut settings, own);
    settings.try_into()
}

/// Removes a dotted key.
fn remove(table: &mut Table, key: &str) {
    match key.split_once('.') {
        None => drop(table.remove(key)),
        Some((first, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

/// Sets the values of `own`, table by table. A table of another `kind` replaces the old one, whose keys belong to the
/// old kind.
fn overlay(settings: &mut Table, own: Table) {
    for (key, value) in own {
        match (settings.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) if !is_of_another_kind(old, &new) => {
                overlay(old, new)
            }
            (_, value) => drop(settings.insert(key, value)),
        }
    }
}

fn is_of_another_kind(old: &Table, new: &Table) -> bool {
    new.get("kind").is_some_and(|kind| old.get("kind") != Some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "a = 1\nb = 2\n[t]\nkind = \"x\"\nx = 3\n[t.inner]\ny = 4\nz = 5\n";

    fn settings(own: &str) -> String {
        let text = format!("extends = \"defaults\"\n{own}");
        toml::to_string(&read::<Table>(BASE, &text).unwrap()).unwrap()
    }

    #[test]
    fn own_values_win_and_all_others_stay() {
        assert_eq!(settings(""), BASE.replace("[t.inner]", "\n[t.inner]").replace("[t]", "\n[t]"));
        let changed = settings("b = 7\n[t.inner]\nz = 8\n[new]\nn = 9\n");
        for line in ["a = 1", "b = 7", "x = 3", "y = 4", "z = 8", "n = 9"] {
            assert!(changed.lines().any(|l| l == line), "no {line} in {changed}");
        }
    }

    #[test]
    fn absent_keys_and_tables_of_another_kind_are_removed() {
        let without = settings("absent = [\"b\", \"t.inner\", \"nothing.there\"]");
        assert_eq!(without, "a = 1\n\n[t]\nkind = \"x\"\nx = 3\n");
        let of_another_kind = settings("[t]\nkind = \"other\"\n");
        assert_eq!(of_another_kind, "a = 1\nb = 2\n\n[t]\nkind = \"other\"\n");
    }

    #[test]
    fn errors_of_syntax_have_a_place() {
        let error = read::<Table>(BASE, "a = \n").unwrap_err();
        assert!(error.span().is_some(), "{error}");
    }

    #[test]
    fn only_a_text_that_says_so_extends_the_defaults() {
        assert_eq!(toml::to_string(&read::<Table>(BASE, "b = 7\n").unwrap()).unwrap(), "b = 7\n");
        let error = read::<Table>(BASE, "extends = \"quick\"\n").unwrap_err();
        assert!(error.message().contains("it can only be"), "{error}");
    }
}
