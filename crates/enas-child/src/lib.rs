//! The ENAS child network: shared weights for every arc, or private weights for one.
#![forbid(unsafe_code)]
