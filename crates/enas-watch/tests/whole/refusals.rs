//! What is not answered, and what goes with every answer.

use crate::client::{Events, ask, get};
use crate::support::{epoch, files, watch};

#[test]
fn only_reading_under_the_names_of_this_machine_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let server = watch(dir.path());
    let port = server.port;
    let own = format!("Host: localhost:{port}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(port, &format!("{method} /"), &[&own, "Content-Length: 0"]);
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    for host in ["Host: evil.example", "Host: localhost", "Host: 127.0.0.1:1", "X: no host"] {
        assert_eq!(ask(port, "GET /", &[host]).status, 403, "{host}");
    }
    for host in [format!("Host: [::1]:{port}"), format!("host: LOCALHOST:{port}"), own] {
        assert_eq!(ask(port, "GET /", &[&host]).status, 200, "{host}");
    }
}

#[test]
fn no_address_leads_out_of_the_runs_that_were_found() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("runs/inside"), &epoch(1));
    files(&dir.path().join("outside"), &epoch(1));
    let server = watch(&dir.path().join("runs"));
    assert_eq!(get(server.port, "/run/inside").status, 200);
    let absolute = format!("/run/{}", dir.path().join("outside").display());
    let paths = [
        "/run/../outside",
        "/run/inside/../../outside",
        "/run/..%2foutside",
        "/run/%2e%2e/outside",
        "/run/inside%00",
        "/run/inside/",
        "/run//inside",
        "/run/./inside",
        "/run/inside/metrics.jsonl",
        "/run/inside%2fmetrics.jsonl",
        "/run/..\\outside",
        "/run/",
        "/run",
        "/events/../outside",
        "/events/nothing",
        "/../../etc/passwd",
        "/etc/passwd",
        "//",
        &absolute,
    ];
    for path in paths {
        let answer = get(server.port, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("outside"), "{path}: {}", answer.body);
    }
    let missing = get(server.port, "/run/nothing");
    assert!(missing.header("content-type").starts_with("text/html"), "{}", missing.header("content-type"));
    assert!(missing.body.contains("There is no such page") && missing.body.contains("<a href=\"/\">"));
    // What is no address at all is refused before anybody looks at it.
    assert_eq!(get(server.port, "/run/\u{0}").status, 400);
}

#[test]
fn names_and_logs_that_try_to_break_a_page_are_text_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let evil = "<b>&\"x' é%2e?#";
    let line = "{\"kind\":\"epoch\",\"epoch\":1,\"epochs\":1,\"policy\":{\"greedy\":\"<script>\"}}\n\
                {\"kind\":\"step\",\"step\":\"<script>alert(1)</script>\",\"epoch\":2}\n";
    files(&dir.path().join(evil), line);
    let server = watch(dir.path());
    let slug = "/run/%3Cb%3E%26%22x%27%20%C3%A9%252e%3F%23";
    let overview = get(server.port, "/").body;
    assert!(overview.contains(&format!("href=\"{slug}\"")), "{overview}");
    for page in [overview, get(server.port, slug).body] {
        assert!(!page.contains("<b>&") && !page.contains("<script>"), "{page}");
        assert!(page.contains("&#60;b&#62;&#38;&#34;x&#39; é%2e?#"), "{page}");
    }
}

#[test]
fn every_answer_forbids_what_it_does_not_need() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("r"), &epoch(1));
    let server = watch(dir.path());
    for path in ["/", "/run/r", "/compare", "/style.css", "/live.js", "/nothing", "/events/nothing"] {
        let answer = get(server.port, path);
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none'; script-src 'self';")
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(answer.header("content-type").contains("charset=utf-8"), "{path}");
        assert!(!answer.body.contains("http://") || path == "/nothing", "{path} names another server");
    }
    let head = ask(server.port, "HEAD /run/r", &[&format!("Host: 127.0.0.1:{}", server.port)]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let head = ask(server.port, "HEAD /events", &[&format!("Host: 127.0.0.1:{}", server.port)]);
    assert_eq!(
        (head.status, head.header("content-type"), head.body.as_str()),
        (200, "text/event-stream", "")
    );
}

#[test]
fn the_report_of_a_run_is_shown_and_no_other_file() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r");
    files(&run, &epoch(1));
    let server = watch(dir.path());
    assert_eq!(get(server.port, "/report/r").status, 404);
    assert!(!get(server.port, "/run/r").body.contains("/report/"));
    std::fs::write(run.join("report.html"), "<h1>All about r</h1>").unwrap();
    assert!(get(server.port, "/run/r").body.contains("<a href=\"/report/r\">"));
    let answer = get(server.port, "/report/r");
    assert_eq!((answer.status, answer.body.as_str()), (200, "<h1>All about r</h1>"));
    assert!(answer.header("content-security-policy").starts_with("default-src 'none';"));
    for path in ["/report/r/metrics.jsonl", "/report/../r", "/report/", "/report/r/report.html", "/report/x"]
    {
        assert_eq!(get(server.port, path).status, 404, "{path}");
    }
}

#[test]
fn a_stream_begins_with_the_whole_page() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("r"), &epoch(1));
    let server = watch(dir.path());
    // The second one is what a browser does after a lost connection.
    for _ in 0..2 {
        let mut events = Events::open(server.port, "/events/r");
        events.wait_for("status", "1 of 4 epochs complete");
        events.wait_for("numbers", "25.00");
    }
}

#[test]
fn folders_and_ports_that_cannot_be_had_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = enas_watch::Server::open(&missing, false, Some(0)).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("missing: there is no such folder"), "{error}");
    let server = watch(dir.path());
    let error = enas_watch::Server::open(dir.path(), false, Some(server.port)).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains(&server.port.to_string()), "{error}");
    // Without a wish, another port is found.
    let (first, second) = (
        enas_watch::Server::open(dir.path(), false, None),
        enas_watch::Server::open(dir.path(), false, None),
    );
    assert_ne!(first.unwrap().url(), second.unwrap().url());
}
