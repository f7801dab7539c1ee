//! A violation of a rule.

use std::fmt;

/// A violation of a rule.
#[derive(Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) place: String,
    pub(super) what: String,
    pub(super) why: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    why: {}", self.place, self.what, self.why)
    }
}
