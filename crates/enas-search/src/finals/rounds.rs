//! The three rounds, inside a time limit, interruptible between any two networks.

use std::collections::BTreeMap;
use std::time::Instant;

use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::candidates::{Candidate, Proposals, Source, latency_ms};
use super::halves::Halves;
use super::outcome::{Finalist, FinalsOutcome};
use super::picks;
use super::recipe::ROUNDS;
use crate::config::{FinalsConfig, SearchConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::memory::MemoryPlan;
use crate::observer::Event;
use crate::run::State;
use crate::session::Session;
use crate::trial::{Answer, Trial, late};

/// Architectures of the first round that mutants are made of.
const PARENTS: usize = 8;
/// Candidates that the first round has at least, however little time there is.
const FEWEST: usize = 4;
/// Random architectures of nearly the best one's size that are trained as long as it.
const EQUAL_SIZE: usize = 2;
/// Candidates and controls that there is time for at least before rounds are made shorter.
const SHORT: (u64, usize) = (12, 2);
/// Steps of the first round at least, however little time there is.
const LEAST: u64 = 4;
/// Steps of the first round that even the fewest images bear.
const FEW: u64 = 50;
/// Steps that are timed before the first round.
const TIMED: u64 = 3;
/// Shares of the time for the finals at which a part of them ends: candidates that are drawn, mutants, second round.
const ENDS: [f64; 3] = [0.42, 0.56, 0.7];

/// What is trained and measured by the finals.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) config: &'a SearchConfig,
    pub(crate) recipe: &'a TrainConfig,
    pub(crate) data: &'a Dataset,
    pub(crate) halves: &'a Halves,
    pub(crate) gpu: Option<&'a Gpu>,
    pub(crate) memory: Option<&'a MemoryPlan>,
}

/// Where the finals stand. Networks are not kept: those that go on are trained again after an interruption, to the same
/// bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinalsProgress {
    /// Architectures that the strategy proposed.
    pub(crate) proposed: Vec<Arc>,
    /// Seconds that were left at the beginning, if there is a limit.
    seconds: Option<f64>,
    /// Steps of the first round: those of the settings, or fewer where the time is short.
    #[serde(default)]
    steps: u64,
    /// What each network came to, by round.
    rounds: [Vec<Entry>; 3],
}

/// What a network came to in a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The number of its candidate.
    pub(super) candidate: usize,
    pub(super) steps: u64,
    /// Absent for a network that diverged.
    pub(super) score: Option<f64>,
    /// Accuracy on the half that chooses, and on the half that reports.
    pub(super) valid: [f64; 2],
    /// Of the last round only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<Details>,
}

/// What networks of the last round are compared by, image by image and step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Details {
    /// Training losses of the late steps.
    pub(super) late: Vec<f32>,
    /// Losses of the images that choose.
    pub(super) choose_losses: Vec<f32>,
    /// Which images that report were right.
    pub(super) right: Vec<bool>,
    pub(super) latency_ms: f64,
}

/// The finals at work.
pub(crate) struct Finals<'a, 's, 'r, P> {
    task: Task<'a>,
    session: &'s mut Session<'r>,
    /// The state of the run with this progress.
    state: &'s dyn Fn(&FinalsProgress) -> Result<State<P>>,
    proposals: Proposals<'a>,
    candidates: Vec<Candidate>,
    /// Networks that may go on.
    trials: BTreeMap<usize, Trial<'a>>,
    progress: FinalsProgress,
    usual_macs: u64,
    /// Steps of this session, and the seconds that they took.
    pace: (u64, f64),
    /// Whether the time was over in the middle of a training.
    is_over: bool,
}

impl<'a, 's, 'r, P: Serialize + DeserializeOwned> Finals<'a, 's, 'r, P> {
    /// Begins the finals, or goes on where `progress` stands.
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

