//! The names and numbers of the five operations that a branch can apply. A network implements them.

use std::fmt;

/// One of the five candidate operations (Pham et al. 2018, section 2.4), numbered as in the authors' code
/// (`micro_child.py:567-573`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// Depthwise-separable convolution, 3×3, applied twice.
    SepConv3x3 = 0,
    /// Depthwise-separable convolution, 5×5, applied twice.
    SepConv5x5 = 1,
    /// Average pooling, 3×3.
    AvgPool3x3 = 2,
    /// Max pooling, 3×3.
    MaxPool3x3 = 3,
    /// The input itself.
    Identity = 4,
}

impl Op {
    /// Every operation, in the order of the ids.
    pub const ALL: [Op; 5] = [Op::SepConv3x3, Op::SepConv5x5, Op::AvgPool3x3, Op::MaxPool3x3, Op::Identity];

    /// The number that stands for this operation in the integer form, `0..=4`.
    pub fn id(self) -> usize {
        self as usize
    }

    /// The operation with this number, if there is one.
    pub fn from_id(id: usize) -> Option<Op> {
        Op::ALL.get(id).copied()
    }

    /// The name in the readable form, such as `sep-conv-3x3`.
    pub fn name(self) -> &'static str {
        match self {
            Op::SepConv3x3 => "sep-conv-3x3",
            Op::SepConv5x5 => "sep-conv-5x5",
            Op::AvgPool3x3 => "avg-pool-3x3",
            Op::MaxPool3x3 => "max-pool-3x3",
            Op::Identity => "identity",
        }
    }

    /// The operation with this name, in upper or lower case, if there is one.
    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_places_in_the_list_of_all() {
        for (id, op) in Op::ALL.into_iter().enumerate() {
            assert_eq!(op.id(), id);
            assert_eq!(Op::from_id(id), Some(op));
        }
        assert_eq!(Op::from_id(5), None);
    }

    #[test]
    fn names_lead_back_to_their_operation() {
        for op in Op::ALL {
            assert_eq!(Op::from_name(op.name()), Some(op));
            assert_eq!(Op::from_name(&op.name().to_uppercase()), Some(op));
        }
        assert_eq!(Op::from_name("sep-conv-7x7"), None);
    }
}
