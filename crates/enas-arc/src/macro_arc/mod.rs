//! The macro search space: an architecture gives the operation and the skip connections of every layer of a network.

mod entry;
mod error;
mod op;
mod random;
mod readable;
mod serialize;

use std::fmt;
use std::str::FromStr;

pub use entry::{LayerField, MacroEntry};
pub use error::MacroArcError;
pub use op::MacroOp;
pub use random::MacroArcSpace;

use self::entry::{n_ints, n_layers};
use crate::arc::unwrapped;
use crate::entry::{Location, is_integer, shorten};

/// A whole network, layer by layer: an arc of the authors' macro search (Pham et al. 2018, section 2.3).
///
/// Layers are counted from 1; 0 is the stem. Layer `l` reads layer `l − 1`. The outputs of any earlier layers are
/// added to its result (in the final network: concatenated with it). Prints as the authors' integer form for whole
/// channels (`general_controller.py:164, 229`). Each layer gives the number of its operation, followed by 1 or 0 for
/// each of the layers 0 to `l − 2`: whether it is added. It serialises as that string. It deserialises from either
/// written form and from a list of integers.
///
/// Every network has exactly one integer form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacroArc {
    // Invariant: not empty, and layer l, counted from 1, has l − 1 skips.
    layers: Vec<MacroLayer>,
}

/// A layer of a [`MacroArc`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacroLayer {
    /// The operation that is applied to the layer before.
    pub op: MacroOp,
    /// Whether the output of each layer before that is added, the stem first.
    pub skips: Vec<bool>,
}

impl MacroLayer {
    /// The layers that are added, in ascending order; 0 is the stem.
    pub fn added(&self) -> impl Iterator<Item = usize> {
        (0..self.skips.len()).filter(|&layer| self.skips[layer])
    }
}

impl MacroArc {
    /// An arc of these layers.
    ///
    /// # Errors
    ///
    /// [`MacroArcError::Empty`] if there are none, [`MacroArcError::Skips`] if one has a wrong number of skips.
    pub fn new(layers: Vec<MacroLayer>) -> Result<MacroArc, MacroArcError> {
        if layers.is_empty() {
            return Err(MacroArcError::Empty);
        }
        match layers.iter().enumerate().find(|(before, layer)| layer.skips.len() != *before) {
            Some((before, layer)) => {
                Err(MacroArcError::Skips { layer: before + 1, found: layer.skips.len() })
            }
            None => Ok(MacroArc { layers }),
        }
    }

    /// The layers in order; the first of them is layer 1.
    pub fn layers(&self) -> &[MacroLayer] {
        &self.layers
    }

    /// The number of layers, at least one.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// The share of possible skips that are present, 0 to 1; 0 if there are no possible ones.
    pub fn skip_rate(&self) -> f64 {
        let (added, possible) = self.layers.iter().fold((0, 0), |(added, possible), layer| {
            (added + layer.added().count(), possible + layer.skips.len())
        });
        if possible == 0 { 0.0 } else { added as f64 / possible as f64 }
    }

    /// Reads the integer form, for any number of layers.
    ///
    /// # Errors
    ///
    /// The first number that is not allowed at its position, or a length that no number of layers has.
    pub fn from_ints(ints: &[i64]) -> Result<MacroArc, MacroArcError> {
        let words: Vec<String> = ints.iter().map(i64::to_string).collect();
        from_words(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The integer form, `L + L(L−1)/2` numbers for `L` layers.
    pub fn to_ints(&self) -> Vec<usize> {
        let of_layer = |layer: &MacroLayer| {
            [layer.op.id()].into_iter().chain(layer.skips.clone().into_iter().map(usize::from))
        };
        self.layers.iter().flat_map(of_layer).collect()
    }
}

impl fmt::Display for MacroArc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.to_ints().iter().map(usize::to_string).collect();
        f.write_str(&words.join(" "))
    }
}

/// Reads the integer form: numbers separated by space or commas, optionally inside brackets or quotes.
impl FromStr for MacroArc {
    type Err = MacroArcError;

    fn from_str(text: &str) -> Result<MacroArc, MacroArcError> {
        let words = unwrapped(text).split(|c: char| c.is_whitespace() || c == ',');
        from_words(&words.filter(|word| !word.is_empty()).collect::<Vec<_>>())
    }
}

fn from_words(words: &[&str]) -> Result<MacroArc, MacroArcError> {
    let layers = n_layers(words.len());
    // An invalid word says more about the mistake than a wrong number of words, so it is reported first.
    if let Some(index) = words.iter().position(|word| !is_integer(word)) {
        return Err(MacroArcError::NotAnInteger {
            location: Location::Index(index),
            entry: layers.map(|_| MacroEntry::at(index)),
            text: shorten(words[index]),
        });
    }
    if words.is_empty() {
        return Err(MacroArcError::Empty);
    }
    let Some(layers) = layers else { return Err(MacroArcError::Length { len: words.len() }) };
    let number = |index: usize| MacroEntry::at(index).read(Location::Index(index), words[index]);
    let layer = |before: usize| {
        let start = n_ints(before);
        let op = MacroOp::from_id(number(start)?).expect("the entry allows only ids of operations");
        let added = |skip: usize| number(start + skip).map(|number| number == 1);
        let skips = (1..=before).map(added).collect::<Result<_, _>>()?;
        Ok(MacroLayer { op, skips })
    };
    MacroArc::new((0..layers).map(layer).collect::<Result<_, MacroArcError>>()?)
}

#[cfg(test)]
mod tests;
