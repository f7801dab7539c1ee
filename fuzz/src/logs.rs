//! The log of a run, as input of a report and of a page.

use std::sync::OnceLock;

use enas_report::ReportOptions;

use crate::http::{PATIENCE, ask, run_files, serve};
use crate::place;

/// Makes a report and a page from a log. Nothing in the log may become markup.
pub fn logs(data: &[u8]) {
    static PORT: OnceLock<u16> = OnceLock::new();
    run_files(data);
    let runs = place::folder().join("runs");
    let out = place::folder().join("report.html");
    enas_report::write(&runs.join("r"), &ReportOptions { out: Some(&out), ..ReportOptions::default() })
        .expect("it can be written");
    let report = std::fs::read_to_string(&out).expect("it was written");
    assert!(!report.contains("<script") && !report.contains("<fuzz"), "{report}");

    let port = *PORT.get_or_init(|| serve(&runs));
    let request = format!("GET /run/r HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    let page = String::from_utf8(ask(port, request.as_bytes(), PATIENCE)).expect("a page is text");
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    assert!(page.matches("<script").count() == 1 && !page.contains("<fuzz"), "{page}");
}
