//! One image: from the bytes of a file to pixels at the size of the network's input.

pub(crate) mod decode;
pub(crate) mod normalize;
mod plane;
pub(crate) mod png_end;
pub(crate) mod prepare;
pub(crate) mod prepared;
pub(crate) mod resize;
mod samples;
mod tiff;
mod triangle;
pub(crate) mod white_level;
