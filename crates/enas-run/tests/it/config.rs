//! Presets, files and assignments, and what is said when they are wrong.

use std::path::Path;

use enas_run::{
    ConfigBuilder, Error, SearchConfig, Settings, TrainConfig, presets, published_arcs, read_arc,
};

fn configs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")
}

fn search_error(layers: &ConfigBuilder) -> String {
    let error = layers.load::<SearchConfig>().unwrap_err();
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

#[test]
fn every_file_in_configs_is_a_preset_and_every_preset_is_valid() {
    let mut files: Vec<String> = std::fs::read_dir(configs())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    files.sort();
    let mut expected: Vec<String> = presets()
        .iter()
        .flat_map(|p| [format!("{}.search.toml", p.name), format!("{}.train.toml", p.name)])
        .collect();
    expected.extend(["default.search.toml", "default.train.toml"].map(str::to_owned));
    expected.sort();
    assert_eq!(files, expected);
    for preset in presets() {
        let search: SearchConfig = ConfigBuilder::preset(preset.name).load().unwrap();
        let train: TrainConfig = ConfigBuilder::preset(preset.name).load().unwrap();
        let file = |kind| ConfigBuilder::file(configs().join(format!("{}.{kind}.toml", preset.name)));
        assert_eq!(file("search").load::<SearchConfig>().unwrap(), search);
        assert_eq!(file("train").load::<TrainConfig>().unwrap(), train);
    }
    // The defaults are complete files, and the preset quick changes nothing in them.
    let file = |command| ConfigBuilder::file(configs().join(format!("default.{command}.toml")));
    assert_eq!(file("search").load::<SearchConfig>().unwrap(), SearchConfig::default());
    assert_eq!(file("train").load::<TrainConfig>().unwrap(), TrainConfig::default());
}

/// The settings of a table, each with its dotted key.
fn flattened(table: &toml::Table, place: &str) -> Vec<(String, toml::Value)> {
    let one = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(inner) => flattened(inner, &format!("{place}{key}.")),
        value => vec![(format!("{place}{key}"), value.clone())],
    };
    table.iter().flat_map(one).collect()
}

/// All settings of a configuration, as in `enas config show`.
fn effective(config: &impl Settings) -> Vec<(String, toml::Value)> {
    flattened(&toml::from_str(&toml::to_string(config).unwrap()).unwrap(), "")
}

#[test]
fn presets_have_the_settings_of_the_golden_file() {
    let golden: toml::Table = toml::from_str(include_str!("../goldens/presets.toml")).unwrap();
    let mut names: Vec<&str> = golden.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut expected: Vec<&str> = presets().iter().map(|preset| preset.name).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for (name, kinds) in &golden {
        compare::<SearchConfig>(name, kinds);
        compare::<TrainConfig>(name, kinds);
    }
}

/// Compares a preset with the golden settings, first key by key, to name the one that differs.
fn compare<C: Settings + PartialEq + std::fmt::Debug>(name: &str, kinds: &toml::Value) {
    let golden = kinds[C::KIND.to_string().as_str()].as_table().unwrap();
    let expected: C = golden.clone().try_into().unwrap();
    let preset: C = ConfigBuilder::preset(name).load().unwrap();
    assert_eq!(effective(&preset), effective(&expected), "{name}");
    assert_eq!(preset, expected, "{name}");
    let named = |settings: &[(String, toml::Value)]| -> Vec<String> {
        let mut keys: Vec<String> = settings.iter().map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys
    };
    assert_eq!(
        named(&effective(&preset)),
        named(&flattened(golden, "")),
        "{name}: the golden names every key"
    );
}

#[test]
fn presets_hold_only_what_differs_from_the_defaults() {
    let differing = |defaults: &str, preset: &str, name: &str| {
        let defaults = flattened(&toml::from_str(defaults).unwrap(), "");
        for setting in flattened(&toml::from_str(preset).unwrap(), "") {
            assert!(!defaults.contains(&setting), "{name}: {setting:?} is the default");
        }
    };
    for preset in presets() {
        differing(SearchConfig::defaults(), preset.search, preset.name);
        differing(TrainConfig::defaults(), preset.train, preset.name);
    }
}

