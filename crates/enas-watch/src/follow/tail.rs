//! Incremental reading of a log that another process appends to. The file is never held open or written.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;

/// Maximum number of bytes per read.
const CHUNK: u64 = 1 << 20;
/// Maximum length of a line in bytes. The program writes no longer ones.
const LONGEST_LINE: usize = 1 << 16;
/// Number of bytes kept for the check that the file still has the content that was read.
const REMEMBERED: usize = 128;

/// Reads new lines of a log with one JSON object per line (JSON Lines).
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    /// Number of bytes read so far.
    offset: u64,
    /// The last bytes read. If the log was truncated and has grown since, it has other bytes at this position.
    last: Vec<u8>,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
    /// Length and modification time at the last read that reached the end of the file.
    seen: Option<(u64, SystemTime)>,
}

/// The result of a read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct News {
    /// The new events, in the order in which they were written.
    pub(crate) events: Vec<Value>,
    /// Number of lines that are not valid events.
    pub(crate) broken: u64,
    /// Whether the log was replaced or truncated. Then `events` begin at its start, and all earlier ones are void.
    pub(crate) again: bool,
    /// Whether more can be read immediately.
    pub(crate) more: bool,
}

impl Tail {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, last: Vec::new(), partial: Vec::new(), seen: None }
    }

    /// Starts again: the next read begins at the start of the log.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(std::mem::take(&mut self.path));
    }

    /// Number of bytes read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Length in bytes and modification time of the log; `None` if there is none.
    pub(crate) fn stamp(&self) -> Option<(u64, SystemTime)> {
        let file = fs::metadata(&self.path).ok()?;
        Some((file.len(), file.modified().ok()?))
    }

    /// Reads at most [`CHUNK`] bytes from the position of the last read.
    ///
    /// # Errors
    /// If the log exists but cannot be read.
    pub(crate) fn read(&mut self) -> io::Result<News> {
        let stamp = self.stamp();
        if stamp.is_some() && stamp == self.seen {
            return Ok(News::default());
        }
        // Only regular files: reading a pipe could block forever.
        if fs::metadata(&self.path).is_ok_and(|about| !about.is_file()) {
            return Ok(News::default());
        }
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // The events read so far stay valid until another log appears.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(News::default()),
            Err(e) => return Err(e),
        };
        let mut news = News { again: !self.still_holds(&mut file)?, ..News::default() };
        if news.again {
            self.restart();
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.offset))?;
        file.take(CHUNK).read_to_end(&mut bytes)?;
        self.offset += bytes.len() as u64;
        self.remember(&bytes);
        self.split(&bytes, &mut news);
        news.more = bytes.len() as u64 == CHUNK;
        self.seen = stamp.filter(|_| !news.more);
        Ok(news)
    }

    /// Whether the file still has the last bytes read at their position.
    fn still_holds(&self, file: &mut File) -> io::Result<bool> {
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        let mut now = vec![0; self.last.len()];
        file.seek(SeekFrom::Start(self.offset - self.last.len() as u64))?;
        match file.read_exact(&mut now) {
            Ok(()) => Ok(now == self.last),
            // The file was truncated between the two calls.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(REMEMBERED)..]);
        let spare = self.last.len().saturating_sub(REMEMBERED);
        self.last.drain(..spare);
    }

    fn split(&mut self, bytes: &[u8], news: &mut News) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            // Of a line that is already too long, only the end matters.
            if self.partial.len() <= LONGEST_LINE {
                let rest = LONGEST_LINE + 1 - self.partial.len();
                self.partial.extend_from_slice(&piece[..piece.len().min(rest)]);
            }
            if piece.ends_with(b"\n") {
                news.add(&std::mem::take(&mut self.partial));
            }
        }
    }
}

