//! Pages in a real browser, where there is one, while a search is running.

use enas_testing::browser::browser;
use serde_json::json;

use crate::devtools::Browser;
use crate::support::{Search, epoch, files, watch};

#[test]
fn a_browser_shows_a_running_search_as_it_goes_on() {
    let Some(program) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = watch(dir.path());
    let own = format!("http://127.0.0.1:{}/", server.port);
    let mut browser = Browser::start(&program);
    browser.open(&own);
    browser.wait_for("document.documentElement.dataset.live === 'on'");

    // The list gets the run without being loaded again.
    let search = Search::start(dir.path().join("a-search"));
    browser.wait_for("document.querySelector('#runs a') !== null");
    browser.open(&format!("{own}run/a-search"));
    browser.wait_for("document.getElementById('status').innerText.includes('1 of 3 epochs complete')");
    browser.wait_for("document.querySelector('#loss svg') !== null");

    // What the reader opened and stands on stays so, while the numbers below change.
    let open = "(() => { const part = document.getElementById('accuracy'); part.querySelector('details').open = true; \
                part.querySelector('summary').focus(); window.unchanged = part.querySelector('svg'); return true; })()";
    assert_eq!(browser.value(open), json!(true));
    search.go_on();
    browser.wait_for("document.getElementById('status').innerText.includes('2 of 3 epochs complete')");
    browser.wait_for("document.querySelector('#accuracy svg') !== window.unchanged");
    assert_eq!(browser.value("document.querySelector('#accuracy details').open"), json!(true));
    assert_eq!(
        browser.value("document.activeElement === document.querySelector('#accuracy summary')"),
        json!(true)
    );
    assert_eq!(browser.value("document.querySelectorAll('#accuracy tbody tr').length"), json!(2));

    // Text that is being selected stays until it is not.
    let select =
        "(() => { getSelection().selectAllChildren(document.getElementById('status')); return true; })()";
    browser.value(select);
    search.go_on();
    browser.wait_for("document.querySelectorAll('#accuracy tbody tr').length === 3");
    assert_eq!(browser.value("document.getElementById('status').innerText.includes('2 of 3')"), json!(true));
    browser.value("(() => { getSelection().removeAllRanges(); return true; })()");
    search.go_on();
    search.finish();
    browser.wait_for("document.getElementById('status').innerText.includes('Finished after')");
    browser.wait_for("document.title.startsWith('3 of 3 epochs · a-search')");

    assert_eq!(browser.complaints(), Vec::<String>::new());
    let requests = browser.requests();
    assert!(requests.len() >= 8, "{requests:?}");
    let elsewhere: Vec<&String> =
        requests.iter().filter(|url| !url.starts_with(&own) && *url != "data:,").collect();
    assert_eq!(elsewhere, Vec::<&String>::new());

    // A page that asked for something would be seen to: the checks can fail.
    browser.value("fetch('http://localhost:9/x').catch(() => 0)");
    assert!(!browser.complaints().is_empty());

    // When the server ends, the page says so.
    drop(server);
    browser.wait_for("document.documentElement.dataset.live === 'off'");
}

#[test]
fn a_browser_reads_values_out_and_sorts_what_is_listed() {
    let Some(program) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = |value: &str| (1..=4).map(epoch).collect::<String>().replace("0.25", value);
    for (name, value) in [("run-10", "0.5"), ("run-2", "0.75"), ("run-3", "0.25")] {
        files(&dir.path().join(name), &log(value));
    }
    let server = watch(dir.path());
    let own = format!("http://127.0.0.1:{}/", server.port);
    let mut browser = Browser::start(&program);
    browser.open(&own);
    browser.wait_for("document.querySelectorAll('.sorted > li').length === 3");
    let choose = |by: &str| {
        format!(
            "(() => {{ const order = document.getElementById('order'); order.value = '{by}'; \
             order.dispatchEvent(new Event('change')); \
             return [...document.querySelectorAll('.sorted > li')].map((card) => card.dataset.name).join(); }})()"
        )
    };
    assert_eq!(browser.value(&choose("name")), json!("run-2,run-3,run-10"));
    assert_eq!(browser.value(&choose("accuracy")), json!("run-2,run-10,run-3"));

    browser.open(&format!("{own}compare"));
    browser.wait_for("document.querySelector('.board th button') !== null");
    let click = "(() => { document.querySelectorAll('.board th button')[1].click(); \
                 return [...document.querySelectorAll('.board tbody tr')].map((row) => row.cells[1].dataset.v).join(); })()";
    assert_eq!(browser.value(click), json!("run-2,run-3,run-10"));
    assert_eq!(browser.value(click), json!("run-10,run-3,run-2"));

    // In the middle of the first chart, which has four epochs.
    let point = "(() => { const svg = document.querySelector('svg.chart'); svg.scrollIntoView(); \
                 const box = svg.getBoundingClientRect(); \
                 svg.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, \
                 clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 })); \
                 return document.getElementById('readout').innerText; })()";
    let text = browser.value(point);
    let text = text.as_str().unwrap();
    assert!(text.starts_with("epoch ") && text.contains("run 1: 75.0\u{a0}%"), "{text}");
    assert!(text.contains("run 3: 25.0\u{a0}%"), "{text}");
    let leave = "(() => { document.body.dispatchEvent(new PointerEvent('pointermove', { bubbles: true })); \
                 return document.getElementById('readout').hidden; })()";
    assert_eq!(browser.value(leave), json!(true));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
