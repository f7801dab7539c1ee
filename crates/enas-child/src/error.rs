//! What can be wrong with a child network's description, inputs or saved state.

/// An error of this crate. Every message says what was found and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting outside its range.
    #[error("{key} = {value} is out of range; allowed: {allowed}")]
    Config {
        /// The configuration key.
        key: &'static str,
        /// The value found.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The arc has another number of nodes than the network, or reads an edge the network has no weights for.
    #[error("this arc does not fit the network: {0}")]
    Arc(String),
    /// Pictures or labels of the wrong size or value.
    #[error("bad batch: {0}")]
    Batch(String),
    /// Saved weights that do not belong to this network.
    #[error("these weights do not fit the network: {0}")]
    State(String),
    /// The GPU refused.
    #[error(transparent)]
    Gpu(#[from] enas_kernels::gpu::Error),
}
