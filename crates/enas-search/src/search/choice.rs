//! The plan of a search with finals, and its final choice.

use enas_arc::Arch;
use enas_run::config::TrainConfig;
use enas_run::error::{Error, Result};
use enas_run::finals::FinalsOutcome;
use enas_run::network::{Network, cells};

use super::progress::{Progress, state};
use super::scoring::Score;
use super::state::{FINALS, Search};
use super::{SearchOutcome, collapse};
use crate::auto::Costs;
use crate::finals::{Finals, FinalsProgress, Task, recipe};
use crate::observer::{Event, SearchPlan};
use crate::select::Selection;

/// Name of the finals in the error that refuses them for the macro space.
const FINALS_OF_CELLS: &str = "a search with finals";
/// A search needs at least this many times the warm-up's steps; otherwise the policy has no time to learn.
const WARMUPS: u64 = 2;

impl Search<'_> {
    /// Decides whether there are enough steps for shared weights and a policy, and reports the plan. Without enough
    /// steps the search consists of the finals alone.
    pub(super) fn plan(&mut self) -> Result<()> {
        if !self.has_finals() {
            return Ok(());
        }
        let warmup_steps = self.warmup_steps();
        let wanted = self.at.epochs * self.child_steps();
        let steps = match self.session.budget.left(self.session.run.seconds()) {
            None => wanted,
            Some(seconds) => {
                wanted.min(((1.0 - FINALS) * seconds / self.seconds_per_step()?.max(1e-9)) as u64)
            }
        };
        // With fewer steps the shared weights cannot rank architectures. The search then consists of the finals.
        let shares_weights = self.config.finals.policy > 0 && steps >= WARMUPS * warmup_steps;
        if !shares_weights {
            self.at.epochs = 0;
        }
        let finals = &self.config.finals;
        let policy = if shares_weights { finals.policy } else { 0 };
        let plan = SearchPlan {
            shares_weights,
            steps,
            warmup_steps,
            candidates: policy + finals.wide + finals.random + finals.mutants,
            reporting: self.halves.report.len(),
        };
        self.session.observer.event(&Event::SearchPlanned(plan));
        Ok(())
    }

    /// Seconds per training step of the shared weights, measured with a network that is then dropped.
    fn seconds_per_step(&self) -> Result<f64> {
        let Network::Micro(child) = Network::shared(self.config, self.data)? else {
            return Err(Error::CellsOnly(FINALS_OF_CELLS));
        };
        let arc = enas_arc::Arc::random(self.config.child.nodes, &mut self.seed.stream("search/probe", &[0]));
        let gpu = self.child.gpu();
        Ok(Costs::of(child, &arc, &self.config.run, self.data, gpu)?.step)
    }

    /// Runs the finals: trains candidates alone and chooses among the trained networks. `None` if there are no
    /// finals.
    pub(super) fn finals(&mut self, selection: &Selection<Arch>) -> Result<Option<FinalsOutcome>> {
        if !self.has_finals() {
            return Ok(None);
        }
        let recipe: TrainConfig = recipe(self.config, self.child_steps());
        if self.at.finals.proposed.is_empty() {
            let best = selection.candidates.iter().take(self.config.finals.policy);
            let best = best.map(|candidate| cells(&candidate.arc, FINALS_OF_CELLS).cloned());
            self.at.finals.proposed = best.collect::<Result<_>>()?;
        }
        let gpu = self.child.gpu().cloned();
        let memory = self.session.run.memory().cloned();
        let task = Task {
            config: self.config,
            recipe: &recipe,
            data: self.data,
            halves: &self.halves,
            image_weights: &self.image_weights,
            gpu: gpu.as_ref(),
            memory: memory.as_ref(),
        };
        let at = &self.at;
        let child = &self.child;
        let strategy = &self.strategy;
        let state = |finals: &FinalsProgress| {
            let progress = Progress { finals: finals.clone(), ..at.clone() };
            state(&progress, child, strategy)
        };
        let finals = Finals::new(task, &mut self.session, &state, self.at.finals.clone())?;
        finals.run().map(Some)
    }

    pub(super) fn finish(
        mut self,
        selection: Selection<Arch>,
        finals: Option<FinalsOutcome>,
    ) -> Result<SearchOutcome<Arch>> {
        let difference = if finals.is_some() { None } else { self.difference(&selection)? };
        let (arc, Score { accuracy, macro_f1, .. }) = chosen(&selection, finals.as_ref());
        let random_valid_accuracy = match &finals {
            Some(finals) => finals.control.as_ref().map(|control| control.mean),
            None => selection.random_accuracy(),
        };
        self.strategy.set_progress(1.0);
        let learned = self.strategy.has_learned().then_some(&mut self.strategy);
        let warnings = collapse::warnings(&arc, &self.space, learned, self.seed);
        let Self { child, at, session, .. } = self;
        let outcome = SearchOutcome {
            run: session.run.dir().to_owned(),
            valid_accuracy: accuracy,
            valid_macro_f1: macro_f1,
            random_valid_accuracy,
            difference,
            warnings,
            epochs: at.epoch,
            seconds: session.run.seconds(),
            params: child.n_params(),
            macs: child.macs(&arc)?,
            arc,
            selection,
            finals,
        };
        let result_summary = outcome.result_summary().without_times();
        session.run.log("result", outcome.epochs, &result_summary)?;
        session.run.conclude()?;
        // Written last: this file marks the run as finished.
        session.run.write_best_arc(&outcome.arc, &result_summary)?;
        let SearchOutcome { valid_accuracy, .. } = &outcome;
        session.observer.event(&Event::Finished { valid_accuracy: *valid_accuracy });
        Ok(outcome)
    }
}

/// The architecture that a search chose, and its score.
fn chosen(selection: &Selection<Arch>, finals: Option<&FinalsOutcome>) -> (Arch, Score) {
    match finals {
        Some(finals) => {
            let accuracy = finals.balanced().valid_report;
            (finals.picks.balanced.clone().into(), Score { accuracy, macro_f1: None, loss: None })
        }
        None => {
            let best = selection.best().expect("without finals at least one architecture is always scored");
            let accuracy = best.valid_accuracy;
            let macro_f1 = best.valid_macro_f1;
            (best.arc.clone(), Score { accuracy, macro_f1, loss: None })
        }
    }
}
