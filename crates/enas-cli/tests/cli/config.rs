//! `enas config`.

use enas_testing::program::{json, refused, stdout, temp};

#[test]
fn presets_are_listed_with_quick_first() {
    let folder = temp();
    let listed = json(folder.path(), &["config", "presets"]);
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names[0], "quick");
    assert!(names.contains(&"folder") && names.contains(&"reference-mnist"), "{names:?}");
    let human = stdout(folder.path(), &["config", "presets"]);
    assert_eq!(human.lines().count(), names.len());
}

#[test]
fn what_show_prints_is_a_file_that_check_accepts() {
    let folder = temp();
    let folder = folder.path();
    for preset in json(folder, &["config", "presets"]).as_array().unwrap() {
        for job in ["search", "train"] {
            let name = preset["name"].as_str().unwrap();
            let shown = stdout(folder, &["config", "show", "--for", job, "--preset", name]);
            std::fs::write(folder.join("my.toml"), shown).unwrap();
            let checked = stdout(folder, &["config", "check", "my.toml"]);
            assert_eq!(checked, format!("my.toml: ok, settings for `enas {job}`\n"), "{name}");
        }
    }
}

#[test]
fn set_wins_over_the_file_and_flags_over_set() {
    let folder = temp();
    let folder = folder.path();
    std::fs::write(folder.join("my.toml"), stdout(folder, &["config", "show", "--set", "run.epochs=7"]))
        .unwrap();
    let show = |more: &[&str]| json(folder, &[&["config", "show", "--config", "my.toml"], more].concat());
    assert_eq!(show(&[])["run"]["epochs"], 7);
    let set = ["--set", "run.epochs=8", "--set", "run.seed=5"];
    assert_eq!(show(&set)["run"]["epochs"], 8);
    assert_eq!(show(&set)["run"]["seed"], 5);
    assert_eq!(show(&[&set[..], &["--seed", "6"]].concat())["run"]["seed"], 6);
}

#[test]
fn mistakes_in_a_file_are_named_by_line() {
    let folder = temp();
    let folder = folder.path();
    let good = stdout(folder, &["config", "show"]);
    let line = 1 + good.lines().position(|line| line.starts_with("filters = ")).unwrap();
    let cases = [
        ("filters = ", "filters = 3 #", "child.filters = 3 is out of range; allowed: even numbers"),
        ("filters = ", "filterz = 3 #", "unknown field `filterz`"),
    ];
    for (before, after, fragment) in cases {
        std::fs::write(folder.join("my.toml"), good.replacen(before, after, 1)).unwrap();
        let at = format!("error: my.toml:{line}: ");
        refused(folder, &["config", "check", "my.toml"], 2, &at);
        refused(folder, &["config", "check", "my.toml"], 2, fragment);
        refused(folder, &["search", "--config", "my.toml"], 2, fragment);
    }
    std::fs::write(folder.join("my.toml"), "run = {").unwrap();
    refused(folder, &["config", "check", "my.toml"], 2, "error: my.toml:1: ");
    refused(folder, &["config", "check", "none.toml"], 2, "none.toml");
    refused(folder, &["config", "check"], 2, "<FILE>");
    std::fs::write(folder.join("my.toml"), &good).unwrap();
    refused(folder, &["config", "check", "my.toml", "--set", "child.filters=3"], 2, "--set child.filters=3");
    refused(folder, &["config", "show", "--preset", "nope"], 2, "there is no such preset");
}
