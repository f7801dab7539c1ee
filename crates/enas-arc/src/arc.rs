//! The arc: a normal and a reduction cell, and its integer form. The module `readable` handles the readable form.

use std::fmt;
use std::str::FromStr;

use crate::cell::{Branch, Cell, Node};
use crate::cell_kind::CellKind;
use crate::entry::{ArcEntry, EntryPosition, Location, is_integer, shorten};
use crate::error::ArcError;
use crate::op::Op;

/// A child architecture: a model `m` in the paper, an `arc` in the authors' code.
///
/// Prints as the authors' integer form: the four numbers `input op input op` per node, the normal cell first,
/// separated by spaces (`micro_child.py:815-817`). It serialises as that string. It deserialises from either written
/// form and from a list of integers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arc {
    // Invariant: both cells have the same number of nodes.
    normal: Cell,
    reduction: Cell,
}

impl Arc {
    /// An arc of these two cells.
    ///
    /// # Errors
    ///
    /// [`ArcError::NodeCounts`] if their numbers of nodes differ.
    pub fn new(normal: Cell, reduction: Cell) -> Result<Arc, ArcError> {
        if normal.n_nodes() != reduction.n_nodes() {
            return Err(ArcError::NodeCounts { normal: normal.n_nodes(), reduction: reduction.n_nodes() });
        }
        Ok(Arc { normal, reduction })
    }

    /// The cell of the layers that keep height and width.
    pub fn normal(&self) -> &Cell {
        &self.normal
    }

    /// The cell of the layers that halve height and width.
    pub fn reduction(&self) -> &Cell {
        &self.reduction
    }

    /// The number of nodes of each cell.
    pub fn n_nodes(&self) -> usize {
        self.normal.n_nodes()
    }

    /// Reads the integer form, for any number of nodes.
    ///
    /// # Errors
    ///
    /// The first number that is not allowed at its position, or a length that is not a multiple of 8.
    pub fn from_ints(ints: &[i64]) -> Result<Arc, ArcError> {
        from_list(ints.len(), |index, at| at.check_signed(ints[index]))
    }

    /// The integer form, `8 * n_nodes` numbers.
    pub fn to_ints(&self) -> Vec<usize> {
        let nodes = self.normal.nodes().iter().chain(self.reduction.nodes());
        nodes.flat_map(|node| [node.x.input, node.x.op.id(), node.y.input, node.y.op.id()]).collect()
    }

    /// The same architecture with the branches of every node in ascending order; see [`Cell::canonical`].
    ///
    /// Two arcs that differ only in the order of branches have equal canonical forms.
    pub fn canonical(&self) -> Arc {
        Arc { normal: self.normal.canonical(), reduction: self.reduction.canonical() }
    }
}

impl fmt::Display for Arc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.to_ints().iter().map(usize::to_string).collect();
        f.write_str(&words.join(" "))
    }
}

/// Reads the integer form: numbers separated by space or commas, optionally inside brackets or quotes.
impl FromStr for Arc {
    type Err = ArcError;

    fn from_str(text: &str) -> Result<Arc, ArcError> {
        let words: Vec<&str> = unwrapped(text)
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
            .collect();
        // An invalid word says more about the mistake than a wrong number of words, so it is reported first.
        if let Some(index) = words.iter().position(|word| !is_integer(word)) {
            return Err(ArcError::NotAnInteger {
                location: Location::Index(index),
                entry: words.len().is_multiple_of(8).then(|| position(index, words.len()).entry),
                text: shorten(words[index]),
            });
        }
        from_list(words.len(), |index, at| at.check_text(words[index]))
    }
}

/// Builds an arc of `len` numbers; `number` returns the one at an index after a check of its position.
fn from_list(
    len: usize,
    number: impl Fn(usize, EntryPosition) -> Result<usize, ArcError>,
) -> Result<Arc, ArcError> {
    if len == 0 {
        return Err(ArcError::Empty);
    }
    if !len.is_multiple_of(8) {
        return Err(ArcError::Length { len });
    }
    let number = |index| number(index, position(index, len));
    let branch = |index| -> Result<Branch, ArcError> {
        let input = number(index)?;
        let op = number(index + 1)?;
        Ok(Branch { input, op: Op::from_id(op).expect("the position allows only ids of operations") })
    };
    let cell = |start: usize| {
        let node = |index| Ok::<_, ArcError>(Node { x: branch(index)?, y: branch(index + 2)? });
        Cell::new((start..start + len / 2).step_by(4).map(node).collect::<Result<_, ArcError>>()?)
    };
    Arc::new(cell(0)?, cell(len / 2)?)
}

