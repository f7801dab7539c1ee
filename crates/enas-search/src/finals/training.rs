//! The training of one candidate of the finals, and the record of its result.

use std::time::Instant;

use enas_run::error::Result;
use enas_run::finals::Finalist;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::candidates::{Candidate, latency_ms};
use super::progress::{Details, Entry};
use super::rounds::{CandidateTraining, Finals, Task};
use crate::observer::Event;
use crate::session::Session;
use crate::trial::{ImageOutcome, Trial, late};

impl<P: Serialize + DeserializeOwned> Finals<'_, '_, '_, P> {
    /// Trains a candidate's network to `steps` steps in all, and records the result.
    pub(super) fn train(&mut self, training: &CandidateTraining) -> Result<()> {
        let &CandidateTraining { round, candidate: id, steps, annealing, number, of } = training;
        let Task { recipe, data, halves, gpu, memory, .. } = self.task;
        let mut trial = match self.trials.remove(&id) {
            Some(trial) => trial,
            None => Trial::new(recipe, &self.candidates[id].arc, data, gpu, memory)?,
        };
        if let Some((from, to)) = annealing {
            trial.anneal(from, to);
        }
        let began = Instant::now();
        let before = trial.steps();
        let Session { observer, run, budget, .. } = &mut *self.session;
        let is_first = self.progress.rounds[0].is_empty();
        let mut is_over = false;
        trial.train_to(steps, &mut |done, loss| {
            let round = round as u64 + 1;
            let number = number as u64;
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
        let (choose, report) = answers.split_at(halves.choose.len());
        let entry = self.entry_of(id, round, &trial, choose, report)?;
        self.log(round, &entry)?;
        self.progress.rounds[round].push(entry);
        self.trials.insert(id, trial);
        self.tick()
    }

    fn entry_of(
        &self,
        candidate: usize,
        round: usize,
        trial: &Trial<'_>,
        choose: &[ImageOutcome],
        report: &[ImageOutcome],
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
        let state = self.state;
        let progress = &self.progress;
        self.session.tick(|| state(progress))
    }

    pub(super) fn finalist(&self, entry: &Entry) -> Finalist {
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
}
