//! The page of all runs.

use std::time::SystemTime;

use askama::Template;
use enas_report::text::{counted, duration};

use super::{Standing, accuracy, verb};
use crate::error::Result;
use crate::follow::{Followed, State};
use crate::parts::Parts;

/// The document.
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
    groups: Vec<Group>,
    notes: Vec<String>,
    summary: String,
}

/// Runs that belong together: the phases of an automatic run, or one run alone.
struct Group {
    /// Name of the automatic run.
    heading: Option<String>,
    runs: Vec<Row>,
    changed: Option<SystemTime>,
    running: bool,
}

struct Row {
    name: String,
    slug: String,
    what: String,
    standing: Standing,
    accuracy: Option<(String, &'static str)>,
    time: String,
}

/// A run with its name, its name in addresses, and the automatic run around it.
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
    pub(crate) slug: &'a str,
    pub(crate) automatic: Option<&'a str>,
    pub(crate) run: &'a Followed,
}

/// Collects runs one at a time, so that no two must be held at once.
#[derive(Default)]
pub(crate) struct List {
    groups: Vec<Group>,
}

impl List {
    /// Adds a run; those of an automatic one follow each other.
    pub(crate) fn add(&mut self, named: &Named<'_>) {
        let Named { name, slug, automatic, run } = *named;
        let row = Row {
            name: automatic.map_or(name, |outer| name[outer.len()..].trim_start_matches('/')).to_owned(),
            slug: slug.to_owned(),
            what: format!("{} on {}", verb(run), run.record.manifest().data),
            standing: Standing::of(run),
            accuracy: accuracy(run),
            time: duration(run.digest.seconds),
        };
        let running = row.standing.state == State::Running;
        let heading = automatic.map(str::to_owned);
        match self.groups.last_mut().filter(|group| heading.is_some() && group.heading == heading) {
            Some(group) => {
                group.runs.push(row);
                group.changed = group.changed.max(run.changed());
                group.running |= running;
            }
            None => self.groups.push(Group { heading, runs: vec![row], changed: run.changed(), running }),
        }
    }
}

/// The parts of the overview: what runs first, then what was written last.
pub(crate) fn overview_parts(list: List, notes: Vec<String>) -> Result<Parts> {
    let mut groups = list.groups;
    groups.sort_by_key(|group| (!group.running, std::cmp::Reverse(group.changed)));
    let all = || groups.iter().flat_map(|group| &group.runs);
    let running = all().filter(|row| row.standing.state == State::Running).count();
    let summary = match all().count() {
        0 => String::new(),
        n if running == 0 => format!("{}, none at work.", counted(n as u64, "run", "runs")),
        n => format!("{}, {running} at work.", counted(n as u64, "run", "runs")),
    };
    let mut parts = Parts::default();
    parts.add("runs", Runs { groups, notes, summary }.render()?);
    Ok(parts)
}
