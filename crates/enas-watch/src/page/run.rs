//! The page of one run.

use askama::Template;
use enas_report::text::{counted, duration, grouped, percent};
use enas_report::{CellDrawings, Figure, choice, curves};
use enas_run::{Kind, TimeLimit};
use serde_json::Value;

use super::{Standing, accuracy, verb};
use crate::error::Result;
use crate::follow::Followed;
use crate::parts::Parts;

/// The HTML document.
#[derive(Template)]
#[template(path = "run.html")]
pub(crate) struct RunPage<'a> {
    pub(crate) name: &'a str,
    pub(crate) slug: &'a str,
    pub(crate) title: String,
    /// Whether there is an overview page to link to.
    pub(crate) overview: bool,
    /// The automatic run that this run is a phase of.
    pub(crate) outer: Option<Outer<'a>>,
    /// Whether the page is about an automatic run with phases.
    pub(crate) phases: bool,
    pub(crate) parts: &'a Parts,
}

/// The automatic run of a phase.
#[derive(Clone, Copy)]
pub(crate) struct Outer<'a> {
    pub(crate) name: &'a str,
    pub(crate) slug: &'a str,
}

impl RunPage<'_> {
    fn figures(&self) -> [&'static str; 8] {
        Figure::IDS
    }
}

/// The title of a run's page.
pub(crate) fn title(run: &Followed) -> String {
    format!("{} on {}", verb(run), run.record.manifest().data)
}

#[derive(Template)]
#[template(path = "standing.html")]
struct Status<'a> {
    standing: &'a Standing,
    /// The title for the browser's tab.
    tab: String,
    notes: Vec<String>,
    /// The URL name of the run, if there is a report.
    report: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "numbers.html")]
struct Numbers {
    all: Vec<Number>,
}

/// A main number with its label and a remark.
struct Number {
    label: &'static str,
    value: String,
    remark: String,
}

#[derive(Template)]
#[template(path = "architecture.html")]
struct Architecture {
    what: String,
    cells: CellDrawings,
    arc: String,
}

/// The part of a page above the numbers of a run.
pub(crate) struct Shown<'a> {
    pub(crate) name: &'a str,
    /// The URL name of the report, if there is one.
    pub(crate) report: Option<&'a str>,
    /// For an automatic run, its progress and the HTML of its phases; `None` for a page about a single run.
    pub(crate) automatic: Option<(Standing, String)>,
}

/// The parts of a run's page.
pub(crate) fn run_parts(run: &Followed, shown: Shown<'_>) -> Result<Parts> {
    let Shown { name, report, automatic } = shown;
    let own = || (Standing::of(run), String::new());
    let (standing, phases) = automatic.unwrap_or_else(own);
    let mut parts = Parts::default();
    parts.add("status", status(run, &standing, name, report).render()?);
    parts.add("spoken", spoken(run, &standing));
    parts.add("phases", phases);
    parts.add("numbers", Numbers { all: numbers(run) }.render()?);
    parts.add("architecture", architecture(run).map_or(Ok(String::new()), |a| a.render())?);
    let figures = figures(run);
    for id in Figure::IDS {
        let figure = figures.iter().find(|figure| figure.id == id);
        parts.add(id, figure.map_or(Ok(String::new()), Figure::html)?);
    }
    Ok(parts)
}

fn status<'a>(run: &Followed, standing: &'a Standing, name: &str, report: Option<&'a str>) -> Status<'a> {
    let mut notes: Vec<String> = run.trouble.clone().into_iter().collect();
    if run.broken > 0 {
        let lines = counted(run.broken, "line", "lines");
        notes.push(format!("{lines} of metrics.jsonl cannot be read and were skipped."));
    }
    if run.unread > 1 << 20 {
        notes.push(format!("The log is long: {} MB of it are still to be read.", run.unread >> 20));
    }
    Status { tab: format!("{} · {name}", standing.progress), standing, notes, report }
}

