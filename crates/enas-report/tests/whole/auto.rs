//! Reports of automatic runs: one story from the check of the images to the delivered model.

use std::fs;
use std::time::Instant;

use enas_report::ReportOptions;
use enas_search::{AutoConfig, AutoPhase, AutoRun, CheckedData, Choice, Preparation, SearchWhen, TimeLimit};
use tempfile::TempDir;

use crate::support::{EVIL, report, runs, small_search, small_training};

/// An automatic run on the images of [`runs`].
pub(crate) fn automatic(search_when: SearchWhen, time: &str) -> TempDir {
    let images = runs().images();
    let search = small_search(&images);
    let train = small_training(&images);
    let data = enas_data::load(&search.data, &enas_data::LoadOptions::new(search.run.seed())).unwrap();
    let checked = enas_data::check::check_dataset(&search.data, search.run.seed()).unwrap();
    let time: TimeLimit = time.parse().unwrap();
    let config =
        AutoConfig { search, train, time, finish: 0.5, search_when, cell: None, fits_network: false };
    let dir = tempfile::tempdir().unwrap();
    let mut run = AutoRun::create(Some(dir.path()), &config, &data, Instant::now()).unwrap();
    let key = |key: &str, value: &str, reason: &str| Choice {
        key: key.into(),
        value: value.into(),
        reason: reason.into(),
        only: None,
    };
    run.note_preparation(Preparation {
        command: "enas auto my-photos --time 3m".into(),
        check: Some(CheckedData::new(&checked)),
        choices: vec![key("data.channels", "1", "all images are <grey>"), key("keep", "last", "averaged")],
    })
    .unwrap();
    enas_search::auto(&config, &data, &mut run, &mut ()).unwrap();
    dir
}

/// All that a report says, without its markup.
fn order(html: &str, parts: &[&str]) {
    let mut from = 0;
    for part in parts {
        let at = html[from..].find(part);
        from += at.unwrap_or_else(|| panic!("no {part:?} after {:?}", &html[from.saturating_sub(80)..from]));
    }
}

#[test]
fn a_run_without_a_search_is_told_as_a_whole_and_says_why() {
    let dir = automatic(SearchWhen::IfItPays, "off");
    let html = report(dir.path());
    order(
        &html,
        &[
            "Automatic run on pictures",
            "A ready cell was trained for 3\u{a0}epochs",
            "test accuracy",
            "95\u{a0}% interval",
            "time used",
            "there was no time limit",
            "How the run went",
            "No architecture was searched; a ready cell was trained for the whole time. There were 72\u{a0}training images",
            "below 1\u{202f}000",
            "Check, load and plan",
            "Training",
            "of the validation images",
            "In all",
            "Images",
            "90\u{a0}image files. All of them are usable: 72 to train on, 9 to choose by, 9 to test with.",
            "Choices",
            "data.<wbr>channels",
            "all images are &#60;grey&#62;",
            "Normal cell",
            "Size and speed",
            "Predictions of the test split",
            "Curves of the training",
            "How to repeat it",
            "enas auto my-photos --time 3m",
        ],
    );
    for absent in ["First model", ">Search</h2>", "Entropy", EVIL] {
        assert!(!html.contains(absent), "{absent}");
    }
}

#[test]
fn a_run_with_a_search_shows_its_course_and_each_figure_once() {
    let dir = automatic(SearchWhen::Always, "1h");
    let run = AutoPhase::Search.folder();
    enas_report::write(&dir.path().join(run), &ReportOptions::default()).unwrap();
    let html = report(dir.path());
    order(
        &html,
        &[
            "of 1\u{a0}h 00\u{a0}min allowed",
            "An architecture was searched, as asked for.",
            "First model",
            "Search",
            "with shared weights",
            "Training",
            "Candidates of the final choice",
            "Best candidates",
            "Accuracy during the search",
            "Entropy of the policy",
            "Predictions of the test split",
            "Training loss",
        ],
    );
    for id in ["accuracy-title", "search-accuracy-title", "loss-title", "candidates-title"] {
        assert_eq!(html.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[test]
fn what_the_folder_does_not_say_is_said_to_be_missing() {
    let dir = automatic(SearchWhen::Never, "off");
    let about = dir.path().join("auto.json");
    let whole = fs::read_to_string(&about).unwrap();
    assert!(report(dir.path()).contains("as asked for (--search never)"));
    fs::write(&about, "{}").unwrap();
    let html = report(dir.path());
    order(
        &html,
        &["test accuracy", "There is no plan yet.", "This run did not record", "No setting was chosen"],
    );
    let options = ReportOptions { seconds: Some(754.0), ..ReportOptions::default() };
    fs::write(&about, whole).unwrap();
    let path = enas_report::write(dir.path(), &options).unwrap();
    assert_eq!(path, dir.path().join("report.html"));
    assert!(fs::read_to_string(path).unwrap().contains("<b>12\u{a0}min 34\u{a0}s</b>"));
}

#[test]
fn a_folder_with_nothing_to_report_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("auto.json"), "{}").unwrap();
    let error = enas_report::write(dir.path(), &ReportOptions::default()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("no manifest.json"), "{error}");
    assert!(!dir.path().join("report.html").exists());
}
