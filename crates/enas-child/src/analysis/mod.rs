//! What can be said about a network without training it: costs, memory, inference graph, and values that are not
//! finite.

mod costs;
mod inference_graph;
mod memory;
mod nan_guard;

pub use self::costs::{Costs, LayerCost};
pub use self::inference_graph::{Convolution, InferenceGraph, Operation};
pub(crate) use self::inference_graph::{GraphTracer, trace};
pub use self::memory::{Footprint, Work, worst_arcs};
pub use self::nan_guard::{NonFiniteLayer, NonFiniteReport, ValueKind};
