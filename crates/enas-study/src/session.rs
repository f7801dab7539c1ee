//! The state of one session of a study.

use std::collections::BTreeMap;

use enas_arc::Arc;
use enas_search::Observer;

use crate::arcs::Control;
use crate::clock::Clock;
use crate::config::StudyConfig;
use crate::observer::{StudyEvent, StudyObserver};

/// The random architectures, which are drawn before any training.
pub(crate) struct RandomArcs {
    pub(crate) pool: Vec<Arc>,
    pub(crate) wide: Vec<Arc>,
}

/// The architecture that a training trains.
#[derive(Clone)]
pub(crate) struct PlannedTraining {
    pub(crate) arc: Arc,
    /// For controls: whether size and cost are within the tolerances.
    pub(crate) fits: Option<bool>,
}

/// The next training, if it can be done.
pub(crate) enum NextTraining {
    Train(PlannedTraining),
    /// There is no such architecture.
    NoArc,
    /// The session ended before it was drawn.
    Stop,
}

/// Why a unit of work has no result.
pub(crate) enum StopReason {
    TimeLimit,
    Requested,
}

/// The state of a session besides the study.
pub(crate) struct Session<'a> {
    pub(crate) config: StudyConfig,
    pub(crate) clock: Clock,
    pub(crate) observer: &'a mut dyn StudyObserver,
    /// The controls of a pick, once drawn.
    pub(crate) controls: BTreeMap<usize, Vec<Control>>,
    pub(crate) total: usize,
}

impl Session<'_> {
    pub(crate) fn must_stop(&self) -> bool {
        self.observer.should_stop() || !self.clock.has(0.0)
    }

    /// Why a unit of work has no result: the observer asked to stop, or else the time is up.
    pub(crate) fn stop_reason(&self) -> StopReason {
        if self.observer.should_stop() { StopReason::Requested } else { StopReason::TimeLimit }
    }
}

/// Forwards the events of a search to the observer of the study.
pub(crate) struct SearchObserver<'a, 'b>(pub(crate) &'a mut Session<'b>);

impl Observer for SearchObserver<'_, '_> {
    fn event(&mut self, event: &enas_search::Event<'_>) {
        self.0.observer.event(&StudyEvent::Search(event));
    }

    fn should_stop(&self) -> bool {
        self.0.must_stop()
    }
}