#[test]
fn the_default_files_name_every_key() {
    // A key that is not in them would be one that their readers do not learn about.
    let keys = |settings: Vec<(String, toml::Value)>| -> Vec<String> {
        let mut keys: Vec<String> = settings.into_iter().map(|(key, _)| key).collect();
        keys.sort();
        keys
    };
    let written = |text: &str| keys(flattened(&toml::from_str(text).unwrap(), ""));
    assert_eq!(written(SearchConfig::defaults()), keys(effective(&SearchConfig::default())));
    assert_eq!(written(TrainConfig::defaults()), keys(effective(&TrainConfig::default())));
}

#[test]
fn reference_presets_have_the_published_values() {
    let search: SearchConfig = ConfigBuilder::preset("reference-mnist").load().unwrap();
    assert_eq!(search.controller, enas_controller::Config::reference());
    assert_eq!((search.child.filters, search.child.layers, search.run.batch_size), (20, 6, 160));
    assert_eq!(search.child.reductions, enas_child::Reductions::Two);
    assert!(search.reward.dropout && !search.run.fit_schedule);
    let train: TrainConfig = ConfigBuilder::preset("reference-mnist").load().unwrap();
    assert_eq!((train.child.filters, train.child.layers, train.data.augment.n_aug), (16, 15, 3));
    assert_eq!(train.child.reductions, enas_child::Reductions::Three);
}

#[test]
fn published_arcs_parse_and_are_readable_as_files() {
    let arcs = published_arcs();
    assert_eq!(arcs.len(), 6);
    for published in arcs {
        assert_eq!(published.arc.n_nodes(), 5);
        assert!(published.source.contains("2018"), "{}", published.source);
        assert_eq!(read_arc(&configs().join(format!("arcs/{}.txt", published.name))).unwrap(), published.arc);
    }
}

