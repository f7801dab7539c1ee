//! Signals to processes, and waiting for what they write.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Longer than any process here should take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends a signal to a process that was not waited for yet, so its number is no other process's; `signal` is an
/// argument of `kill`, as `-INT`.
pub fn send(signal: &str, to: &Child) {
    let status = Command::new("kill").args([signal, &to.id().to_string()]).status().unwrap();
    assert!(status.success(), "kill {signal}: {status}");
}

/// Waits until a text file contains `part`.
pub fn wait_for_text(path: &Path, part: &str) {
    let began = Instant::now();
    while !std::fs::read_to_string(path).is_ok_and(|text| text.contains(part)) {
        assert!(began.elapsed() < PATIENCE, "no {part} in {}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}
