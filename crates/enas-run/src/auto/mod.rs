//! What an automatic run leaves in its folder: the plan, and read access to it.

mod plan;
mod reader;

pub use self::plan::{AutoPhase, AutoPlan, FittedNetwork, SearchWhen};
pub use self::reader::{AUTO, AutoRunReader, CheckedData, CheckedFinding, Preparation};
