//! The model file: a trained network with everything that prediction needs.

mod evaluate;
mod file;
mod loading;
mod metadata;
mod predict;
pub mod warm_start;

pub use self::evaluate::{EvalOptions, Measure, evaluate};
pub use self::file::{Model, save};
pub use self::metadata::{Accuracies, FORMAT, ModelMetadata, Refitted};
pub use self::predict::conclude;
