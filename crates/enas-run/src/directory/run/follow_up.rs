//! The work that follows a run.

/// Work of the caller after a run, such as its report. The time limit of the run includes it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FollowUpWork {
    /// Number of images that the network predicts in it.
    pub images: usize,
    /// Seconds of everything else.
    pub seconds: f64,
}
