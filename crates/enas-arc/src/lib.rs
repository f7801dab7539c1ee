//! What an ENAS micro architecture is: operations, cells, arcs, as plain data.
#![forbid(unsafe_code)]
