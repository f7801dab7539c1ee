//! The interface that training loops use, the same as that of a network of cells.

use candle_core::Tensor;
use enas_arc::MacroArc;

use super::{MacroChild, MacroConfig};
use crate::child::{Step, StepStats, check_smoothing, class_weights};
use crate::config::InputShape;
use crate::loss::LossRule;
use crate::{Error, Examples};

impl MacroChild {
    /// [`train_step`](Self::train_step) on examples in host memory. `meanwhile` is called once after the step.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step), and if the images are on a GPU.
    pub fn train_on(
        &mut self,
        arc: &MacroArc,
        examples: Examples<'_>,
        step: &Step,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let (images, targets) = examples.on_host()?;
        let stats = self.step(arc, images, &targets, step)?;
        meanwhile();
        Ok(stats)
    }

    /// Sets class weights `[classes]` of F32, as [`Child::weigh_classes`](crate::Child::weigh_classes) does.
    ///
    /// # Errors
    /// If the number of weights is not the number of classes, or a weight is not a positive finite number.
    pub fn weigh_classes(&mut self, weights: &Tensor) -> Result<(), Error> {
        self.class_weights = Some(class_weights(weights, self.n_classes())?);
        Ok(())
    }

    /// Turns on label smoothing, as [`Child::smooth_labels`](crate::Child::smooth_labels) does.
    ///
    /// # Errors
    /// If `smoothing` is not in `[0, 1)`.
    pub fn smooth_labels(&mut self, smoothing: f32) -> Result<(), Error> {
        check_smoothing(smoothing)?;
        self.smoothing = smoothing;
        Ok(())
    }

    /// How the loss of an image is computed in training.
    pub(super) fn loss_rule(&self) -> LossRule<'_> {
        LossRule { class_weights: self.class_weights.as_deref(), smoothing: self.smoothing }
    }

    /// The settings the network was built with.
    pub fn config(&self) -> &MacroConfig {
        &self.config
    }

    /// The shape of the images that the network takes.
    pub fn input(&self) -> InputShape {
        self.input
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.network.classifier.classes
    }

    /// The arc of a network with private weights.
    pub fn arc(&self) -> Option<&MacroArc> {
        self.arc.as_ref()
    }

    /// The layout in words.
    pub fn plan(&self) -> String {
        let InputShape { channels, height, width } = self.input;
        let MacroConfig { layers, filters, .. } = &self.config;
        let after: Vec<String> =
            self.config.reductions().iter().map(|layer| (layer + 1).to_string()).collect();
        let halved = match after.is_empty() {
            true => String::new(),
            false => format!(", height and width halved after layers {}", after.join(" and ")),
        };
        format!("{channels}x{height}x{width}, a stem and {layers} layers of {filters} channels{halved}")
    }
}
