//! The three rounds of the finals, within a time limit and interruptible between any two networks.

use std::collections::BTreeMap;
use std::time::Instant;

use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_run::config::{FinalsConfig, SearchConfig, TrainConfig};
use enas_run::directory::run::State;
use enas_run::error::{Error, Result};
use enas_run::finals::{Finalist, FinalsOutcome, FirstRound, Picks, Source};
use enas_run::memory::MemoryPlan;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::candidates::{Candidate, Proposals, latency_ms};
use super::halves::Halves;
use super::picks;
use super::recipe::ROUNDS;
use crate::observer::Event;
use crate::session::Session;
use crate::trial::{ImageOutcome, Trial, late};

/// The best architectures of the first round, from which mutants are made.
const PARENTS: usize = 8;
/// Minimum number of candidates in the first round, regardless of the time limit.
const FEWEST: usize = 4;
/// Number of random architectures of nearly the best one's size that are trained as long as it.
const EQUAL_SIZE: usize = 2;
/// Candidates and controls that must fit into the time; if they do not, the rounds are made shorter.
const SHORT: (u64, usize) = (12, 2);
/// Minimum steps of the first round, regardless of the time limit.
const LEAST: u64 = 4;
/// Steps of the first round that are allowed even if an epoch is shorter.
const FEW: u64 = 50;
/// Number of steps that are timed before the first round.
const TIMED: u64 = 3;
/// Shares of the finals' time at which three parts end: drawn candidates, mutants, second round.
const ENDS: [f64; 3] = [0.42, 0.56, 0.7];

/// What the finals train and measure.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) config: &'a SearchConfig,
    pub(crate) recipe: &'a TrainConfig,
    pub(crate) data: &'a Dataset,
    pub(crate) halves: &'a Halves,
    pub(crate) gpu: Option<&'a Gpu>,
    pub(crate) memory: Option<&'a MemoryPlan>,
}

/// Position of the finals. Networks are not stored: after an interruption, those that advance are trained again and
/// give the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinalsProgress {
    /// Architectures that the strategy proposed.
    pub(crate) proposed: Vec<Arc>,
    /// Seconds left when the finals began; `None` without a time limit.
    seconds: Option<f64>,
    /// Steps of the first round: the setting, or fewer if the time is short.
    #[serde(default)]
    steps: u64,
    /// Results of the networks, per round.
    rounds: [Vec<Entry>; 3],
}

/// Result of a network in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The index of its candidate.
    pub(super) candidate: usize,
    pub(super) steps: u64,
    /// Mean late training loss in nats; `None` for a network that diverged.
    pub(super) score: Option<f64>,
    /// Accuracy on the choosing and on the reporting half of validation, 0 to 1.
    pub(super) valid: [f64; 2],
    /// Only in the last round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<Details>,
}

/// Values for paired comparisons of networks in the last round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Details {
    /// Training losses of the late steps, in nats.
    pub(super) late: Vec<f32>,
    /// Losses of the images in the choosing half, in nats.
    pub(super) choose_losses: Vec<f32>,
    /// Whether each image of the reporting half was classified correctly.
    pub(super) right: Vec<bool>,
    pub(super) latency_ms: f64,
}

