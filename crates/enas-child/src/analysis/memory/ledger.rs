//! A running account of memory that would be allocated.

use std::collections::BTreeSet;

use enas_kernels::BufferLedger;

use crate::params::ParamId;

/// Simulates the memory of a network at work. Feature maps come from the buffer pool and return to it as on the CPU.
/// Other memory is added up.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(super) buffers: BufferLedger,
    /// Bytes outside the buffer pool that are held now.
    other: usize,
    /// The largest scratch memory of one thread, in bytes.
    pub(super) scratch: usize,
    /// Conv blocks whose scratch memory is included, by a parameter of theirs and the channels they read.
    pub(super) seen: BTreeSet<(ParamId, usize)>,
    threads: usize,
    peak: usize,
}

impl Ledger {
    /// An empty account; `limit` is that of the buffer pool in bytes.
    pub(crate) fn new(limit: usize, threads: usize) -> Self {
        Self {
            buffers: BufferLedger::new(limit),
            other: 0,
            scratch: 0,
            seen: BTreeSet::new(),
            threads,
            peak: 0,
        }
    }

    /// Adds `bytes` that are held from now on.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.other += bytes;
        self.update_peak(0);
    }

    /// Subtracts `bytes` that are no longer held.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.other -= bytes;
    }

    /// The largest number of bytes held at one time.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// Updates the peak with the memory held now, plus `more` bytes that an operation takes temporarily.
    pub(super) fn update_peak(&mut self, more: usize) {
        let scratch = self.scratch * self.threads;
        self.peak = self.peak.max(self.buffers.held_bytes() + self.other + scratch + more);
    }

    pub(super) fn take(&mut self, lanes: usize) {
        self.buffers.take(lanes);
        self.update_peak(0);
    }
}
