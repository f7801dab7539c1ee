//! The metadata of a model file.

use std::collections::BTreeMap;

use enas_arc::Arch;
use enas_child::{Child, InputShape, MacroChild, MacroConfig};
use enas_data::{InputSpec, Normalization};
use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::config::{RefitImages, Tta};
use crate::error::{Error, Result};
use crate::network::{Network, of_arc};

/// The accuracies reported by the training, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracies {
    /// On the validation split.
    pub valid: f64,
    /// On the test split, once the training is complete.
    pub test: Option<f64>,
}

/// The metadata of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// Format version of the file; raised when older programs can no longer read it.
    pub enas_model: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// The architecture.
    pub arc: Arch,
    /// Class names in the order of the label numbers.
    pub classes: Vec<String>,
    /// The settings of the network.
    pub child: enas_child::Config,
    /// The settings of a macro network.
    #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_net: Option<MacroConfig>,
    /// How the training's images were read.
    pub data: enas_data::Config,
    /// Seed of the training, from which splits are drawn if the data set has none.
    pub seed: u64,
    /// The normalisation of the input.
    pub normalization: Normalization,
    /// Maximum number of images per evaluation step in training.
    pub eval_batch: usize,
    /// The views of test-time augmentation.
    #[serde(default, skip_serializing_if = "Tta::is_none")]
    pub tta: Tta,
    /// The accuracies reported by the training.
    pub accuracy: Accuracies,
    /// Temperature that logits are divided by; `None` if the validation split has too few mistakes to fit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The images of a refit, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refit: Option<Refitted>,
}

/// The images of a refit. The reported accuracies are those of the network before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refitted {
    /// Which images joined the training images.
    pub images: RefitImages,
    /// Total number of training images in the refit.
    pub fitted: usize,
}

/// The format version that this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;

impl ModelMetadata {
    /// A network of this description at its random initialisation.
    ///
    /// # Errors
    /// If it needs more than `most` weights, or the description is invalid.
    pub(super) fn network(&self, most: usize) -> Result<Network> {
        let InputSpec { channels, height, width, .. } = self.data.input();
        let input = InputShape { channels, height, width };
        let seed = Seed::new(self.seed);
        let classes = self.classes.len();
        Ok(match &self.arc {
            Arch::Micro(arc) => {
                Network::Micro(Child::fixed_within(&self.child, arc, input, classes, seed, most)?)
            }
            Arch::Macro(arc) => {
                let config = of_arc(self.macro_net.as_ref(), arc.n_layers());
                Network::Macro(MacroChild::fixed_within(&config, arc, input, classes, seed, most)?)
            }
        })
    }

    /// Refuses values that no training writes and no prediction can use.
    pub(super) fn check(&self) -> Result<()> {
        self.data.check()?;
        let Normalization { mean, std } = &self.normalization;
        let channels = self.data.channels;
        let usable = mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0);
        if mean.len() != channels || std.len() != channels || !usable {
            let found = format!("means {mean:?} and deviations {std:?} for {channels} channels");
            return Err(Error::Mismatch(format!("images cannot be normalised by {found}")));
        }
        if self.temperature.is_some_and(|t| !(t.is_finite() && t > 0.0)) {
            return Err(Error::Mismatch("its temperature is not a number above 0".into()));
        }
        if self.eval_batch == 0 {
            return Err(Error::Mismatch("it evaluates 0 images at a time".into()));
        }
        Ok(())
    }

    /// Parses the metadata of a file.
    pub(super) fn parse(metadata: &BTreeMap<String, String>) -> Result<Self, String> {
        let Some(format) = metadata.get("enas_model") else {
            return Err(
                "this is a safetensors file, but not a model of this program; `enas train` writes one".into(),
            );
        };
        if format.parse::<u32>().is_ok_and(|format| format > FORMAT) {
            return Err(format!(
                "the model has format {format}, this program reads up to {FORMAT}; use a newer version"
            ));
        }
        let parse = |(key, text): (&String, &String)| Some((key.clone(), serde_json::from_str(text).ok()?));
        let fields: serde_json::Map<_, _> = metadata.iter().filter_map(parse).collect();
        serde_json::from_value(fields.into()).map_err(|e| {
            format!("the description of the model is damaged or of another version ({e}); train again")
        })
    }

    pub(super) fn to_map(&self) -> BTreeMap<String, String> {
        let value = serde_json::to_value(self).expect("plain data");
        let fields = value.as_object().expect("a structure is an object");
        fields.iter().map(|(key, value)| (key.clone(), value.to_string())).collect()
    }
}
