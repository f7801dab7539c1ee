//! Reused buffers for rollouts and updates.

use std::sync::{Mutex, PoisonError};

use crate::Bounds;
use crate::backward::Backward;
use crate::tape::Tape;

/// Buffers for rollouts of several arcs and for updates, kept between calls.
///
/// If an update receives exactly the arcs that were drawn just before, it uses their tape and needs no second
/// rollout. Code that changes the weights must invalidate that tape.
#[derive(Default)]
pub(crate) struct ScratchPool(Mutex<Option<Scratch>>);

pub(crate) struct Scratch {
    /// The bounds of the rollout on the tape, if the tape belongs to the current weights; `None` if it is consumed.
    pub(crate) bounds: Option<Bounds>,
    pub(crate) tape: Tape,
    pub(crate) backward: Backward,
    pub(crate) gradient: Vec<f32>,
}

impl Scratch {
    /// Whether the tape holds these choices under `bounds`.
    pub(crate) fn holds<'a>(&self, bounds: Bounds, choices: impl IntoIterator<Item = &'a [usize]>) -> bool {
        let same = |(e, choices): (usize, &[usize])| self.tape.choices(e).eq(choices.iter().copied());
        self.bounds == Some(bounds) && choices.into_iter().enumerate().all(same)
    }
}

impl ScratchPool {
    /// Takes the kept buffers out, if they are there.
    pub(crate) fn take(&self) -> Option<Scratch> {
        // Buffers are outside the lock while in use, so a panic elsewhere cannot leave them half written in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn keep(&self, scratch: Scratch) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(scratch);
    }

    /// Drops the kept buffers.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
