//! The settings that differ from those a run was started with, and whether the differences affect results.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::setting_change::{RESULT_NEUTRAL, SettingChange};

/// Settings as plain data, for storing and comparing.
pub fn plain(settings: &impl Serialize) -> Value {
    serde_json::to_value(settings).expect("a configuration is plain data")
}

/// Stored settings, completed by the defaults of this version, so that a new key is not a difference.
pub fn completed<C: Settings>(stored: &Value) -> Value {
    serde_json::from_value::<C>(stored.clone()).map_or_else(|_| stored.clone(), |settings| plain(&settings))
}

/// Compares settings with those of the run in `dir`. Returns the differences that do not affect results.
///
/// # Errors
/// [`Error::SettingsChanged`] with the differences that affect results.
pub fn accept(dir: &Path, of_run: &Value, asked: &Value) -> Result<Vec<SettingChange>> {
    let (harmless, harmful): (Vec<_>, Vec<_>) =
        between(of_run, asked).into_iter().partition(|change| RESULT_NEUTRAL.contains(&change.key.as_str()));
    if harmful.is_empty() {
        return Ok(harmless);
    }
    Err(Error::SettingsChanged { run: dir.to_owned(), changes: harmful })
}

/// All settings that differ, sorted by key.
fn between(of_run: &Value, asked: &Value) -> Vec<SettingChange> {
    let mut old = BTreeMap::new();
    let mut new = BTreeMap::new();
    collect("", of_run, &mut old);
    collect("", asked, &mut new);
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |value: Option<&&Value>| value.map_or_else(|| "not set".to_owned(), ToString::to_string);
    let change = |key: &String| SettingChange {
        key: key.clone(),
        of_run: text(old.get(key)),
        asked: text(new.get(key)),
    };
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).map(change).collect()
}

/// The values of all keys; null counts as absent.
fn collect<'a>(key: &str, value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            collect(&key, value, found);
        }),
        Value::Null => {}
        _ => drop(found.insert(key.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{ConfigBuilder, SearchConfig};

    fn config(assignments: &[&str]) -> Value {
        let layers = assignments.iter().fold(ConfigBuilder::preset("quick"), |layers, a| layers.set(*a));
        plain(&layers.load::<SearchConfig>().unwrap())
    }

    #[test]
    fn the_differences_are_found_by_their_keys() {
        let (old, new) =
            (json!({"a": {"b": 1, "c": null}, "d": 2.5}), json!({"a": {"b": 2, "e": "x"}, "d": 2.5}));
        let found = between(&old, &new);
        let expected = [("a.b", "1", "2"), ("a.e", "not set", "\"x\"")];
        let expected = expected.map(|(key, of_run, asked)| SettingChange {
            key: key.into(),
            of_run: of_run.into(),
            asked: asked.into(),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn what_no_result_depends_on_is_taken_over_and_the_rest_is_listed() {
        let of_run = config(&[]);
        let harmless = config(&[
            "run.log_every=7",
            "run.checkpoint_seconds=9",
            "run.time=2h",
            "run.memory=1G",
            "data.path=moved",
        ]);
        assert_eq!(accept(Path::new("r"), &of_run, &harmless).unwrap().len(), RESULT_NEUTRAL.len());
        let harmful = config(&[
            "run.log_every=7",
            "child.filters=8",
            "run.epochs=3",
            "schedule.kind=staircase",
            "schedule.lr=0.1",
            "schedule.rate=0.5",
            "schedule.every=3",
        ]);
        let error = accept(Path::new("r"), &of_run, &harmful).unwrap_err();
        assert!(error.is_usage());
        let text = error.to_string();
        for part in [
            "r: ",
            "child.filters: 16 in the run, 8 asked for",
            "run.epochs: ",
            "schedule.t_0: 30 in the run, \
            not set asked for",
            "start a new run",
        ] {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
        assert!(!text.contains("log_every: "), "{text}");
    }

    #[test]
    fn a_key_that_an_earlier_version_did_not_know_is_no_difference() {
        let now = config(&[]);
        let mut then = now.clone();
        then["run"].as_object_mut().unwrap().remove("activations");
        assert_eq!(accept(Path::new("r"), &completed::<SearchConfig>(&then), &now).unwrap(), []);
    }

    #[test]
    fn every_harmless_key_is_a_key() {
        let config = config(&[]);
        let mut keys = BTreeMap::new();
        collect("", &config, &mut keys);
        assert!(RESULT_NEUTRAL.iter().all(|key| keys.contains_key(*key)));
    }
}
