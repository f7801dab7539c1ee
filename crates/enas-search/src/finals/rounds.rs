//! The three rounds of the finals, within a time limit and interruptible between any two networks.

use std::collections::BTreeMap;

use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::candidates::{Candidate, Proposals};
use super::halves::Halves;
use super::progress::FinalsProgress;
use super::recipe::ROUNDS;
use crate::image_weights::ImageWeights;
use crate::session::Session;
use crate::trial::Trial;
use enas_run::config::{SearchConfig, TrainConfig};
use enas_run::directory::run::State;
use enas_run::error::Result;
use enas_run::finals::FinalsOutcome;
use enas_run::memory::MemoryPlan;

/// Minimum number of candidates in the first round, regardless of the time limit.
pub(super) const FEWEST: usize = 4;
/// Candidates and controls that must fit into the time; if they do not, the rounds are made shorter.
pub(super) const SHORT: (u64, usize) = (12, 2);
/// Shares of the finals' time at which three parts end: drawn candidates, mutants, second round.
const ENDS: [f64; 3] = [0.42, 0.56, 0.7];

/// What the finals train and measure.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) config: &'a SearchConfig,
    pub(crate) recipe: &'a TrainConfig,
    pub(crate) data: &'a Dataset,
    pub(crate) halves: &'a Halves,
    pub(crate) image_weights: &'a ImageWeights,
    pub(crate) gpu: Option<&'a Gpu>,
    pub(crate) memory: Option<&'a MemoryPlan>,
}

/// A training of one candidate in one round.
pub(super) struct CandidateTraining {
    pub(super) round: usize,
    /// Index of the candidate.
    pub(super) candidate: usize,
    /// Steps in all, those of earlier rounds included.
    pub(super) steps: u64,
    /// The steps between which the learning rate falls to 0.
    pub(super) annealing: Option<(u64, u64)>,
    /// Number of this training in its round, from 1, and the round's number of trainings: for display.
    pub(super) number: usize,
    pub(super) of: usize,
}

/// The finals while they run.
pub(crate) struct Finals<'a, 's, 'r, P> {
    pub(super) task: Task<'a>,
    pub(super) session: &'s mut Session<'r>,
    /// Makes the state of the run that holds this progress.
    pub(super) state: &'s dyn Fn(&FinalsProgress) -> Result<State<P>>,
    pub(super) proposals: Proposals<'a>,
    pub(super) candidates: Vec<Candidate>,
    /// Networks that may advance to the next round, by candidate.
    pub(super) trials: BTreeMap<usize, Trial<'a>>,
    pub(super) progress: FinalsProgress,
    pub(super) usual_macs: u64,
    /// Steps trained in this session, and the seconds they took.
    pub(super) pace: (u64, f64),
    /// Seconds of one of the steps that are timed before the first round; 0 if none were.
    pub(super) timed: f64,
    /// Whether the time limit was reached during a training.
    pub(super) is_over: bool,
}

impl<'a, 's, 'r, P: Serialize + DeserializeOwned> Finals<'a, 's, 'r, P> {
    /// Starts the finals, or resumes them at `progress`.
    ///
    /// # Errors
    /// Errors of the network, such as images that are too small for it.
    pub(crate) fn new(
        task: Task<'a>,
        session: &'s mut Session<'r>,
        state: &'s dyn Fn(&FinalsProgress) -> Result<State<P>>,
        mut progress: FinalsProgress,
    ) -> Result<Self> {
        let Task { config, recipe, data, .. } = task;
        let proposals = Proposals::new(recipe, data, config.limits, config.run.seed());
        if progress.rounds[0].is_empty() {
            progress.seconds = session.budget.left(session.run.seconds());
        }
        let usual_macs = proposals.usual_macs()?;
        let candidates = Vec::new();
        let trials = BTreeMap::new();
        Ok(Self {
            task,
            session,
            state,
            proposals,
            candidates,
            trials,
            progress,
            usual_macs,
            pace: (0, 0.0),
            timed: 0.0,
            is_over: false,
        })
    }

