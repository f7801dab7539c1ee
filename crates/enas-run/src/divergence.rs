//! Divergence: detects numbers that are not finite at the step where they appear, locates the cause, and recovers
//! once.
//!
//! A diverged run goes back to the end of its last complete epoch, or to its start, and continues with all learning
//! rates multiplied by [`LOWERED`]. It does so once. The epoch alone determines the place, not which checkpoints were
//! written. An interrupted run therefore goes back to the same place as an uninterrupted one.

use std::fmt;

use enas_data::visible;

/// Factor on all learning rates after a run went back.
pub const LOWERED: f32 = 0.1;

/// Where and why the numbers of a run stopped being finite.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Divergence {
    /// Which quantity was not finite, such as `the training loss`.
    pub what: String,
    /// Its value.
    pub value: f32,
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The step within the epoch and phase, counted from 1.
    pub step: u64,
    /// The first layer with values that are not finite, and their kind, such as `activations of layer_3/layer_base`.
    /// `None` if it did not happen in a training step, or no such layer was found.
    pub layer: Option<String>,
    /// Names of images in the step, the most suspicious first.
    pub images: Vec<String>,
    /// Whether the run had gone back once already.
    pub again: bool,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, value, epoch, step, .. } = self;
        write!(f, "{what} became {value} in epoch {epoch}, step {step}")?;
        if let Some(layer) = &self.layer {
            write!(f, "; first not finite: {layer}")?;
        }
        if !self.images.is_empty() {
            write!(
                f,
                "; images of the step, the most suspicious first: {}",
                visible(&self.images.join(", "))
            )?;
        }
        if self.again {
            write!(
                f,
                "; the run had gone back once already and went on with {LOWERED} times the learning rate; look at \
                 these images, lower schedule.lr_max or set child.clip_norm, and start a new run"
            )?;
        }
        Ok(())
    }
}
