//! The summary as a self-contained HTML page: conclusion, chart of accuracy against cost, tables.

use std::fmt::Write;

use enas_report::chart::{Chart, ChartAxis, ChartSeries, Escaped, Format, Mark, STYLE};

use crate::record::{Group, StudyTrial};
use crate::summary::StudySummary;

/// Style of the page, except for its chart.
const LAYOUT: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: var(--ink); \
background: var(--card); }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto; }
th, td { text-align: left; padding: 0.25em 0.9em 0.25em 0; border-bottom: 1px solid var(--line); }
dt { font-weight: 600; } dd { margin: 0 0 0.5em; }
";

/// The page as HTML.
pub(crate) fn page(summary: &StudySummary, trials: &[&StudyTrial]) -> String {
    let title = format!("Study of {}", summary.data);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n\
         <style>\n{STYLE}{LAYOUT}</style>\n</head>\n<body>\n<h1>{0}</h1>\n<p>{1}</p>\n{2}\n<table>\n",
        Escaped(&title),
        Escaped(&summary.conclusion()),
        chart(trials).svg("front")
    );
    for (i, row) in summary.table().iter().enumerate() {
        let cell = if i == 0 { "th" } else { "td" };
        let cells: String = row.iter().map(|text| format!("<{cell}>{}</{cell}>", Escaped(text))).collect();
        writeln!(page, "<tr>{cells}</tr>").expect("a string grows");
    }
    page.push_str("</table>\n<dl>\n");
    for (name, text) in summary.findings() {
        writeln!(page, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(&text)).expect("a string grows");
    }
    page.push_str("</dl>\n");
    if !summary.missing.is_empty() {
        let items: String =
            summary.missing.iter().map(|what| format!("<li>{}</li>\n", Escaped(what))).collect();
        write!(page, "<h2>Missing, or to be known</h2>\n<ul>\n{items}</ul>\n").expect("a string grows");
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// Test accuracy against multiply-adds: one dot per architecture, at the mean of its trainings.
fn chart(trials: &[&StudyTrial]) -> Chart {
    let series = |(group, colour): (Group, usize)| {
        let points = points(group, trials);
        (!points.is_empty()).then(|| ChartSeries {
            name: group.description().to_owned(),
            points,
            mark: Mark::Dots,
            colour,
        })
    };
    let groups =
        [(Group::Pool, 6), (Group::Wide, 3), (Group::Control, 1), (Group::Small, 4), (Group::SearchPick, 2)];
    Chart {
        title: "Accuracy and cost".into(),
        description:
            "Test accuracy of each architecture, trained alone, against its multiply-adds per image, by group"
                .into(),
        x: ChartAxis::new("million multiply-adds per image", Format::Number),
        y: ChartAxis::new("test accuracy", Format::Percent),
        series: groups.into_iter().filter_map(series).collect(),
        rules: Vec::new(),
    }
}

/// Cost in millions and mean accuracy of a group's architectures, the cheapest first. Trials are sorted by their
/// keys.
fn points(group: Group, trials: &[&StudyTrial]) -> Vec<[f64; 2]> {
    let members: Vec<&&StudyTrial> = trials.iter().filter(|trial| trial.key.group == group).collect();
    let mut points: Vec<[f64; 2]> = members
        .chunk_by(|a, b| a.key.index == b.key.index)
        .map(|repeats| {
            let sum: f64 = repeats.iter().map(|trial| trial.measured.test_accuracy).sum();
            [repeats[0].measured.macs as f64 / 1e6, sum / repeats.len() as f64]
        })
        .collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::{study, subject};

    #[test]
    fn the_page_shows_every_architecture_and_escapes_names() {
        let (mut trials, picks) = study(0.05, 0.0);
        trials.sort_by_key(|trial| trial.key);
        let subject = crate::summary::StudyInfo { data: "<cats>".into(), ..subject() };
        let summary = StudySummary::of(&subject, &trials, &picks);
        let page = page(&summary, &trials.iter().collect::<Vec<_>>());
        assert!(page.contains("<h1>Study of &lt;cats&gt;</h1>") && !page.contains("<cats>"));
        for (colour, least) in [(6, 12), (3, 3), (1, 6), (4, 3), (2, 3)] {
            let points = points_of(&page, colour);
            assert!(points >= least, "colour {colour}: {points} of {least}");
        }
        assert!(page.contains(&Escaped(&summary.conclusion()).to_string()));
    }

    fn points_of(page: &str, colour: usize) -> usize {
        page.matches(&format!("class=\"f{colour}\"")).count()
    }

    #[test]
    fn repeats_of_an_architecture_are_one_point() {
        let (mut trials, _) = study(0.0, 0.0);
        trials.sort_by_key(|trial| trial.key);
        let found = points(Group::Pool, &trials.iter().collect::<Vec<_>>());
        assert_eq!(found.len(), 12);
        assert!(found.is_sorted_by(|a, b| a[0] <= b[0]));
    }
}
