//! The names and numbers of the six operations that a layer of the macro space can apply.

use std::fmt;

/// One of the six candidate operations of a layer (Pham et al. 2018, section 2.3), numbered as in the authors' code
/// (`general_child.py:268-293`).
///
/// They differ from those of a cell: there are dense convolutions, and separable ones are applied once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MacroOp {
    /// Convolution, 3×3.
    Conv3x3 = 0,
    /// Depthwise-separable convolution, 3×3.
    SepConv3x3 = 1,
    /// Convolution, 5×5.
    Conv5x5 = 2,
    /// Depthwise-separable convolution, 5×5.
    SepConv5x5 = 3,
    /// Average pooling, 3×3.
    AvgPool3x3 = 4,
    /// Max pooling, 3×3.
    MaxPool3x3 = 5,
}

impl MacroOp {
    /// Every operation, in the order of the ids.
    pub const ALL: [MacroOp; 6] = [
        MacroOp::Conv3x3,
        MacroOp::SepConv3x3,
        MacroOp::Conv5x5,
        MacroOp::SepConv5x5,
        MacroOp::AvgPool3x3,
        MacroOp::MaxPool3x3,
    ];

    /// The number that stands for this operation in the integer form, `0..=5`.
    pub fn id(self) -> usize {
        self as usize
    }

    /// The operation with this number, if there is one.
    pub fn from_id(id: usize) -> Option<MacroOp> {
        MacroOp::ALL.get(id).copied()
    }

    /// The name in the readable form, such as `conv-3x3`.
    pub fn name(self) -> &'static str {
        match self {
            MacroOp::Conv3x3 => "conv-3x3",
            MacroOp::SepConv3x3 => "sep-conv-3x3",
            MacroOp::Conv5x5 => "conv-5x5",
            MacroOp::SepConv5x5 => "sep-conv-5x5",
            MacroOp::AvgPool3x3 => "avg-pool-3x3",
            MacroOp::MaxPool3x3 => "max-pool-3x3",
        }
    }

    /// The operation with this name, in upper or lower case, if there is one.
    pub fn from_name(name: &str) -> Option<MacroOp> {
        MacroOp::ALL.into_iter().find(|op| op.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for MacroOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_lead_back_to_their_operation() {
        for (id, op) in MacroOp::ALL.into_iter().enumerate() {
            assert_eq!((op.id(), MacroOp::from_id(id)), (id, Some(op)));
            assert_eq!(MacroOp::from_name(op.name()), Some(op));
            assert_eq!(MacroOp::from_name(&op.name().to_uppercase()), Some(op));
        }
        assert_eq!((MacroOp::from_id(6), MacroOp::from_name("identity")), (None, None));
    }
}
