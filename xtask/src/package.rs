//! Checks whether the crates could be published: their metadata, and the completeness of their archives.
//!
//! Nothing is compiled. Missing files are found by reading the archives.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use tar::Archive;

use crate::{process, repo};

/// Maximum size of an archive that the registry accepts, in bytes.
const LARGEST: u64 = 10 << 20;

/// Packs every crate and checks the archives of those that are published.
pub(crate) fn run() -> Result<()> {
    let mut cargo = repo::cargo();
    // `--offline` works, as everything it needs was downloaded for the build of the workspace. The shared test code is
    // not published and depends on the emulator, which has no version; cargo removes it from the crates it packs.
    process::check(cargo.args([
        "package",
        "--workspace",
        "--exclude",
        "enas-testing",
        "--no-verify",
        "--allow-dirty",
        "--offline",
        "--quiet",
    ]))?;
    let folder = repo::target()?.join("package");
    let metadata = repo::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let published: Vec<&Value> = packages.iter().filter(|package| is_published(package)).collect();
    for package in &published {
        let name = package["name"].as_str().context("a package without a name")?;
        let lacks = lacking(package);
        ensure!(lacks.is_empty(), "{name} (Cargo.toml): {}", lacks.join(", "));
        let path = folder.join(format!("{name}-{}.crate", package["version"].as_str().unwrap_or_default()));
        let bytes = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        ensure!(bytes <= LARGEST, "{}: {bytes} bytes are more than the registry takes", path.display());
        let files = contents(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(files.contains_key(Path::new("README.md")), "{}: it has no README.md", path.display());
        let missing = missing(&files);
        ensure!(missing.is_empty(), "{}: {}", path.display(), missing.join("; "));
    }
    println!("package: {} crates are complete", published.len());
    Ok(())
}

fn is_published(package: &Value) -> bool {
    // `publish = false` is an empty list of registries.
    package["publish"].as_array().is_none_or(|registries| !registries.is_empty())
}

/// The problems of a crate's metadata: missing values, and values that the registry would refuse.
fn lacking(package: &Value) -> Vec<String> {
    let mut lacks: Vec<String> = ["description", "license", "readme"]
        .into_iter()
        .filter(|key| package[*key].as_str().is_none_or(str::is_empty))
        .map(|key| format!("has no {key}"))
        .collect();
    for (key, most) in [("keywords", 5), ("categories", 5)] {
        let n = package[key].as_array().map_or(0, Vec::len);
        if !(1..=most).contains(&n) {
            lacks.push(format!("has {n} {key}, which must be 1 to {most}"));
        }
    }
    let keywords = package["keywords"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lacks.extend(
        keywords.filter(|word| word.len() > 20).map(|word| format!("keyword {word} has over 20 letters")),
    );
    lacks
}

/// The files of an archive without its top directory: the text of sources, an empty text for others.
fn contents(path: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut archive = Archive::new(GzDecoder::new(File::open(path)?));
    let mut files = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.components().skip(1).collect();
        let mut text = String::new();
        if path.extension().is_some_and(|ending| ending == "rs") {
            entry.read_to_string(&mut text)?;
        }
        files.insert(path, text);
    }
    Ok(files)
}

/// Files that sources include by a literal path and that are not in the archive.
fn missing(files: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut missing = Vec::new();
    for (path, text) in files {
        for name in ["include_str!(\"", "include_bytes!(\"", "include!(\""] {
            for (at, _) in text.match_indices(name) {
                let rest = &text[at + name.len()..];
                let included = &rest[..rest.find('"').unwrap_or(rest.len())];
                let base = path.parent().unwrap_or(Path::new(""));
                if !resolved(&base.join(included)).is_some_and(|path| files.contains_key(&path)) {
                    missing.push(format!("{} includes {included}, which is not in it", path.display()));
                }
            }
        }
    }
    missing
}

/// The path without `.` and `..`; `None` if it leaves the archive.
fn resolved(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_that_the_registry_asks_for_must_be_there() {
        let whole = json!({"description": "d", "license": "MIT", "readme": "README.md", "keywords": ["a"],
            "categories": ["science"], "publish": null});
        assert_eq!((lacking(&whole), is_published(&whole)), (vec![], true));
        let poor = json!({"description": "", "license": "MIT", "readme": null, "keywords": ["a".repeat(21)],
            "categories": [], "publish": []});
        assert_eq!((lacking(&poor).len(), is_published(&poor)), (4, false), "{:?}", lacking(&poor));
    }

    #[test]
    fn what_a_source_includes_must_be_in_the_archive() {
        // Split so that this file itself does not contain such a macro.
        let source = |path: &str| format!("const A: &str = {}(\"{path}\");", concat!("include", "_str!"));
        let files = |path: &str| {
            BTreeMap::from([
                (PathBuf::from("src/lib.rs"), source(path)),
                (PathBuf::from("README.md"), String::new()),
            ])
        };
        assert_eq!(missing(&files("../README.md")), Vec::<String>::new());
        assert_eq!(missing(&files("../other.md")).len(), 1);
        assert_eq!(missing(&files("../../README.md")).len(), 1, "outside of the crate");
    }
}
