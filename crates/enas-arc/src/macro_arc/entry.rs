//! The numbers of a macro arc: what each means and which values are allowed.

use std::fmt;

use super::op::MacroOp;

/// The meaning of one number of a macro arc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacroEntry {
    /// The layer, counted from 1; the stem is 0.
    pub layer: usize,
    /// The number within the layer.
    pub field: LayerField,
}

/// The numbers of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerField {
    /// The operation of the layer.
    Op,
    /// Whether the output of this layer (0 for the stem) is added: 0 or 1.
    Skip(usize),
    /// In the readable form, the layer whose output is read: always the one before.
    Input,
    /// In the readable form, a layer whose output is added.
    Added,
}

impl MacroEntry {
    /// The entry of number `index` of the integer form.
    pub(crate) fn at(index: usize) -> MacroEntry {
        let layer = (1..).find(|&layer| n_ints(layer) > index).expect("there is no end of numbers");
        let field = match index - n_ints(layer - 1) {
            0 => LayerField::Op,
            skip => LayerField::Skip(skip - 1),
        };
        MacroEntry { layer, field }
    }

    /// The smallest and largest number allowed here. If none is allowed, the largest is below the smallest.
    pub(super) fn range(self) -> (usize, usize) {
        match self.field {
            LayerField::Op => (0, MacroOp::ALL.len() - 1),
            LayerField::Skip(_) => (0, 1),
            LayerField::Input => (self.layer - 1, self.layer - 1),
            LayerField::Added => (0, self.layer.saturating_sub(2)),
        }
    }

    pub(super) fn allowed(self) -> String {
        match (self.field, self.range()) {
            (LayerField::Op, (least, most)) => {
                let table = MacroOp::ALL.map(|op| format!("{} {op}", op.id())).join(", ");
                format!("{least}..={most} ({table})")
            }
            (LayerField::Skip(_), _) => "0 (not added) or 1 (added)".to_owned(),
            (LayerField::Input, (only, _)) => format!("{only} alone: a layer reads the one before it"),
            (LayerField::Added, (least, most)) => {
                format!("{least}..={most}: 0 is the stem, and the layer before is read already")
            }
        }
    }
}

impl fmt::Display for MacroEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}, ", self.layer)?;
        match self.field {
            LayerField::Op => f.write_str("operation"),
            LayerField::Skip(0) => f.write_str("skip from the stem"),
            LayerField::Skip(layer) => write!(f, "skip from layer {layer}"),
            LayerField::Input => f.write_str("input"),
            LayerField::Added => f.write_str("skip"),
        }
    }
}

/// Length of the integer form of `layers` layers.
pub(super) fn n_ints(layers: usize) -> usize {
    layers * (layers + 1) / 2
}

/// The number of layers whose integer form has `ints` numbers, if there is one.
pub(super) fn n_layers(ints: usize) -> Option<usize> {
    (1..=ints).take_while(|&layers| n_ints(layers) <= ints).last().filter(|&layers| n_ints(layers) == ints)
}
