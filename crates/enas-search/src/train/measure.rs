//! Measurements of a network in training, and the model file that keeps it.

use enas_arc::Arch;
use enas_child::MacroConfig;

use super::measured::Measured;
use super::outcome::{Refit, TrainOutcome};
use super::state::Training;
use crate::observer::{EpochSummary, Event};
use enas_run::config::{Keep, RefitImages};
use enas_run::error::{Error, Result};
use enas_run::files::safetensors::NamedTensor;
use enas_run::memory::MemoryPlan;
use enas_run::model::{self, Accuracies, EvalOptions, Measure, ModelMetadata};
use enas_run::network::{Network, cells};

impl Training<'_> {
    /// Measures the network on the validation split, writes the model file if this epoch is kept, and reports.
    pub(super) fn measure(&mut self) -> Result<()> {
        let classes = &self.data.classes;
        let asking = self.asking();
        let (seen, non_finite) = model::evaluate(&self.child, self.arc, classes, &self.valid, asking)?;
        if let Some(non_finite) = non_finite {
            return Err(non_finite.at(self.at.epoch + 1, self.at.step).into());
        }
        let valid_accuracy = seen.accuracy();
        let macro_f1 = self.config.metric.macro_f1(&seen);
        let (found, best) = match macro_f1 {
            Some(f1) => (f1, self.at.best_macro_f1.unwrap_or(0.0)),
            None => (valid_accuracy, self.at.best_valid_accuracy),
        };
        // A tie keeps the later epoch, but it counts as no improvement for early stopping.
        if self.config.keep == Keep::Last || found >= best {
            model::save(&self.session.run.model_path(), &self.child, &self.about(valid_accuracy))?;
        }
        self.at.since_best = if found > best { 0 } else { self.at.since_best + 1 };
        self.at.best_valid_accuracy = self.at.best_valid_accuracy.max(valid_accuracy);
        self.at.best_macro_f1 = [macro_f1, self.at.best_macro_f1].into_iter().flatten().reduce(f64::max);
        self.report(Some(valid_accuracy), macro_f1)
    }

    /// Reports the epoch; accuracies are `None` if the network was not measured.
    pub(super) fn report(&mut self, valid_accuracy: Option<f64>, macro_f1: Option<f64>) -> Result<()> {
        self.at.train_loss = self.at.tally.loss();
        let summary = self.summary(valid_accuracy, macro_f1);
        self.session.epoch(&summary)
    }

    fn summary(&self, valid_accuracy: Option<f64>, valid_macro_f1: Option<f64>) -> EpochSummary {
        EpochSummary {
            epoch: self.at.epoch + 1,
            epochs: self.at.epochs,
            lr: self.lr(self.steps()),
            loss: self.at.tally.loss(),
            train_accuracy: self.at.tally.accuracy(),
            valid_accuracy,
            best_valid_accuracy: self.at.best_valid_accuracy,
            valid_macro_f1,
            policy: None,
            seconds: self.session.run.seconds() - self.at.epoch_began,
            waited_seconds: self.waited.as_secs_f64(),
        }
    }

    /// Returns the error. An interruption before any model was written writes the present network first.
    pub(super) fn leave_a_model(&mut self, stopped: Error) -> Result<()> {
        let path = self.session.run.model_path();
        if matches!(stopped, Error::Interrupted { .. }) && !path.exists() {
            self.refine()?;
            let classes = &self.data.classes;
            let asking = self.asking();
            let accuracy = model::evaluate(&self.child, self.arc, classes, &self.valid, asking)?.0.accuracy();
            model::save(&path, &self.child, &self.about(accuracy))?;
        }
        Err(stopped)
    }

    /// Replaces the weights in training by the refined ones. [`Child::load`] restores the former.
    fn refine(&mut self) -> Result<()> {
        let Some(refinement) = &self.refinement else { return Ok(()) };
        let what = "run.bn_reestimate";
        refinement.apply(self.child.cells(what)?, cells(self.arc, what)?, &self.train)
    }

    /// Runs `work` on the refined network, then restores `tensors`, the state in training.
    pub(super) fn refined(
        &mut self,
        tensors: &[NamedTensor],
        work: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.refine()?;
        work(self)?;
        if self.refinement.is_some() {
            self.child.load(tensors)?;
        }
        Ok(())
    }

    /// Measures the kept model on the test split. Nothing else uses that split.
    pub(super) fn finish(self) -> Result<TrainOutcome<Arch>> {
        let eval_batch = self.eval_batch();
        let fitted = self.train.split().len();
        let Self { config, arc, data, child, at, session, .. } = self;
        let model = session.run.model_path();
        let images = config.refit.images;
        let (valid_accuracy, test_accuracy, test_macro_f1, test_balanced) = match (&at.measured, images) {
            (Some(measured), RefitImages::All) => {
                let Measured { accuracy, test_macro_f1, test_balanced, .. } = measured;
                (accuracy.valid, accuracy.test.unwrap_or_default(), *test_macro_f1, *test_balanced)
            }
            (measured, _) => {
                let splits = if measured.is_some() { Measure::Test } else { Measure::Both };
                let (valid, tested) = model::conclude(&model, data, child.gpu(), eval_batch, splits)?;
                (valid, tested.accuracy(), tested.macro_f1(), Some(tested.balanced()))
            }
        };
        let refit = at.measured.map(|measured| Refit {
            images,
            fitted,
            epochs: at.epoch - measured.epochs,
            measured_test_accuracy: measured.accuracy.test.unwrap_or_default(),
        });
        let outcome = TrainOutcome {
            run: session.run.dir().to_owned(),
            model,
            arc: arc.clone(),
            train_loss: at.train_loss,
            valid_accuracy,
            test_accuracy,
            test_macro_f1,
            test_balanced,
            refit,
            epochs: at.epoch,
            ended: at.ended(&config.run),
            seconds: session.run.seconds(),
            params: child.n_params(),
            macs: child.macs(arc)?,
        };
        session.run.log("result", outcome.epochs, &outcome.result_summary(config.metric))?;
        session.run.conclude()?;
        // Written last: this file marks the run as finished.
        session.run.write_best_arc(arc, &outcome.result_summary(config.metric))?;
        session.observer.event(&Event::Finished { valid_accuracy });
        Ok(outcome)
    }

    pub(super) fn about(&self, valid: f64) -> ModelMetadata {
        ModelMetadata {
            enas_model: model::FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            arc: self.arc.clone(),
            classes: self.data.classes.clone(),
            child: self.config.child.clone(),
            macro_net: self.macro_net(),
            data: self.config.data.clone().with_white(self.data.white),
            seed: self.config.run.seed,
            normalization: self.data.normalization.clone(),
            eval_batch: self.config.run.eval_batch,
            tta: self.config.run.tta,
            accuracy: Accuracies { valid, test: None },
            temperature: None,
            refit: None,
        }
    }

    /// Settings of the macro network; `None` for a network of cells.
    fn macro_net(&self) -> Option<MacroConfig> {
        match &self.child {
            Network::Micro(_) => None,
            Network::Macro(child) => Some(child.config().clone()),
        }
    }

    /// Images per evaluation step: the setting, or less if memory is short. The size does not change results, because
    /// evaluation uses the moving statistics.
    pub(super) fn eval_batch(&self) -> usize {
        MemoryPlan::infer_batch(self.session.run.memory(), self.config.run.eval_batch)
    }

    fn asking(&self) -> EvalOptions {
        EvalOptions { eval_batch: self.eval_batch(), tta: self.config.run.tta }
    }
}
