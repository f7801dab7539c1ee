//! The automatic run: from images to a model, by a first model, a search and a training, within a time limit.

mod config;
mod costs;
mod file;
mod folder;
mod network;
mod phases;
mod plan;

use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_run::auto::{AutoPhase, AutoPlan, FittedNetwork};
use enas_run::config::{RefitConfig, TrainConfig};
use enas_run::directory::run::Run;
use enas_run::error::{Error, Result};
use enas_run::memory::MemoryPlan;

pub use self::config::AutoConfig;
pub(crate) use self::costs::Costs;
use self::costs::of_training;
use self::file::read_result;
pub use self::folder::AutoRun;
pub use self::phases::AutoOutcome;
use self::phases::{Phases, Searched, Trained};
use self::plan::PhaseTime;
use crate::epoch::steps_per_epoch;
use crate::observer::{Event, Observer};
use crate::search::search;
use crate::train::train;

/// Trains a first model, searches, and trains the arc found; resumes where an earlier session stopped.
///
/// Load `data` with the search's configuration and seed, or by [`AutoRun::load_data`]. Even if the run ends early,
/// [`AutoRun::model_path`] holds the best model so far, from the first training steps on.
///
/// # Errors
/// [`Error::Interrupted`] with the run's folder if the observer asked to stop; otherwise the errors of [`search`] and
/// [`train`].
pub fn auto(
    config: &AutoConfig,
    data: &Dataset,
    run: &mut AutoRun,
    observer: &mut dyn Observer,
) -> Result<AutoOutcome> {
    let outcome = images_for_training(config, data, run)
        .and_then(|images| Auto { config, data, images, run, observer }.phases());
    match (outcome, run.store_best_model(data.valid.len())) {
        (Ok(phases), best) => phases.outcome(run, best?.unwrap_or(AutoPhase::Train)),
        (Err(Error::Interrupted { .. }), Ok(_)) => Err(Error::Interrupted { run: run.dir().to_owned() }),
        // The first error is reported, not one that follows from it.
        (Err(error), _) => Err(error),
    }
}

struct Auto<'a> {
    config: &'a AutoConfig,
    /// The images with the search's augmentation.
    data: &'a Dataset,
    /// The images with the trainings' augmentation.
    images: Dataset,
    run: &'a mut AutoRun,
    observer: &'a mut dyn Observer,
}

/// The images with the augmentation of the trainings, which may differ from the search's.
fn images_for_training(config: &AutoConfig, data: &Dataset, run: &AutoRun) -> Result<Dataset> {
    let AutoConfig { search, train, .. } = config;
    let augment = search.data.augment.clone();
    let sampling = search.data.sampling;
    let are_the_same = enas_data::Config { augment, sampling, ..train.data.clone() } == search.data;
    match data.with_augmentation(&train.data).filter(|_| are_the_same) {
        Some(images) => Ok(images),
        None => run.load(&train.data, train.run.seed()),
    }
}

