//! ENAS architectures as plain data: operations, cells, arcs and macro arcs.
//!
//! A *state* is a feature map inside a cell. State 0 is the output of the layer before the previous one, state 1 that
//! of the previous layer. Every [`Node`] adds a state: it applies an [`Op`] to each of two earlier states and sums
//! the results. A [`Cell`] is a list of nodes. The states that no node reads are its *loose ends*; together they form
//! its output. An [`Arc`] is one cell for the normal layers of a network and one with as many nodes for the reduction
//! layers. The [`ArcSpace`] is the set of all arcs with a given number of nodes (Pham et al., "Efficient Neural
//! Architecture Search via Parameter Sharing", 2018, section 2.4).
//!
//! A [`MacroArc`] belongs to the other search space of the paper (section 2.3). For every layer of a network it gives
//! a [`MacroOp`] and the earlier layers that are added to its output.
//!
//! All types check their values when they are built and are valid from then on. The crate knows neither weights nor
//! files. With its feature `candle` it converts arcs to tensors of integers and back (`Arc::to_tensor`,
//! `Arc::from_tensor`).
//!
//! An arc has two written forms. The integer form is that of the authors' code: `input op input op` per node, the
//! normal cell first. The readable form names the operations and can be edited by hand.
//!
//! ```
//! use enas_arc::{Arc, ArcSpace, Op};
//!
//! let arc: Arc = "1 2 0 0 2 4 1 0  0 1 1 3 0 0 0 4".parse()?;
//! assert_eq!(arc.n_nodes(), 2);
//! assert_eq!(arc.normal().nodes()[1].x.op, Op::Identity);
//! assert_eq!(arc.normal().loose_ends(), [3]);
//! assert_eq!(arc.reduction().loose_ends(), [2, 3]);
//!
//! assert_eq!(
//!     arc.readable(),
//!     "normal:\n\
//!      \x20 2 = avg-pool-3x3(1) + sep-conv-3x3(0)\n\
//!      \x20 3 = identity(2) + sep-conv-3x3(1)\n\
//!      reduction:\n\
//!      \x20 2 = sep-conv-5x5(0) + max-pool-3x3(1)\n\
//!      \x20 3 = sep-conv-3x3(0) + identity(0)\n"
//! );
//! assert_eq!(Arc::parse_any(&arc.readable())?, arc);
//!
//! let error = "1 2 0 0 2 4 5 0 0 1 1 3 0 0 0 4".parse::<Arc>().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "position 6 (normal cell, node 3, second input): 5 is out of range, allowed 0..=2"
//! );
//!
//! assert_eq!(ArcSpace { n_nodes: 5 }.size(), 2.562890625e25);
//! # Ok::<(), enas_arc::ArcError>(())
//! ```
#![forbid(unsafe_code)]

mod arc;
mod arch;
mod cell;
mod cell_kind;
mod entry;
mod error;
mod lexer;
mod macro_arc;
mod op;
mod readable;
mod serialize;
mod space;
#[cfg(feature = "candle")]
mod tensors;

pub use arc::Arc;
pub use arch::{Arch, ArchError, SpaceKind};
pub use cell::{Branch, Cell, Node};
pub use cell_kind::CellKind;
pub use entry::{ArcEntry, EntryPosition, Location, NodeField};
pub use error::ArcError;
pub use macro_arc::{LayerField, MacroArc, MacroArcError, MacroArcSpace, MacroEntry, MacroLayer, MacroOp};
pub use op::Op;
pub use space::ArcSpace;
#[cfg(feature = "candle")]
pub use tensors::TensorError;

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
