//! Reports in a real browser, where there is one: it must find nothing to complain of and nothing to fetch.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::chromium::{FLAGS, browser};
use crate::support::{report, runs};

/// The document after loading, and what the browser wrote to its console.
///
/// The page's own policy forbids every request, so that each attempt leaves a line there.
fn load(browser: &Path, page: &Path) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(FLAGS)
        .args(["--enable-logging=stderr", "--dump-dom"])
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
    let Some(browser) = browser() else { return };
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
