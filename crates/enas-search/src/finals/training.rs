//! The training of one candidate of the finals, and the record of its result.

use std::time::Instant;

use enas_run::error::Result;
use enas_run::finals::Finalist;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::candidates::{Candidate, latency_ms};
use super::progress::{Details, Entry, Weighted};
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
        let is_first = self.progress.rounds[0].is_empty();
        let mut is_over = false;
        let reserve = self.reserve();
        let known = self.step_seconds();
        // A network that is cut short is measured only if it is the first.
        let measuring = if is_first { self.measuring(1.0) } else { 0.0 };
        let Session { observer, run, budget, .. } = &mut *self.session;
        trial.train_to(steps, &mut |done, loss| {
            let round = round as u64 + 1;
            let number = number as u64;
            observer.event(&Event::Trial { round, number, of: of as u64, step: done, steps, loss });
            let mean = || began.elapsed().as_secs_f64() / (done - before).max(1) as f64;
            let one = if known > 0.0 { known } else { mean() };
            // A step that would end after the limit is not begun.
            is_over = budget.lacks(reserve + one * (1.0 + measuring), run.seconds());
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
        self.progress.record(round, entry, choose.iter().map(|answer| answer.is_right));
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
                    choose_losses: self.weighted_losses(choose),
                    right: report.iter().map(|answer| answer.is_right).collect(),
                    latency_ms: latency_ms(trial.child(), trial.arc())?,
                })
            })
            .transpose()?;
        let valid = [accuracy(choose), accuracy(report)];
        let choose = Some(self.weighted(choose)).filter(|means| means.loss.is_finite());
        Ok(Entry { candidate, steps: trial.steps(), score, valid, choose, details })
    }

    /// Loss and accuracy on the choosing half with the weights of the images.
    fn weighted(&self, choose: &[ImageOutcome]) -> Weighted {
        let Task { data, halves, image_weights, .. } = self.task;
        let mut weights = 0.0;
        let mut loss = 0.0;
        let mut right = 0.0;
        for (answer, &image) in choose.iter().zip(&halves.choose) {
            let weight = f64::from(image_weights.of_label(data.valid.labels()[image]));
            weights += weight;
            loss += weight * f64::from(answer.loss);
            right += weight * f64::from(u8::from(answer.is_right));
        }
        let weights = f64::max(weights, f64::MIN_POSITIVE);
        Weighted { loss: loss / weights, accuracy: right / weights }
    }

    /// The losses of the choosing half, each times the weight of its image.
    fn weighted_losses(&self, choose: &[ImageOutcome]) -> Vec<f32> {
        let Task { data, halves, image_weights, .. } = self.task;
        let labels = halves.choose.iter().map(|&image| data.valid.labels()[image]);
        choose.iter().zip(labels).map(|(answer, label)| image_weights.of_label(label) * answer.loss).collect()
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
