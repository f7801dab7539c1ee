//! What launches cost, whatever the device: bytes and floating-point operations, by kernel.

use std::collections::BTreeMap;

/// Bytes of a number on the device.
const WORD: u64 = size_of::<f32>() as u64;

/// What a launch costs at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes between the memory and the chip: every input is read once, every output written once. An output that is
    /// added to is read as well.
    pub bytes: u64,
    /// Floating-point operations. A multiply-add counts as two, and so does a pending normalisation per number read;
    /// comparisons, divisions and exponentials count as one.
    pub flops: u64,
}

impl Cost {
    /// Of `numbers` numbers in single precision read and written, and `flops` operations. The numbers of maps have a
    /// size of their own: see [`GpuMap::traffic`](super::GpuMap::traffic).
    pub(crate) fn new(numbers: usize, flops: usize) -> Self {
        Self { bytes: numbers as u64 * WORD, flops: flops as u64 }
    }

    /// Of `flops` operations alone.
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

/// What all launches of one kernel cost so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelCost {
    /// The kernel's name; `clear` for memory that was set to zero.
    pub kernel: &'static str,
    /// How often it was launched.
    pub launches: u64,
    /// Of all launches together.
    pub cost: Cost,
}

/// Running totals by kernel.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<&'static str, (u64, Cost)>);

impl Totals {
    pub(super) fn add(&mut self, kernel: &'static str, cost: Cost) {
        let (launches, total) = self.0.entry(kernel).or_default();
        *launches += 1;
        *total = *total + cost;
    }

    pub(super) fn launches(&self) -> u64 {
        self.0.values().map(|(launches, _)| launches).sum()
    }

    /// By name.
    pub(super) fn report(&self) -> Vec<KernelCost> {
        self.0.iter().map(|(&kernel, &(launches, cost))| KernelCost { kernel, launches, cost }).collect()
    }
}
