//! Servers, tiny searches that wait for their watcher, and runs that are only files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc as SyncArc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use enas_search::{Event, Observer, Run};
use enas_testing::runs::{digits, search_config};
use enas_watch::Server;

/// A server at work, which ends with this value.
pub(crate) struct Watching {
    pub(crate) port: u16,
    stop: SyncArc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Watches what is at or below `root`.
pub(crate) fn watch(root: &Path) -> Watching {
    let server = Server::open(root, true, Some(0)).unwrap();
    let port = server.url().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let stop = SyncArc::new(AtomicBool::new(false));
    let seen = SyncArc::clone(&stop);
    let thread = thread::spawn(move || server.serve(&seen).unwrap());
    Watching { port, stop, thread: Some(thread) }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A failure there is a failure here, but not two at once.
            assert!(thread.join().is_ok() || thread::panicking(), "the server failed");
        }
    }
}

/// A search of three epochs in another thread that waits after each until it is let go on.
pub(crate) struct Search {
    go: SyncSender<()>,
    thread: JoinHandle<()>,
}

struct Gate(Receiver<()>);

impl Observer for Gate {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Epoch(_) = event {
            // If the other side is gone, it continues at once.
            let _ = self.0.recv();
        }
    }
}

impl Search {
    pub(crate) fn start(dir: PathBuf) -> Self {
        let (go, gate) = sync_channel(100);
        let thread = thread::spawn(move || search(&dir, &mut Gate(gate)));
        Self { go, thread }
    }

    /// Lets it begin the next epoch.
    pub(crate) fn go_on(&self) {
        self.go.send(()).unwrap();
    }

    /// Waits until it is complete.
    pub(crate) fn finish(self) {
        drop(self.go);
        self.thread.join().unwrap();
    }
}

/// Searches on the built-in digits.
pub(crate) fn search(dir: &Path, observer: &mut dyn Observer) {
    let config = search_config(&["run.epochs=3", "reward.metric=loss"]);
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(dir), &config, &data).unwrap();
    enas_search::search(&config, &data, &mut run, observer).unwrap();
}

/// A directory that looks like a search which has logged `lines`.
pub(crate) fn files(dir: &Path, lines: &str) {
    fs::create_dir_all(dir).unwrap();
    let manifest = r#"{"kind":"search","version":"0.1.0","revision":"x","device":"cpu","threads":1,"data":"digits",
        "fingerprint":{"files":2,"sha256":"00"},"arc":null}"#;
    fs::write(dir.join("config.toml"), "[run]\nepochs = 4\nbatch_size = 8\n").unwrap();
    fs::write(dir.join("metrics.jsonl"), lines).unwrap();
    fs::write(dir.join("manifest.json"), manifest).unwrap();
}

/// A line about the end of an epoch.
pub(crate) fn epoch(number: u64) -> String {
    format!(
        "{{\"t\":{number},\"kind\":\"epoch\",\"epoch\":{number},\"epochs\":4,\"loss\":1.5,\"valid_accuracy\":0.25}}\n"
    )
}
