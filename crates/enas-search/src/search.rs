//! The search loop: trains shared weights ω and a strategy in turns, then chooses an architecture.
//!
//! With the published strategy, an LSTM policy π(m; θ), this is the algorithm of Pham et al. (ICML 2018,
//! arXiv:1802.03268, section 2.2). Each epoch has its two phases, as in the authors' code (`src/cifar10/main.py`):
//!
//! ```text
//! phase 1   train ω on the training split, θ fixed       every minibatch has its own m ~ π(m; θ)   main.py:246-253
//! phase 2   train θ on the validation split, ω fixed     REINFORCE on the rewards R(m, ω)          main.py:275-307
//! ```
//!
//! Four steps are additions, and each can be switched off:
//!
//! - warm-up: before the first reward, ω is trained with architectures that are drawn fairly ([`warmup`]);
//! - other strategies: evolution or random draws can replace the policy ([`strategy`]);
//! - collapse: a policy that always proposes the same is started anew ([`collapse`]);
//! - finals: the best candidates are trained alone, without shared weights ([`crate::finals`]).

mod choice;
mod collapse;
mod learning;
mod oracle;
mod outcome;
mod progress;
mod report;
mod scoring;
mod space;
mod state;
mod strategy;
mod warmup;

use enas_arc::{Arch, SpaceKind};
use enas_data::Dataset;

pub use self::outcome::SearchOutcome;
pub(crate) use self::space::canonical;

use self::progress::Progress;
use self::state::Search;
use crate::child_epoch::{ChildLoop as _, go_back, train_child};
use crate::observer::{Observer, Phase};
use crate::session::Session;
use enas_run::config::SearchConfig;
use enas_run::directory::run::{Run, SaveReason, State};
use enas_run::error::{Error, Result};

/// Searches the micro space for an arc: trains shared weights ω and a strategy in turns, then chooses.
///
/// Resumes from the newest checkpoint if `run` has one. Load `data` with `config.run.seed()`, or by
/// [`Run::load_data`].
///
/// # Errors
/// - [`Error::CellsOnly`] if the settings name the macro space.
/// - [`Error::Interrupted`] if the observer asked to stop. A checkpoint was written.
/// - [`Error::Diverged`] if numbers stopped being finite although the run had gone back once.
/// - Errors of data, network, controller and disk.
pub fn search(
    config: &SearchConfig,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<SearchOutcome> {
    if config.space() != SpaceKind::Micro {
        return Err(Error::CellsOnly("this command"));
    }
    Ok(search_any(config, data, run, observer)?.of_cells())
}

/// [`search`] in the space that the settings name.
///
/// # Errors
/// As [`search`], but the macro space is allowed.
pub fn search_any(
    config: &SearchConfig,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<SearchOutcome<Arch>> {
    let mut search = Search::start_or_resume(config, data, Session::new(&config.run, run, observer))?;
    // Phases 1 and 2 alternate; then the best proposals are compared, and one is chosen.
    while search.at.epoch < search.at.epochs {
        search.epoch().or_else(|error| go_back(&mut search, error))?;
    }
    let selection = search.select()?;
    let finals = search.finals(&selection)?;
    search.finish(selection, finals)
}

impl Search<'_> {
    fn epoch(&mut self) -> Result<()> {
        self.strategy.set_progress(self.progress());
        // Phase 1: train ω on the training split, θ fixed. The gradient ∇_ω E[L(m; ω)] over m ~ π(m; θ) is estimated
        // with one architecture per minibatch (M = 1 in the paper).
        if self.at.phase == Phase::Child {
            self.waited = train_child(self)?;
            self.at.enter(Phase::Controller);
        }
        // Phase 2: train θ on the validation split, ω fixed. A policy makes one REINFORCE update per step, along
        // ∇_θ E[R(m, ω)] ≈ mean over i of ∇_θ ln π(m_i; θ)·(R(m_i, ω) - b) with a moving-average baseline b
        // (micro_controller.py:231-248).
        while self.strategy_is_due() && !self.is_out_of_time() {
            let arcs = self.propose(); // m_i ~ π(m; θ)
            let scores = self.score_with_shared_weights(&arcs)?; // R(m_i, ω)
            let update = self.update_strategy(arcs, scores)?; // θ moves along ∇_θ E[R(m, ω)]
            self.report_strategy_step(&update)?;
            self.save_if_due()?;
        }
        self.end_epoch()
    }

    /// Ends an epoch: measures the shared weights, reports, plans the remaining time and saves.
    fn end_epoch(&mut self) -> Result<()> {
        self.leave_a_collapsed_policy()?;
        // Collecting the state checks that it is finite, so nothing is reported of broken weights.
        let State { progress: Progress { population, .. }, tensors } = self.state()?;
        self.measure_shared_weights()?;

        // With a time limit, the past epochs tell how many more will fit in.
        let spent = self.session.run.seconds();
        let planned =
            self.session.budget.epochs(self.config.run.epochs, self.at.epoch + 1, spent, self.reserve());
        self.session.replan(self.at.epochs, planned);
        self.at.next_epoch(planned, spent, &self.space);
        let moment = if self.at.epoch < planned { SaveReason::EndOfEpoch } else { SaveReason::Forced };
        // The population was collected together with the tensors, before any later change.
        let progress = Progress { population, ..self.at.clone() };
        self.session.save(State { progress, tensors }, moment)
    }
}
