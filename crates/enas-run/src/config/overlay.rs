//! Presets hold only what differs from the defaults; this puts both together.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The key of a preset that lists the optional tables and keys of the defaults that it does not have.
const ABSENT: &str = "absent";

/// Reads the text of a preset on top of the text of the defaults.
///
/// # Errors
/// If a text is not TOML or the settings are not those of `C`. Only errors of syntax have a place in the text.
pub(super) fn read<C: DeserializeOwned>(defaults: &str, preset: &str) -> Result<C, toml::de::Error> {
    let mut settings: Table = toml::from_str(defaults)?;
    let mut own: Table = toml::from_str(preset)?;
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

    const DEFAULTS: &str = "a = 1\nb = 2\n[t]\nkind = \"x\"\nx = 3\n[t.inner]\ny = 4\nz = 5\n";

    fn settings(preset: &str) -> String {
        toml::to_string(&read::<Table>(DEFAULTS, preset).unwrap()).unwrap()
    }

    #[test]
    fn own_values_win_and_all_others_stay() {
        assert_eq!(settings(""), DEFAULTS.replace("[t.inner]", "\n[t.inner]").replace("[t]", "\n[t]"));
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
        let error = read::<Table>(DEFAULTS, "a = \n").unwrap_err();
        assert!(error.span().is_some(), "{error}");
    }
}
