//! The format of the numbers of maps in a device's memory.

/// The format of the numbers of maps, that is of activations and their gradients.
///
/// All arithmetic is in single precision: numbers are widened when read, and rounded to nearest (ties to even) when
/// written. Sums, statistics, weights, their gradients and the state of optimisers are stored in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Single precision, four bytes a number.
    #[default]
    F32,
    /// bfloat16, two bytes a number: the range of single precision, with a significand of eight bits instead of 24.
    /// Maps take half the memory and half the traffic.
    Bf16,
}

impl Precision {
    /// Both formats.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// Bytes of a number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// The name of a kernel's variant for maps of this precision, in a table of all variants: the source's name for
    /// single precision, `NAME.bf16` for bfloat16.
    pub fn variant(self, kernel: &str) -> String {
        match self {
            Self::F32 => kernel.to_owned(),
            Self::Bf16 => format!("{kernel}.bf16"),
        }
    }
}