#[test]
fn assignments_win_over_the_base_and_the_last_one_most() {
    let layers = ConfigBuilder::preset("quick")
        .set("run.seed=3")
        .set("run.seed = 4")
        .set("data.path=7")
        .set("run.time=30m");
    let config: SearchConfig = layers.load().unwrap();
    assert_eq!((config.run.seed, config.data.path.to_str()), (4, Some("7")));
    assert_eq!(config.run.time.to_string(), "30m");
    let config: SearchConfig =
        ConfigBuilder::preset("quick").set(r#"data.path="a b""#).set("controller.lr=1").load().unwrap();
    assert_eq!((config.controller.lr, config.data.path.to_str()), (1.0, Some("a b")));
}

#[test]
fn optional_keys_can_be_added_and_taken_out() {
    let config: SearchConfig = ConfigBuilder::preset("quick")
        .set("controller.anneal.tanh_constant_end=")
        .set("controller.anneal.temperature_end=0.5")
        .set("controller.temperature=2.0")
        .load()
        .unwrap();
    let anneal = config.controller.anneal.unwrap();
    assert_eq!((anneal.tanh_constant_end, anneal.temperature_end), (None, Some(0.5)));
    assert_eq!(config.controller.temperature, Some(2.0));
}

#[test]
fn another_kind_of_schedule_replaces_the_table() {
    let stairs = ConfigBuilder::preset("quick").set("schedule.kind=staircase").set("schedule.lr=0.1");
    let config: TrainConfig = stairs.clone().set("schedule.rate=0.5").set("schedule.every=3").load().unwrap();
    assert_eq!(config.schedule.lr(3), 0.05);
    let error = stairs.load::<TrainConfig>().unwrap_err().to_string();
    assert!(error.contains("schedule.kind=staircase") && error.contains("rate"), "{error}");
}

#[test]
fn a_wrong_key_is_answered_with_the_nearest_one() {
    for (assignment, suggestion) in [
        ("run.epoch=3", "run.epochs"),
        ("child.filter=3", "child.filters"),
        ("epochs=3", "run.epochs"),
        ("augment.flip=true", "data.augment.flip"),
    ] {
        let message = search_error(&ConfigBuilder::preset("quick").set(assignment));
        assert!(message.starts_with(&format!("--set {assignment}: ")), "{message}");
        assert!(message.ends_with(&format!("did you mean {suggestion}?")), "{message}");
    }
}

#[test]
fn a_key_that_resembles_none_gets_no_suggestion() {
    let message = search_error(&ConfigBuilder::preset("quick").set("a=b"));
    assert!(message.ends_with("there is no key a"), "{message}");
}

#[test]
fn a_wrong_assignment_is_quoted_with_what_would_be_right() {
    for (assignment, expected) in [
        ("run.epochs", "write key.path=value"),
        ("run..epochs=1", "write key.path=value"),
        ("run.epochs=many", "expected a whole number"),
        ("run.epochs=1e3", "expected a whole number"),
        ("run.epochs=0", "run.epochs = 0 is out of range; allowed: 1 or more"),
        ("child.filters=3", "even numbers"),
        ("child.aux_head=on", "expected one of `off`, `frozen`, `trained`"),
        ("controller.aggregate=0", "controller.aggregate"),
        ("data.channels=2", "1 (grey) or 3 (colour)"),
        ("run.time=soon", "90s, 30m, 2h"),
        ("schedule.t_0=0", "1 or more epochs"),
        ("run=3", "this is a table"),
        ("run.epochs.x=3", "has no keys"),
        ("select.samples=0", "select.samples"),
    ] {
        let message = search_error(&ConfigBuilder::preset("quick").set("run.seed=5").set(assignment));
        assert!(message.starts_with(&format!("--set {assignment}: ")), "{assignment}: {message}");
        assert!(message.contains(expected), "{assignment}: {message}");
    }
}

#[test]
fn classes_are_not_balanced_twice() {
    let both = ConfigBuilder::preset("quick").set("data.sampling=balanced").set("run.class_weights=balanced");
    let message = search_error(&both);
    assert!(
        message.starts_with("--set run.class_weights=balanced: ") && message.contains("choose one"),
        "{message}"
    );
    let config: TrainConfig = both.set("run.class_weights=[1, 2.5]").load().unwrap();
    assert_eq!(config.run.class_weights, enas_run::ClassWeights::Given(vec![1.0, 2.5]));
}

#[test]
fn files_of_earlier_versions_mean_what_they_meant() {
    let dir = tempfile::tempdir().unwrap();
    for (file, name) in [("default.search.toml", "search"), ("default.train.toml", "train")] {
        let text = std::fs::read_to_string(configs().join(file)).unwrap();
        let new = [
            "class_weights",
            "sampling",
            "metric",
            "label_smoothing",
            "ema_decay",
            "bn_reestimate",
            "passes",
            "patience",
            "tta",
            "per_step",
            "warmup_epochs",
            "operations",
            "magnitude",
            "erasing",
            "mixup",
            "cutmix",
        ];
        let is_old = |line: &&str| !new.iter().any(|key| line.starts_with(&format!("{key} = ")));
        let old: Vec<&str> = text.lines().filter(is_old).collect();
        let path = dir.path().join(file);
        std::fs::write(&path, old.join("\n")).unwrap();
        match name {
            "search" => assert_eq!(
                ConfigBuilder::file(&path).load::<SearchConfig>().unwrap(),
                ConfigBuilder::preset("quick").set("reward.metric=accuracy").load().unwrap()
            ),
            _ => assert_eq!(
                ConfigBuilder::file(&path).load::<TrainConfig>().unwrap(),
                ConfigBuilder::preset("quick").load().unwrap()
            ),
        }
    }
}

#[test]
fn a_mistake_in_a_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    let defaults = SearchConfig::defaults();
    for (from, to, expected) in [
        ("epochs = ", "epoch = ", "unknown field `epoch`"),
        ("filters = 16", "filters = \"many\"", "expected usize"),
        ("filters = 16", "filters = 0", "child.filters = 0 is out of range; allowed: 2 to 4096"),
        ("[child]", "[child", "]"),
    ] {
        let text = defaults.replacen(from, to, 1);
        let line = 1 + text.lines().position(|l| l.contains(to)).unwrap();
        std::fs::write(&path, text).unwrap();
        let message = search_error(&ConfigBuilder::file(&path));
        assert!(message.contains(&format!("my.toml:{line}: ")), "line {line}: {message}");
        assert!(message.contains(expected), "{message}");
    }
    let missing = ConfigBuilder::file(dir.path().join("no.toml")).load::<SearchConfig>().unwrap_err();
    assert!(matches!(missing, Error::Io { .. }) && missing.to_string().contains("no.toml"), "{missing}");
}

#[test]
fn a_preset_for_the_other_command_or_of_another_name_is_refused() {
    let message = search_error(&ConfigBuilder::file(configs().join("default.train.toml")));
    assert!(message.contains("unknown field `keep`") && message.contains("`search`"), "{message}");
    let message = search_error(&ConfigBuilder::preset("quik"));
    assert!(message.contains("preset quik") && message.contains("quick, mnist"), "{message}");
}