/// The text that a screen reader announces without being asked. It changes once per epoch only.
fn spoken(run: &Followed, standing: &Standing) -> String {
    let accuracy = accuracy(run).map_or(String::new(), |(value, what)| format!(", {what} {value}"));
    match run.digest.epochs_done() {
        0 => standing.badge.to_owned(),
        n => format!("{}: {} complete{accuracy}", standing.badge, counted(n, "epoch", "epochs")),
    }
}

fn numbers(run: &Followed) -> Vec<Number> {
    let digest = &run.digest;
    let of = |event: &Option<Value>, pointer: &str| event.as_ref()?.pointer(pointer)?.as_f64();
    let number =
        |label, value: Option<String>, remark: String| value.map(|value| Number { label, value, remark });
    let best = of(&digest.epoch, "/best_valid_accuracy");
    let best = best.map_or(String::new(), |best| format!("best on validation: {}", percent(best)));
    let mean = of(&digest.epoch, "/loss");
    let mean = mean.map_or(String::new(), |loss| format!("mean of the last epoch: {loss:.4}"));
    let seen = of(&digest.epoch, "/train_accuracy");
    let seen = seen.map_or(String::new(), |share| format!("in the last epoch: {}", percent(share)));
    // The number has its place from the beginning, so that the layout does not shift later.
    let unknown = || ("–".to_owned(), "validation accuracy");
    let (whole, label) = accuracy(run).unwrap_or_else(unknown);
    let best = if digest.epoch.is_some() { best } else { "known after the first epoch".into() };
    let mut all = vec![
        number(label, Some(whole), best),
        number("training loss", of(&digest.step, "/loss").map(|loss| format!("{loss:.3}")), mean),
        number("training accuracy", of(&digest.step, "/accuracy").map(percent), seen),
    ];
    if run.kind() == Kind::Search {
        let baseline = of(&digest.controller, "/baseline");
        let baseline = baseline.map_or(String::new(), |b| format!("reward baseline {b:.3}"));
        let sampled = of(&digest.controller, "/accuracy").map(percent);
        all.push(number("sampled architectures", sampled, baseline));
        let entropy = of(&digest.controller, "/entropy").map(|nats| format!("{nats:.1}\u{a0}nats"));
        all.push(number("entropy of the policy", entropy, String::new()));
    }
    let speed = of(&digest.step, "/images_per_second").filter(|speed| speed.is_finite());
    let device = run.record.manifest().device.clone();
    all.push(number(
        "images per second",
        speed.map(|speed| grouped(speed.round() as u64)),
        format!("on {device}"),
    ));
    let limit = run.settings.get("run.time").filter(|time| time != "off");
    let limit = limit.map_or(String::new(), |time| format!("of {} allowed", allowed(&time)));
    all.push(number("wall time", Some(duration(digest.seconds)), limit));
    all.into_iter().flatten().collect()
}

/// A time limit in the format of the other times of the page.
fn allowed(limit: &str) -> String {
    let seconds = limit.parse::<TimeLimit>().ok().and_then(|limit| limit.0);
    seconds.map_or_else(|| limit.to_owned(), |time| duration(time.as_secs_f64()))
}

fn architecture(run: &Followed) -> Option<Architecture> {
    let (arc, what) = run.arc()?;
    Some(Architecture { what, cells: CellDrawings::new(&arc), arc: arc.to_string() })
}

/// The figures of the report, from the events so far.
fn figures(run: &Followed) -> Vec<Figure> {
    let Some(log) = &run.log else { return Vec::new() };
    let nodes = run.arc().map(|(arc, _)| arc.n_nodes());
    let nodes = nodes.or_else(|| run.settings.number("child.nodes").map(|n| n as usize));
    let mut figures = curves(log, run.steps(), nodes);
    figures.extend(choice(log).map(|choice| choice.figure));
    figures
}