/// The position of entry `index` of an integer form with `len` entries, a multiple of 8.
fn position(index: usize, len: usize) -> EntryPosition {
    let half = len / 2;
    let cell = if index < half { CellKind::Normal } else { CellKind::Reduction };
    EntryPosition { location: Location::Index(index), entry: ArcEntry::in_cell(cell, index % half) }
}

/// `text` without surrounding space, and without brackets or quotes that enclose all of it.
pub(crate) fn unwrapped(text: &str) -> &str {
    let mut text = text.trim();
    for (open, close) in [('"', '"'), ('\'', '\''), ('[', ']'), ('(', ')')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            text = inner.trim();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_NODES: &str = "1 2 0 0 2 4 1 0 0 1 1 3 0 0 0 4";

    fn message(text: &str) -> String {
        text.parse::<Arc>().unwrap_err().to_string()
    }

    #[test]
    fn integers_may_be_separated_by_commas_and_enclosed() {
        let arc: Arc = TWO_NODES.parse().unwrap();
        let commas = TWO_NODES.replace(' ', ",\n");
        for text in [
            commas.clone(),
            format!("[{commas}]"),
            format!(" ( {TWO_NODES}\t) "),
            format!("\"{TWO_NODES}\""),
            format!("'[{commas},]'\r\n"),
        ] {
            assert_eq!(text.parse(), Ok(arc.clone()), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_length_names_the_nearest_right_ones() {
        assert_eq!(
            message("0 0 0 0 0 0 0 0 0"),
            "9 integers do not make an arc: two cells with 4 per node need a multiple of 8, such as 8 or 16"
        );
        assert!(message("0 0 0 0").ends_with("a multiple of 8, at least 8"));
    }

    #[test]
    fn nothing_is_an_arc_of_nothing() {
        for text in ["", " \n", "[]", "\"\"", ",,"] {
            assert_eq!(text.parse::<Arc>(), Err(ArcError::Empty), "{text:?}");
        }
        assert_eq!(Arc::from_ints(&[]), Err(ArcError::Empty));
    }

    #[test]
    fn messages_say_where_what_and_what_would_do() {
        assert_eq!(
            message("1 2 0 0 2 4 5 0 0 1 1 3 0 0 0 4"),
            "position 6 (normal cell, node 3, second input): 5 is out of range, allowed 0..=2"
        );
        assert_eq!(
            message("1 2 0 0 2 4 1 0 0 9 1 3 0 0 0 4"),
            "position 9 (reduction cell, node 2, first operation): 9 is out of range, allowed 0..=4 \
             (0 sep-conv-3x3, 1 sep-conv-5x5, 2 avg-pool-3x3, 3 max-pool-3x3, 4 identity)"
        );
        assert_eq!(
            message("-1 2 0 0 2 4 1 0 0 1 1 3 0 0 0 4"),
            "position 0 (normal cell, node 2, first input): -1 is negative, allowed 0..=1"
        );
        assert_eq!(
            message("1 2 0 0 2 4 1 0 0 1 1 3 0 0 0 99999999999999999999"),
            "position 15 (reduction cell, node 3, second operation): 99999999999999999999 is far out of range, \
             allowed 0..=4"
        );
        assert_eq!(
            message("1 2 0 0 2 4.0 1 0 0 1 1 3 0 0 0 4"),
            "position 5 (normal cell, node 3, first operation): `4.0` is not an integer, allowed 0..=4"
        );
    }

    #[test]
    fn a_word_is_reported_before_the_length() {
        assert_eq!(message("1 2 three"), "position 2: `three` is not an integer");
    }

    #[test]
    fn long_or_unprintable_words_are_shortened() {
        let shown = format!("\\u{{1b}}{}…", "x".repeat(29));
        assert_eq!(
            message(&format!("\u{1b}{}", "x".repeat(10_000))),
            format!("position 0: `{shown}` is not an integer")
        );
    }

    #[test]
    fn cells_of_an_arc_are_equally_long() {
        let two: Arc = TWO_NODES.parse().unwrap();
        let one: Arc = "0 0 0 0 0 0 0 0".parse().unwrap();
        assert_eq!(
            Arc::new(two.normal().clone(), one.normal().clone()),
            Err(ArcError::NodeCounts { normal: 2, reduction: 1 })
        );
    }
}
