//! Reports in a real browser, where there is one: it must find nothing to complain of and nothing to fetch.

use std::fs;
use std::path::Path;
use std::process::Command;

use enas_search::SearchWhen;
use enas_testing::browser::{FLAGS, browser};

use crate::auto::automatic;
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

/// What was measured of a page.
#[derive(Debug)]
struct Measured {
    /// The width of all that it holds.
    width: u32,
    /// The height of the smallest letters in charts.
    letters: f64,
    /// What is cut at the right without a way to scroll to it.
    cut: Vec<String>,
    /// Whether the drawings of the two cells begin at the same height.
    cells_beside: bool,
}

/// Measures a page in a frame of `width`, as browsers do not make their own window so narrow.
fn measured(browser: &Path, html: &str, width: u32) -> Measured {
    let quoted = html.replace('&', "&amp;").replace('"', "&quot;");
    let outer = format!(
        r#"<!DOCTYPE html><meta charset="utf-8"><iframe id="f" style="width:{width}px;height:900px;border:0" srcdoc="{quoted}"></iframe>
<pre id="found"></pre><script>
document.getElementById("f").addEventListener("load", event => {{
  const inner = event.target.contentDocument, root = inner.documentElement;
  const letters = [...inner.querySelectorAll(".chart text")].map(text => {{
    const m = text.getScreenCTM(), size = parseFloat(inner.defaultView.getComputedStyle(text).fontSize);
    return size * Math.hypot(m.a, m.b);
  }});
  const cut = [...inner.querySelectorAll("body *")].filter(e =>
    e.getBoundingClientRect().right > {width} + 0.5 && !e.closest(".scroll, .unseen, .skip, svg"));
  const tops = [...inner.querySelectorAll(".cells > .drawing")].map(e => Math.round(e.getBoundingClientRect().top));
  const beside = tops.length === 2 && tops[0] === tops[1];
  const names = cut.map(e => e.tagName + "." + e.className).join(" ");
  const found = [root.scrollWidth, Math.min(...letters), names, beside];
  document.getElementById("found").textContent = found.join("|");
}});
</script>"#
    );
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("outer.html");
    fs::write(&page, outer).unwrap();
    let (document, console) = load(browser, &page);
    assert_eq!(console, Vec::<String>::new());
    let found = document.split("<pre id=\"found\">").nth(1).unwrap().split("</pre>").next().unwrap();
    let parts: Vec<&str> = found.split('|').collect();
    assert_eq!(parts.len(), 4, "the page was not measured: {found:?}");
    Measured {
        width: parts[0].parse().unwrap(),
        letters: parts[1].parse().unwrap(),
        cut: parts[2].split_whitespace().map(str::to_owned).collect(),
        cells_beside: parts[3] == "true",
    }
}

#[test]
fn a_telephone_shows_reports_without_cutting_them() {
    let Some(browser) = browser() else { return };
    let auto = automatic(SearchWhen::Always, "1h");
    for run in [&runs().search, &runs().train, &auto.path().to_owned()] {
        let html = report(run);
        let Measured { width, letters, cut, .. } = measured(&browser, &html, 390);
        assert!(width <= 390, "{}: {width} pixels wide", run.display());
        assert!(letters >= 9.9, "{}: letters of {letters} pixels", run.display());
        assert_eq!(cut, Vec::<String>::new(), "{}", run.display());

        // A page with a wide element in it is found to be too wide: the check can fail.
        let wide = html.replace("<main", "<div style=\"width:600px\">x</div><main");
        let Measured { width, cut, .. } = measured(&browser, &wide, 390);
        assert!(width >= 600 && !cut.is_empty(), "{width} {cut:?}");
    }
}

/// The page with two cells as wide as three nodes side by side make them.
fn with_wide_cells(html: &str) -> String {
    let start = html.find("<div class=\"drawings cells\"").unwrap();
    let end = start + html[start..].find("</figure>\n</div>").unwrap();
    let mut cells = html[start..end].to_owned();
    let set = |cells: &mut String, before: &str, after: &str, value: &str| {
        let places: Vec<usize> = cells.match_indices(before).map(|(at, _)| at + before.len()).collect();
        for at in places.into_iter().rev() {
            let length = cells[at..].find(after).unwrap();
            cells.replace_range(at..at + length, value);
        }
    };
    set(&mut cells, "--natural: ", "px", "880");
    set(&mut cells, "--both: ", "px", "1730");
    set(&mut cells, "style=\"--own: ", "\"", "860");
    set(&mut cells, "Reduction cell\" width=\"", "\"", "858");
    set(&mut cells, "Normal cell\" width=\"", "\"", "858");
    format!("{}{cells}{}", &html[..start], &html[end..])
}

#[test]
fn cells_stand_side_by_side_on_a_screen_of_1100_pixels_and_below_each_other_on_a_telephone() {
    let Some(browser) = browser() else { return };
    let html = with_wide_cells(&report(&runs().search));
    assert!(html.contains("--own: 860") && html.contains("width=\"858\""), "the cells are wide");
    for (width, beside) in [(1100, true), (1280, true), (1900, true), (390, false), (800, false)] {
        let page = measured(&browser, &html, width);
        assert_eq!(page.cells_beside, beside, "{width} pixels");
        assert!(page.width <= width && page.cut.is_empty(), "{width}: {page:?}");
    }
}
