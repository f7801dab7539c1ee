//! Reading and writing of files: atomically, with limits, with checksums.

pub mod atomic;
pub mod checksum;
pub mod limited_read;
pub mod safetensors;
