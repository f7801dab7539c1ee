//! The settings of a search and of a training. They are plain values; [`ConfigBuilder`] reads them from files.

mod assignment;
mod builder;
mod class_weights;
mod kind;
mod overlay;
mod phases;
pub mod presets;
mod refit;
mod run;
mod search;
mod settings;
mod strategy;
mod train;
mod tta;
mod validate;

pub use self::builder::ConfigBuilder;
pub use self::class_weights::{ClassWeights, Metric};
pub use self::kind::Kind;
pub use self::phases::{FinalsConfig, Limits, RewardMetric, WarmupConfig};
pub use self::refit::{RefitConfig, RefitImages};
pub use self::run::{Activations, MOST, RunConfig, TimeLimit};
pub use self::search::{RewardConfig, SearchConfig, SelectConfig};
pub use self::settings::{InvalidSetting, Settings};
pub use self::strategy::{EvolutionConfig, StrategyConfig};
pub use self::train::{Keep, TrainConfig};
pub use self::tta::Tta;
