//! The work that follows a run.

use super::Run;

/// Work of the caller after a run, such as its report. The time limit of the run includes it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FollowUpWork {
    /// Number of images that the network predicts in it.
    pub images: usize,
    /// Seconds of everything else.
    pub seconds: f64,
}

impl Run {
    /// Sets the work that follows the run, for which it leaves time; none if this is not called.
    pub fn set_follow_up(&mut self, work: FollowUpWork) {
        self.follow_up = work;
    }

    /// The work that follows the run.
    pub fn follow_up(&self) -> FollowUpWork {
        self.follow_up
    }
}
