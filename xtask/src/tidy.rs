//! `cargo xtask tidy`: rules of the project that neither the compiler nor clippy checks.
//!
//! Each violation is printed with its place and with the reason for the rule.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::repo;

/// Check house rules: which crate may know which, unsafe code, documents and files that must agree.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// The crates of this workspace that each crate may depend on, including its tests.
///
/// A crate that is missing here violates the rule, so that every new crate is assigned to a layer.
const LAYERS: &[(&str, &[&str])] = &[
    ("enas-rng", &[]),
    ("enas-arc", &[]),
    ("enas-kernels", &["enas-rng"]), // by its tests only
    ("enas-emulator", &["enas-kernels", "enas-rng"]),
    ("enas-data", &["enas-rng"]),
    ("enas-datasets", &["enas-data"]),
    ("enas-controller", &["enas-arc", "enas-kernels", "enas-rng"]),
    ("enas-strategy", &["enas-arc", "enas-controller", "enas-rng"]),
    ("enas-child", &["enas-arc", "enas-kernels", "enas-rng"]),
    ("enas-draw", &["enas-arc", "enas-child", "enas-rng"]),
    (
        "enas-run",
        &[
            "enas-arc",
            "enas-child",
            "enas-controller",
            "enas-data",
            "enas-kernels",
            "enas-rng",
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
            "enas-strategy",
        ],
    ),
    ("enas-stats", &["enas-rng"]),
    // The tests of the report and of the live view search and train: nothing else in them may know the loops.
    (
        "enas-report",
        &["enas-arc", "enas-child", "enas-data", "enas-draw", "enas-rng", "enas-run", "enas-search"],
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
    ("xtask", &["enas-data", "enas-datasets", "enas-rng"]), // the latter by its tests only
];

/// Crates whose networks, policies and runs use candle's tensors. Their users can rely on that.
const WITH_CANDLE: &[&str] = &["enas-kernels", "enas-child", "enas-controller", "enas-run", "enas-search"];

/// Crates that must not depend on candle unless a feature asks for it.
const WITHOUT_CANDLE: &[&str] = &[
    "enas-arc",
    "enas-datasets",
    "enas-draw",
    "enas-emulator",
    "enas-rng",
    "enas-strategy",
    "enas-stats",
    "xtask",
];

/// The only crate whose library may contain unsafe code.
const UNSAFE: &str = "enas-kernels";

/// Root files outside this workspace. The files of the fuzz targets cannot forbid unsafe code, because the macro in
/// them generates it; all their work is done in this library.
const OUTSIDE: [&str; 2] = ["fuzz/src/lib.rs", "fuzz/examples/seeds.rs"];

/// Macros that must not be committed. They are split so that this file does not contain them.
const LEFTOVERS: [&str; 2] = [concat!("todo", "!("), concat!("dbg", "!(")];

/// A violation of a rule.
#[derive(Debug, PartialEq)]
struct Problem {
    place: String,
    what: String,
    why: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    why: {}", self.place, self.what, self.why)
    }
}

/// Checks the repository and prints each violation.
///
/// # Errors
/// If there are violations.
pub(crate) fn run(_: &Args) -> Result<()> {
    let problems = problems()?;
    problems.iter().for_each(|problem| println!("{problem}"));
    ensure!(problems.is_empty(), "{} house rules are broken", problems.len());
    println!("tidy: all house rules hold");
    Ok(())
}

fn problems() -> Result<Vec<Problem>> {
    let root = repo::root();
    let packages = packages(&repo::metadata()?)?;
    let mut problems: Vec<Problem> = packages.iter().flat_map(layering).collect();
    for package in &packages {
        for path in &package.roots {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            problems.extend(unsafe_code(&package.name, path, &text));
        }
    }
    for path in OUTSIDE {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        problems.extend(unsafe_code("enas-fuzz", path, &text));
    }
    // A missing file counts as empty, so each crate is reported as not named.
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    problems.extend(named_crates(&architecture, &packages));
    let [dockerfile, readme] =
        ["Dockerfile", "README.md"].map(|name| fs::read_to_string(root.join(name)).unwrap_or_default());
    problems.extend(container(&dockerfile, &readme));
    for path in files(&root)? {
        problems.extend(config_name(&path));
        // A file that was deleted but not yet committed is still listed.
        let content = fs::read(root.join(&path)).unwrap_or_default();
        problems.extend(leftovers(&path, &content));
    }
    Ok(problems)
}

/// The facts about a crate of this workspace that the rules need.
struct Package {
    name: String,
    dependencies: Vec<String>,
    /// Dependencies that only a feature enables.
    optional: Vec<String>,
    /// The root files of all compile targets: library, binaries, build script, tests, benchmarks, examples.
    roots: Vec<String>,
}

fn packages(metadata: &Value) -> Result<Vec<Package>> {
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
                .filter(|dependency| !is_test_device(dependency))
                .map(|dependency| text(&dependency["name"]))
                .collect(),
            roots: list(package, "targets")?.iter().map(|target| text(&target["src_path"])).collect(),
        })
    };
    list(metadata, "packages")?.iter().map(package).collect()
}

/// Whether a dependency is the emulated GPU, used for tests only. Every crate may use it that way.
fn is_test_device(dependency: &Value) -> bool {
    dependency["name"] == "enas-emulator" && dependency["kind"] == "dev"
}

