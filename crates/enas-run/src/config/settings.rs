//! What the settings of both commands have in common.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::kind::Kind;
use super::presets::Preset;
use super::run::RunConfig;
use crate::error::{ConfigError, Result};

/// The settings of one command: [`SearchConfig`](super::SearchConfig) or [`TrainConfig`](super::TrainConfig).
pub trait Settings: Serialize + DeserializeOwned + Clone {
    /// The command that these settings belong to.
    const KIND: Kind;

    /// All settings with their default values and comments, as TOML.
    fn defaults() -> &'static str;

    /// The text of a preset for this command: what differs from [`Self::defaults`].
    fn of_preset(preset: &Preset) -> &'static str;

    /// Length, batches, seed and checkpoints.
    fn run(&self) -> &RunConfig;

    /// The images.
    fn data(&self) -> &enas_data::Config;

    /// The run and data settings, for changes.
    fn parts_mut(&mut self) -> (&mut RunConfig, &mut enas_data::Config);

    /// Refuses values outside their range.
    ///
    /// # Errors
    /// The first invalid key, with its value and what is allowed.
    fn validate(&self) -> Result<(), InvalidSetting>;

    /// [`Self::validate`] for settings that were not built by [`ConfigBuilder`](super::ConfigBuilder).
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the key.
    fn check(&self) -> Result<()> {
        self.validate().map_err(|InvalidSetting { key, problem }| ConfigError { place: key, problem }.into())
    }
}

/// A value outside its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The dotted key.
    pub key: String,
    /// What is wrong, including the key.
    pub problem: String,
}
