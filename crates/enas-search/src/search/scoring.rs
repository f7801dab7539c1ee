//! Scores of arcs with the shared weights, and the selection of candidates at the end of a search.

use std::time::Instant;

use candle_core::Tensor;
use enas_arc::Arch;
use enas_child::Child;
use enas_run::config::SelectConfig;
use enas_run::error::Result;
use enas_run::evaluation::{Evaluation, even_batch};
use enas_run::non_finite::NonFinite;
use enas_run::paired::PairedDifference;
use enas_strategy::Space as _;

use super::state::Search;
use crate::child_epoch::ChildLoop as _;
use crate::observer::{Event, Phase};
use crate::select::{Candidate, Origin, Selection, better, contestants};
use crate::trial::outcomes_of;

/// Number of random arcs whose mean accuracy tells how far the shared weights are trained.
const PROBES: u64 = 3;

/// Quality of an arc with the shared weights, on the validation images that choices are made by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    pub(super) accuracy: f64,
    /// If candidates are ranked by it.
    pub(super) macro_f1: Option<f64>,
    /// Mean cross entropy in nats, if candidates for finals are ranked by it.
    pub(super) loss: Option<f64>,
}

impl Search<'_> {
    /// Scores the contestants one after the other until the time is up, and ranks them.
    pub(super) fn select(&mut self) -> Result<Selection<Arch>> {
        self.at.phase = Phase::Select;
        self.strategy.set_progress(1.0);
        if self.at.epochs == 0 {
            return Ok(Selection { candidates: Vec::new(), random: Vec::new() });
        }
        // Finals compare with trained random arcs instead: scores of shared weights say little about trained
        // networks.
        let random = if self.has_finals() { 0 } else { self.config.select.random };
        let arcs = contestants(
            &SelectConfig { random, ..self.config.select.clone() },
            self.strategy.favourite(),
            &mut |stream| self.strategy.propose_one(stream),
            &|stream| self.space.random(stream),
            self.seed,
        );
        let of_place = |(i, &accuracy)| {
            let macro_f1 = self.at.macro_f1s.get(i).copied();
            let loss = self.at.losses.get(i).copied();
            Score { accuracy, macro_f1, loss }
        };
        let done: Vec<Score> = self.at.scores.iter().enumerate().map(of_place).collect();
        // Contestants that were scored before an interruption are not scored again.
        let again = |((arc, origin), score): (&(Arch, Origin), Score)| self.candidate(arc, *origin, score);
        let mut scored = arcs.iter().zip(done).map(again).collect::<Result<Vec<_>>>()?;
        for (arc, origin) in &arcs[scored.len()..] {
            // Non-finite scores of a single arc do not end the run: that arc just ranks last.
            let (score, _) = self.timed_score(arc)?;
            self.at.scores.push(score.accuracy);
            self.at.macro_f1s.extend(score.macro_f1);
            self.at.losses.extend(score.loss);
            scored.push(self.candidate(arc, *origin, score)?);
            self.report_candidate(&scored, arcs.len())?;
            self.save_if_due()?;
            let after = self.reserve_for_finals() + self.reserve_for_follow_up();
            let needed = 3.0 * self.at.scoring.unwrap_or(0.0) + after;
            if self.session.budget.lacks(needed, self.session.run.seconds()) {
                tracing::warn!(
                    "the time limit ends the selection after {} of {} arcs",
                    scored.len(),
                    arcs.len()
                );
                break;
            }
        }
        Ok(Selection::rank(scored))
    }

    fn candidate(&self, arc: &Arch, origin: Origin, score: Score) -> Result<Candidate<Arch>> {
        let macs = self.child.macs(arc)?;
        let arc = arc.clone();
        let Score { accuracy, macro_f1, loss } = score;
        Ok(Candidate {
            arc,
            origin,
            valid_accuracy: accuracy,
            valid_macro_f1: macro_f1,
            valid_loss: loss,
            macs,
        })
    }

    fn report_candidate(&mut self, scored: &[Candidate<Arch>], total: usize) -> Result<()> {
        let of_policy = scored.iter().filter(|c| c.origin != Origin::Random);
        let best = of_policy.min_by(|a, b| better(a, b)).expect("the first is not a random one");
        let newest = scored.last().expect("one was just scored");
        self.session.run.log("candidate", scored.len() as u64, newest)?;
        self.session.observer.event(&Event::Selecting {
            done: scored.len(),
            total,
            best: best.valid_accuracy,
        });
        Ok(())
    }

    /// Difference between the best arc and the best random one, image by image.
    pub(super) fn difference(&self, selection: &Selection<Arch>) -> Result<Option<PairedDifference>> {
        let Some(random) = selection.best_random() else { return Ok(None) };
        let Some(found) = selection.best() else { return Ok(None) };
        let found = self.right(&found.arc)?;
        let random = self.right(&random.arc)?;
        Ok(Some(PairedDifference::of(&found, &random)))
    }

    /// [`Self::score`]; records the time it took for the planning of the rest.
    pub(super) fn timed_score(&mut self, arc: &Arch) -> Result<(Score, Option<NonFinite>)> {
        let began = Instant::now();
        let score = self.score(arc)?;
        self.at.scoring = Some(began.elapsed().as_secs_f64());
        Ok(score)
    }

    /// Score of an arc on the images that choices are made by, and the first class score that was not finite.
    fn score(&self, arc: &Arch) -> Result<(Score, Option<NonFinite>)> {
        let mut seen = Evaluation::new(&self.data.classes);
        let mut non_finite = None;
        let mut loss = 0.0;
        let mut total = 0.0;
        self.ask(arc, |logits, labels| {
            seen.count(logits, labels)?;
            let found = NonFinite::of_logits(logits)?;
            non_finite = non_finite.take().or(found);
            for (answer, label) in outcomes_of(logits, labels)?.iter().zip(labels.to_vec1()?) {
                let weight = f64::from(self.image_weights.of_label(label));
                loss += weight * f64::from(answer.loss);
                total += weight;
            }
            Ok(())
        })?;
        let macro_f1 = self.config.select.metric.macro_f1(&seen);
        // A loss that is not finite ranks last.
        let loss = Some(if total > 0.0 { loss / total } else { loss })
            .map(|loss| if loss.is_finite() { loss } else { f64::MAX });
        Ok((
            Score { accuracy: seen.accuracy(), macro_f1, loss: loss.filter(|_| self.has_finals()) },
            non_finite,
        ))
    }

    /// Mean accuracy of [`PROBES`] random arcs, the same in every epoch: a measure of the shared weights alone. The
    /// policy's most likely arc would measure the policy as well.
    pub(super) fn probe(&mut self) -> Result<(Score, Option<NonFinite>)> {
        let mut sum = 0.0;
        let mut non_finite = None;
        for number in 0..PROBES {
            let mut stream = self.seed.stream("search/probe", &[number]);
            let (score, found) = self.timed_score(&self.space.random(&mut stream))?;
            sum += score.accuracy;
            non_finite = non_finite.or(found);
        }
        Ok((Score { accuracy: sum / PROBES as f64, macro_f1: None, loss: None }, non_finite))
    }

    /// Whether the shared weights classify each validation image correctly with this arc, in a fixed order.
    fn right(&self, arc: &Arch) -> Result<Vec<bool>> {
        let mut right = Vec::with_capacity(self.halves.choose.len());
        self.ask(arc, |logits, labels| {
            let said = Child::classes(logits)?.to_vec1::<u32>()?;
            let labels = labels.to_vec1::<u32>()?;
            right.extend(said.into_iter().zip(labels).map(|(said, label)| said == label));
            Ok(())
        })?;
        Ok(right)
    }

    /// Calls `each` with logits `[n, classes]` and labels `[n]` (U32) for batches of the images that choices are made
    /// by.
    ///
    /// All callers get the same batches, without dropout. The images are shuffled, because the statistics of a batch
    /// normalise it.
    fn ask(&self, arc: &Arch, mut each: impl FnMut(&Tensor, &Tensor) -> Result<()>) -> Result<()> {
        let images = &self.halves.choose;
        for indices in images.chunks(even_batch(images.len(), self.config.run.eval_batch)) {
            let batch = self.valid.gather(indices.to_vec())?;
            let logits = self.child.logits(arc, batch.images(), self.child.norm_of_scores(), None)?;
            each(&logits, &batch.labels)?;
        }
        Ok(())
    }
}