fn layering(package: &Package) -> Vec<Problem> {
    let problem = |what, why| Problem { place: format!("{} (Cargo.toml)", package.name), what, why };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
        let what = "has no place in the layers; add it to LAYERS in xtask/src/tidy.rs".into();
        return vec![problem(what, "a crate that nobody placed soon knows everything")];
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

fn unsafe_code(package: &str, path: &str, text: &str) -> Option<Problem> {
    let forbids = text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
    let may = package == UNSAFE && path.ends_with("src/lib.rs");
    (!may && !forbids).then(|| Problem {
        place: path.to_owned(),
        what: "has no line #![forbid(unsafe_code)]".into(),
        why: "all unsafe code is in enas-kernels, where each use states its contract",
    })
}

fn named_crates(architecture: &str, packages: &[Package]) -> Vec<Problem> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words = architecture.split(|c| !is_name(c)).map(|word| word.trim_matches('-'));
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("enas-") || *word == "xtask").collect();
    let existing: BTreeSet<&str> = packages.iter().map(|package| &*package.name).collect();
    let problem = |what| Problem {
        place: "ARCHITECTURE.md".into(),
        what,
        why: "a map that shows other crates than there are misleads whoever trusts it",
    };
    let missing = existing.difference(&named).map(|name| problem(format!("does not name the crate {name}")));
    let unknown = named.difference(&existing).map(|name| problem(format!("names {name}, which is no crate")));
    missing.chain(unknown).collect()
}

/// Checks that the container image is built with a command that `README.md` shows.
fn container(dockerfile: &str, readme: &str) -> Option<Problem> {
    let typed = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let typed: BTreeSet<&str> = typed.map(|line| line.split(" #").next().unwrap_or(line).trim()).collect();
    let run = dockerfile.lines().filter_map(|line| line.strip_prefix("RUN "));
    let builds: Vec<&str> = run.filter(|command| command.starts_with("cargo ")).collect();
    let same = !builds.is_empty() && builds.iter().all(|command| typed.contains(command));
    (!same).then(|| Problem {
        place: "Dockerfile".into(),
        what: format!("builds with {builds:?}, which README.md does not show"),
        why: "a command that the tests of documents do not know may stop working unnoticed",
    })
}

fn config_name(path: &str) -> Option<Problem> {
    let right = |rest: &str| match rest.strip_prefix("arcs/") {
        Some(arc) => arc.ends_with(".txt"),
        None => rest.ends_with(".toml"),
    };
    path.strip_prefix("configs/").is_some_and(|rest| !right(rest)).then(|| Problem {
        place: path.to_owned(),
        what: "is neither configs/NAME.toml nor configs/arcs/NAME.txt".into(),
        why: "a file in configs/ is a configuration or a published arc, and tests read them all",
    })
}

fn leftovers(path: &str, content: &[u8]) -> Vec<Problem> {
    let text = String::from_utf8_lossy(content);
    let found = text.lines().enumerate().flat_map(|(i, line)| {
        let place = format!("{path}:{}", i + 1);
        LEFTOVERS
            .iter()
            .filter(move |leftover| line.contains(**leftover))
            .map(move |leftover| (place.clone(), leftover))
    });
    let problem = |(place, leftover)| Problem {
        place,
        what: format!("contains {leftover}"),
        why: "what is committed is finished; unfinished and debugging code stays out",
    };
    found.map(problem).collect()
}

/// Paths, relative to `root`, of all files that are or would be committed.
fn files(root: &Path) -> Result<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = std::process::Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let paths = String::from_utf8(output.stdout).context("a file name that is not UTF-8")?;
    Ok(paths.split_terminator('\0').map(str::to_owned).collect())
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
        assert!(unsafe_code("enas-kernels", "crates/enas-kernels/build.rs", "//! Docs.\n").is_some());
        assert!(unsafe_code("enas-kernels", "crates/enas-kernels/tests/kernels/main.rs", "").is_some());
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
            ["names enas-old, which is no crate"]
        );
    }

    #[test]
    fn the_image_is_built_as_the_readme_says() {
        let readme = "Text.\n\n    cargo install --path a          # puts it on the path\n";
        assert_eq!(container("FROM x\nRUN cargo install --path a\nRUN true\n", readme), None);
        assert!(container("RUN cargo install --path b\n", readme).is_some());
        assert!(container("", readme).is_some());
    }

    #[test]
    fn only_toml_files_lie_in_configs() {
        assert_eq!(config_name("configs/quick.toml"), None);
        assert_eq!(config_name("configs/arcs/published.txt"), None);
        assert!(config_name("configs/notes.txt").is_some());
        assert_eq!(config_name("docs/notes/a.md"), None);
        assert_eq!(config_name("configs/quick.yaml").unwrap().place, "configs/quick.yaml");
    }

    #[test]
    fn leftover_macros_are_found_with_their_line() {
        let text = format!("fn f() {{\n    {}x);\n}}\n", LEFTOVERS[1]);
        assert_eq!(leftovers("a.rs", text.as_bytes())[0].place, "a.rs:2");
        assert_eq!(leftovers("a.rs", b"\xff\x00 todo dbg"), []);
    }

    #[test]
    fn this_repository_is_readable_for_the_rules() {
        let packages = packages(&repo::metadata().unwrap()).unwrap();
        let names: Vec<_> = packages.iter().map(|package| &*package.name).collect();
        assert!(names.contains(&"enas-arc") && names.contains(&"xtask"), "{names:?}");
        assert!(packages.iter().all(|package| !package.roots.is_empty()));
        assert!(files(&repo::root()).unwrap().contains(&"Cargo.toml".to_owned()));
    }
}
