//! Errors in a child network's description, inputs or saved state.

/// An error of this crate. Every message says what was found and what is allowed.
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
    /// The arc's number of nodes differs from the network's, or the network has no weights for one of its edges.
    #[error("this arc does not fit the network: {0}")]
    Arc(String),
    /// Images or labels of the wrong size or value.
    #[error("bad batch: {0}")]
    Batch(String),
    /// Saved weights that do not belong to this network.
    #[error("these weights do not fit the network: {0}")]
    State(String),
    /// A batch is too large for the GPU's memory.
    #[error("a batch of {batch} is too large for the GPU: {} MB more were needed in addition to the {} MB in use{}", asked.div_ceil(1 << 20), held >> 20, remedy(*fits))]
    DeviceMemory {
        /// Bytes that were asked for.
        asked: usize,
        /// Bytes that the program held.
        held: usize,
        /// Number of images of the batch.
        batch: usize,
        /// The largest batch that would fit, if any.
        fits: Option<usize>,
    },
    /// An error of candle, or a missing tensor.
    #[error("tensors: {0}")]
    Candle(#[from] candle_core::Error),
    /// An error of the GPU.
    #[error(transparent)]
    Gpu(#[from] enas_kernels::gpu::Error),
}

fn remedy(fits: Option<usize>) -> String {
    match fits {
        Some(batch) => format!("; a batch of {batch} would fit (data.batch)"),
        None => "; not even a small batch fits: use fewer filters or layers, or --device cpu".to_owned(),
    }
}
