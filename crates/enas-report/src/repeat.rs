//! The command that repeats a run, and the other runs that belong to it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use enas_run::{Kind, Manifest, RunReader, SMALL_FILE, read_plain_text};
use serde_json::Value;

use crate::options::FILE_NAME;
use crate::settings::RunSettings;
use crate::text::{percent, shell_word};

/// The command that repeats the run, for the directory in which the run was started.
pub(crate) fn command(record: &RunReader, settings: &RunSettings) -> String {
    let manifest = record.manifest();
    let config = shell_word(&record.config_path().display().to_string());
    let device = if manifest.device == "cpu" { "cpu" } else { "cuda" };
    let what = match (manifest.kind, &manifest.search, &manifest.arc) {
        (Kind::Search, ..) => "search".to_owned(),
        // The training of an automatic run may name a search that never took place.
        (Kind::Train, Some(search), arc) if arc.is_none() || RunReader::open(search).is_ok() => {
            after_search(record, search, settings)
        }
        (Kind::Train, _, Some(arc)) => format!("train --arc \"{arc}\""),
        (Kind::Train, _, None) => "train".to_owned(),
    };
    format!("enas {what} --config {config} --device {device}")
}

/// The command of a training after a search. It inherits images, splits and seed from the search unless set
/// otherwise.
fn after_search(record: &RunReader, search: &Path, settings: &RunSettings) -> String {
    let mut command = format!("train --run {}", shell_word(&search.display().to_string()));
    if let Some(seed) = settings.get("run.seed") {
        command += &format!(" --seed {seed}");
    }
    let split = |run: &Path| RunReader::open(run).and_then(|run| run.split()).ok();
    let same_images = match (split(record.dir()), split(search)) {
        (Some(own), Some(of_search)) => own == of_search,
        _ => true,
    };
    match settings.get("data.path") {
        Some(path) if !same_images => command + " --data " + &shell_word(&path),
        _ => command,
    }
}

/// Another run that belongs to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Related {
    /// Its kind: `search` or `training`.
    pub(crate) role: &'static str,
    /// The name of its directory.
    pub(crate) name: String,
    /// Its accuracy in words, or that it is not finished.
    pub(crate) result: String,
    /// The relative address of its report, if it has one.
    pub(crate) link: Option<String>,
}

/// The search of a training, or the trainings of a search.
///
/// Manifests name the search of a training. Runs in the same directory that share images and arc also count.
pub(crate) fn related(record: &RunReader, report: &Path) -> Vec<Related> {
    let mut runs: Vec<PathBuf> = neighbours(record.dir());
    if let Some(search) = &record.manifest().search
        && !runs.iter().any(|run| is_same(run, search))
    {
        runs.push(search.clone());
    }
    let others = runs.iter().filter_map(|dir| RunReader::open(dir).ok());
    others.filter(|other| belong_together(record, other)).map(|other| Related::new(&other, report)).collect()
}

/// The run directories in the parent directory of `run`, sorted, without `run` itself.
fn neighbours(run: &Path) -> Vec<PathBuf> {
    let Ok(run) = run.canonicalize() else { return Vec::new() };
    let entries = run.parent().and_then(|parent| fs::read_dir(parent).ok());
    let dirs = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut dirs: Vec<PathBuf> =
        dirs.filter(|dir| *dir != run && dir.join("manifest.json").is_file()).collect();
    dirs.sort();
    dirs
}

fn belong_together(a: &RunReader, b: &RunReader) -> bool {
    let (search, training) = match (a.manifest().kind, b.manifest().kind) {
        (Kind::Search, Kind::Train) => (a, b),
        (Kind::Train, Kind::Search) => (b, a),
        _ => return false,
    };
    if let Some(named) = &training.manifest().search {
        return is_same(named, search.dir());
    }
    // Manifests of early versions do not name the search; then images and arc must be equal.
    let Manifest { fingerprint, arc, .. } = training.manifest();
    search.manifest().fingerprint == *fingerprint
        && arc.is_some()
        && search.best_arch().ok().as_ref() == arc.as_ref()
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

impl Related {
    fn new(run: &RunReader, report: &Path) -> Self {
        let name = run.dir().file_name().unwrap_or(run.dir().as_os_str()).to_string_lossy().into_owned();
        let text = read_plain_text(&run.best_arc_path(), SMALL_FILE).unwrap_or_default();
        let facts: Value = serde_json::from_str(&text).unwrap_or_default();
        let share = |key: &str| facts[key].as_f64().map(percent);
        let (role, result) = match run.manifest().kind {
            Kind::Search => {
                let how = match facts["finalists"].is_array() {
                    true => "of the validation images that report, after a short training alone",
                    false => "with shared weights",
                };
                ("search", share("valid_accuracy").map(|p| format!("{p} {how}")))
            }
            Kind::Train => ("training", share("test_accuracy").map(|p| format!("{p} of the test images"))),
        };
        let page = run.dir().join(FILE_NAME);
        let link = page.is_file().then(|| relative(report, &page)).flatten();
        Self { role, name, result: result.unwrap_or_else(|| "not finished".into()), link }
    }
}

/// The relative URL of `to` in a page at `from`; `None` if there is none.
pub(crate) fn relative(from: &Path, to: &Path) -> Option<String> {
    let folder = std::path::absolute(from).ok()?.parent()?.canonicalize().ok()?;
    let to = to.canonicalize().ok()?;
    let (a, b): (Vec<_>, Vec<_>) = (folder.components().collect(), to.components().collect());
    let common = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), a.len() - common);
    let down = b[common..].iter().map(|part| match part {
        Component::Normal(name) => Some(address(name.to_str()?)),
        _ => None,
    });
    let parts: Option<Vec<String>> = up.map(Some).chain(down).collect();
    Some(parts?.join("/"))
}

/// A file name, percent-encoded as part of a URL.
fn address(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_relative_to_the_page() {
        let dir = tempfile::tempdir().unwrap();
        for run in ["runs/a", "runs/b #1"] {
            fs::create_dir_all(dir.path().join(run)).unwrap();
            fs::write(dir.path().join(run).join("report.html"), "").unwrap();
        }
        let page = |run: &str| dir.path().join(run).join("report.html");
        assert_eq!(relative(&page("runs/a"), &page("runs/b #1")).unwrap(), "../b%20%231/report.html");
        assert_eq!(relative(&dir.path().join("x.html"), &page("runs/a")).unwrap(), "runs/a/report.html");
    }
}
