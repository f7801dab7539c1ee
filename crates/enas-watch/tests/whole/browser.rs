//! Pages in a real browser, where there is one, while a search is running.

use serde_json::json;

use crate::chromium::browser;
use crate::devtools::Browser;
use crate::support::{Search, watch};

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
