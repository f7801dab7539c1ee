//! The choice of a memory plan: the fastest way to run a job within the limit.

use std::fmt;

use enas_arc::{Arch, SpaceKind};
use enas_child::{Footprint, Recompute};
use enas_data::{Dataset, LoadOptions, PreparedImages, SplitFile, Storage, Survey};
use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use super::estimate::{ExecutionMode, Job};
use super::limit::MemoryLimit;
use super::parts::MemoryParts;
use crate::config::{SearchConfig, TrainConfig};
use crate::error::{ConfigError, Result};

/// A plan of a run's memory: the limit, the choices and the estimate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryPlan {
    /// Limit of the process in bytes; `None` if none is known.
    pub limit: Option<u64>,
    /// How images are stored.
    pub holding: Storage,
    /// Activation checkpointing: what training steps recompute in the backward pass.
    pub recompute: Recompute,
    /// Maximum number of images per evaluation batch with moving statistics.
    pub infer_batch: usize,
    /// Limit of the buffer pool in bytes, including idle buffers; `None` for the default rule.
    pub buffers: Option<usize>,
    /// The parts of the estimate.
    pub parts: MemoryParts,
}

impl MemoryPlan {
    /// A plan for a search. On a GPU it covers the images only.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) if even the smallest plan exceeds `run.memory`; errors of reading the image
    /// files.
    pub fn for_search(config: &SearchConfig, on_gpu: bool) -> Result<Self> {
        let job = Job::new(enas_data::survey(&config.data)?);
        let job = if on_gpu || config.space() == SpaceKind::Macro { job } else { job.searching(config)? };
        Self::choose(config.run.memory, job)
    }

    /// A plan for a training of `arc`; see [`for_search`](Self::for_search).
    ///
    /// # Errors
    /// As [`for_search`](Self::for_search).
    pub fn for_training(config: &TrainConfig, arc: impl Into<Arch>, on_gpu: bool) -> Result<Self> {
        let job = Job::new(enas_data::survey(&config.data)?);
        let job = match arc.into() {
            Arch::Micro(arc) if !on_gpu => job.training(config, Some(&arc))?,
            // The memory of macro networks is not estimated.
            _ => job,
        };
        Self::choose(config.run.memory, job)
    }

    /// A plan for a search and for trainings of any arcs, on the same images; see [`for_search`](Self::for_search).
    ///
    /// # Errors
    /// As [`for_search`](Self::for_search).
    pub fn for_both(search: &SearchConfig, train: &TrainConfig, on_gpu: bool) -> Result<Self> {
        let job = Job::new(enas_data::survey(&search.data)?);
        let job = if on_gpu { job } else { job.searching(search)?.training(train, None)? };
        Self::choose(search.run.memory, job)
    }

    /// A plan for an evaluation with a network that is in memory already; `None` for one that the plan does not cover.
    ///
    /// # Errors
    /// As [`for_search`](Self::for_search).
    pub(crate) fn evaluating(
        survey: Survey,
        network: Option<Footprint>,
        eval_batch: usize,
        memory: MemoryLimit,
    ) -> Result<Self> {
        let job = Job::new(survey);
        let job = match network {
            Some(footprint) => job.evaluating(footprint, eval_batch),
            None => job,
        };
        Self::choose(memory, job)
    }

    /// A plan without a limit.
    pub fn plenty() -> Self {
        let mode =
            ExecutionMode { holding: Storage::Decoded, recompute: Recompute::Nothing, infer: usize::MAX };
        Self::new(None, mode, None, MemoryParts::default())
    }

    /// How to store a data set that is read once, without further knowledge of the job.
    pub fn holding(data: &enas_data::Config) -> Storage {
        let Ok(survey) = enas_data::survey(data) else { return Storage::Decoded };
        // The other half is for the work with the images.
        let room = MemoryLimit::default().bytes().map_or(u64::MAX, |bytes| bytes / 2);
        smallest(&survey, room)
    }

    fn choose(memory: MemoryLimit, mut job: Job) -> Result<Self> {
        let limit = memory.bytes();
        let most = limit.unwrap_or(u64::MAX);
        let mut least = u64::MAX;
        for mode in modes(&job) {
            // First with unlimited idle buffers; then with as many as fit, down to none.
            let free = job.parts(mode, usize::MAX);
            if free.total() <= most {
                return Ok(Self::new(limit, mode, None, free));
            }
            let needed = job.parts(mode, 1);
            least = least.min(needed.total());
            if needed.total() > most {
                continue;
            }
            // The buffer pool gets 7/8 to 1/8 of the free memory: the largest share that fits.
            let eighth = (most - (needed.total() - needed.work)) as usize / 8;
            let mut fitting =
                (1..8).rev().map(|eighths| (eighths * eighth, job.parts(mode, eighths * eighth)));
            let found = fitting.find(|(_, parts)| parts.total() <= most);
            let (buffers, parts) = found.unwrap_or((1, needed));
            return Ok(Self::new(limit, mode, Some(buffers), parts));
        }
        let given = Bytes(most);
        let needed = Bytes(least + least / 10);
        let problem = format!(
            "{given} are too few: even with images read again for each batch and steps in the smallest parts, {needed} \
             are needed; allow that much, or lower run.batch_size, child.filters or data.image_size"
        );
        Err(ConfigError { place: "run.memory".into(), problem }.into())
    }

