//! An automatic run as a whole: its progress and its phases.

use std::path::Path;

use askama::Template;
use enas_run::{SMALL_FILE, read_plain_text};
use serde_json::Value;

use super::row::Row;
use super::{Standing, badge};
use crate::error::Result;
use crate::follow::State;

/// The progress of an automatic run.
pub(crate) struct AutoStanding {
    pub(crate) standing: Standing,
    /// Index of the last phase that has begun.
    pub(crate) current: usize,
}

/// The list of phases in the page of an automatic run.
#[derive(Template)]
#[template(path = "phases.html")]
pub(crate) struct Phases<'a> {
    pub(crate) rows: &'a [Row],
    /// The name of the phase whose numbers the page shows.
    pub(crate) shown: &'a str,
}

impl Phases<'_> {
    pub(crate) fn html(&self) -> Result<String> {
        Ok(self.render()?)
    }
}

impl AutoStanding {
    /// The progress from the phases that have begun, in their order; `None` if there are none.
    pub(crate) fn of(dir: &Path, rows: &[Row]) -> Option<Self> {
        // A phase begins only when the previous one is complete.
        let current = rows.len().checked_sub(1)?;
        let row = &rows[current];
        let all = planned(dir).max(rows.len());
        let is_last = row.name == "train";
        let state = match row.standing.state {
            // Between two phases, nothing is written for a moment.
            State::Finished if !is_last => State::Running,
            state => state,
        };
        let place = if all > 1 { format!("phase {} of {all}: ", current + 1) } else { String::new() };
        let done = current as f64 + row.standing.share.parse::<f64>().unwrap_or(0.0);
        let progress = format!("{place}{}, {}", row.name, row.standing.progress);
        Some(Self {
            standing: Standing {
                state,
                badge: badge(state),
                share: format!("{:.4}", if state == State::Finished { 1.0 } else { done / all as f64 }),
                progress,
                ..row.standing.clone()
            },
            current,
        })
    }
}

/// Number of phases that the run will have, according to its plan.
fn planned(dir: &Path) -> usize {
    let text = read_plain_text(&dir.join("auto.json"), SMALL_FILE).ok();
    let about = text.and_then(|text| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
    if about["plan"]["searches"] == false { 1 } else { 3 }
}
