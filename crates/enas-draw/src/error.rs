//! The errors of this crate. Only the conversion to PNG can fail.

/// An error of this crate. Every message says what was found and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The scale of a PNG is out of range.
    #[error("scale {scale} is out of range; allowed: 0.1 to 10")]
    Scale {
        /// The requested scale.
        scale: f32,
    },
    /// A PNG would have too many pixels.
    #[error(
        "a PNG of {width}×{height} pixels is too large; choose a smaller scale than {scale}, or SVG, which has no pixels"
    )]
    TooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// The requested scale.
        scale: f32,
    },
    /// The image could not be encoded.
    #[error("the PNG cannot be encoded: {problem}")]
    Png {
        /// The message of the encoder.
        problem: String,
    },
}
