//! The tensor operations the ENAS networks live on, forward and backward, for candle.
#![forbid(unsafe_code)]
