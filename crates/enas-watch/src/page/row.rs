//! A row of the overview: a run, or a phase of an automatic run.

use std::path::Path;
use std::time::SystemTime;

use enas_report::text::duration;

use super::{Standing, accuracy, share, verb};
use crate::follow::Followed;

/// A phase of an automatic run, or a single run.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) standing: Standing,
    pub(crate) accuracy: Option<(String, &'static str)>,
    pub(crate) time: String,
    /// Whether the page shows the numbers of this phase.
    pub(crate) shown: bool,
    pub(super) share: Option<f64>,
    pub(super) data: String,
    pub(super) seconds: f64,
    pub(super) changed: Option<SystemTime>,
    pub(super) is_training: bool,
}

/// A run with its name, its URL name, and its automatic run.
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
    pub(crate) slug: &'a str,
    /// Name, URL name and directory of the automatic run.
    pub(crate) automatic: Option<(&'a str, &'a str, &'a Path)>,
    pub(crate) run: &'a Followed,
}

impl Row {
    pub(crate) fn new(named: &Named<'_>) -> Self {
        let Named { name, slug, automatic, run } = *named;
        let name = automatic.map_or(name, |(outer, ..)| name[outer.len()..].trim_start_matches('/'));
        Self {
            name: name.to_owned(),
            slug: slug.to_owned(),
            standing: Standing::of(run),
            accuracy: accuracy(run),
            time: duration(run.digest.seconds),
            shown: false,
            share: share(run).map(|(share, _)| share),
            data: run.record.manifest().data.clone(),
            seconds: run.digest.seconds,
            changed: run.changed(),
            is_training: verb(run) == "Training",
        }
    }
}
