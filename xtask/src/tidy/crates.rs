//! Rules about crates: which one may know which, which have tensors, where unsafe code is, and the map of them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::problem::Problem;

/// The crates of this workspace that each crate may depend on, including its tests.
///
/// A crate that is missing here violates the rule, so that every new crate is assigned to a layer.
const LAYERS: &[(&str, &[&str])] = &[
    ("enas-rng", &[]),
    ("enas-arc", &[]),
    ("enas-simd", &[]),
    ("enas-chart", &[]),
    ("enas-kernels", &["enas-rng", "enas-simd"]), // the former by its tests only
    ("enas-emulator", &["enas-kernels", "enas-rng"]),
    ("enas-data", &["enas-rng"]),
    ("enas-datasets", &["enas-data"]),
    ("enas-controller", &["enas-arc", "enas-kernels", "enas-rng", "enas-simd"]),
    ("enas-strategy", &["enas-arc", "enas-controller", "enas-rng", "enas-stats"]),
    ("enas-child", &["enas-arc", "enas-kernels", "enas-rng"]),
    ("enas-draw", &["enas-arc", "enas-chart", "enas-child", "enas-rng"]),
    (
        "enas-run",
        &[
            "enas-arc",
            "enas-child",
            "enas-controller",
            "enas-data",
            "enas-kernels",
            "enas-rng",
            "enas-stats",
            "enas-strategy",
        ],
    ),
    (
        "enas-search",
        &[
            "enas-arc",
            "enas-child",
            "enas-controller",
            "enas-data",
            "enas-kernels",
            "enas-rng",
            "enas-run",
            "enas-stats",
            "enas-strategy",
        ],
    ),
    // The tests of every crate may depend on it.
    ("enas-testing", &["enas-arc", "enas-data", "enas-emulator", "enas-kernels", "enas-rng", "enas-search"]),
    ("enas-stats", &["enas-rng"]),
    // The tests of the report and of the live view search and train: nothing else in them may know the loops.
    (
        "enas-report",
        &[
            "enas-arc",
            "enas-chart",
            "enas-child",
            "enas-data",
            "enas-draw",
            "enas-rng",
            "enas-run",
            "enas-search",
        ],
    ),
    ("enas-export", &["enas-arc", "enas-child", "enas-data", "enas-rng", "enas-run"]),
    ("enas-watch", &["enas-arc", "enas-data", "enas-draw", "enas-report", "enas-run", "enas-search"]),
    (
        "enas-study",
        &[
            "enas-arc",
            "enas-child",
            "enas-data",
            "enas-kernels",
            "enas-report",
            "enas-rng",
            "enas-search",
            "enas-stats",
        ],
    ),
    (
        "enas-cli",
        &[
            "enas-arc",
            "enas-child",
            "enas-controller",
            "enas-data",
            "enas-datasets",
            "enas-draw",
            "enas-export",
            "enas-kernels",
            "enas-report",
            "enas-rng",
            "enas-search",
            "enas-strategy",
            "enas-study",
            "enas-watch",
        ],
    ),
    ("xtask", &["enas-chart", "enas-data", "enas-datasets", "enas-rng"]), // the latter by its tests only
];

/// Crates whose networks, policies and runs use candle's tensors. Their users can rely on that.
const WITH_CANDLE: &[&str] = &["enas-kernels", "enas-child", "enas-controller", "enas-run", "enas-search"];

/// Crates that must not depend on candle unless a feature asks for it.
const WITHOUT_CANDLE: &[&str] = &[
    "enas-arc",
    "enas-chart",
    "enas-datasets",
    "enas-draw",
    "enas-emulator",
    "enas-rng",
    "enas-simd",
    "enas-strategy",
    "enas-stats",
    "xtask",
];

/// The only crates whose libraries may contain unsafe code.
const UNSAFE: [&str; 2] = ["enas-kernels", "enas-simd"];

/// The facts about a crate of this workspace that the rules need.
pub(super) struct Package {
    pub(super) name: String,
    dependencies: Vec<String>,
    /// Dependencies that only a feature enables.
    optional: Vec<String>,
    /// The root files of all compile targets: library, binaries, build script, tests, benchmarks, examples.
    pub(super) roots: Vec<String>,
}

pub(super) fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let list = |value: &Value, key: &str| {
        value[key].as_array().cloned().with_context(|| format!("cargo metadata has no {key}"))
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let package = |package: &Value| {
        let dependencies = list(package, "dependencies")?;
        let optional = dependencies.iter().filter(|dependency| dependency["optional"] == true);
        Ok(Package {
            name: text(&package["name"]),
            optional: optional.map(|dependency| text(&dependency["name"])).collect(),
            dependencies: dependencies
                .iter()
                .filter(|dependency| !is_for_tests(dependency))
                .map(|dependency| text(&dependency["name"]))
                .collect(),
            roots: list(package, "targets")?.iter().map(|target| text(&target["src_path"])).collect(),
        })
    };
    list(metadata, "packages")?.iter().map(package).collect()
}

/// Whether a dependency is the emulated GPU or the shared test code, used for tests only. Every crate may use them that
/// way.
fn is_for_tests(dependency: &Value) -> bool {
    let is_test_crate = dependency["name"] == "enas-emulator" || dependency["name"] == "enas-testing";
    is_test_crate && dependency["kind"] == "dev"
}

