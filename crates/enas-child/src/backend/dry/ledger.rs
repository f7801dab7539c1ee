//! Memory that would be taken, moment by moment.

use std::collections::BTreeSet;

use enas_kernels::BufferLedger;

use crate::params::ParamId;

/// What the memory of a network at work comes to, moment by moment. Maps are taken from the pool of buffers and go back
/// to it as on the CPU; the rest is added up.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(super) buffers: BufferLedger,
    /// Bytes beside buffers that are held at the moment.
    beside: usize,
    /// The most that one thread needed to work.
    pub(super) scratch: usize,
    /// Units whose needs are known, by a parameter of theirs and the channels they read.
    pub(super) seen: BTreeSet<(ParamId, usize)>,
    threads: usize,
    peak: usize,
}

impl Ledger {
    /// Nothing taken yet; `limit` is that of the pool of buffers in bytes.
    pub(crate) fn new(limit: usize, threads: usize) -> Self {
        Self {
            buffers: BufferLedger::new(limit),
            beside: 0,
            scratch: 0,
            seen: BTreeSet::new(),
            threads,
            peak: 0,
        }
    }

    /// Notes that `bytes` more are held.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.beside += bytes;
        self.look(0);
    }

    /// Notes that `bytes` are held no longer.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.beside -= bytes;
    }

    /// The most that was held at one moment.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// Compares this moment, at which an operation takes `more` bytes for itself, with the worst so far.
    pub(super) fn look(&mut self, more: usize) {
        let scratch = self.scratch * self.threads;
        self.peak = self.peak.max(self.buffers.held_bytes() + self.beside + scratch + more);
    }

    pub(super) fn take(&mut self, lanes: usize) {
        self.buffers.take(lanes);
        self.look(0);
    }
}
