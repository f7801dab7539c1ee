//! The two ENAS loops, search and train, as readable algorithms with a durable run directory.
#![forbid(unsafe_code)]
