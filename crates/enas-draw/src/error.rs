//! What can go wrong: only making pixels.

/// An error of this crate. Every message says what was found and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The scale of a PNG is out of range.
    #[error("scale {scale} is out of range; allowed: 0.1 to 10")]
    Scale {
        /// The scale asked for.
        scale: f32,
    },
    /// A PNG would have too many pixels.
    #[error(
        "a PNG of {width}×{height} pixels is too large; choose a smaller scale than {scale}, or SVG, which has no pixels"
    )]
    TooLarge {
        /// Pixels from left to right.
        width: u64,
        /// Pixels from top to bottom.
        height: u64,
        /// The scale asked for.
        scale: f32,
    },
    /// The pixels could not be packed.
    #[error("the PNG cannot be encoded: {problem}")]
    Png {
        /// What the encoder says.
        problem: String,
    },
}
