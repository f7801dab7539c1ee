//! The folder of an automatic run as readers see it, finished or not, whichever version wrote it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use enas_data::doctor::{Case, Report, Severity};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::{AUTO, MODEL};
use super::{AutoPhase, AutoPlan, SearchWhen};
use crate::bounded::{SMALL_FILE, read_plain_text};
use crate::config::TimeLimit;
use crate::error::{Error, Result};
use crate::recommend::Choice;
use crate::record::Record;

/// What an automatic run did before its first phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preparation {
    /// The command that starts such a run, to be typed where this one was started.
    pub command: String,
    /// What the check of the images found.
    pub check: Option<CheckedData>,
    /// The settings that follow from the images, without those that were set by hand.
    pub choices: Vec<Choice>,
}

/// What a check of images found, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckedData {
    /// The folder or zip that was looked at.
    pub path: String,
    /// Files that are called like images and lie in a class folder.
    pub files: usize,
    /// Those of them that can be read.
    pub usable: usize,
    /// What was found, the most serious first.
    pub findings: Vec<CheckedFinding>,
}

/// One kind of thing that is noteworthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedFinding {
    /// How serious it is.
    pub severity: Severity,
    /// What was found: half a sentence.
    pub summary: String,
    /// What the program does about it: one sentence.
    pub consequence: String,
    /// How many cases there are.
    pub count: usize,
    /// The first of them, a line each.
    pub examples: Vec<String>,
}

/// Cases of a finding that are kept.
const EXAMPLES: usize = 3;
/// Longest line of such a case, in characters.
const LONGEST: usize = 200;

impl CheckedData {
    /// The essence of a report: every finding, and the first cases of each.
    pub fn new(report: &Report) -> Self {
        let finding = |found: &enas_data::doctor::Finding| CheckedFinding {
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

/// The folder of an automatic run, to be read. Needs no lock, and reads what a running one has written so far.
#[derive(Clone, Debug)]
pub struct AutoRecord {
    dir: PathBuf,
    about: Value,
}

impl AutoRecord {
    /// Whether a folder is that of an automatic run.
    pub fn is_at(dir: &Path) -> bool {
        dir.join(AUTO).is_file()
    }

    /// Opens the folder of an automatic run.
    ///
    /// # Errors
    /// [`Error::File`] where its `auto.json` cannot be read or is not JSON.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(AUTO);
        let text = read_plain_text(&path, SMALL_FILE);
        let text = text.map_err(|source| crate::run::io("cannot read", &path, source))?;
        let about = serde_json::from_str(&text)
            .map_err(|e| Error::File { path, problem: format!("this is not JSON: {e}") })?;
        Ok(Self { dir: dir.to_owned(), about })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The value of a key; `None` where this version does not understand it or it is missing.
    fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        T::deserialize(self.about.get(key)?).ok()
    }

    /// The plan, once there is one.
    pub fn plan(&self) -> Option<AutoPlan> {
        self.get("plan")
    }

    /// The time that the run may take, if it is limited.
    pub fn limit(&self) -> Option<Duration> {
        self.get::<TimeLimit>("time")?.0
    }

    /// Wall time over all sessions at the end of the last phase that was finished, in seconds.
    pub fn seconds(&self) -> f64 {
        self.get("seconds").unwrap_or_default()
    }

    /// Wall time until the plan was made, in seconds.
    pub fn prepared_seconds(&self) -> Option<f64> {
        self.get("prepared_seconds")
    }

    /// When the run was to search.
    pub fn search_when(&self) -> SearchWhen {
        self.get("search_when").unwrap_or_default()
    }

    /// What was done before the first phase; empty where earlier versions did not say.
    pub fn preparation(&self) -> Preparation {
        self.get("preparation").unwrap_or_default()
    }

    /// The run of a phase, once it has begun.
    pub fn phase(&self, phase: AutoPhase) -> Option<Record> {
        Record::open(&self.dir.join(phase.folder())).ok()
    }

    /// The training whose model lies on top, once there is one.
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
        assert!(!AutoRecord::is_at(dir.path()) && AutoRecord::open(dir.path()).is_err());
        fs::write(dir.path().join(AUTO), "{}").unwrap();
        let record = AutoRecord::open(dir.path()).unwrap();
        assert_eq!((record.plan(), record.limit(), record.seconds()), (None, None, 0.0));
        assert_eq!((record.preparation(), record.best()), (Preparation::default(), None));
        let text = r#"{"time": "6m", "seconds": 340.5, "plan": {"first": "x"}, "search_when": "if-it-pays"}"#;
        fs::write(dir.path().join(AUTO), text).unwrap();
        let record = AutoRecord::open(dir.path()).unwrap();
        assert_eq!((record.limit(), record.seconds()), (Some(Duration::from_secs(360)), 340.5));
        assert_eq!((record.plan(), record.search_when()), (None, SearchWhen::IfItPays));
        fs::write(dir.path().join(AUTO), "torn {").unwrap();
        let error = AutoRecord::open(dir.path()).unwrap_err().to_string();
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
