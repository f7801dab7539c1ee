//! Where a real browser is, and how it is started so that it asks for nothing of its own. For the tests of all pages.

use std::io::{self, Write};
use std::path::PathBuf;

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The flags of each start, in addition to a `--user-data-dir` of its own.
pub const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser on the path; where there is none, says that the test is skipped.
pub fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = BROWSERS
        .iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        // Past the test harness, which would swallow it.
        let _ = writeln!(io::stderr(), "skipped: no {} on the path to open pages with", BROWSERS[0]);
    }
    found
}
