//! `trials.jsonl`: an append-only file with one line per finished training or search.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use enas_data::visible;
use enas_search::{Error, Result, read_plain_text};

use crate::record::LogLine;

/// The name of the file in the directory of a study.
pub(crate) const TRIALS: &str = "trials.jsonl";

/// Largest file that is read, in bytes: about a hundred thousand trainings.
const MOST: u64 = 1 << 28;

/// The open log of a study.
#[derive(Debug)]
pub(crate) struct TrialLog {
    path: PathBuf,
    file: File,
}

impl TrialLog {
    /// Opens the log in `dir` and reads its lines. If the study was killed while it wrote a line, that last line
    /// is incomplete. It is removed, and its work is repeated.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::File`] with the number of a line that does not belong to a study.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<LogLine>)> {
        let path = dir.join(TRIALS);
        let io = |action| {
            let path = path.clone();
            move |source| Error::Io { action, path, source }
        };
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io("cannot open"))?;
        let lines = read_whole_lines(&path, &file)?;
        Ok((Self { path, file }, lines))
    }

    /// Appends a line and waits until it is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub(crate) fn append(&mut self, line: &LogLine) -> Result<()> {
        let text = format!("{}\n", serde_json::to_string(line).expect("lines are plain data"));
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| Error::Io { action: "cannot write", path: self.path.clone(), source })
    }
}

/// The lines of a log, read without opening it for writing; empty if there is no file.
///
/// # Errors
/// As for [`TrialLog::open`].
pub(crate) fn read(dir: &Path) -> Result<Vec<LogLine>> {
    let path = dir.join(TRIALS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let (text, whole) = text(&path)?;
    parse(&path, &text[..whole])
}

fn read_whole_lines(path: &Path, file: &File) -> Result<Vec<LogLine>> {
    let (text, whole) = text(path)?;
    if whole < text.len() {
        tracing::warn!("{}: the last line is not complete; its training is repeated", visible(&path));
        let cut = file.set_len(whole as u64);
        cut.map_err(|source| Error::Io { action: "cannot write", path: path.to_owned(), source })?;
    }
    parse(path, &text[..whole])
}

/// The text, and the number of its bytes in complete lines.
fn text(path: &Path) -> Result<(String, usize)> {
    let read = read_plain_text(path, MOST);
    let text = read.map_err(|source| Error::Io { action: "cannot read", path: path.to_owned(), source })?;
    let whole = text.rfind('\n').map_or(0, |last| last + 1);
    Ok((text, whole))
}

fn parse(path: &Path, text: &str) -> Result<Vec<LogLine>> {
    let line = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let problem = format!(
                "line {} is not a line of a study ({error}); remove it to repeat its training",
                i + 1
            );
            Error::File { path: path.to_owned(), problem }
        })
    };
    text.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Group, TrialKey, tests::trial};

    fn lines(n: usize) -> Vec<LogLine> {
        let arc = "0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3".parse().unwrap();
        let key = |index| TrialKey { group: Group::Pool, index, repeat: 0 };
        (0..n).map(|i| LogLine::Training(trial(key(i), &arc, 0.1 * i as f64, (1, 2)))).collect()
    }

    #[test]
    fn what_was_appended_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut trial_log, nothing) = TrialLog::open(dir.path()).unwrap();
        assert!(nothing.is_empty());
        lines(3).iter().for_each(|line| trial_log.append(line).unwrap());
        drop(trial_log);
        let (mut trial_log, found) = TrialLog::open(dir.path()).unwrap();
        assert_eq!(found, lines(3));
        trial_log.append(&lines(4)[3]).unwrap();
        assert_eq!(read(dir.path()).unwrap(), lines(4));
    }

    #[test]
    fn a_line_that_was_cut_short_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (mut trial_log, _) = TrialLog::open(dir.path()).unwrap();
        lines(2).iter().for_each(|line| trial_log.append(line).unwrap());
        let path = dir.path().join(TRIALS);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        assert_eq!(read(dir.path()).unwrap(), lines(1), "reading changes nothing");
        let (mut trial_log, found) = TrialLog::open(dir.path()).unwrap();
        assert_eq!(found, lines(1));
        trial_log.append(&lines(2)[1]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_line_of_something_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (mut trial_log, _) = TrialLog::open(dir.path()).unwrap();
        trial_log.append(&lines(1)[0]).unwrap();
        std::fs::write(dir.path().join(TRIALS), "{\"kind\":\"poem\"}\n").unwrap();
        let error = TrialLog::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("trials.jsonl: line 1 is not a line of a study"), "{error}");
    }
}
