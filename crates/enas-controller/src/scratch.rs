//! Space for walks and updates that is used again.

use std::sync::{Mutex, PoisonError};

use crate::Bounds;
use crate::backward::Backward;
use crate::walk::Tape;

/// Space for walks of several arcs and for updates, kept from one to the next.
///
/// It also spares an update the walk of the arcs that were drawn just before it: their tape is the one that walking
/// them again would write. Whoever changes the weights must forget the walk.
#[derive(Default)]
pub(crate) struct Space(Mutex<Option<Scratch>>);

pub(crate) struct Scratch {
    /// The bounds under which the tape's arcs were walked with the present weights; `None` if it is used up.
    pub(crate) walked: Option<Bounds>,
    pub(crate) tape: Tape,
    pub(crate) backward: Backward,
    pub(crate) gradient: Vec<f32>,
}

impl Scratch {
    /// Whether the tape is that of these choices under `bounds`.
    pub(crate) fn holds<'a>(&self, bounds: Bounds, choices: impl IntoIterator<Item = &'a [usize]>) -> bool {
        let same = |(e, choices): (usize, &[usize])| self.tape.choices(e).eq(choices.iter().copied());
        self.walked == Some(bounds) && choices.into_iter().enumerate().all(same)
    }
}

impl Space {
    /// What is kept, if nobody else has taken it.
    pub(crate) fn take(&self) -> Option<Scratch> {
        // A panic elsewhere cannot have left a scratch half written: it is out of the lock while in use.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn keep(&self, scratch: Scratch) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(scratch);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
