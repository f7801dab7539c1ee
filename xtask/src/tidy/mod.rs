//! `cargo xtask tidy`: rules of the project that neither the compiler nor clippy checks.
//!
//! Each violation is printed with its place and with the reason for the rule.

mod circles;
mod crates;
mod files;
mod length;
mod names;
mod problem;
mod source;
mod uses;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use self::circles::Crate;
use self::names::PublicTypes;
use self::problem::Problem;
use self::source::Source;
use crate::repo;

/// Check project rules: which crate may know which, unsafe code, documents and files that must agree.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Root files outside this workspace. The files of the fuzz targets cannot forbid unsafe code, because the macro in
/// them generates it; all their work is done in this library.
const OUTSIDE: [&str; 2] = ["fuzz/src/lib.rs", "fuzz/examples/seeds.rs"];

/// Checks the repository and prints each violation.
///
/// # Errors
/// If there are violations.
pub(crate) fn run(_: &Args) -> Result<()> {
    let root = repo::root();
    let files = files::files(&root)?;
    let mut problems = problems(&root, &files)?;
    problems.extend(of_sources(&read_sources(&root, &files)?));
    problems.iter().for_each(|problem| println!("{problem}"));
    ensure!(problems.is_empty(), "{} project rules are broken", problems.len());
    println!("tidy: all project rules hold");
    Ok(())
}

/// What breaks the rules about crates, documents and files.
fn problems(root: &Path, files: &[String]) -> Result<Vec<Problem>> {
    let packages = crates::packages(&repo::metadata()?)?;
    let mut problems: Vec<Problem> = packages.iter().flat_map(crates::layering).collect();
    for package in &packages {
        for path in &package.roots {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            problems.extend(crates::unsafe_code(&package.name, path, &text));
        }
    }
    for path in OUTSIDE {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        problems.extend(crates::unsafe_code("enas-fuzz", path, &text));
    }
    // A missing file counts as empty, so each crate is reported as not named.
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    problems.extend(crates::named_crates(&read("ARCHITECTURE.md"), &packages));
    problems.extend(files::container(&read("Dockerfile"), &read("README.md")));
    for path in files {
        problems.extend(files::config_name(path));
        problems.extend(files::fuzz_input(path));
        // A file that was deleted but not yet committed is still listed.
        let content = fs::read(root.join(path)).unwrap_or_default();
        problems.extend(files::leftovers(path, &content));
    }
    Ok(problems)
}

/// The texts of the Rust files of the workspace's crates, by path. Files that were deleted are left out.
fn read_sources(root: &Path, files: &[String]) -> Result<BTreeMap<String, String>> {
    let is_source =
        |path: &&String| path.ends_with(".rs") && (path.starts_with("crates/") || path.starts_with("xtask/"));
    let existing = files.iter().filter(is_source).filter(|path| root.join(path).is_file());
    let read = |path: &String| {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        Ok((path.clone(), text))
    };
    existing.map(read).collect()
}

/// What breaks the rules about circles, names and lengths.
fn of_sources(texts: &BTreeMap<String, String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut types = PublicTypes::default();
    let mut crates: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (path, text) in texts {
        let source = Source::new(text);
        problems.extend(names::banned(path, &source));
        problems.extend(length::length(path, &source));
        if let Some((place, file)) = path.split_once("/src/") {
            types.add(path, &source);
            crates.entry(place).or_default().push((file, text));
        }
    }
    problems.extend(types.problems());
    problems.extend(crates.into_iter().flat_map(|(place, files)| Crate::new(files).problems(place)));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_readable_for_the_rules() {
        let packages = crates::packages(&repo::metadata().unwrap()).unwrap();
        let names: Vec<_> = packages.iter().map(|package| &*package.name).collect();
        assert!(names.contains(&"enas-arc") && names.contains(&"xtask"), "{names:?}");
        assert!(packages.iter().all(|package| !package.roots.is_empty()));
        assert!(files::files(&repo::root()).unwrap().contains(&"Cargo.toml".to_owned()));
    }

    #[test]
    fn rules_about_sources_are_applied_to_every_crate() {
        let files = [
            ("crates/a/src/lib.rs", "mod x;\nmod y;\npub struct One;"),
            ("crates/a/src/x.rs", "use crate::y::Y;\npub struct X;"),
            ("crates/a/src/y.rs", "use crate::x::X;\npub struct Y;"),
            ("crates/b/src/lib.rs", "pub struct One;"),
            ("xtask/src/main.rs", "struct Doctor;"),
        ];
        let texts = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        let places: Vec<String> = of_sources(&texts).into_iter().map(|problem| problem.place).collect();
        assert_eq!(places, ["xtask/src/main.rs:1", "crates/a/src/lib.rs:3", "crates/a"]);
    }
}
