//! The ENAS controller: an LSTM policy over arcs, trained with REINFORCE.
#![forbid(unsafe_code)]
