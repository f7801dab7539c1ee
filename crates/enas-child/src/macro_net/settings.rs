//! What a macro network was built with, and the settings of its training.

use candle_core::Tensor;
use enas_arc::MacroArc;

use super::{MacroChild, MacroConfig};
use crate::config::InputShape;
use crate::error::Error;

impl MacroChild {
    /// Sets class weights `[classes]` of F32, as [`Child::weigh_classes`](crate::Child::weigh_classes) does.
    ///
    /// # Errors
    /// If the number of weights is not the number of classes, or a weight is not a positive finite number.
    pub fn weigh_classes(&mut self, weights: &Tensor) -> Result<(), Error> {
        self.loss.set_class_weights(weights, self.n_classes())
    }

    /// Turns on label smoothing, as [`Child::smooth_labels`](crate::Child::smooth_labels) does.
    ///
    /// # Errors
    /// If `smoothing` is not in `[0, 1)`.
    pub fn smooth_labels(&mut self, smoothing: f32) -> Result<(), Error> {
        self.loss.set_smoothing(smoothing)
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
    pub fn layout(&self) -> String {
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
