//! Reports as text: what they say, what they never contain, what they do where something is missing.

use std::collections::BTreeSet;
use std::fs;

use enas_report::ReportOptions;
use enas_search::SearchWhen;

use crate::auto::automatic;
use crate::support::{EVIL, copy, report, runs};

/// The values of an attribute, in order.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Reports of every kind.
fn all() -> [String; 3] {
    let auto = automatic(SearchWhen::Always, "off");
    [report(&runs().search), report(&runs().train), report(auto.path())]
}

#[test]
fn a_training_is_told_from_result_to_settings() {
    let html = report(&runs().train);
    for part in [
        "Training on pictures",
        "90\u{a0}images of 3\u{a0}classes",
        "test accuracy",
        "always predicting the most frequent class",
        "Normal cell",
        "Reduction cell",
        "Training loss",
        "Confusions",
        "expected calibration error",
        "Images as training saw them",
        "SHA-256",
        "<code>child.filters</code>",
        "The architecture was found by the search <a href=\"",
    ] {
        assert!(html.contains(part), "no {part:?}");
    }
    assert!(!html.contains("Final choice"));
    let matrix = &html[html.find("<table class=\"matrix").unwrap()..];
    let cells = matrix[..matrix.find("</table>").unwrap()].matches("<td").count();
    assert_eq!(cells, 9, "three classes");
}

#[test]
fn a_search_is_told_beside_random_architectures() {
    let html = report(&runs().search);
    for part in [
        "Search on pictures",
        "best random architecture",
        "on the same images: ",
        "These are not accuracies of trained networks.",
        "Candidates of the final choice",
        "uniformly random (6), mean",
        "Entropy of the policy",
        "uniform choice: ",
        "Operations in reduction cells",
        "enas search --config ",
        "Trained from scratch in <code>train</code>",
    ] {
        assert!(html.contains(part), "no {part:?}");
    }
    assert!(!html.contains("Confusions") && !html.contains("beat"));
}

#[test]
fn names_from_outside_are_never_markup() {
    let html = report(&runs().train);
    assert!(!html.contains(EVIL) && !html.contains("<b>&\"") && !html.contains("<b>&amp;&quot;"));
    assert!(html.contains("&#60;b&#62;&#38;&#34;x&#39;"), "the class is shown");
}

#[test]
fn a_page_asks_for_nothing_and_stays_small() {
    for html in all() {
        assert!(html.len() < 3_000_000, "{} bytes", html.len());
        // The names of the two markup languages are no addresses that anybody opens.
        let html = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for forbidden in ["http://", "https://", "<script", "@import", "<iframe", "@font-face", "url("] {
            assert_eq!(html.find(forbidden), None, "{forbidden}");
        }
        assert!(attributes(&html, "src").iter().all(|src| src.starts_with("data:image/png;base64,")));
        let links = attributes(&html, "href");
        assert!(
            links
                .iter()
                .all(|l| l.starts_with('#') || l.starts_with("data:,") || l.ends_with("/report.html"))
        );
        assert!(html.contains("default-src 'none'"));
    }
}

#[test]
fn headings_are_in_order_and_names_lead_somewhere() {
    for html in all() {
        let levels: Vec<u8> = html
            .match_indices("<h")
            .filter_map(|(at, _)| {
                html.as_bytes().get(at + 2).filter(|b| b.is_ascii_digit()).map(|b| b - b'0')
            })
            .collect();
        assert_eq!(levels.iter().filter(|&&level| level == 1).count(), 1);
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");

        let ids = attributes(&html, "id");
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(distinct.len(), ids.len(), "ids are unique: {ids:?}");
        let named = attributes(&html, "aria-labelledby");
        assert!(named.iter().flat_map(|names| names.split(' ')).all(|name| distinct.contains(name)));
        let targets = attributes(&html, "href").into_iter().filter_map(|link| link.strip_prefix('#'));
        targets.for_each(|target| assert!(distinct.contains(target), "{target}"));
        assert_eq!(html.matches("<img").count(), attributes(&html, "alt").len());
    }
}

