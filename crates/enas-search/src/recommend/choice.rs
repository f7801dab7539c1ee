//! A setting derived from the images.

use enas_data::check::{ClassCount, Report};

use enas_run::choice::Choice;
use enas_run::config::Kind;

/// Settings given by the user, which affect the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Given {
    /// `data.image_size`.
    pub image_size: Option<usize>,
    /// `run.batch_size`.
    pub batch_size: Option<usize>,
    /// `data.valid_fraction`.
    pub valid_fraction: Option<f64>,
    /// `data.test_fraction`.
    pub test_fraction: Option<f64>,
    /// Time limit of everything in seconds, if there is one.
    pub seconds: Option<f64>,
    /// Whether a refit may follow the measurement.
    pub refits: bool,
}

pub(super) fn choice(key: &str, value: impl ToString, reason: impl Into<String>) -> Choice {
    Choice { key: key.to_owned(), value: value.to_string(), reason: reason.into(), only: None }
}

pub(super) fn for_training(key: &str, value: impl ToString, reason: impl Into<String>) -> Choice {
    Choice { only: Some(Kind::Train), ..choice(key, value, reason) }
}

pub(super) fn for_search(key: &str, value: impl ToString, reason: impl Into<String>) -> Choice {
    Choice { only: Some(Kind::Search), ..choice(key, value, reason) }
}

/// Sum over the classes of a report.
pub(super) fn sum(report: &Report, of: impl Fn(&ClassCount) -> usize) -> usize {
    report.classes.iter().map(of).sum()
}
