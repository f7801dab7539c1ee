//! Following a run by reading its log. Files of the run are neither changed nor locked.

mod digest;
mod tail;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use enas_arc::{Arc, Arch};
use enas_report::{Log, RunSettings};
use enas_run::{Kind, RunReader};
use serde_json::Value;

pub(crate) use digest::{Digest, Phase};
use tail::Tail;

/// Maximum number of events kept for the curves, of each frequent kind.
const EVENTS: usize = 4000;
/// How long the events are kept after the last request for the run.
const KEPT: Duration = Duration::from_secs(60);

/// A run that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) record: RunReader,
    pub(crate) settings: RunSettings,
    pub(crate) digest: Digest,
    /// The events of the curves, kept only while the page of the run is requested.
    pub(crate) log: Option<Log>,
    /// Number of lines that are not valid events.
    pub(crate) broken: u64,
    /// Why the log cannot be read.
    pub(crate) trouble: Option<String>,
    /// Number of bytes of the log that are still to be read.
    pub(crate) unread: u64,
    /// Whether the directory no longer exists.
    pub(crate) gone: bool,
    /// Number of training images.
    images: usize,
    tail: Tail,
    wanted: Option<Instant>,
    changed: Option<SystemTime>,
}

/// Whether a run is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its log grows.
    Running,
    /// It is not finished, and there was no event for a long time.
    Quiet,
    /// It has a result.
    Finished,
    /// Its directory no longer exists.
    Gone,
}

impl Followed {
    pub(crate) fn new(record: RunReader) -> Self {
        Self {
            settings: RunSettings::read(&record.config_path()),
            images: record.split().map_or(0, |split| split.train.len()),
            tail: Tail::new(record.metrics_path()),
            digest: Digest::default(),
            log: None,
            broken: 0,
            trouble: None,
            unread: 0,
            gone: false,
            wanted: None,
            changed: None,
            record,
        }
    }

    /// Records that the page of the run is requested. From now on the events of its curves are kept.
    ///
    /// The first call reads the log again from its beginning.
    pub(crate) fn want(&mut self) {
        self.wanted = Some(Instant::now());
        if self.log.is_none() && !self.gone {
            self.log = Some(Log::default());
            self.forget();
        }
    }

    /// Reads new events for at most about `stall_timeout`. Returns whether there were any.
    pub(crate) fn catch_up(&mut self, stall_timeout: Duration) -> bool {
        let began = Instant::now();
        if self.wanted.is_none_or(|wanted| wanted.elapsed() > KEPT) {
            self.log = None;
        }
        let mut any = false;
        loop {
            match self.tail.read() {
                Err(e) => {
                    self.trouble = Some(format!("The log cannot be read: {e}."));
                    return any;
                }
                Ok(news) => {
                    self.trouble = None;
                    if news.again {
                        self.forget_events();
                    }
                    any |= news.again || news.broken > 0 || !news.events.is_empty();
                    self.broken += news.broken;
                    news.events.into_iter().for_each(|event| self.add(event));
                    if !news.more || began.elapsed() > stall_timeout {
                        break;
                    }
                }
            }
        }
        let stamp = self.tail.stamp();
        self.unread = stamp.map_or(0, |(length, _)| length.saturating_sub(self.tail.offset()));
        self.changed = stamp.map(|(_, time)| time);
        any
    }

    fn add(&mut self, event: Value) {
        self.digest.add(&event);
        if let Some(log) = &mut self.log {
            log.push(event);
            // Thinning visits all events; this call does so only after many new ones.
            log.thin_if_large(EVENTS);
        }
    }

    fn forget(&mut self) {
        self.tail.restart();
        self.forget_events();
    }

    fn forget_events(&mut self) {
        (self.digest, self.broken) = (Digest::default(), 0);
        self.log = self.log.take().map(|_| Log::default());
    }

    /// The state of the run.
    pub(crate) fn state(&self) -> State {
        if self.gone {
            return State::Gone;
        }
        if self.digest.phase == Phase::Finished {
            return State::Finished;
        }
        let quiet = self.silence().is_some_and(|silence| self.digest.is_quiet_after(silence.as_secs_f64()));
        if quiet { State::Quiet } else { State::Running }
    }

    /// Time since the log was last written.
    pub(crate) fn silence(&self) -> Option<Duration> {
        // After the clock was set back, the time of writing lies in the future; that counts as just now.
        self.changed.map(|time| time.elapsed().unwrap_or_default())
    }

    /// When the log was last written.
    pub(crate) fn changed(&self) -> Option<SystemTime> {
        self.changed
    }

    /// The path of the report, whether or not it exists.
    pub(crate) fn report_path(&self) -> PathBuf {
        self.record.dir().join(enas_report::FILE_NAME)
    }

    /// Search or training.
    pub(crate) fn kind(&self) -> Kind {
        self.record.manifest().kind
    }