pub(super) fn layering(package: &Package) -> Vec<Problem> {
    let problem = |what, why| Problem { place: format!("{} (Cargo.toml)", package.name), what, why };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
        let what = "has no place in the layers; add it to LAYERS in xtask/src/tidy/crates.rs".into();
        return vec![problem(what, "a crate without a layer may soon depend on every other")];
    };
    let mut problems = Vec::new();
    for dependency in &package.dependencies {
        if (dependency.starts_with("enas-") || dependency == "xtask") && !allowed.contains(&&**dependency) {
            let what = format!("depends on {dependency}; it may know only {allowed:?}");
            problems.push(problem(
                what,
                "layers keep each crate readable and testable alone; child and controller meet in enas-run",
            ));
        }
        let is_tensors = dependency.starts_with("candle") && !package.optional.contains(dependency);
        if is_tensors && WITHOUT_CANDLE.contains(&&*package.name) {
            let what = format!("depends on {dependency}");
            problems.push(problem(
                what,
                "arcs, drawings and statistics are plain data, usable without a tensor library",
            ));
        }
    }
    let has_candle = package.dependencies.iter().any(|dependency| dependency.starts_with("candle"));
    if WITH_CANDLE.contains(&&*package.name) && !has_candle {
        let why = "what candle's users get and what the program computes with are the same tensors";
        problems.push(problem("does not depend on candle-core".into(), why));
    }
    problems
}

pub(super) fn unsafe_code(package: &str, path: &str, text: &str) -> Option<Problem> {
    let forbids = text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
    let may = UNSAFE.contains(&package) && path.ends_with("src/lib.rs");
    (!may && !forbids).then(|| Problem {
        place: path.to_owned(),
        what: "has no line #![forbid(unsafe_code)]".into(),
        why: "all unsafe code is in enas-kernels and enas-simd, where each use states its contract",
    })
}

pub(super) fn named_crates(architecture: &str, packages: &[Package]) -> Vec<Problem> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words = architecture.split(|c| !is_name(c)).map(|word| word.trim_matches('-'));
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("enas-") || *word == "xtask").collect();
    let existing: BTreeSet<&str> = packages.iter().map(|package| &*package.name).collect();
    let problem = |what| Problem {
        place: "ARCHITECTURE.md".into(),
        what,
        why: "a wrong list of crates misleads readers",
    };
    let missing = existing.difference(&named).map(|name| problem(format!("does not name the crate {name}")));
    let unknown =
        named.difference(&existing).map(|name| problem(format!("names {name}, which is not a crate")));
    missing.chain(unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            dependencies: dependencies.iter().map(|&d| d.into()).collect(),
            optional: vec![],
            roots: vec![],
        }
    }

    fn whats(problems: impl IntoIterator<Item = Problem>) -> Vec<String> {
        problems.into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn allowed_and_foreign_dependencies_are_fine() {
        assert_eq!(layering(&package("enas-child", &["enas-arc", "enas-rng", "candle-core", "serde"])), []);
    }

    #[test]
    fn the_network_stands_on_candle() {
        let problems = whats(layering(&package("enas-child", &["enas-arc"])));
        assert_eq!(problems, ["does not depend on candle-core"]);
        assert_eq!(layering(&package("enas-kernels", &["candle-core", "rayon"])), []);
    }

    #[test]
    fn child_and_controller_must_not_know_each_other() {
        let problems = whats(layering(&package("enas-child", &["enas-controller", "candle-core"])));
        assert!(problems[0].starts_with("depends on enas-controller; it may know only"), "{problems:?}");
        assert_eq!(layering(&package("enas-controller", &["enas-child", "candle-core"])).len(), 1);
    }

    #[test]
    fn arcs_depend_on_no_crate_of_ours_and_not_on_candle() {
        let dependencies = ["enas-rng", "candle-core", "rand_core"];
        assert_eq!(layering(&package("enas-arc", &dependencies)).len(), 2);
        let with_a_feature =
            Package { optional: vec!["candle-core".into()], ..package("enas-arc", &dependencies[1..]) };
        assert_eq!(layering(&with_a_feature), []);
    }

    #[test]
    fn a_crate_without_a_place_in_the_layers_is_reported() {
        assert!(whats(layering(&package("enas-new", &[])))[0].starts_with("has no place in the layers"));
    }

    #[test]
    fn unsafe_code_must_be_forbidden_everywhere_but_in_the_kernels() {
        assert_eq!(unsafe_code("enas-arc", "lib.rs", "//! Docs.\n#![forbid(unsafe_code)]\n"), None);
        assert_eq!(unsafe_code("enas-kernels", "crates/enas-kernels/src/lib.rs", "//! Docs.\n"), None);
        assert_eq!(unsafe_code("enas-simd", "crates/enas-simd/src/lib.rs", "//! Docs.\n"), None);
        assert!(unsafe_code("enas-kernels", "crates/enas-kernels/build.rs", "//! Docs.\n").is_some());
        assert!(unsafe_code("enas-kernels", "crates/enas-kernels/tests/it/main.rs", "").is_some());
        let commented = "//! #![forbid(unsafe_code)]\n";
        assert_eq!(unsafe_code("enas-arc", "lib.rs", commented).unwrap().place, "lib.rs");
    }

    #[test]
    fn the_architecture_names_exactly_the_crates_there_are() {
        let packages = [package("enas-arc", &[]), package("xtask", &[])];
        assert_eq!(named_crates("`enas-arc` ◄── `xtask`", &packages), []);
        assert_eq!(whats(named_crates("`enas-arc`", &packages)), ["does not name the crate xtask"]);
        assert_eq!(
            whats(named_crates("enas-arc, xtask, enas-old.", &packages)),
            ["names enas-old, which is not a crate"]
        );
    }
}
