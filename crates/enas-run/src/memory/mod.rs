//! Planning of a run's memory: how images are stored, and how much activation checkpointing a training step uses.
//!
//! Results do not depend on the plan, not even in the last bit.

mod estimate;
mod limit;
mod machine;
mod parts;
mod plan;

pub use self::limit::MemoryLimit;
pub use self::parts::MemoryParts;
pub use self::plan::MemoryPlan;