/// A report without the time of writing and the measured speed.
fn lasting(html: &str) -> String {
    let of_clock =
        |line: &&str| line.contains("Written ") || line.contains("µs") || line.contains("\u{a0}ms");
    html.lines().filter(|line| !of_clock(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_same_run_gives_the_same_report() {
    for run in [&runs().search, &runs().train] {
        assert_eq!(lasting(&report(run)), lasting(&report(run)));
    }
}

#[test]
fn images_that_are_loaded_already_make_no_difference() {
    let run = &runs().train;
    let record = enas_search::RunReader::open(run).unwrap();
    let config: enas_search::TrainConfig = record.config().unwrap();
    let data = record.load_data(&config.data, config.run.seed(), None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("r.html");
    enas_report::write(
        run,
        &ReportOptions { out: Some(&out), data: Some(&data), ..ReportOptions::default() },
    )
    .unwrap();
    assert_eq!(lasting(&fs::read_to_string(out).unwrap()), lasting(&report(run)));
}

#[test]
fn the_speed_is_that_of_single_images_and_of_batches() {
    let html = report(&runs().train);
    assert!(html.contains("Time per image, one at a time") && html.contains("% of them within "));
    assert!(html.contains("Time per image, in batches") && html.contains("batches of 64, measured on "));
}

#[test]
fn the_worst_mistakes_show_where_the_network_looks_if_there_is_time() {
    let run = &runs().train;
    let html = report(run);
    let mistakes = html.matches("</b> predicted as <b>").count();
    assert!(mistakes > 0, "the network of the tests makes mistakes");
    let maps =
        html.matches("class=\"map\" role=\"img\" aria-label=\"Occlusion sensitivity: covering ").count();
    assert_eq!(maps, mistakes.min(6));
    assert!(html.contains("Zeiler and Fergus, 2014") && !html.contains("time was short"));

    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("r.html");
    let hurried = ReportOptions { out: Some(&out), left: Some(0.0), ..ReportOptions::default() };
    enas_report::write(run, &hurried).unwrap();
    let html = fs::read_to_string(out).unwrap();
    assert!(html.contains("time was short") && !html.contains("aria-label=\"Occlusion sensitivity"));
    assert!(html.contains("The time per image was not measured"));
    assert_eq!(html.matches("</b> predicted as <b>").count(), mistakes);
}

#[test]
fn images_that_were_moved_are_named_and_left_out() {
    let moved = copy(&runs().train);
    let config = moved.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&runs().images().display().to_string(), "/moved/away")).unwrap();
    let html = report(moved.path());
    assert!(
        html.contains("The images of the run cannot be loaded") && html.contains("/moved/away"),
        "{html}"
    );
    assert!(html.contains("test accuracy") && html.contains("guessing") && html.contains("Training loss"));
    assert!(!html.contains("Confusions") && !html.contains("Worst mistakes"));
}

#[test]
fn a_run_that_is_not_finished_or_damaged_has_a_report_of_what_is_there() {
    let unfinished = copy(&runs().search);
    fs::remove_file(unfinished.path().join("best.arc.json")).unwrap();
    let log = unfinished.path().join("metrics.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let kept: Vec<&str> =
        text.lines().filter(|l| !l.contains("\"result\"") && !l.contains("\"candidate\"")).collect();
    fs::write(&log, kept.join("\n") + "\n{\"kind\":\"st").unwrap();
    let html = report(unfinished.path());
    assert!(
        html.contains("not finished yet") && html.contains("Normal cell") && html.contains("Reward"),
        "{html}"
    );

    let damaged = copy(&runs().train);
    fs::write(damaged.path().join("model.safetensors"), "torn").unwrap();
    fs::remove_file(damaged.path().join("metrics.jsonl")).unwrap();
    fs::write(damaged.path().join("config.toml"), "[run\n").unwrap();
    let html = report(damaged.path());
    assert!(html.contains("The model cannot be read") && html.contains("Normal cell"), "{html}");
}

#[test]
fn what_is_no_run_is_refused_and_what_cannot_be_written_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let error = enas_report::write(empty.path(), &ReportOptions::default()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("no manifest.json"), "{error}");
    let out = empty.path().join("no/such/folder.html");
    let options = ReportOptions { out: Some(&out), ..ReportOptions::default() };
    let error = enas_report::write(&runs().search, &options).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains("folder.html"), "{error}");
}
