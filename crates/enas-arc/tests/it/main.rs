//! Arcs from outside: what holds for all of them, and the published ones.
#![forbid(unsafe_code)]

mod macro_properties;
mod mangled;
mod properties;
mod sample_arcs;