    fn new(limit: Option<u64>, mode: ExecutionMode, buffers: Option<usize>, parts: MemoryParts) -> Self {
        let ExecutionMode { holding, recompute, infer: infer_batch } = mode;
        Self { limit, holding, recompute, infer_batch, buffers, parts }
    }

    /// Whether memory is short. Freed memory then returns to the system at once, which costs time.
    pub fn is_tight(&self) -> bool {
        self.buffers.is_some() || self.recompute != Recompute::Nothing || self.holding != Storage::Decoded
    }

    /// Loads the images as planned, in the split of an earlier run if there is one.
    ///
    /// # Errors
    /// As [`enas_data::load`].
    pub fn load(&self, data: &enas_data::Config, seed: Seed, stored: Option<&SplitFile>) -> Result<Dataset> {
        let options = LoadOptions { split: stored, ..LoadOptions::new(seed) };
        self.load_by(|storage| Ok(enas_data::load(data, &LoadOptions { storage, ..options })?))
    }

    /// Loads the images as planned, without decoding again what the data check has converted.
    ///
    /// # Errors
    /// As [`enas_data::load`].
    pub fn load_prepared(
        &self,
        data: &enas_data::Config,
        seed: Seed,
        prepared: &PreparedImages,
    ) -> Result<Dataset> {
        let options = LoadOptions { prepared: Some(prepared), ..LoadOptions::new(seed) };
        self.load_by(|storage| Ok(enas_data::load(data, &LoadOptions { storage, ..options })?))
    }

    /// Loads with `load`, which receives how to store the images.
    pub(crate) fn load_by(&self, load: impl FnOnce(Storage) -> Result<Dataset>) -> Result<Dataset> {
        self.begin();
        let loaded = load(self.holding)?;
        // Decoding leaves free memory behind that later allocations may not reuse.
        enas_kernels::trim_allocator();
        Ok(loaded)
    }

    /// Applies the plan to the process.
    pub fn begin(&self) {
        enas_kernels::limit_buffers(self.buffers.unwrap_or(usize::MAX));
        if self.is_tight() {
            enas_kernels::return_freed_memory();
        }
    }

    /// The evaluation batch under a plan. Moving statistics make images independent, so the size does not change
    /// results.
    pub fn infer_batch(plan: Option<&Self>, eval_batch: usize) -> usize {
        plan.map_or(eval_batch, |plan| plan.infer_batch.clamp(1, eval_batch))
    }
}

/// All ways to run a job, fastest first.
fn modes(job: &Job) -> Vec<ExecutionMode> {
    // Checkpointing per cell, then in smaller and smaller micro-batches: less memory for more time.
    let mut recomputes = vec![Recompute::Nothing, Recompute::Cells];
    let mut groups = job.groups() / 2;
    while groups > 0 {
        recomputes.push(Recompute::Groups(groups));
        groups /= 2;
    }
    let holdings = [Storage::Decoded, Storage::Encoded, Storage::OnDisk];
    let mode = |recompute, holding| {
        let plenty = recompute == Recompute::Nothing && holding == Storage::Decoded;
        let infer = if plenty { job.infer() } else { job.infer().min(SMALL) };
        ExecutionMode { holding, recompute, infer }
    };
    recomputes.iter().flat_map(|&recompute| holdings.map(|holding| mode(recompute, holding))).collect()
}

/// Images per evaluation batch if memory is short: enough groups of images to occupy the threads of most machines.
const SMALL: usize = 64;

/// The first way of storing images that fits into `room` bytes, or else the smallest.
fn smallest(survey: &Survey, room: u64) -> Storage {
    let storages = [Storage::Decoded, Storage::Encoded];
    storages.into_iter().find(|mode| survey.stored_bytes(*mode) <= room).unwrap_or(Storage::OnDisk)
}

/// A number of bytes for display.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 10 << 30 => write!(f, "{:.0}G", bytes as f64 / f64::from(1 << 30)),
            bytes if bytes >= 1 << 30 => write!(f, "{:.1}G", bytes as f64 / f64::from(1 << 30)),
            bytes => write!(f, "{}M", bytes.div_ceil(1 << 20)),
        }
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemoryParts { base, images, loading, weights, work, .. } = self.parts;
        write!(f, "memory: about {}", Bytes(self.parts.total()))?;
        if let Some(limit) = self.limit {
            write!(f, " of {}", Bytes(limit))?;
        }
        let held = match self.holding {
            Storage::Decoded => "decoded",
            Storage::Encoded => "as their files",
            Storage::OnDisk => "read for each batch",
        };
        write!(f, "; images {held} {}", Bytes(images))?;
        if weights > 0 {
            write!(f, ", weights {}, batches {}, steps {}", Bytes(weights), Bytes(loading), Bytes(work))?;
        }
        match self.recompute {
            Recompute::Nothing => {}
            Recompute::Cells => write!(f, " (cells computed again)")?,
            Recompute::Groups(n) => write!(f, " (cells computed again, {} images at a time)", 16 * n)?,
        }
        write!(f, ", program {}", Bytes(base))
    }
}
