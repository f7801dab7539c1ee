//! Reports in a real browser, where there is one: it must find nothing to complain of and nothing to fetch.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{report, runs};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser on the path.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|file| file.is_file())
}

/// The document after loading, and what the browser wrote to its console.
///
/// The page's own policy forbids every request, so that each attempt leaves a line there.
fn load(browser: &Path, page: &Path) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--dump-dom",
    ];
    let output = Command::new(browser)
        .args(flags)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} failed: {log}", browser.display());
    let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), console)
}

#[test]
fn a_browser_shows_reports_without_a_complaint_or_a_request() {
    let Some(browser) = browser() else {
        // Past the test harness, which would swallow it.
        writeln!(io::stderr(), "skipped: no {} on the path to open reports with", BROWSERS[0]).unwrap();
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("r.html");
    for run in [&runs().search, &runs().train] {
        let html = report(run);
        fs::write(&page, &html).unwrap();
        let (document, console) = load(&browser, &page);
        assert_eq!(console, Vec::<String>::new(), "{}", run.display());
        assert!(document.contains("How to repeat it"), "{document}");

        // The same page with one request in it is complained of: the check can fail.
        let asking = html.replace("<main", "<img alt=\"\" src=\"http://localhost:9/x.png\"><main");
        fs::write(&page, asking).unwrap();
        assert!(!load(&browser, &page).1.is_empty());
    }
}
