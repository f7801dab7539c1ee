//! What a watcher sees of runs that change, and that runs do not see the watcher.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use enas_testing::runs::{metrics, newest_weights};

use crate::client::{Events, get};
use crate::support::{Search, epoch, files, search, watch};

#[test]
fn a_search_that_begins_later_appears_and_its_epochs_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let server = watch(&runs);
    assert!(get(server.port, "/").body.contains("There are no runs here yet"));
    let mut overview = Events::open(server.port, "/events");

    let search = Search::start(runs.join("a-search"));
    overview.wait_for("runs", "<a href=\"/run/a-search\">a-search</a>");
    // Clients that never read do not delay the others.
    let idle: Vec<Events> = (0..5).map(|_| Events::open(server.port, "/events/a-search")).collect();
    let mut run = Events::open(server.port, "/events/a-search");
    for done in 1..=3 {
        let status = run.wait_for("status", &format!("{done} of 3 epochs complete"));
        assert!(status.contains("running"), "{status}");
        overview.wait_for("runs", &format!("{done} of 3 epochs complete"));
        let page = get(server.port, "/run/a-search").body;
        assert!(page.contains(&format!("likeliest architecture after epoch {done}")), "{page}");
        assert!(page.contains("Training loss") && page.contains("Normal cell"), "{page}");
        search.go_on();
    }
    search.finish();
    run.wait_for("status", "Finished after");
    let page = get(server.port, "/run/a-search").body;
    assert!(
        page.contains("The architecture found") && page.contains("Candidates of the final choice"),
        "{page}"
    );
    drop(idle);
}

#[test]
fn a_watched_search_writes_the_same_bytes_as_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let alone = dir.path().join("alone");
    let watched = dir.path().join("runs/watched");
    search(&alone, &mut ());
    let server = watch(&dir.path().join("runs"));
    let mut overview = Events::open(server.port, "/events");
    let search = Search::start(watched.clone());
    overview.wait_for("runs", "watched");
    let mut run = Events::open(server.port, "/events/watched");
    (0..3).for_each(|_| search.go_on());
    search.finish();
    run.wait_for("status", "Finished after");
    assert_eq!(metrics(&watched), metrics(&alone));
    assert!(metrics(&alone).len() > 30 && newest_weights(&alone).len() > 10);
    assert_eq!(newest_weights(&watched), newest_weights(&alone));
    assert_eq!(fs::read(watched.join("config.toml")).unwrap(), fs::read(alone.join("config.toml")).unwrap());

    let before = stamps(&watched);
    get(server.port, "/run/watched");
    get(server.port, "/");
    assert_eq!(stamps(&watched), before);
}

#[test]
fn a_log_that_is_cut_by_a_resume_is_shown_as_it_is_then() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r");
    files(&run, &(1..=3).map(epoch).collect::<String>());
    let server = watch(dir.path());
    assert!(get(server.port, "/run/r").body.contains("3 of 4 epochs complete"));
    let mut events = Events::open(server.port, "/events/r");
    events.wait_for("status", "3 of 4 epochs complete");
    let log = run.join("metrics.jsonl");
    OpenOptions::new().write(true).open(&log).unwrap().set_len(epoch(1).len() as u64).unwrap();
    events.wait_for("status", "1 of 4 epochs complete");
    OpenOptions::new().append(true).open(&log).unwrap().write_all(b"{\"kind\":\"epo").unwrap();
    OpenOptions::new().append(true).open(&log).unwrap().write_all(b"\nnonsense\n").unwrap();
    events.wait_for("status", "2\u{a0}lines of metrics.jsonl cannot be read");
}

#[test]
fn a_run_that_vanishes_says_so_and_one_that_comes_back_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r");
    files(&run, &epoch(1));
    let server = watch(dir.path());
    assert!(get(server.port, "/run/r").body.contains("1 of 4 epochs complete"));
    let (mut events, mut overview) =
        (Events::open(server.port, "/events/r"), Events::open(server.port, "/events"));
    overview.wait_for("runs", "/run/r");
    fs::remove_dir_all(&run).unwrap();
    events.wait_for("status", "Its folder is gone");
    overview.wait_for("runs", "There are no runs here yet");
    let page = get(server.port, "/run/r").body;
    assert!(page.contains("Its folder is gone") && page.contains("25.00"), "{page}");
    files(&run, &epoch(2));
    events.wait_for("status", "2 of 4 epochs complete");
}

