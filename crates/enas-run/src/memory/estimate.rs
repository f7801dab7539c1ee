//! Estimates of the memory of a job in bytes, from its settings and a survey of the files.

use std::collections::BTreeMap;

use enas_arc::Arc;
use enas_child::{Footprint, InputShape, Recompute, Work};
use enas_data::{Storage, Survey};

use super::machine;
use super::parts::MemoryParts;
use crate::config::{SearchConfig, TrainConfig};
use crate::error::Result;

/// Estimate of the program's own memory if the system does not say.
const PROGRAM: u64 = 16 << 20;
/// Code, tables and thread stacks that the program has not yet used when the plan is made.
const UNTOUCHED: u64 = 6 << 20;
/// A job with a data set.
#[derive(Debug)]
pub(super) struct Job {
    survey: Survey,
    nets: Vec<Net>,
    threads: usize,
    /// Bytes in use by the process before the job.
    base: u64,
}

/// A network that is computed on the CPU.
#[derive(Debug)]
struct Net {
    /// Footprints of the possible architectures; the largest peak counts.
    footprints: Vec<Footprint>,
    works: Vec<Work>,
    /// Images per training batch that the loader prepares; 0 without training.
    batch: usize,
    /// Images in the largest batch that is gathered on demand.
    gathered: usize,
    /// Images per evaluation batch with moving statistics; the plan may reduce it.
    infer: usize,
    /// Values stored per weight: the weight, its momentum, and possibly its EMA and copies.
    copies: u64,
    /// Whether the weights are in memory already.
    is_there: bool,
    /// Known peaks in bytes, by activation checkpointing and limit of the buffer pool.
    known: BTreeMap<(String, usize), u64>,
}

/// A way to run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExecutionMode {
    pub(super) holding: Storage,
    pub(super) recompute: Recompute,
    /// Maximum number of images per evaluation batch with moving statistics.
    pub(super) infer: usize,
}

impl Job {
    /// A job that only loads the data.
    pub(super) fn new(survey: Survey) -> Self {
        let base = machine::resident().unwrap_or(PROGRAM) + UNTOUCHED;
        Self { survey, nets: Vec::new(), threads: rayon::current_num_threads(), base }
    }

    /// Adds a search.
    pub(super) fn searching(mut self, config: &SearchConfig) -> Result<Self> {
        let input = self.input(&config.data);
        let classes = self.survey.classes.max(2);
        let footprint = Footprint::shared(&config.child, input, classes, self.threads)?;
        let all = self.survey.images;
        let [batch, reward, score] =
            [config.run.batch_size, config.reward.batch_size, config.run.eval_batch].map(|n| n.min(all));
        let works = vec![Work::Train(batch), Work::Score(reward), Work::Score(score), Work::Save];
        let gathered = reward.max(score);
        self.nets.push(Net::new(vec![footprint], with_first_again(works), batch, gathered, 0));
        Ok(self)
    }

    /// Adds a training of `arc`, or of any arc if it is `None`.
    pub(super) fn training(mut self, config: &TrainConfig, arc: Option<&Arc>) -> Result<Self> {
        let input = self.input(&config.data);
        let classes = self.survey.classes.max(2);
        let footprints = match arc {
            Some(arc) => vec![Footprint::fixed(&config.child, arc, input, classes, self.threads)?],
            None => Footprint::any_fixed(&config.child, input, classes, self.threads)?,
        };
        let all = self.survey.images;
        let [batch, infer] = [config.run.batch_size, config.run.eval_batch].map(|n| n.min(all));
        let works = vec![Work::Train(batch), Work::Infer(infer), Work::Save];
        let gathered = if config.run.bn_reestimate > 0 { batch } else { 0 };
        let net = Net::new(footprints, with_first_again(works), batch, gathered, infer);
        self.nets.push(Net { copies: copies(config), ..net });
        Ok(self)
    }

    /// Adds an evaluation with a network that is already in memory.
    pub(super) fn evaluating(mut self, footprint: Footprint, eval_batch: usize) -> Self {
        let infer = eval_batch.min(self.survey.images);
        let net = Net::new(vec![footprint], vec![Work::Infer(infer)], 0, 0, infer);
        self.nets.push(Net { is_there: true, ..net });
        self
    }

    /// Groups of sixteen images in the largest batch that is normalised by its own statistics.
    pub(super) fn groups(&self) -> usize {
        self.nets.iter().map(|net| net.batch.max(net.gathered)).max().unwrap_or(0).div_ceil(16)
    }

    /// Maximum number of images per evaluation batch with moving statistics.
    pub(super) fn infer(&self) -> usize {
        self.nets.iter().map(|net| net.infer).max().unwrap_or(0)
    }

    /// The estimate by purpose. The network with the largest total counts.
    pub(super) fn parts(&mut self, mode: ExecutionMode, buffers: usize) -> MemoryParts {
        let held = self.survey.stored_bytes(mode.holding);
        let reading = self.survey.reading_bytes(mode.holding, self.threads);
        let mut most = MemoryParts { base: self.base, images: held, reading, ..MemoryParts::default() };
        for i in 0..self.nets.len() {
            let loading = self.loading(&self.nets[i], mode);
            let net = &mut self.nets[i];
            let weights = net.weights();
            let work = net.work(mode.recompute, buffers);
            let parts = MemoryParts { loading, weights, work, ..most };
            if parts.total() > most.total() || most.work == 0 {
                most = parts;
            }
        }
        most
    }

    fn loading(&self, net: &Net, mode: ExecutionMode) -> u64 {
        let batch = net.batch.max(net.infer.min(mode.infer));
        self.survey
            .batch_bytes(mode.holding, batch)
            .max(net.gathered as u64 * self.survey.image_value_bytes())
    }

    fn input(&self, data: &enas_data::Config) -> InputShape {
        InputShape { channels: data.channels, height: data.image_size, width: data.image_size }
    }
}

impl Net {
    fn new(
        footprints: Vec<Footprint>,
        works: Vec<Work>,
        batch: usize,
        gathered: usize,
        infer: usize,
    ) -> Self {
        let known = BTreeMap::new();
        Self { footprints, works, batch, gathered, infer, copies: 2, is_there: false, known }
    }

    fn weights(&self) -> u64 {
        if self.is_there {
            return 0;
        }
        self.copies * self.footprints.iter().map(Footprint::weights).max().unwrap_or(0) as u64
    }

    fn work(&mut self, recompute: Recompute, buffers: usize) -> u64 {
        let footprints = &self.footprints;
        let works = &self.works;
        *self.known.entry((format!("{recompute:?}"), buffers)).or_insert_with(|| {
            footprints.iter().map(|f| f.peak(works, recompute, buffers)).max().unwrap_or(0) as u64
        })
    }
}

/// Values stored per weight in training: the weight, its momentum and its EMA. A refinement for measuring also keeps
/// a copy of all of them.
fn copies(config: &TrainConfig) -> u64 {
    let state = if config.run.ema_decay > 0.0 { 3 } else { 2 };
    if config.run.bn_reestimate > 0 { 2 * state } else { state }
}

/// The works of a round, followed by the first one again: idle buffers of one work can add to the peak of the next.
fn with_first_again(mut works: Vec<Work>) -> Vec<Work> {
    let first = works[0];
    works.push(first);
    works
}