    /// Number of planned epochs, from the last event `epoch`, else from the settings. A time limit can change it.
    pub(crate) fn epochs(&self) -> u64 {
        let said = self.digest.epoch.as_ref().and_then(|event| event["epochs"].as_u64());
        said.or_else(|| self.settings.number("run.epochs")).unwrap_or(0)
    }

    /// Training steps per epoch.
    pub(crate) fn steps(&self) -> u64 {
        let seen = self.digest.step.as_ref().and_then(|event| event["step"].as_u64()).unwrap_or(0);
        enas_report::planned_steps(&self.settings, self.images).max(seen).max(1)
    }

    /// Number of candidates that will be measured in total.
    pub(crate) fn candidates(&self) -> u64 {
        let setting = |key| self.settings.number(key).unwrap_or(0);
        (1 + setting("select.samples") + setting("select.random")).max(self.digest.candidates)
    }

    /// The architecture to show, with a caption.
    pub(crate) fn arc(&self) -> Option<(Arc, String)> {
        let parsed = |text: &str| text.parse::<Arc>().ok();
        let of = |event: &Option<Value>, pointer: &str| parsed(event.as_ref()?.pointer(pointer)?.as_str()?);
        if let Some(arc) = self.record.manifest().arc.as_ref().and_then(Arch::micro) {
            return Some((arc.clone(), "The architecture that is trained".into()));
        }
        if let Some(arc) = of(&self.digest.result, "/arc").or_else(|| self.record.best_arc().ok()) {
            return Some((arc, "The architecture found".into()));
        }
        if let Some(arc) = of(&self.digest.best, "/arc") {
            return Some((arc, "The best candidate so far".into()));
        }
        let epoch = self.digest.epochs_done();
        Some((
            of(&self.digest.epoch, "/policy/greedy")?,
            format!("The policy's likeliest architecture after epoch {epoch}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// A run directory with a manifest, settings and this log.
    pub(crate) fn run(dir: &Path, log: &str) -> RunReader {
        let manifest = r#"{"kind":"search","version":"0.1.0","revision":"x","device":"cpu","threads":1,"data":"digits",
            "fingerprint":{"files":2,"sha256":"00"},"arc":null}"#;
        fs::write(dir.join("manifest.json"), manifest).unwrap();
        fs::write(dir.join("config.toml"), "[run]\nepochs = 4\nbatch_size = 8\n").unwrap();
        fs::write(dir.join("metrics.jsonl"), log).unwrap();
        RunReader::open(dir).unwrap()
    }

    #[test]
    fn the_curves_are_there_once_wanted_and_begin_at_the_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let lines: String = (1..=9)
            .map(|i| format!("{{\"t\":{i},\"kind\":\"step\",\"epoch\":1,\"step\":{i},\"loss\":1}}\n"))
            .collect();
        let mut run = Followed::new(run(dir.path(), &(lines + "torn\n")));
        assert!(run.catch_up(Duration::ZERO));
        assert_eq!((run.digest.seconds, run.broken, run.log.is_none()), (9.0, 1, true));
        assert!(!run.catch_up(Duration::ZERO), "nothing is new");
        run.want();
        run.catch_up(Duration::ZERO);
        assert_eq!((run.log.as_ref().unwrap().of("step").count(), run.broken), (9, 1));
        assert_eq!((run.state(), run.epochs(), run.unread), (State::Running, 4, 0));
    }

    #[test]
    fn a_long_log_keeps_bounded_memory() {
        let dir = tempfile::tempdir().unwrap();
        let line = |i: usize| {
            format!("{{\"t\":{i},\"kind\":\"step\",\"epoch\":1,\"step\":{i},\"loss\":{}}}\n", i % 7)
        };
        let mut run = Followed::new(run(dir.path(), &(1..=30_000).map(line).collect::<String>()));
        run.want();
        run.catch_up(Duration::from_secs(600));
        let kept = run.log.unwrap().of("step").count();
        assert!((1500..=6000).contains(&kept), "{kept}");
        assert_eq!(run.digest.step.unwrap()["step"], 30_000);
    }

    #[test]
    fn a_result_finishes_a_run_and_a_missing_directory_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let arc = "0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3";
        let mut run =
            Followed::new(run(dir.path(), &format!("{{\"t\":1,\"kind\":\"result\",\"arc\":\"{arc}\"}}\n")));
        run.catch_up(Duration::ZERO);
        assert_eq!((run.state(), run.arc().unwrap().1), (State::Finished, "The architecture found".into()));
        run.gone = true;
        assert_eq!(run.state(), State::Gone);
    }

    #[test]
    fn a_log_from_the_future_counts_as_just_written() {
        let dir = tempfile::tempdir().unwrap();
        let record = run(dir.path(), "{\"t\":1,\"kind\":\"step\",\"epoch\":1,\"step\":1}\n");
        let log = fs::File::options().write(true).open(dir.path().join("metrics.jsonl")).unwrap();
        log.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
        let mut run = Followed::new(record);
        run.catch_up(Duration::ZERO);
        assert_eq!((run.state(), run.silence()), (State::Running, Some(Duration::ZERO)));
    }
}
