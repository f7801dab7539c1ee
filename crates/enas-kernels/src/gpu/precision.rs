//! How the numbers of maps lie in a device's memory.

/// The format of the numbers of maps, that is of activations and their gradients.
///
/// Everything is computed in single precision either way: numbers are widened as they are read and rounded to the
/// nearest, ties to even, as they are written. Sums, statistics, weights, their gradients and the state of optimisers
/// are kept in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Single precision, four bytes a number.
    #[default]
    F32,
    /// bfloat16, two bytes a number: the range of single precision with eight bits of significand instead of 24. Maps
    /// take half the memory and half the time to read and write.
    Bf16,
}

impl Precision {
    /// Both.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// Bytes of a number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// The name of a kernel's variant for maps of this precision, where all variants are in one table: that of the
    /// source for single precision, `NAME.bf16` for bfloat16.
    pub fn variant(self, kernel: &str) -> String {
        match self {
            Self::F32 => kernel.to_owned(),
            Self::Bf16 => format!("{kernel}.bf16"),
        }
    }
}
