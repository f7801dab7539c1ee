//! Settings of training that are not part of a child's state: the loss, and what is recomputed.

use candle_core::Tensor;

use super::Child;
use crate::checkpointing::Recompute;
use crate::error::Error;

impl Child {
    /// Sets class weights: the loss of an image of class `k` is multiplied by `weights[k]`, for the main and the
    /// auxiliary classifier. The mean is still taken over the number of images. Class weights are not part of the
    /// state.
    ///
    /// Shapes: `weights` `[classes]` of F32.
    ///
    /// # Errors
    /// If the number of weights is not the number of classes, or a weight is not a positive finite number.
    pub fn weigh_classes(&mut self, weights: &Tensor) -> Result<(), Error> {
        self.loss.set_class_weights(weights, self.n_classes)?;
        self.update_loss_on_device();
        Ok(())
    }

    /// Turns on label smoothing (Szegedy et al., 2016): the share `smoothing` of every target is spread evenly over
    /// all classes, for the main and the auxiliary classifier. It is not part of the state.
    ///
    /// # Errors
    /// If `smoothing` is not in `[0, 1)`.
    pub fn smooth_labels(&mut self, smoothing: f32) -> Result<(), Error> {
        self.loss.set_smoothing(smoothing)?;
        self.update_loss_on_device();
        Ok(())
    }

    /// Sets what training passes recompute instead of storing (activation checkpointing). Results do not change.
    /// Passes on a GPU store everything.
    pub fn recompute(&mut self, what: Recompute) {
        self.recompute = what;
    }

    fn update_loss_on_device(&mut self) {
        if let Some(device) = &mut self.device {
            device.set_loss(&self.loss, self.n_classes);
        }
    }
}