impl News {
    fn add(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        match serde_json::from_slice::<Value>(line) {
            _ if line.len() > LONGEST_LINE => self.broken += 1,
            Ok(event) if event["kind"].is_string() => self.events.push(event),
            _ => self.broken += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn append(path: &Path, text: &str) {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn line(step: u64) -> String {
        format!("{{\"kind\":\"step\",\"step\":{step}}}\n")
    }

    fn steps(news: &News) -> Vec<u64> {
        news.events.iter().map(|e| e["step"].as_u64().unwrap()).collect()
    }

    fn log() -> (tempfile::TempDir, PathBuf, Tail) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        (dir, path.clone(), Tail::new(path))
    }

    #[test]
    fn lines_arrive_once_and_only_when_they_are_complete() {
        let (_dir, path, mut tail) = log();
        assert_eq!(tail.read().unwrap(), News::default(), "a log that does not exist yet is no error");
        append(&path, &(line(1) + &line(2)[..9]));
        assert_eq!(steps(&tail.read().unwrap()), [1]);
        append(&path, &line(2)[9..]);
        assert_eq!(steps(&tail.read().unwrap()), [2]);
        assert_eq!(tail.read().unwrap(), News::default());
    }

    #[test]
    fn broken_lines_are_counted_and_skipped() {
        let (_dir, path, mut tail) = log();
        append(&path, &format!("torn {{\n{}[1]\n\n{{\"t\":1}}\n\u{0}\u{0}\n{}", line(1), line(2)));
        let news = tail.read().unwrap();
        assert_eq!((steps(&news), news.broken), (vec![1, 2], 4));
    }

    #[test]
    fn a_line_without_an_end_takes_bounded_memory() {
        let (_dir, path, mut tail) = log();
        append(&path, &"x".repeat(5 * CHUNK as usize));
        let mut reads = 0;
        while tail.read().unwrap().more {
            reads += 1;
        }
        assert!(reads >= 5 && tail.partial.len() <= LONGEST_LINE + CHUNK as usize, "{reads}");
        append(&path, &format!("\n{}", line(3)));
        let news = tail.read().unwrap();
        assert_eq!((steps(&news), news.broken), (vec![3], 1));
    }

    #[test]
    fn a_line_that_is_too_long_is_no_event_even_if_it_is_whole() {
        let (_dir, path, mut tail) = log();
        let long = format!("{{\"kind\":\"step\",\"step\":1}}{}\n", " ".repeat(LONGEST_LINE));
        append(&path, &(long + &line(2)));
        let news = tail.read().unwrap();
        assert_eq!((steps(&news), news.broken), (vec![2], 1));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let mut tail = Tail::new("/dev/zero".into());
        assert_eq!(tail.read().unwrap(), News::default());
        assert_eq!(tail.offset(), 0);
    }

    #[test]
    fn a_log_that_was_cut_is_read_again() {
        let (_dir, path, mut tail) = log();
        append(&path, &(1..=5).map(line).collect::<String>());
        assert_eq!(steps(&tail.read().unwrap()), [1, 2, 3, 4, 5]);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(2 * line(1).len() as u64).unwrap();
        let news = tail.read().unwrap();
        assert_eq!((news.again, steps(&news)), (true, vec![1, 2]));
    }

    #[test]
    fn a_log_that_was_cut_and_has_grown_past_its_old_end_is_read_again() {
        let (_dir, path, mut tail) = log();
        append(&path, &(1..=5).map(line).collect::<String>());
        tail.read().unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(2 * line(1).len() as u64).unwrap();
        append(&path, &(6..=9).map(line).collect::<String>());
        let news = tail.read().unwrap();
        assert_eq!((news.again, steps(&news)), (true, vec![1, 2, 6, 7, 8, 9]));
    }

    #[test]
    fn a_log_that_vanished_says_nothing_and_another_in_its_place_is_read_from_the_beginning() {
        let (_dir, path, mut tail) = log();
        append(&path, &line(1));
        tail.read().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(tail.read().unwrap(), News::default());
        append(&path, &(line(2) + &line(3)));
        let news = tail.read().unwrap();
        assert_eq!((news.again, steps(&news)), (true, vec![2, 3]));
    }
}