/// The finals while they run.
pub(crate) struct Finals<'a, 's, 'r, P> {
    task: Task<'a>,
    session: &'s mut Session<'r>,
    /// Makes the state of the run that holds this progress.
    state: &'s dyn Fn(&FinalsProgress) -> Result<State<P>>,
    proposals: Proposals<'a>,
    candidates: Vec<Candidate>,
    /// Networks that may advance to the next round, by candidate.
    trials: BTreeMap<usize, Trial<'a>>,
    progress: FinalsProgress,
    usual_macs: u64,
    /// Steps trained in this session, and the seconds they took.
    pace: (u64, f64),
    /// Whether the time limit was reached during a training.
    is_over: bool,
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
        let (candidates, trials) = (Vec::new(), BTreeMap::new());
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
        let mutants = self.draw_mutants(finals.mutants)?;
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

    /// Steps of the first round without a time limit: the setting, but at most an epoch. On few images that repeat, a
    /// network overfits, and its training loss then only measures its size.
    fn wanted_steps(&self) -> u64 {
        let Task { config, data, .. } = self.task;
        let epoch = (data.train.len() / config.run.batch_size) as u64;
        config.finals.steps.min(epoch.max(FEW))
    }

    /// Shortens the rounds if the time is too short for [`SHORT`] candidates.
    fn fit_to_time(&mut self) -> Result<()> {
        let wanted = self.wanted_steps();
        let Some(seconds) = self.progress.seconds.filter(|_| self.progress.steps == 0) else {
            self.progress.steps = if self.progress.steps == 0 { wanted } else { self.progress.steps };
            return Ok(());
        };
        let Task { recipe, data, gpu, memory, .. } = self.task;
        let mut trial = Trial::new(recipe, &self.candidates[0].arc, data, (gpu, memory))?;
        // The first step includes one-time costs, so it is not timed.
        trial.train_to(1, &mut |_, _| true)?;
        let began = Instant::now();
        trial.train_to(1 + TIMED, &mut |_, _| true)?;
        let one = began.elapsed().as_secs_f64() / TIMED as f64;
        let (n, controls) = SHORT;
        // Steps of all rounds, in units of the first round's steps: the candidates, the survivors of two rounds, and
        // the controls.
        let times = ROUNDS[0] * n
            + (ROUNDS[1] - ROUNDS[0]) * FEWEST as u64
            + (ROUNDS[2] - ROUNDS[1]) * (FEWEST as u64 - 1)
            + ROUNDS[2] * controls as u64;
        let affordable = (0.8 * seconds / one.max(1e-9)) as u64 / times;
        self.progress.steps = affordable.clamp(LEAST.min(wanted), wanted);
        if self.progress.steps < wanted {
            tracing::info!("the time limit leaves {} steps for the first round", self.progress.steps);
        }
        Ok(())
    }

    /// Adds candidates of the strategy, wide ones and random ones in turns. If the time runs out, about equally many
    /// of each kind were tried.
    fn draw_candidates(&mut self, finals: &FinalsConfig) -> Result<()> {
        let proposed = self.progress.proposed.clone();
        let most = finals.policy.max(finals.wide).max(finals.random);
        for number in 0..most {
            let of_policy = proposed.get(number).filter(|_| number < finals.policy);
            let origin = Source::of(&self.task.config.strategy);
            let mut found = of_policy.map(|arc| self.proposals.given(arc, origin)).transpose()?.flatten();
            self.candidates.extend(found.take());
            for (origin, wanted) in [(Source::Wide, finals.wide), (Source::Random, finals.random)] {
                if number < wanted {
                    self.candidates.extend(self.proposals.draw(origin, number as u64)?);
                }
            }
        }
        Ok(())
    }

    /// Adds mutants of the best of the first round so far, and returns the indices of the new candidates.
    fn draw_mutants(&mut self, wanted: usize) -> Result<Vec<usize>> {
        let n_drawn = self.candidates.len();
        let of_drawn = self.progress.rounds[0].iter().filter(|entry| entry.candidate < n_drawn);
        let parents: Vec<Arc> = self
            .ranked(of_drawn)
            .into_iter()
            .take(PARENTS)
            .map(|entry| self.candidates[entry.candidate].arc.clone())
            .collect();
        for number in 0..wanted {
            let Some(parent) = parents.get(number % parents.len().max(1)) else { break };
            let found = self.proposals.mutant(parent, number as u64)?;
            self.candidates.extend(found);
        }
        Ok((n_drawn..self.candidates.len()).collect())
    }

    /// Trains candidates until all are done or the share `end` of the time is over.
    fn first_round(&mut self, ids: &[usize], end: f64) -> Result<()> {
        let steps = ROUNDS[0] * self.progress.steps;
        for (number, &id) in (1..).zip(ids) {
            if self.entry(0, id).is_some() {
                continue;
            }
            let enough = self.progress.rounds[0].len() >= FEWEST.min(self.candidates.len());
            if self.is_over || enough && self.is_past(end, steps) {
                tracing::info!("the time limit leaves {} candidates", self.progress.rounds[0].len());
                break;
            }
            self.train((0, id), (steps, None), (number, ids.len()))?;
            self.forget_all_but_the_best();
        }
        Ok(())
    }

    /// Trains the remaining candidates of a later round; the number of steps adapts to the time left.
    fn later_round(&mut self, round: usize, ids: &[usize], end: f64) -> Result<()> {
        let wanted = ROUNDS[round] * self.progress.steps;
        let before = self.progress.rounds[round - 1].first().map_or(0, |entry| entry.steps).min(wanted);
        let missing = ids.iter().filter(|&&id| self.entry(round, id).is_none());
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
            if self.entry(round, id).is_none() {
                self.train((round, id), (steps, annealing), (number, ids.len()))?;
            }
            if round == 2 {
                self.trials.remove(&id);
            }
        }
        Ok(())
    }

    /// Trains a candidate's network to `steps` steps in all, and records the result.
    fn train(
        &mut self,
        (round, id): (usize, usize),
        (steps, annealing): (u64, Option<(u64, u64)>),
        (number, of): (usize, usize),
    ) -> Result<()> {
        let Task { recipe, data, halves, gpu, memory, .. } = self.task;
        let mut trial = match self.trials.remove(&id) {
            Some(trial) => trial,
            None => Trial::new(recipe, &self.candidates[id].arc, data, (gpu, memory))?,
        };
        if let Some((from, to)) = annealing {
            trial.anneal(from, to);
        }
        let (began, before) = (Instant::now(), trial.steps());
        let Session { observer, run, budget, .. } = &mut *self.session;
        let (is_first, mut is_over) = (self.progress.rounds[0].is_empty(), false);
        trial.train_to(steps, &mut |done, loss| {
            let (round, number) = (round as u64 + 1, number as u64);
            observer.event(&Event::Trial { round, number, of: of as u64, step: done, steps, loss });
            is_over = budget.lacks(0.0, run.seconds());
            !observer.should_stop() && !is_over
        })?;
        self.is_over |= is_over;
        // The first network is recorded even if the time is over: without any there would be no result.
        let is_wanted = is_over && is_first;
        if trial.steps() < steps && !trial.has_diverged() && !is_wanted {
            // Saves; ends the run if the observer asked for it.
            return self.tick();
        }
        let all: Vec<usize> = halves.choose.iter().chain(&halves.report).copied().collect();
        let answers = trial.outcomes(&data.valid, &all)?;
        self.pace.0 += trial.steps() - before;
        self.pace.1 += began.elapsed().as_secs_f64();
        let entry = self.entry_of((id, round), &trial, answers.split_at(halves.choose.len()))?;
        self.log(round, &entry)?;
        self.progress.rounds[round].push(entry);
        self.trials.insert(id, trial);
        self.tick()
    }

    fn entry_of(
        &self,
        (candidate, round): (usize, usize),
        trial: &Trial<'_>,
        (choose, report): (&[ImageOutcome], &[ImageOutcome]),
    ) -> Result<Entry> {
        let accuracy = |answers: &[ImageOutcome]| {
            answers.iter().filter(|answer| answer.is_right).count() as f64 / answers.len().max(1) as f64
        };
        let score = Some(trial.late_loss()).filter(|loss| loss.is_finite());
        let details = (round == 2)
            .then(|| -> Result<Details> {
                Ok(Details {
                    late: late(trial.losses()).to_vec(),
                    choose_losses: choose.iter().map(|answer| answer.loss).collect(),
                    right: report.iter().map(|answer| answer.is_right).collect(),
                    latency_ms: latency_ms(trial.child(), trial.arc())?,
                })
            })
            .transpose()?;
        let valid = [accuracy(choose), accuracy(report)];
        Ok(Entry { candidate, steps: trial.steps(), score, valid, details })
    }

    fn log(&mut self, round: usize, entry: &Entry) -> Result<()> {
        #[derive(Serialize)]
        struct Line {
            round: usize,
            #[serde(flatten)]
            finalist: Finalist,
        }
        // The log of equal seeds must be equal, so the measured latency is left out.
        let finalist = Finalist { latency_ms: None, ..self.finalist(entry) };
        let line = Line { round: round + 1, finalist };
        let place = self.progress.rounds.iter().map(Vec::len).sum::<usize>() as u64 + 1;
        self.session.run.log("finalist", place, &line)
    }

    fn tick(&mut self) -> Result<()> {
        let (state, progress) = (self.state, &self.progress);
        self.session.tick(|| state(progress))
    }

    fn entry(&self, round: usize, id: usize) -> Option<&Entry> {
        self.progress.rounds[round].iter().find(|entry| entry.candidate == id)
    }

    /// Entries ranked best first: lower late loss, then fewer multiply-adds, then arc order.
    fn ranked<'e>(&self, entries: impl Iterator<Item = &'e Entry>) -> Vec<&'e Entry> {
        let mut entries: Vec<&Entry> = entries.collect();
        let key = |entry: &Entry| {
            let Candidate { arc, cost, .. } = &self.candidates[entry.candidate];
            (entry.score.unwrap_or(f64::INFINITY), cost.macs, arc)
        };
        entries.sort_by(|a, b| {
            let ((a_score, a_macs, a_arc), (b_score, b_macs, b_arc)) = (key(a), key(b));
            a_score.total_cmp(&b_score).then(a_macs.cmp(&b_macs)).then_with(|| a_arc.cmp(b_arc))
        });
        entries
    }

    /// The best `n` of a round. If none of them is small, the last place goes to the best small network.
    fn survivors(&self, round: usize, n: usize) -> Vec<usize> {
        let ranked: Vec<usize> =
            self.ranked(self.progress.rounds[round].iter()).iter().map(|entry| entry.candidate).collect();
        let is_small = |id: &&usize| picks::is_small(self.candidates[**id].cost.macs, self.usual_macs);
        let mut best: Vec<usize> = ranked.iter().copied().take(n).collect();
        if let Some(&small) = ranked.iter().find(is_small).filter(|small| !best.contains(small)) {
            best.pop();
            best.push(small);
        }
        best
    }

    /// The first `n` random candidates of the first round, regardless of their results.
    fn controls(&self, n: usize) -> Vec<usize> {
        self.random_ids().into_iter().take(n).collect()
    }

    /// Other random candidates whose size is nearest to that of the best.
    fn equal_size(&self, best: &[usize]) -> Vec<usize> {
        let n_controls = self.task.config.finals.controls;
        let (Some(best), true) = (best.first(), n_controls > 0) else { return Vec::new() };
        let macs = self.candidates[*best].cost.macs;
        let mut others: Vec<usize> =
            self.random_ids().into_iter().skip(n_controls).filter(|id| id != best).collect();
        others.sort_by_key(|&id| (self.candidates[id].cost.macs.abs_diff(macs), id));
        others.truncate(EQUAL_SIZE);
        others
    }

    fn random_ids(&self) -> Vec<usize> {
        let mut ids: Vec<usize> = self.progress.rounds[0].iter().map(|entry| entry.candidate).collect();
        ids.retain(|&id| self.candidates[id].origin == Source::Random);
        ids.sort_unstable();
        ids
    }

    /// Drops networks that can no longer reach the next round, to save memory.
    fn forget_all_but_the_best(&mut self) {
        let all = self.task.config.finals.drawn() + self.task.config.finals.mutants;
        let best = self.survivors(0, all.div_ceil(4).max(FEWEST));
        self.trials.retain(|id, _| best.contains(id));
    }

    /// Whether `steps` more steps would end after the share `end` of the time.
    fn is_past(&self, end: f64, steps: u64) -> bool {
        let one = steps as f64 * self.pace.1 / self.pace.0.max(1) as f64;
        self.seconds_until(end).is_some_and(|seconds| seconds < one)
    }

    /// Seconds until the share `end` of the time is over; `None` without a time limit.
    fn seconds_until(&self, end: f64) -> Option<f64> {
        let left = self.session.budget.left(self.session.run.seconds())?;
        Some(left - (1.0 - end) * self.progress.seconds.unwrap_or(left))
    }

    fn finalist(&self, entry: &Entry) -> Finalist {
        let Candidate { arc, origin, cost } = &self.candidates[entry.candidate];
        let measured = entry.details.as_ref().map(|details| details.latency_ms);
        Finalist {
            arc: arc.clone(),
            origin: *origin,
            params: cost.params,
            macs: cost.macs,
            latency_ms: measured.or(cost.latency_ms),
            steps: entry.steps,
            score: entry.score,
            valid_choose: entry.valid[0],
            valid_report: entry.valid[1],
        }
    }

    /// Assembles the result. `best` reached the last round by rank, the others regardless of their results.
    fn outcome(&self, best: &[usize], controls: &[usize], equal_size: &[usize]) -> Result<FinalsOutcome> {
        let is_reached = |round: &usize| best.iter().any(|&id| self.entry(*round, id).is_some());
        let round = (0..ROUNDS.len()).rev().find(is_reached).unwrap_or(0);
        let last =
            |ids: &[usize]| -> Vec<&Entry> { ids.iter().filter_map(|&id| self.entry(round, id)).collect() };
        let ranked = self.ranked(last(best).into_iter());
        let macs = |entry: &Entry| self.candidates[entry.candidate].cost.macs;
        let arc = |entry: &Entry| self.candidates[entry.candidate].arc.clone();
        let Some(chosen) = picks::choose(&ranked, macs, self.usual_macs) else {
            let what = "no network of the finals had a finite loss; lower schedule.lr_max".to_owned();
            return Err(Error::Mismatch(what));
        };
        let found = chosen.balanced;
        // The found network may itself be a control; it is not compared with itself.
        let others = |ids: &[usize]| -> Vec<&Entry> {
            last(ids).into_iter().filter(|entry| entry.candidate != found.candidate).collect()
        };
        let (controls, equal_size) = (others(controls), others(equal_size));
        Ok(FinalsOutcome {
            finalists: self.furthest_first().into_iter().map(|entry| self.finalist(entry)).collect(),
            gain: picks::gain(found, &controls),
            control: picks::control(&controls),
            equal_size: picks::control(&equal_size),
            first_round: self.first_round_beside(found.candidate),
            picks: Picks { small: arc(chosen.small), balanced: arc(found), accurate: arc(chosen.accurate) },
            usual_macs: self.usual_macs,
            images: [self.task.halves.choose.len(), self.task.halves.report.len()],
        })
    }

    /// Every candidate's entry in its last round, those with the longest training first.
    fn furthest_first(&self) -> Vec<&Entry> {
        let mut seen = std::collections::BTreeSet::new();
        let rounds = self.progress.rounds.iter().rev().flat_map(|round| self.ranked(round.iter()));
        rounds.filter(|entry| seen.insert(entry.candidate)).collect()
    }

    /// The found network compared with the random ones after the first round, where all had the same training.
    fn first_round_beside(&self, found: usize) -> FirstRound {
        let accuracy = self.entry(0, found).map_or(0.0, |entry| entry.valid[1]);
        let is_random = |entry: &&Entry| {
            let origin = self.candidates[entry.candidate].origin;
            entry.candidate != found && matches!(origin, Source::Random | Source::Wide)
        };
        let random: Vec<&Entry> = self.progress.rounds[0].iter().filter(is_random).collect();
        FirstRound {
            random: random.len(),
            beaten: random.iter().filter(|entry| entry.valid[1] < accuracy).count(),
            steps: ROUNDS[0] * self.progress.steps,
        }
    }
}
