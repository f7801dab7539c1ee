//! Cost of launches on any device: bytes moved and floating-point operations, by kernel.

use std::collections::BTreeMap;

/// Bytes of a number on the device.
const WORD: u64 = size_of::<f32>() as u64;

/// A lower bound on the cost of a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes moved between memory and chip: every input is read once, every output is written once. An output that is
    /// added to is read as well.
    pub bytes: u64,
    /// Floating-point operations. A multiply-add counts as two, and so does a pending normalisation per number read;
    /// comparisons, divisions and exponentials count as one.
    pub flops: u64,
}

impl Cost {
    /// The cost of `numbers` numbers in single precision, read or written, and `flops` operations. For the numbers of
    /// maps see [`GpuFeatureMap::traffic`](super::GpuFeatureMap::traffic).
    pub(crate) fn new(numbers: usize, flops: usize) -> Self {
        Self { bytes: numbers as u64 * WORD, flops: flops as u64 }
    }

    /// The cost of `flops` operations alone.
    pub(crate) fn flops(flops: usize) -> Self {
        Self::new(0, flops)
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, flops: self.flops + other.flops }
    }
}

/// The cost of all launches of one kernel so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelCost {
    /// The kernel's name; `clear` for memory that was set to zero.
    pub kernel: &'static str,
    /// Number of launches.
    pub launches: u64,
    /// The total over all launches.
    pub cost: Cost,
}

/// Running totals by kernel.
#[derive(Debug, Default)]
pub(crate) struct Totals(BTreeMap<&'static str, (u64, Cost)>);

impl Totals {
    pub(crate) fn add(&mut self, kernel: &'static str, cost: Cost) {
        let (launches, total) = self.0.entry(kernel).or_default();
        *launches += 1;
        *total = *total + cost;
    }

    pub(crate) fn launches(&self) -> u64 {
        self.0.values().map(|(launches, _)| launches).sum()
    }

    /// The totals, sorted by the kernel's name.
    pub(crate) fn report(&self) -> Vec<KernelCost> {
        self.0.iter().map(|(&kernel, &(launches, cost))| KernelCost { kernel, launches, cost }).collect()
    }
}
