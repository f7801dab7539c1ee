//! The overview page with all runs.

use std::path::Path;
use std::time::SystemTime;

use askama::Template;
use enas_report::text::{counted, duration};

use super::auto::AutoStanding;
use super::row::{Named, Row};
use super::{Standing, verb};
use crate::error::Result;
use crate::follow::State;
use crate::parts::Parts;

/// The HTML document.
#[derive(Template)]
#[template(path = "overview.html")]
pub(crate) struct Overview<'a> {
    pub(crate) folder: &'a str,
    pub(crate) parts: &'a Parts,
}

/// The list of runs.
#[derive(Template)]
#[template(path = "runs.html")]
struct Runs {
    cards: Vec<Card>,
    notes: Vec<String>,
    summary: String,
}

/// A run, or an automatic run with its phases.
struct Card {
    name: String,
    slug: String,
    what: String,
    standing: Standing,
    accuracy: Option<(String, &'static str)>,
    time: String,
    /// Sort keys of the list: the accuracy (empty if unknown), then the wall time and the time of the last change.
    share: String,
    seconds: f64,
    changed: Option<SystemTime>,
    phases: Vec<Row>,
}

/// Collects runs one at a time, so that the caller holds one lock at a time.
#[derive(Default)]
pub(crate) struct List {
    cards: Vec<Card>,
}

impl List {
    /// Adds a run. The phases of an automatic run must be added one after the other.
    pub(crate) fn add(&mut self, named: &Named<'_>) {
        let row = Row::new(named);
        let Some((name, slug, dir)) = named.automatic else {
            let what = format!("{} on {}", verb(named.run), row.data);
            self.cards.push(Card::of(what, row));
            return;
        };
        let known = self.cards.last().is_some_and(|card| card.slug == slug);
        let mut phases =
            if known { self.cards.pop().map_or(Vec::new(), |card| card.phases) } else { Vec::new() };
        phases.push(row);
        self.cards.extend(Card::automatic(name, slug, dir, phases));
    }
}

impl Card {
    fn of(what: String, row: Row) -> Self {
        Self {
            name: row.name,
            slug: row.slug,
            what,
            standing: row.standing,
            accuracy: row.accuracy,
            time: row.time,
            share: row.share.map_or(String::new(), |share| share.to_string()),
            seconds: row.seconds,
            changed: row.changed,
            phases: Vec::new(),
        }
    }

    /// An automatic run. Its accuracy is that of its best training so far.
    fn automatic(name: &str, slug: &str, dir: &Path, phases: Vec<Row>) -> Option<Self> {
        let standing = AutoStanding::of(dir, &phases)?.standing;
        let trained = phases.iter().filter(|row| row.is_training && row.share.is_some());
        let best = trained.max_by(|a, b| a.share.partial_cmp(&b.share).unwrap_or(std::cmp::Ordering::Equal));
        let seconds = phases.iter().map(|row| row.seconds).sum();
        Some(Self {
            name: name.to_owned(),
            slug: slug.to_owned(),
            what: format!("Automatic run on {}", phases[0].data),
            standing,
            accuracy: best.and_then(|row| row.accuracy.clone()),
            time: duration(seconds),
            share: best.and_then(|row| row.share).map_or(String::new(), |share| share.to_string()),
            seconds,
            changed: phases.iter().filter_map(|row| row.changed).max(),
            phases,
        })
    }
}

/// The parts of the overview: running runs first, then those written last.
pub(crate) fn overview_parts(list: List, notes: Vec<String>) -> Result<Parts> {
    let mut cards = list.cards;
    let is_running = |card: &Card| card.standing.state == State::Running;
    cards.sort_by_key(|card| (!is_running(card), std::cmp::Reverse(card.changed)));
    let running = cards.iter().filter(|card| is_running(card)).count();
    let summary = match cards.len() {
        0 => String::new(),
        n if running == 0 => format!("{}, none running.", counted(n as u64, "run", "runs")),
        n => format!("{}, {running} running.", counted(n as u64, "run", "runs")),
    };
    let mut parts = Parts::default();
    parts.add("runs", Runs { cards, notes, summary }.render()?);
    Ok(parts)
}