    /// Runs the three rounds.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Mismatch`] if no architecture is within the limits or all networks diverged;
    /// errors of images, device and disk.
    pub(crate) fn run(mut self) -> Result<FinalsOutcome> {
        let finals = self.task.config.finals.clone();
        self.draw_candidates(&finals)?;
        if self.candidates.is_empty() {
            return Err(self.proposals.none_found());
        }
        self.fit_to_time()?;
        // Round 1: all drawn candidates, then mutants of the best of them.
        let drawn: Vec<usize> = (0..self.candidates.len()).collect();
        self.first_round(&drawn, ENDS[0])?;
        self.is_over |= self.seconds_until(1.0).is_some_and(|seconds| seconds <= 0.0);
        // Without time to train them, mutants are not drawn: that takes time, too.
        let mutants = if self.is_over { Vec::new() } else { self.draw_mutants(finals.mutants)? };
        self.first_round(&mutants, ENDS[1])?;

        // Round 2: the best quarter.
        let n = self.progress.rounds[0].len();
        let second = self.survivors(0, n.div_ceil(4).max(FEWEST));
        self.later_round(1, &second, ENDS[2])?;
        let third = match self.progress.rounds[1].is_empty() {
            // The time was up before the second round.
            true => second,
            false => self.survivors(1, n.div_ceil(16).max(FEWEST - 1)),
        };
        // Round 3: the best of round 2, and random architectures with the same training.
        let is_short = self.progress.steps < self.wanted_steps();
        let controls = self.controls(if is_short { finals.controls.min(SHORT.1) } else { finals.controls });
        let equal_size = if is_short { Vec::new() } else { self.equal_size(&third) };
        let mut last = third.clone();
        last.extend(controls.iter().chain(&equal_size));
        last.sort_unstable();
        last.dedup();
        self.later_round(2, &last, 1.0)?;
        self.outcome(&third, &controls, &equal_size)
    }

    /// Trains candidates until all are done or the share `end` of the time is over.
    fn first_round(&mut self, ids: &[usize], end: f64) -> Result<()> {
        let steps = ROUNDS[0] * self.progress.steps;
        for (number, &id) in (1..).zip(ids) {
            if self.progress.entry(0, id).is_some() {
                continue;
            }
            let enough = self.progress.rounds[0].len() >= FEWEST.min(self.candidates.len());
            if self.is_over || enough && self.is_past(end, steps) {
                tracing::info!("the time limit leaves {} candidates", self.progress.rounds[0].len());
                break;
            }
            let of = ids.len();
            let training = CandidateTraining { round: 0, candidate: id, steps, annealing: None, number, of };
            self.train(&training)?;
            self.forget_all_but_the_best();
        }
        Ok(())
    }

    /// Trains the remaining candidates of a later round; the number of steps adapts to the time left.
    fn later_round(&mut self, round: usize, ids: &[usize], end: f64) -> Result<()> {
        let wanted = ROUNDS[round] * self.progress.steps;
        let before = self.progress.rounds[round - 1].first().map_or(0, |entry| entry.steps).min(wanted);
        let missing = ids.iter().filter(|&&id| self.progress.entry(round, id).is_none());
        // Networks that are not in memory are trained again from step 0.
        let done: u64 = missing.clone().map(|id| self.trials.get(id).map_or(0, Trial::steps)).sum();
        // A round that was interrupted keeps its number of steps. Otherwise the time left and the measured pace
        // decide.
        let steps = match (self.seconds_until(end), self.progress.rounds[round].first()) {
            (_, Some(entry)) => entry.steps,
            (Some(seconds), None) if self.pace.0 > 0 => {
                let affordable = (seconds.max(0.0) * self.pace.0 as f64 / self.pace.1.max(1e-9)) as u64;
                ((affordable + done) / (missing.count() as u64).max(1)).clamp(before, wanted)
            }
            _ => wanted,
        };
        // The learning rate falls in the last round only, from the steps of the second round on.
        let annealing = (round == 2).then_some((before, steps));
        for (number, &id) in (1..).zip(ids) {
            if self.is_over || self.seconds_until(1.0).is_some_and(|seconds| seconds <= 0.0) {
                break;
            }
            if self.progress.entry(round, id).is_none() {
                let of = ids.len();
                self.train(&CandidateTraining { round, candidate: id, steps, annealing, number, of })?;
            }
            if round == 2 {
                self.trials.remove(&id);
            }
        }
        Ok(())
    }
}
