//! Why something is not a macro arc: the location, the value, and what is allowed there.

use super::entry::{MacroEntry, n_ints};
use crate::entry::{Location, is_integer, shorten};
use crate::lexer::UnexpectedToken;

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
    #[error("{location}{}: `{text}` is not an integer{}", in_brackets(*entry), allowed(*entry))]
    NotAnInteger {
        /// Its location.
        location: Location,
        /// What belongs there; `None` if the number of entries is wrong.
        entry: Option<MacroEntry>,
        /// The entry, shortened if long.
        text: String,
    },
    /// A number is not allowed at its position.
    #[error("{location} ({entry}): {value} is out of range, allowed {}", entry.allowed())]
    OutOfRange {
        /// Its location.
        location: Location,
        /// Its meaning.
        entry: MacroEntry,
        /// The number as written, shortened if long.
        value: String,
    },
    /// A layer of the readable form names a skip twice.
    #[error("{location} ({entry}): {value} is added twice; name each earlier layer once")]
    Repeated {
        /// Its location.
        location: Location,
        /// Its meaning.
        entry: MacroEntry,
        /// The number.
        value: usize,
    },
    /// The readable form has a syntax error.
    #[error("{location}: expected {expected}, found {found}")]
    Syntax {
        /// Its location.
        location: Location,
        /// What is allowed there.
        expected: String,
        /// What was found, shortened if long.
        found: String,
    },
}

impl From<UnexpectedToken> for MacroArcError {
    fn from(UnexpectedToken { location, expected, found }: UnexpectedToken) -> MacroArcError {
        MacroArcError::Syntax { location, expected, found }
    }
}

impl MacroEntry {
    /// The number that `text` spells, if it is allowed here.
    pub(crate) fn read(self, location: Location, text: &str) -> Result<usize, MacroArcError> {
        debug_assert!(is_integer(text));
        let (least, most) = self.range();
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| MacroArcError::OutOfRange { location, entry: self, value: shorten(text) })
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

fn in_brackets(entry: Option<MacroEntry>) -> String {
    entry.map(|entry| format!(" ({entry})")).unwrap_or_default()
}

fn allowed(entry: Option<MacroEntry>) -> String {
    entry.map(|entry| format!(", allowed {}", entry.allowed())).unwrap_or_default()
}
