//! Random factors for dropout and drop-path. On the CPU the networks' crate draws them.

pub(crate) mod gpu;
