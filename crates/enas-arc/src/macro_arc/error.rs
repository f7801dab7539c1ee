//! Why something is not a macro arc: the place, the value, and what is allowed there.

use std::fmt;

use super::{MacroOp, n_ints};
use crate::error::{Place, is_integer, shorten};
use crate::tokens::Unexpected;

/// Why something is not a macro arc. Every message can be shown to the person who typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MacroArcError {
    /// The input is empty or has no layer.
    #[error("the macro arc is empty; expected 78 integers for 12 layers, or the readable form")]
    Empty,
    /// The number of integers fits no number of layers.
    #[error(
        "{len} integers do not make a macro arc: L layers need L operations and L(L-1)/2 skips, {}",
        nearest(*len)
    )]
    Length {
        /// Number of integers.
        len: usize,
    },
    /// A layer has the wrong number of skips.
    #[error("layer {layer} has {found} skips and needs {}: one for the stem and for each earlier layer but the \
             one it reads", layer - 1)]
    Skips {
        /// The layer, counted from 1.
        layer: usize,
        /// The number of its skips.
        found: usize,
    },
    /// An entry of the integer form is not an integer.
    #[error("{place}{}: `{text}` is not an integer{}", in_brackets(*slot), allowed(*slot))]
    NotAnInteger {
        /// Its place.
        place: Place,
        /// What belongs there; `None` if the number of entries is wrong.
        slot: Option<MacroSlot>,
        /// The entry, shortened if long.
        text: String,
    },
    /// A number is not allowed at its position.
    #[error("{place} ({slot}): {value} is out of range, allowed {}", slot.allowed())]
    OutOfRange {
        /// Its place.
        place: Place,
        /// Its meaning.
        slot: MacroSlot,
        /// The number as written, shortened if long.
        value: String,
    },
    /// A layer of the readable form names a skip twice.
    #[error("{place} ({slot}): {value} is added twice; name each earlier layer once")]
    Repeated {
        /// Its place.
        place: Place,
        /// Its meaning.
        slot: MacroSlot,
        /// The number.
        value: usize,
    },
    /// The readable form has a syntax error.
    #[error("{place}: expected {expected}, found {found}")]
    Syntax {
        /// Its place.
        place: Place,
        /// What is allowed there.
        expected: String,
        /// What was found, shortened if long.
        found: String,
    },
}

impl From<Unexpected> for MacroArcError {
    fn from(Unexpected { place, expected, found }: Unexpected) -> MacroArcError {
        MacroArcError::Syntax { place, expected, found }
    }
}

/// The meaning of one number of a macro arc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacroSlot {
    /// The layer, counted from 1; the stem is 0.
    pub layer: usize,
    /// The number within the layer.
    pub field: MacroField,
}

/// The numbers of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MacroField {
    /// The operation of the layer.
    Op,
    /// Whether the output of this layer (0 for the stem) is added: 0 or 1.
    Skip(usize),
    /// In the readable form, the layer whose output is read: always the one before.
    Input,
    /// In the readable form, a layer whose output is added.
    Added,
}

impl MacroSlot {
    /// The slot of number `index` of the integer form.
    pub(crate) fn at(index: usize) -> MacroSlot {
        let layer = (1..).find(|&layer| n_ints(layer) > index).expect("there is no end of numbers");
        let field = match index - n_ints(layer - 1) {
            0 => MacroField::Op,
            skip => MacroField::Skip(skip - 1),
        };
        MacroSlot { layer, field }
    }

    /// The number that `text` spells, if it is allowed here.
    pub(crate) fn read(self, place: Place, text: &str) -> Result<usize, MacroArcError> {
        debug_assert!(is_integer(text));
        let (least, most) = self.range();
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| MacroArcError::OutOfRange { place, slot: self, value: shorten(text) })
    }

    /// The smallest and largest number allowed here. If none is allowed, the largest is below the smallest.
    fn range(self) -> (usize, usize) {
        match self.field {
            MacroField::Op => (0, MacroOp::ALL.len() - 1),
            MacroField::Skip(_) => (0, 1),
            MacroField::Input => (self.layer - 1, self.layer - 1),
            MacroField::Added => (0, self.layer.saturating_sub(2)),
        }
    }

    fn allowed(self) -> String {
        match (self.field, self.range()) {
            (MacroField::Op, (least, most)) => {
                let table = MacroOp::ALL.map(|op| format!("{} {op}", op.id())).join(", ");
                format!("{least}..={most} ({table})")
            }
            (MacroField::Skip(_), _) => "0 (not added) or 1 (added)".to_owned(),
            (MacroField::Input, (only, _)) => format!("{only} alone: a layer reads the one before it"),
            (MacroField::Added, (least, most)) => {
                format!("{least}..={most}: 0 is the stem, and the layer before is read already")
            }
        }
    }
}

impl fmt::Display for MacroSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}, ", self.layer)?;
        match self.field {
            MacroField::Op => f.write_str("operation"),
            MacroField::Skip(0) => f.write_str("skip from the stem"),
            MacroField::Skip(layer) => write!(f, "skip from layer {layer}"),
            MacroField::Input => f.write_str("input"),
            MacroField::Added => f.write_str("skip"),
        }
    }
}

fn nearest(len: usize) -> String {
    let above = (1..).find(|&layers| n_ints(layers) > len).expect("there is no end of numbers");
    let named = |layers: usize| format!("{} for {layers}", n_ints(layers));
    match above - 1 {
        0 => format!("at least {}", named(1)),
        below => format!("such as {} or {}", named(below), named(above)),
    }
}

fn in_brackets(slot: Option<MacroSlot>) -> String {
    slot.map(|slot| format!(" ({slot})")).unwrap_or_default()
}

fn allowed(slot: Option<MacroSlot>) -> String {
    slot.map(|slot| format!(", allowed {}", slot.allowed())).unwrap_or_default()
}
