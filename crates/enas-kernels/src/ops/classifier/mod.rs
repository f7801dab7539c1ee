//! The classifier and its loss. On the CPU the networks' crate computes them.

pub(crate) mod gpu;
