//! The layout of a network: which cells, at which size, with how many channels.

use std::fmt;

use enas_arc::Arc;

use crate::config::{AuxHead, Config, InputShape, Reductions};
use crate::error::Error;

/// The stack of cells of a network, computed once from its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkLayout {
    /// The shape of the images.
    pub input: InputShape,
    /// Channels of the stem convolution, `3·filters` (`micro_child.py:249`).
    pub stem: usize,
    /// The cells in order.
    pub cells: Vec<CellLayout>,
    /// Index of the cell whose output the auxiliary head reads, if there is one.
    pub aux_after: Option<usize>,
}

/// One cell of a [`NetworkLayout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellLayout {
    /// Whether it is a reduction cell, which halves height and width.
    pub reduction: bool,
    /// Channels of each of its nodes.
    pub filters: usize,
    /// Height of its output; `⌈h/2⌉` if it reduces an input of height `h`.
    pub height: usize,
    /// Width of its output.
    pub width: usize,
}

impl NetworkLayout {
    /// The layout of `config`: `layers + 2` cells. At each reduction the filters double and the size halves
    /// (`micro_child.py:263-285`).
    pub fn new(config: &Config, input: InputShape) -> Self {
        let reductions = config.reductions.cells(config.layers);
        let mut filters = config.filters;
        let mut height = input.height;
        let mut width = input.width;
        let cells = (0..config.layers + 2)
            .map(|i| {
                let reduction = reductions.contains(&i);
                if reduction {
                    filters *= 2;
                    (height, width) = (height.div_ceil(2), width.div_ceil(2));
                }
                CellLayout { reduction, filters, height, width }
            })
            .collect();
        // The authors attach the head one cell after the last of two reductions (`micro_child.py:113`), and
        // ENAS-Tensorflow one cell after the second of three. Both are `reductions[1] + 1`.
        let aux_after = (config.aux_head != AuxHead::Off).then(|| reductions[1] + 1);
        Self { input, stem: 3 * config.filters, cells, aux_after }
    }
}

impl Reductions {
    /// The indices of the reduction cells among `layers + 2`.
    pub fn cells(self, layers: usize) -> Vec<usize> {
        match self {
            Self::Two => {
                let d = layers / 3;
                vec![d, 2 * d + 1]
            }
            Self::Three => {
                let d = layers / 4;
                vec![d, 2 * d + 1, layers]
            }
        }
    }
}

/// Refuses arcs whose number of nodes is not that of the network.
pub(crate) fn check_nodes(arc: &Arc, config: &Config) -> Result<(), Error> {
    if arc.n_nodes() == config.nodes {
        return Ok(());
    }
    let got = arc.n_nodes();
    let want = config.nodes;
    Err(Error::Arc(format!("it has {got} nodes per cell, the network {want} (child.nodes)")))
}

impl fmt::Display for NetworkLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InputShape { channels, height, width } = self.input;
        writeln!(f, "stem       {:>4} channels  {height}x{width}  from {channels}", self.stem)?;
        for (i, cell) in self.cells.iter().enumerate() {
            let kind = if cell.reduction { "reduction" } else { "normal" };
            writeln!(f, "{i:>2} {kind:<10}{:>2} filters  {}x{}", cell.filters, cell.height, cell.width)?;
            if self.aux_after == Some(i) {
                writeln!(f, "   auxiliary head")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_stand_where_the_published_networks_have_them() {
        assert_eq!(Reductions::Two.cells(6), [2, 5]);
        assert_eq!(Reductions::Two.cells(15), [5, 11]);
        assert_eq!(Reductions::Three.cells(6), [1, 3, 6]);
        assert_eq!(Reductions::Three.cells(15), [3, 7, 15]);
    }
}