impl Auto<'_> {
    fn phases(&mut self) -> Result<Phases> {
        let seed = self.config.search.run.seed();
        let random = Arc::random(self.config.search.child.nodes, &mut seed.stream("auto/first", &[]));
        let plan = self.plan(&random)?;
        if !plan.searches {
            return self.train_cell(&plan);
        }
        let epochs = self.config.first_epochs();
        let first = self.train(AutoPhase::First, &random, epochs, |_| plan.first)?;
        let searched = self.search(plan.search)?;
        let epochs = self.config.train.run.epochs;
        // The training gets all the time that the other phases have left.
        let rest = |auto: &Self| auto.left() - plan.finish;
        let trained = self.train(AutoPhase::Train, &searched.arc, epochs, rest)?;
        Ok(Phases { first: Some(first), trained: Some(trained), searched: Some(searched) })
    }

    /// Trains the given cell, or the ready one, for the whole time.
    fn train_cell(&mut self, plan: &AutoPlan) -> Result<Phases> {
        let epochs = self.config.train.run.epochs;
        let finish = plan.finish;
        let cell = self.config.cell_for(self.data.train.len());
        let _: Trained = self.train(AutoPhase::Train, &cell, epochs, |auto| auto.left() - finish)?;
        Ok(Phases::default())
    }

    /// The plan: made in the first session, kept in later ones.
    fn plan(&mut self, arc: &Arc) -> Result<AutoPlan> {
        let plan = match self.run.plan() {
            Some(plan) => plan,
            None => {
                let plan = self.new_plan(arc)?;
                let steps = steps_per_epoch(&self.images.train, &self.config.train.run);
                plan::report_short_limit(&plan, self.run.seconds(), self.left(), steps);
                self.run.set_plan(plan)?;
                plan
            }
        };
        self.observer.event(&Event::Planned(&plan));
        Ok(plan)
    }

    /// Measures the network that is trained without a search; if there is a search, the networks of its phases.
    ///
    /// `random` stands for the architectures that a search samples and finds.
    fn new_plan(&self, random: &Arc) -> Result<AutoPlan> {
        let gpu = self.run.gpu();
        let memory = self.run.memory();
        let images = self.data.train.len();
        let (network, costs) = self.network_without_search()?;
        if !self.config.searches(images, self.left() / costs.step) {
            return Ok(AutoPlan { network, ..self.plan_of_training(&costs) });
        }
        let limit = self.config.time.0.map(|limit| limit.as_secs_f64());
        let mut sized = self.config.clone();
        if let Some(network) = network {
            network.apply(&mut sized.train, random);
        }
        let work = costs::measure(&sized, random, self.data, &self.images, gpu, memory)?;
        let possible_steps = Some(self.left().max(0.0) / work.step);
        let plan = plan::divide(limit, self.run.seconds(), &work, sized.finish);
        Ok(AutoPlan { network, possible_steps, ..plan })
    }

    /// The measured costs of the cell that is trained without a search, and its size if that is fitted to the time.
    fn network_without_search(&self) -> Result<(Option<FittedNetwork>, Costs)> {
        let AutoConfig { train, finish, fits_network, .. } = self.config;
        let gpu = self.run.gpu();
        let memory = self.run.memory();
        let cell = self.config.cell_for(self.data.train.len());
        if *fits_network {
            let seconds = self.left().min(UNLIMITED) - finish;
            let (fitted, costs) = network::fit(train, &cell, &self.images, gpu, memory, seconds)?;
            return Ok((Some(fitted), costs));
        }
        Ok((None, network::costs(train, &cell, &self.images, gpu, memory)?))
    }

    /// The plan of a training without a search, of a network with these costs.
    fn plan_of_training(&self, costs: &Costs) -> AutoPlan {
        let AutoConfig { train, finish, time, .. } = self.config;
        let predict =
            costs.forward * (self.data.valid.len() + self.data.test.len() + costs::EXPLAINED) as f64;
        let work = of_training(train, train.run.epochs, costs, &self.images);
        let limit = time.0.map(|limit| limit.as_secs_f64());
        let possible_steps = Some(self.left().max(0.0) / costs.step);
        AutoPlan { possible_steps, ..plan::without_search(limit, self.run.seconds(), work, finish + predict) }
    }

    fn search(&mut self, seconds: f64) -> Result<Searched> {
        self.begin(AutoPhase::Search)?;
        let mut config = self.config.search.clone();
        if let Some(network) = self.run.plan().and_then(|plan| plan.network) {
            // The finals train networks of the same size as the final training.
            (config.finals.filters, config.finals.layers) = (Some(network.filters), Some(network.layers));
        }
        let time = self.time_of(seconds);
        config.run.time = time.limit;
        let data = self.data;
        let mut run =
            self.run.phase_run(AutoPhase::Search, |dir| Run::for_search(Some(dir), &config, data))?;
        run.set_follow_up(time.follow_up);
        if !run.best_arc_path().exists() {
            search(&run.config()?, data, &mut run, self.observer)?;
        }
        read_result(&run.best_arc_path())
    }

    /// Trains `arc` for `epochs`, or for as many as fit into `seconds`, which is evaluated when the phase begins.
    fn train(
        &mut self,
        phase: AutoPhase,
        arc: &Arc,
        epochs: u64,
        seconds: impl FnOnce(&Self) -> f64,
    ) -> Result<Trained> {
        self.begin(phase)?;
        let mut config = self.config.train.clone();
        config.child.nodes = arc.n_nodes();
        if let Some(network) = self.run.plan().and_then(|plan| plan.network) {
            network.apply(&mut config, arc);
        }
        config.run.epochs = epochs;
        if phase == AutoPhase::First {
            config.refit = RefitConfig::default();
        }
        let time = self.time_of(seconds(self));
        config.run.time = time.limit;
        let data = &self.images;
        let mut run = self.run.phase_run(phase, |dir| Run::for_training(Some(dir), &config, arc, data))?;
        run.set_follow_up(time.follow_up);
        if phase == AutoPhase::Train && self.run.plan().is_some_and(|plan| plan.searches) {
            run.set_search(&self.run.phase_dir(AutoPhase::Search))?;
        }
        if !run.best_arc_path().exists() {
            train(&run.config()?, arc, data, &mut run, self.observer)?;
        }
        self.run.store_best_model(self.data.valid.len())?;
        read_result(&run.best_arc_path())
    }

    fn begin(&mut self, phase: AutoPhase) -> Result<()> {
        if self.observer.should_stop() {
            return Err(Error::Interrupted { run: self.run.dir().to_owned() });
        }
        self.observer.event(&Event::Phase(phase));
        Ok(())
    }

    /// Seconds until the time limit; infinite without one.
    fn left(&self) -> f64 {
        self.config.time.0.map_or(f64::INFINITY, |limit| limit.as_secs_f64() - self.run.seconds())
    }

    /// The time of a phase; no limit if the run has none.
    fn time_of(&self, seconds: f64) -> PhaseTime {
        PhaseTime::of(self.config.time.0.map(|_| seconds))
    }
}

/// Fits the size of the network (`child.filters`, `child.layers`) to `seconds` of training, and sets it in `config`.
/// The time of a few steps is measured on this machine.
///
/// # Errors
/// Errors of the network, the images or the GPU.
pub fn fit_network(
    config: &mut TrainConfig,
    arc: &Arc,
    data: &Dataset,
    gpu: Option<&Gpu>,
    memory: Option<&MemoryPlan>,
    seconds: f64,
) -> Result<FittedNetwork> {
    let (fitted, _) = network::fit(config, arc, data, gpu, memory, seconds)?;
    fitted.apply(config, arc);
    Ok(fitted)
}

/// Seconds that the size of the network is fitted to if there is no limit: half an hour.
const UNLIMITED: f64 = 1800.0;
