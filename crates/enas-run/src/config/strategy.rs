//! The setting that names the strategy of a search.

use std::fmt;

use enas_strategy::EvolutionSettings;
use serde::{Deserialize, Serialize};

/// The strategy: it proposes architectures and learns from their scores.
///
/// Every strategy is used in the same way: `controller.steps` times per trained epoch it proposes
/// `controller.aggregate` architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StrategyConfig {
    /// An LSTM policy trained by REINFORCE, as published; set by the table `controller`.
    Reinforce {},
    /// Regularised evolution (Real et al., AAAI 2019).
    Evolution(EvolutionConfig),
    /// Uniform draws without learning: random search with weight sharing.
    Uniform {},
    /// Uniform draws among wide architectures, whose branches all read an input of the cell, without learning.
    Wide {},
}

/// Sizes for regularised evolution: the best of a sample gets a mutant, and the oldest member is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvolutionConfig {
    /// Members of the population. Initially as many are drawn uniformly.
    pub population: usize,
    /// Members drawn with replacement; the best of them becomes the parent.
    pub sample: usize,
}

impl Default for StrategyConfig {
    /// The strategy of runs of early versions, which had no such setting.
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

    /// Whether it is the published strategy.
    pub fn is_reinforce(&self) -> bool {
        matches!(self, Self::Reinforce {})
    }
}

impl fmt::Display for StrategyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}
