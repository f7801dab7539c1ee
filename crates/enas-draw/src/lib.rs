//! Drawings of architectures: cells and networks as SVG, PNG and DOT. Also contact sheets of training images.
//!
//! [`cell`], [`cells`], [`network`] and [`macro_network`] return a drawing as an [`Svg`], which can also be converted
//! to PNG. The SVG loads no other files and has no ids, so a page may contain it several times. Equal architectures
//! give equal bytes.
//!
//! ```
//! use enas_arc::{Arc, CellKind};
//! use enas_draw::Theme;
//!
//! let arc: Arc = "1 2 0 0 2 4 1 0  0 1 1 3 0 0 0 4".parse()?;
//! let drawing = enas_draw::cell(arc.normal(), CellKind::Normal, Theme::Auto);
//! assert!(drawing.as_str().starts_with("<svg "));
//!
//! let png = drawing.png(2.0, Theme::Dark)?;
//! assert_eq!(png[..4], *b"\x89PNG");
//!
//! let dot = enas_draw::cells_dot(&arc);
//! assert!(dot.starts_with("digraph cells {"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod align;
mod cell;
mod contact;
mod describe;
mod diagram;
mod dot;
mod drawing;
mod error;
mod fonts;
mod network;
mod network_dot;
mod network_table;
mod ordering;
mod png;
#[cfg(test)]
mod properties;
mod route;
mod sheet;
mod svg;
mod text;
mod theme;

use diagram::Diagram;

pub use contact::{Bitmap, ContactGroup, ContactTile, contact_sheet};
pub use describe::grouped;
pub use dot::{cell_dot, cells_dot};
pub use error::Error;
pub use fonts::FallbackFonts;
pub use network_dot::{macro_network_dot, network_dot};
pub use svg::Svg;
pub use theme::Theme;

/// Types of other crates that occur in this crate's interface.
pub use enas_arc::{Arc, Cell, CellKind, MacroArc};
pub use enas_child::{Child, MacroChild};

/// Draws a cell: its inputs, its nodes with two operations and their sum, and the output from the loose ends.
pub fn cell(cell: &Cell, kind: CellKind, theme: Theme) -> Svg {
    Svg::new(sheet::with_background(cell::drawing(cell, kind, 0.0)), theme)
}

/// Draws both cells of an arc on one sheet: side by side if that is at most 1200 pixels wide, else one above the
/// other.
pub fn cells(arc: &Arc, theme: Theme) -> Svg {
    let normal = |width| cell::drawing(arc.normal(), CellKind::Normal, width);
    let reduction = |width| cell::drawing(arc.reduction(), CellKind::Reduction, width);
    Svg::new(sheet::with_background(sheet::combined([&normal, &reduction])), theme)
}

/// Draws a whole network: its layers from input images to classes, each with its output shape, parameters and
/// multiply-adds per image.
///
/// In a network of shared weights, the parameters of a layer are those of all arcs.
///
/// # Errors
/// If the arc does not fit the network.
pub fn network(child: &Child, arc: &Arc, theme: Theme) -> Result<Svg, enas_child::Error> {
    Ok(Svg::new(sheet::with_background(network::drawing(&Diagram::of_cells(child, arc)?)), theme))
}

/// Draws a network of the macro search space: its layers from input images to classes, with skip connections on their
/// left. Each layer has its output shape, parameters and multiply-adds per image.
///
/// In a network of shared weights, the parameters of a layer are those of all arcs.
///
/// # Errors
/// If the arc does not fit the network.
pub fn macro_network(child: &MacroChild, arc: &MacroArc, theme: Theme) -> Result<Svg, enas_child::Error> {
    Ok(Svg::new(sheet::with_background(network::drawing(&Diagram::of_layers(child, arc)?)), theme))
}

/// Compiles and runs the example in `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
