//! The model file: a trained network with all that predicting needs.

use std::path::Path;

use enas_arc::Arc;
use enas_child::{Child, InputShape};
use enas_data::Split;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::evaluate::Evaluation;

/// A trained network that predicts with no configuration beside it.
#[derive(Debug)]
pub struct Model {
    child: Child,
    about: About,
}

/// The accuracies that training reported, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracies {
    /// On the validation split.
    pub valid: f64,
    /// On the test split, once the training is complete.
    pub test: Option<f64>,
}

/// The metadata of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    arc: Arc,
    classes: Vec<String>,
    child: enas_child::Config,
    data: enas_data::Config,
    normalization: enas_data::Normalization,
    input: InputShape,
    accuracy: Accuracies,
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`crate::Error::File`] for a truncated, foreign or newer file, with the remedy.
    pub fn load(path: &Path) -> Result<Self> {
        unimplemented!()
    }

    /// Writes a model file, complete or not at all.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        unimplemented!()
    }

    /// Class scores of pictures that were prepared like the training's validation pictures.
    ///
    /// Shapes: `images` is `[n, c, h, w]`, normalised; the result `[n, classes]`.
    pub fn logits(&self, images: &[f32]) -> Result<Vec<f32>> {
        unimplemented!()
    }

    /// Class probabilities: the softmax of [`Model::logits`]. Each row sums to 1.
    pub fn probabilities(&self, images: &[f32]) -> Result<Vec<f32>> {
        unimplemented!()
    }

    /// Predicts a whole split.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] when the split's pictures have another size or its classes other names.
    pub fn evaluate(&self, split: &Split) -> Result<Evaluation> {
        unimplemented!()
    }

    /// The architecture.
    pub fn arc(&self) -> &Arc {
        &self.about.arc
    }

    /// Class names in the order of the label numbers.
    pub fn classes(&self) -> &[String] {
        &self.about.classes
    }

    /// Channels, height and width of the pictures it takes.
    pub fn input(&self) -> InputShape {
        self.about.input
    }

    /// How pictures were read in training: channels, size, resize rule.
    pub fn data_config(&self) -> &enas_data::Config {
        &self.about.data
    }

    /// The normalisation that its pictures need.
    pub fn normalization(&self) -> &enas_data::Normalization {
        &self.about.normalization
    }

    /// The accuracies that training reported.
    pub fn accuracy(&self) -> Accuracies {
        self.about.accuracy
    }

    /// The network.
    pub fn child(&self) -> &Child {
        &self.child
    }
}
