//! When checkpoints of an open run are written, and which one it continues from.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Run;
use crate::checkpoint::Checkpoint;
use crate::directory::files::CHECKPOINTS;
use crate::error::Result;
use crate::files::safetensors::NamedTensor;
use crate::log::tensorboard::{Events, EventsOffset};

impl Run {
    /// Loads the newest checkpoint; `None` at the start of a run. Removes log entries that are later than the
    /// checkpoint.
    ///
    /// # Errors
    /// [`crate::Error::File`] if no checkpoint is intact or the newest one is of another version or kind of run;
    /// [`crate::Error::Io`] if the logs cannot be shortened.
    pub fn restore<P: Serialize + DeserializeOwned>(&mut self) -> Result<Option<Checkpoint<P>>> {
        let checkpoint = Checkpoint::newest(&self.checkpoints())?;
        self.earlier = checkpoint.as_ref().map_or(0.0, |c| c.seconds);
        self.opened = Instant::now();
        self.held = None;
        self.metrics.rewind(checkpoint.as_ref().map_or(0, |c| c.metrics_bytes))?;
        let known = checkpoint.as_ref().map_or(Some(EventsOffset::START), |c| c.events);
        self.events = Some(Events::begin(&self.dir, known)?);
        Ok(checkpoint)
    }

    /// Writes a checkpoint and returns its path. The end of an epoch is only held in memory if the last checkpoint is
    /// too recent to justify the cost of another one. `began` is when the caller started to collect the state.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if it cannot be written; all earlier checkpoints then still exist.
    pub fn save<P: Serialize + DeserializeOwned>(
        &mut self,
        state: State<P>,
        reason: SaveReason,
        began: Instant,
    ) -> Result<Option<PathBuf>> {
        let State { progress, tensors } = state;
        let metrics_bytes = self.metrics.len()?;
        let events = self.flush_events()?;
        let checkpoint = Checkpoint { progress, metrics_bytes, events, seconds: self.seconds(), tensors };
        let encoded = checkpoint.encode(reason != SaveReason::WithinEpoch);
        if reason == SaveReason::EndOfEpoch && self.checkpoint_interval.is_too_soon() {
            self.held = Some(encoded);
            return Ok(None);
        }
        // The checkpoint refers to a position in the log, so the log must survive a power failure first.
        self.metrics.sync()?;
        let before = self.held.take().filter(|_| reason == SaveReason::WithinEpoch);
        if let Some(end_of_epoch) = before {
            end_of_epoch.write(&self.checkpoints())?;
        }
        let path = encoded.write(&self.checkpoints())?;
        self.checkpoint_interval.saved(began.elapsed());
        Ok(Some(path))
    }

    /// The checkpoint at the end of the last of `complete` epochs; `None` if no epoch is complete.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn end_of_last_epoch<P: Serialize + DeserializeOwned>(
        &mut self,
        complete: u64,
    ) -> Result<Option<Checkpoint<P>>> {
        if complete == 0 {
            return Ok(None);
        }
        if let Some(held) = self.held.take() {
            return Ok(Some(Checkpoint::decode(held)));
        }
        match Checkpoint::newest_end_of_epoch(&self.checkpoints()) {
            Ok(Some(checkpoint)) => Ok(Some(checkpoint)),
            // Early versions did not mark the end of an epoch. Any intact checkpoint is better than a new start.
            Ok(None) | Err(_) => Checkpoint::newest(&self.checkpoints()),
        }
    }

    /// Whether it is time for another checkpoint.
    pub fn checkpoint_is_due(&self) -> bool {
        self.checkpoint_interval.is_due()
    }

    /// The share of this session's time that was spent on checkpoints, 0 to 1.
    pub fn checkpoint_share(&self) -> f64 {
        self.checkpoint_interval.share()
    }

    /// Sets the interval between checkpoints.
    pub fn checkpoint_every(&mut self, seconds: u64) {
        self.checkpoint_interval.set_every(Duration::from_secs(seconds));
    }

    /// Sets the number of weights; a checkpoint stores each with its momentum.
    pub fn expect_weights(&mut self, n: usize) {
        self.checkpoint_interval.expect(n * 2 * size_of::<f32>());
    }

    fn checkpoints(&self) -> PathBuf {
        self.dir.join(CHECKPOINTS)
    }
}

/// The content of a checkpoint.
pub struct State<P> {
    /// Position of the loop.
    pub progress: P,
    /// Weights and optimiser states.
    pub tensors: Vec<NamedTensor>,
}

/// Why a checkpoint is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveReason {
    /// Between two steps.
    WithinEpoch,
    /// After the last step of an epoch.
    EndOfEpoch,
    /// As `EndOfEpoch`, but always written: after the last epoch, and after going back.
    Forced,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use candle_core::{Device, Tensor};

    use super::*;
    use crate::config::{ConfigBuilder, TrainConfig};

    #[test]
    fn the_end_of_an_epoch_that_would_cost_too_much_is_held_until_something_later_is_written() {
        let config: TrainConfig = ConfigBuilder::preset("quick").load().unwrap();
        let data = enas_data::digits().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let arc: enas_arc::Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().unwrap();
        let mut run = Run::for_training(Some(dir.path()), &config, &arc, &data).unwrap();
        assert!(run.restore::<u64>().unwrap().is_none());
        // Writing a terabyte would take hours.
        run.expect_weights(1 << 37);
        let state = |progress: u64| State {
            progress,
            tensors: vec![("w".into(), Tensor::new(&[progress as f32], &Device::Cpu).unwrap())],
        };
        let files = || fs::read_dir(dir.path().join(CHECKPOINTS)).unwrap().count();
        assert!(run.save(state(1), SaveReason::EndOfEpoch, Instant::now()).unwrap().is_none());
        assert_eq!(files(), 0);
        // An interruption in the next epoch.
        assert!(run.save(state(2), SaveReason::WithinEpoch, Instant::now()).unwrap().is_some());
        assert_eq!(files(), 2);
        assert_eq!(run.restore::<u64>().unwrap().unwrap().progress, 2);
        let end = run.end_of_last_epoch::<u64>(1).unwrap().unwrap();
        assert_eq!((end.progress, end.tensors[0].1.to_vec1::<f32>().unwrap()), (1, vec![1.0]));
        assert!(run.end_of_last_epoch::<u64>(0).unwrap().is_none(), "no epoch is complete");
    }
}
