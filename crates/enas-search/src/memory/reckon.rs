//! What a job needs: from settings and a look at the files to bytes.

use std::collections::BTreeMap;

use enas_arc::Arc;
use enas_child::{Footprint, InputShape, Recompute, Work};
use enas_data::{Holding, Survey};

use super::machine;
use super::plan::MemoryParts;
use crate::config::{SearchConfig, TrainConfig};
use crate::error::Result;

/// Bytes that the program takes for itself where the system does not say.
const PROGRAM: u64 = 16 << 20;
/// Code and tables of the program that it has not touched by the time a plan is made, and the stacks of its threads.
const UNTOUCHED: u64 = 6 << 20;
/// Something that is to be done with a data set.
#[derive(Debug)]
pub(super) struct Job {
    survey: Survey,
    nets: Vec<Net>,
    threads: usize,
    /// What the process took before.
    base: u64,
}

/// A network that works on the CPU.
#[derive(Debug)]
struct Net {
    /// One, or some of which one needs the most.
    footprints: Vec<Footprint>,
    works: Vec<Work>,
    /// Pictures of the batches that a loader prepares for training; none if nothing is trained.
    batch: usize,
    /// Pictures of the largest batch that is put together when it is needed.
    gathered: usize,
    /// Pictures per batch of evaluations with moving statistics, which may be made smaller.
    infer: usize,
    /// Numbers in memory for each weight at most: itself, its momentum, and more where that is asked for.
    copies: u64,
    /// Whether its weights are in memory already.
    is_there: bool,
    /// Most bytes taken, by what is computed again and the limit of idle buffers.
    known: BTreeMap<(String, usize), u64>,
}

/// A way to do a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) holding: Holding,
    pub(super) recompute: Recompute,
    /// Most pictures per batch of evaluations with moving statistics.
    pub(super) infer: usize,
}

impl Job {
    /// Nothing but loading the data.
    pub(super) fn new(survey: Survey) -> Self {
        let base = machine::resident().unwrap_or(PROGRAM) + UNTOUCHED;
        Self { survey, nets: Vec::new(), threads: rayon::current_num_threads(), base }
    }

    /// With a search.
    pub(super) fn searching(mut self, config: &SearchConfig) -> Result<Self> {
        let (input, classes) = (self.input(&config.data), self.survey.classes.max(2));
        let footprint = Footprint::shared(&config.child, input, classes, self.threads)?;
        let all = self.survey.pictures;
        let [batch, reward, score] =
            [config.run.batch_size, config.reward.batch_size, config.run.eval_batch].map(|n| n.min(all));
        let works = vec![Work::Train(batch), Work::Score(reward), Work::Score(score), Work::Save];
        let gathered = reward.max(score);
        self.nets.push(Net::new(vec![footprint], again(works), batch, (gathered, 0)));
        Ok(self)
    }

    /// With a training of `arc`, or of whichever arc will be found.
    pub(super) fn training(mut self, config: &TrainConfig, arc: Option<&Arc>) -> Result<Self> {
        let (input, classes) = (self.input(&config.data), self.survey.classes.max(2));
        let footprints = match arc {
            Some(arc) => vec![Footprint::fixed(&config.child, arc, input, classes, self.threads)?],
            None => Footprint::any_fixed(&config.child, input, classes, self.threads)?,
        };
        let all = self.survey.pictures;
        let [batch, infer] = [config.run.batch_size, config.run.eval_batch].map(|n| n.min(all));
        let works = vec![Work::Train(batch), Work::Infer(infer), Work::Save];
        let gathered = if config.run.bn_reestimate > 0 { batch } else { 0 };
        let net = Net::new(footprints, again(works), batch, (gathered, infer));
        self.nets.push(Net { copies: copies(config), ..net });
        Ok(self)
    }

    /// With an evaluation, its network being there already.
    pub(super) fn evaluating(mut self, footprint: Footprint, eval_batch: usize) -> Self {
        let infer = eval_batch.min(self.survey.pictures);
        let net = Net::new(vec![footprint], vec![Work::Infer(infer)], 0, (0, infer));
        self.nets.push(Net { is_there: true, ..net });
        self
    }

    /// Groups of sixteen images in the largest batch that has statistics of its own.
    pub(super) fn groups(&self) -> usize {
        self.nets.iter().map(|net| net.batch.max(net.gathered)).max().unwrap_or(0).div_ceil(16)
    }

    /// Most pictures per batch of evaluations with moving statistics.
    pub(super) fn infer(&self) -> usize {
        self.nets.iter().map(|net| net.infer).max().unwrap_or(0)
    }

    /// The bytes that each part takes, the network's those of whichever needs the most.
    pub(super) fn parts(&mut self, way: Way, buffers: usize) -> MemoryParts {
        let held = self.survey.held(way.holding);
        let reading = self.survey.reading(way.holding, self.threads);
        let mut most = MemoryParts { base: self.base, pictures: held, reading, ..MemoryParts::default() };
        for i in 0..self.nets.len() {
            let loading = self.loading(&self.nets[i], way);
            let net = &mut self.nets[i];
            let weights = net.weights();
            let work = net.work(way.recompute, buffers);
            let parts = MemoryParts { loading, weights, work, ..most };
            if parts.total() > most.total() || most.work == 0 {
                most = parts;
            }
        }
        most
    }

    fn loading(&self, net: &Net, way: Way) -> u64 {
        let batch = net.batch.max(net.infer.min(way.infer));
        self.survey.loading(way.holding, batch).max(net.gathered as u64 * self.survey.numbers())
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
        (gathered, infer): (usize, usize),
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
        let (footprints, works) = (&self.footprints, &self.works);
        *self.known.entry((format!("{recompute:?}"), buffers)).or_insert_with(|| {
            footprints.iter().map(|f| f.peak(works, recompute, buffers)).max().unwrap_or(0) as u64
        })
    }
}

/// Numbers that a training holds for each weight: itself, its momentum and its average; and while the network is another
/// one to be measured, a copy of all of them.
fn copies(config: &TrainConfig) -> u64 {
    let state = if config.run.ema_decay > 0.0 { 3 } else { 2 };
    if config.run.bn_reestimate > 0 { 2 * state } else { state }
}

/// What is done in a round, and the beginning of the next: what one work leaves idle, another may find in its way.
fn again(mut works: Vec<Work>) -> Vec<Work> {
    let first = works[0];
    works.push(first);
    works
}