#[test]
fn phases_of_an_automatic_run_stand_together_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let auto = dir.path().join("x-auto-1");
    files(&auto.join("first"), &epoch(1));
    files(&auto.join("search"), &epoch(2));
    fs::write(auto.join("auto.json"), "{}").unwrap();
    files(&dir.path().join("x-search-1"), &epoch(3));
    let server = watch(dir.path());
    let page = get(server.port, "/").body;
    assert!(page.contains("<a href=\"/run/x-auto-1\">x-auto-1</a>"), "{page}");
    assert!(page.contains("<a href=\"/run/x-auto-1/search\">search</a>"), "{page}");
    assert_eq!(page.matches("class=\"card\"").count(), 2, "{page}");
    assert!(page.contains("Automatic run on digits, phase 2 of 3: search, 2 of 4 epochs complete"), "{page}");
    let phase = get(server.port, "/run/x-auto-1/search").body;
    assert!(phase.contains("2 of 4 epochs complete"));
    assert!(phase.contains("<a href=\"/run/x-auto-1\">x-auto-1</a> / search</p>"), "{phase}");

    // It has a page of its own, with all phases, the numbers of the one at work, and its report.
    let own = get(server.port, "/run/x-auto-1").body;
    assert!(
        own.contains("<h1>Automatic run on digits</h1>") && own.contains("Below: the phase search."),
        "{own}"
    );
    assert!(own.contains("/run/x-auto-1/first") && !own.contains("/report/"), "{own}");
    let mut events = Events::open(server.port, "/events/x-auto-1");
    events.wait_for("status", "phase 2 of 3: search");
    files(&auto.join("train"), &(epoch(1) + "{\"kind\":\"result\",\"test_accuracy\":0.75,\"t\":5}\n"));
    events.wait_for("phases", "Below: the phase train.");
    assert!(get(server.port, "/").body.contains("75.00"));
    fs::write(auto.join("report.html"), "<h1>All</h1>").unwrap();
    assert!(get(server.port, "/run/x-auto-1").body.contains("<a href=\"/report/x-auto-1\">"));
    assert_eq!(get(server.port, "/report/x-auto-1").body, "<h1>All</h1>");
    assert_eq!(get(server.port, "/run/x-auto").status, 404);

    // The folder of an automatic run, or a run, can be watched alone.
    let server = watch(&auto);
    assert!(get(server.port, "/").body.contains("/run/x-auto-1/first"));
    let server = watch(&auto.join("first"));
    let answer = get(server.port, "/");
    assert_eq!((answer.status, answer.header("location")), (303, "/run/first"));
    assert!(!get(server.port, "/run/first").body.contains("all runs"));
}

#[test]
fn runs_are_compared_in_one_table_and_one_chart() {
    let dir = tempfile::tempdir().unwrap();
    let server = watch(dir.path());
    assert!(get(server.port, "/compare").body.contains("There are no runs here yet"));
    files(&dir.path().join("a"), &(1..=3).map(epoch).collect::<String>());
    files(&dir.path().join("b"), &(1..=2).map(epoch).collect::<String>().replace("0.25", "0.75"));
    fs::create_dir_all(dir.path().join("c")).unwrap();
    fs::write(dir.path().join("c/manifest.json"), "{").unwrap();
    get(server.port, "/");
    let page = get(server.port, "/compare").body;
    // The better one is the first; the one that cannot be read is listed without a page.
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}: {page}"));
    assert!(place("<a href=\"/run/b\">b</a>") < place("<a href=\"/run/a\">a</a>"), "{page}");
    assert!(page.contains("Runs that cannot be read") && !page.contains("/run/c"), "{page}");
    assert!(page.contains("data-name=\"run 1\"") && page.contains("data-name=\"run 2\""), "{page}");
    assert!(page.contains("3\u{a0}runs, 0 finished."), "{page}");
    assert!(!page.contains("data-events"), "nothing changes in it by itself");
}

#[test]
fn a_finished_run_shows_no_sign_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r");
    files(&run, &epoch(4));
    let server = watch(dir.path());
    assert!(!get(server.port, "/run/r").body.contains("data-over"));
    let result = "{\"kind\":\"result\",\"t\":9,\"valid_accuracy\":0.5}\n";
    OpenOptions::new()
        .append(true)
        .open(run.join("metrics.jsonl"))
        .unwrap()
        .write_all(result.as_bytes())
        .unwrap();
    assert!(get(server.port, "/run/r").body.contains("data-over"));
}

/// All files of a run with their lengths and times of change.
fn stamps(dir: &Path) -> Vec<(String, u64, SystemTime)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut all: Vec<_> = entries
        .map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap()))
        .map(|(name, file)| (name, file.len(), file.modified().unwrap()))
        .collect();
    all.sort();
    all
}