    /// All three rounds.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; limits that nothing keeps to; what images, device and disk report.
    pub(crate) fn run(mut self) -> Result<FinalsOutcome> {
        let finals = self.task.config.finals.clone();
        self.draw_candidates(&finals)?;
        if self.candidates.is_empty() {
            return Err(self.proposals.none_found());
        }
        self.fit_to_time()?;
        let drawn: Vec<usize> = (0..self.candidates.len()).collect();
        self.first_round(&drawn, ENDS[0])?;
        let mutants = self.draw_mutants(finals.mutants)?;
        self.first_round(&mutants, ENDS[1])?;

        let n = self.progress.rounds[0].len();
        let second = self.survivors(0, n.div_ceil(4).max(FEWEST));
        self.later_round(1, &second, ENDS[2])?;
        let third = match self.progress.rounds[1].is_empty() {
            // The time was over before.
            true => second,
            false => self.survivors(1, n.div_ceil(16).max(FEWEST - 1)),
        };
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

    /// Steps of the first round if there is time for them: those of the settings, but no more than an epoch. A network that
    /// sees few images again and again learns them by heart, and its training loss then says how large it is.
    fn wanted_steps(&self) -> u64 {
        let Task { config, data, .. } = self.task;
        let epoch = (data.train.len() / config.run.batch_size) as u64;
        config.finals.steps.min(epoch.max(FEW))
    }

    /// Makes the rounds shorter where the time is too short for a few candidates.
    fn fit_to_time(&mut self) -> Result<()> {
        let wanted = self.wanted_steps();
        let Some(seconds) = self.progress.seconds.filter(|_| self.progress.steps == 0) else {
            self.progress.steps = if self.progress.steps == 0 { wanted } else { self.progress.steps };
            return Ok(());
        };
        let Task { recipe, data, gpu, memory, .. } = self.task;
        let mut trial = Trial::new(recipe, &self.candidates[0].arc, data, (gpu, memory))?;
        // The first step pays for what is done only once.
        trial.train_to(1, &mut |_, _| true)?;
        let began = Instant::now();
        trial.train_to(1 + TIMED, &mut |_, _| true)?;
        let one = began.elapsed().as_secs_f64() / TIMED as f64;
        let (n, controls) = SHORT;
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

    /// The strategy's, wide and random ones in turns, so that a run whose time is up has tried about equally many of each.
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

    /// Mutants of the best of the first round so far, as new candidates.
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

    /// Trains candidates until `end`, a share of the time, is reached.
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

    /// Trains those that are left, as far as there is time for.
    fn later_round(&mut self, round: usize, ids: &[usize], end: f64) -> Result<()> {
        let wanted = ROUNDS[round] * self.progress.steps;
        let before = self.progress.rounds[round - 1].first().map_or(0, |entry| entry.steps).min(wanted);
        let missing = ids.iter().filter(|&&id| self.entry(round, id).is_none());
        // Networks that are not in memory begin anew.
        let done: u64 = missing.clone().map(|id| self.trials.get(id).map_or(0, Trial::steps)).sum();
        let steps = match (self.seconds_until(end), self.progress.rounds[round].first()) {
            (_, Some(entry)) => entry.steps,
            (Some(seconds), None) if self.pace.0 > 0 => {
                let affordable = (seconds.max(0.0) * self.pace.0 as f64 / self.pace.1.max(1e-9)) as u64;
                ((affordable + done) / (missing.count() as u64).max(1)).clamp(before, wanted)
            }
            _ => wanted,
        };
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

    /// Trains a candidate's network to so many steps in all, and notes what it came to.
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
        // Without any network there would be no result.
        let is_wanted = is_over && is_first;
        if trial.steps() < steps && !trial.has_diverged() && !is_wanted {
            // Saves, and ends the run if that was asked for.
            return self.tick();
        }
        let all: Vec<usize> = halves.choose.iter().chain(&halves.report).copied().collect();
        let answers = trial.answers(&data.valid, &all)?;
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
        (choose, report): (&[Answer], &[Answer]),
    ) -> Result<Entry> {
        let accuracy = |answers: &[Answer]| {
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
        // Logs of equal seeds are equal, so they have no times but those that every line has.
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

    /// Entries, the best first: lower late loss, then fewer multiply-adds, then arc order.
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

    /// The best `n` of a round, the last of which gives way to the best small one if there is none among them.
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

    /// The first random candidates of the first round, whatever they came to.
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

    /// Keeps in memory only networks that can still go on.
    fn forget_all_but_the_best(&mut self) {
        let all = self.task.config.finals.drawn() + self.task.config.finals.mutants;
        let best = self.survivors(0, all.div_ceil(4).max(FEWEST));
        self.trials.retain(|id, _| best.contains(id));
    }

    /// Whether so many steps more would end after a share of the time.
    fn is_past(&self, end: f64, steps: u64) -> bool {
        let one = steps as f64 * self.pace.1 / self.pace.0.max(1) as f64;
        self.seconds_until(end).is_some_and(|seconds| seconds < one)
    }

    /// Seconds until a share of the time is over, if there is a limit.
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

    /// What the rounds came to. `best` went into the last round because they were good, the others whatever they were.
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
        // One that is compared with itself would say nothing.
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
            picks: super::Picks {
                small: arc(chosen.small),
                balanced: arc(found),
                accurate: arc(chosen.accurate),
            },
            usual_macs: self.usual_macs,
            images: [self.task.halves.choose.len(), self.task.halves.report.len()],
        })
    }

    /// What became of every candidate in its last round, the furthest first.
    fn furthest_first(&self) -> Vec<&Entry> {
        let mut seen = std::collections::BTreeSet::new();
        let rounds = self.progress.rounds.iter().rev().flat_map(|round| self.ranked(round.iter()));
        rounds.filter(|entry| seen.insert(entry.candidate)).collect()
    }

    /// The one found beside the random ones, after the training that all of them had.
    fn first_round_beside(&self, found: usize) -> super::FirstRound {
        let accuracy = self.entry(0, found).map_or(0.0, |entry| entry.valid[1]);
        let is_random = |entry: &&Entry| {
            let origin = self.candidates[entry.candidate].origin;
            entry.candidate != found && matches!(origin, Source::Random | Source::Wide)
        };
        let random: Vec<&Entry> = self.progress.rounds[0].iter().filter(is_random).collect();
        super::FirstRound {
            random: random.len(),
            beaten: random.iter().filter(|entry| entry.valid[1] < accuracy).count(),
            steps: ROUNDS[0] * self.progress.steps,
        }
    }
}
