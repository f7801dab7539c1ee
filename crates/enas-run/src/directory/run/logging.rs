//! The logs and the result of an open run.

use enas_arc::Arch;
use serde::Serialize;

use super::Run;
use crate::directory::files::write_arc;
use crate::error::Result;
use crate::log::jsonl;
use crate::log::tensorboard::{Events, EventsOffset};

impl Run {
    /// Appends an event to `metrics.jsonl` and its numbers to the TensorBoard log. `step` counts the events of this
    /// kind.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if a log cannot be written.
    pub fn log(&mut self, kind: &str, step: u64, event: &impl Serialize) -> Result<()> {
        let fields = jsonl::fields(event);
        self.metrics.append(self.seconds(), kind, &fields)?;
        self.events.as_mut().map_or(Ok(()), |events| events.add(kind, step, &fields))
    }

    /// Flushes the TensorBoard log.
    pub(crate) fn flush_events(&mut self) -> Result<Option<EventsOffset>> {
        self.events.as_mut().map(Events::flush).transpose()
    }

    /// Flushes the logs of a finished run to the disk, and logs the share of time spent on checkpoints.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if a log cannot be written.
    pub fn conclude(&mut self) -> Result<()> {
        self.flush_events()?;
        self.metrics.sync()?;
        tracing::info!("checkpoints took {:.2} % of the time", 100.0 * self.checkpoint_share());
        Ok(())
    }

    /// Writes `best.arc.json`: the arc in both forms, and `fields`.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if it cannot be written.
    pub fn write_best_arc(&self, arc: &Arch, fields: &impl Serialize) -> Result<()> {
        write_arc(&self.best_arc_path(), arc, fields)
    }

    /// Removes events after `known` from the TensorBoard log. `metrics.jsonl` keeps everything.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the log cannot be changed.
    pub fn forget_events(&mut self, known: Option<EventsOffset>) -> Result<()> {
        self.flush_events()?;
        // Closed first, because some systems cannot remove open files.
        self.events = None;
        self.events = Some(Events::begin(&self.dir, known)?);
        Ok(())
    }
}
