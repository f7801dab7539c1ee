//! Read access to the folder of an automatic run, finished or not, of any version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use enas_arc::Arc;
use enas_data::check::{Case, Report, Severity};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{AutoPhase, AutoPlan, SearchWhen};
use crate::choice::Choice;
use crate::config::TimeLimit;
use crate::directory::files::MODEL;
use crate::directory::reader::RunReader;
use crate::error::{Error, Result};
use crate::files::limited_read::{SMALL_FILE, read_plain_text};

/// The file that marks the folder of an automatic run.
pub const AUTO: &str = "auto.json";

/// What an automatic run did before its first phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preparation {
    /// The command that starts such a run, from the directory where this one was started.
    pub command: String,
    /// Result of the check of the images.
    pub check: Option<CheckedData>,
    /// Settings chosen for the images, without those that the user set.
    pub choices: Vec<Choice>,
}

/// Summary of the check of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckedData {
    /// The folder or zip that was checked.
    pub path: String,
    /// Files with the name of an image that lie in a class folder.
    pub files: usize,
    /// Number of those files that can be read.
    pub usable: usize,
    /// Findings, the most serious first.
    pub findings: Vec<CheckedFinding>,
}

/// A finding: one kind of problem with its cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedFinding {
    /// Its severity.
    pub severity: Severity,
    /// What was found, as half a sentence.
    pub summary: String,
    /// What the program does about it, as one sentence.
    pub consequence: String,
    /// Number of cases.
    pub count: usize,
    /// The first cases, one line each.
    pub examples: Vec<String>,
}

/// Number of cases that are kept per finding.
const EXAMPLES: usize = 3;
/// Maximum length of such a line, in characters.
const LONGEST: usize = 200;

impl CheckedData {
    /// The summary of a report: every finding with its first cases.
    pub fn new(report: &Report) -> Self {
        let finding = |found: &enas_data::check::Finding| CheckedFinding {
            severity: found.severity,
            summary: found.summary.clone(),
            consequence: found.consequence.clone(),
            count: found.cases.len(),
            examples: found.cases.iter().take(EXAMPLES).map(line).collect(),
        };
        Self {
            path: report.path.clone(),
            files: report.files,
            usable: report.usable,
            findings: report.findings.iter().map(finding).collect(),
        }
    }
}

fn line(Case { paths, detail }: &Case) -> String {
    let paths = paths.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(" = ");
    let between = if paths.is_empty() || detail.is_empty() { "" } else { ": " };
    let whole = format!("{paths}{between}{detail}");
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// The folder of an automatic run, for reading. It needs no lock and shows what a running process has written so far.
#[derive(Clone, Debug)]
pub struct AutoRunReader {
    dir: PathBuf,
    about: Value,
}

impl AutoRunReader {
    /// Whether `dir` is the folder of an automatic run.
    pub fn is_at(dir: &Path) -> bool {
        dir.join(AUTO).is_file()
    }

    /// Opens the folder of an automatic run.
    ///
    /// # Errors
    /// [`Error::File`] if `auto.json` is not JSON, [`Error::Io`] if it cannot be read.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(AUTO);
        let text = read_plain_text(&path, SMALL_FILE);
        let text = text.map_err(|source| Error::io("cannot read", &path, source))?;
        let about = serde_json::from_str(&text)
            .map_err(|e| Error::File { path, problem: format!("this is not JSON: {e}") })?;
        Ok(Self { dir: dir.to_owned(), about })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The value of a key; `None` if it is missing or of another version.
    fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        T::deserialize(self.about.get(key)?).ok()
    }

    /// The plan, once it was made.
    pub fn plan(&self) -> Option<AutoPlan> {
        self.get("plan")
    }

    /// The time limit; `None` without one.
    pub fn limit(&self) -> Option<Duration> {
        self.get::<TimeLimit>("time")?.0
    }

    /// Wall time in seconds over all sessions, as of the end of the last finished phase.
    pub fn seconds(&self) -> f64 {
        self.get("seconds").unwrap_or_default()
    }

    /// Wall time until the plan was made, in seconds.
    pub fn prepared_seconds(&self) -> Option<f64> {
        self.get("prepared_seconds")
    }

    /// Whether the run was to search.
    pub fn search_when(&self) -> SearchWhen {
        self.get("search_when").unwrap_or_default()
    }

    /// The cell that was given instead of a search; `None` if there was none.
    pub fn cell(&self) -> Option<Arc> {
        self.get("cell")
    }

    /// What was done before the first phase; empty for runs of early versions.
    pub fn preparation(&self) -> Preparation {
        self.get("preparation").unwrap_or_default()
    }

    /// The run of a phase, once it has begun.
    pub fn phase(&self, phase: AutoPhase) -> Option<RunReader> {
        RunReader::open(&self.dir.join(phase.folder())).ok()
    }

    /// The phase whose model is the best one in the folder, once there is one.
    pub fn best(&self) -> Option<AutoPhase> {
        let on_top = fs::read(self.dir.join(MODEL)).ok()?;
        let is_on_top = |phase: &AutoPhase| {
            fs::read(self.dir.join(phase.folder()).join(MODEL)).is_ok_and(|model| model == on_top)
        };
        [AutoPhase::Train, AutoPhase::First].into_iter().find(is_on_top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_version_wrote_is_read_as_far_as_it_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!AutoRunReader::is_at(dir.path()) && AutoRunReader::open(dir.path()).is_err());
        fs::write(dir.path().join(AUTO), "{}").unwrap();
        let record = AutoRunReader::open(dir.path()).unwrap();
        assert_eq!((record.plan(), record.limit(), record.seconds()), (None, None, 0.0));
        assert_eq!((record.preparation(), record.best()), (Preparation::default(), None));
        let text = r#"{"time": "6m", "seconds": 340.5, "plan": {"first": "x"}, "search_when": "if-it-pays"}"#;
        fs::write(dir.path().join(AUTO), text).unwrap();
        let record = AutoRunReader::open(dir.path()).unwrap();
        assert_eq!((record.limit(), record.seconds()), (Some(Duration::from_secs(360)), 340.5));
        assert_eq!((record.plan(), record.search_when()), (None, SearchWhen::IfItPays));
        fs::write(dir.path().join(AUTO), "torn {").unwrap();
        let error = AutoRunReader::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("auto.json") && error.contains("not JSON"), "{error}");
    }

    #[test]
    fn cases_are_cut_at_a_character() {
        let case = Case { paths: vec!["ä".repeat(300)], detail: "x".into() };
        assert_eq!(line(&case).chars().count(), LONGEST + 1);
        let short = Case { paths: vec!["a".into(), "b".into()], detail: "same".into() };
        assert_eq!(line(&short), "a = b: same");
    }
}
