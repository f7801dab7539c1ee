//! How much memory a run may take, and what follows from it: how pictures are held and what a step keeps.
//!
//! No result depends on any of this, to the bit.

mod limit;
mod machine;
mod plan;
mod reckon;

pub use self::limit::MemoryLimit;
pub use self::plan::{MemoryParts, MemoryPlan};
