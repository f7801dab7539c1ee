//! What proposes the architectures of a search.

use std::fmt;

use enas_strategy::EvolutionSettings;
use serde::{Deserialize, Serialize};

/// What proposes the architectures of a search, and learns from their scores.
///
/// Every strategy is asked as often: `controller.steps` times in an epoch for `controller.aggregate` architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StrategyConfig {
    /// An LSTM policy trained by REINFORCE, as published; the table `controller` says how.
    Reinforce {},
    /// Regularised evolution (Real et al., AAAI 2019).
    Evolution(EvolutionConfig),
    /// Draws uniformly and learns nothing: random search with shared weights.
    Uniform {},
    /// Draws among the architectures whose every branch reads an input of the cell, and learns nothing.
    Wide {},
}

/// Sizes of the population. The best of a sample gets a mutant, the oldest member dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvolutionConfig {
    /// Members at the same time; so many are drawn uniformly first.
    pub population: usize,
    /// Members, drawn with replacement, of which the best becomes a parent.
    pub sample: usize,
}

impl Default for StrategyConfig {
    /// Runs from before there was a choice.
    fn default() -> Self {
        Self::Reinforce {}
    }
}

impl Default for EvolutionConfig {
    fn default() -> Self {
        let EvolutionSettings { population, sample } = EvolutionSettings::default();
        Self { population, sample }
    }
}

impl From<EvolutionConfig> for EvolutionSettings {
    fn from(config: EvolutionConfig) -> Self {
        Self { population: config.population, sample: config.sample }
    }
}

impl StrategyConfig {
    /// The value of `strategy.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reinforce {} => "reinforce",
            Self::Evolution(_) => "evolution",
            Self::Uniform {} => "uniform",
            Self::Wide {} => "wide",
        }
    }

    /// Whether it is the published one.
    pub fn is_reinforce(&self) -> bool {
        matches!(self, Self::Reinforce {})
    }
}

impl fmt::Display for StrategyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}
