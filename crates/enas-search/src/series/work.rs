//! The trainings of a series, one by one or in parallel.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use enas_data::Dataset;
use enas_run::config::{RefitConfig, TimeLimit, TrainConfig};
use enas_run::error::{Error, Result};

use super::outcome::{MemberOutcome, SeriesOutcome, median};
use super::{Member, SeriesRun};
use crate::observer::{Event, Observer};
use crate::train::{TrainOutcome, train};

/// Observers for the trainings of a series: one for each, made on the thread that trains.
pub trait Observers: Sync {
    /// The observer of one training.
    fn of(&self, member: Member) -> Box<dyn Observer + '_>;
}

/// No observer.
impl Observers for () {
    fn of(&self, _: Member) -> Box<dyn Observer + '_> {
        Box::new(())
    }
}

/// Trains the arc of `run` once per seed or fold, and copies the files of the median training into the folder.
///
/// Load `data` with `config.run.seed()`; seeds use its splits, folds divide all of its images anew. The time limit is
/// shared equally. `jobs` trainings run in parallel, or as many as fit into memory ([`SeriesRun::jobs`]); they share
/// the threads. Results and files do not depend on the number of jobs, byte for byte.
///
/// # Errors
/// Errors of [`train()`]; [`Error::Interrupted`] names the folder of the series. An error stops the other trainings;
/// they continue when the series is resumed.
pub fn train_series(
    config: &TrainConfig,
    data: &Dataset,
    run: &SeriesRun,
    observers: &dyn Observers,
    jobs: usize,
) -> Result<SeriesOutcome> {
    let members = run.members();
    let jobs = run.jobs(jobs);
    let rounds = members.len().div_ceil(jobs) as u32;
    let work = Work { config, data, run, observers, rounds, stop: AtomicBool::new(false) };
    let results = if jobs == 1 { work.one_by_one(&members) } else { work.side_by_side(&members, jobs)? };
    let trained = gathered(results).map_err(|error| match error {
        Error::Interrupted { .. } => Error::Interrupted { run: run.dir.clone() },
        other => other,
    })?;
    let (members, outcomes): (Vec<MemberOutcome>, Vec<TrainOutcome>) = trained.into_iter().unzip();
    let place = median(&members);
    let delivered = run.deliver(&outcomes[place])?;
    Ok(SeriesOutcome::new(members, place, delivered))
}

type Trained = (MemberOutcome, TrainOutcome);

struct Work<'a> {
    config: &'a TrainConfig,
    data: &'a Dataset,
    run: &'a SeriesRun,
    observers: &'a dyn Observers,
    /// Number of trainings that one thread pool runs after each other.
    rounds: u32,
    /// Set once a training failed: the others should stop.
    stop: AtomicBool,
}

impl Work<'_> {
    fn one_by_one(&self, members: &[Member]) -> Vec<Option<Result<Trained>>> {
        let mut results = Vec::new();
        for member in members {
            let result = self.train(*member, None);
            let failed = result.is_err();
            results.push(Some(result));
            if failed {
                break;
            }
        }
        results
    }

    /// Each of `jobs` threads repeatedly takes the next training, until none is left.
    fn side_by_side(&self, members: &[Member], jobs: usize) -> Result<Vec<Option<Result<Trained>>>> {
        let threads = (rayon::current_num_threads() / jobs).max(1);
        let pool = || rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pools = (0..jobs).map(|_| pool()).collect::<Result<Vec<_>, _>>();
        let pools = pools.map_err(|error| Error::Mismatch(format!("cannot start {jobs} jobs: {error}")))?;
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<Result<Trained>>>> = Mutex::new(members.iter().map(|_| None).collect());
        let next = &next;
        let shared = &results;
        thread::scope(|scope| {
            for pool in &pools {
                scope.spawn(move || {
                    while !self.stop.load(Ordering::SeqCst) {
                        let place = next.fetch_add(1, Ordering::SeqCst);
                        let Some(member) = members.get(place) else { return };
                        let result = self.train(*member, Some(pool));
                        if result.is_err() {
                            self.stop.store(true, Ordering::SeqCst);
                        }
                        shared.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(result);
                    }
                });
            }
        });
        Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs one training, on the threads of `pool` or of the caller. The caller's pool prepares it in both cases, so
    /// that the manifest does not depend on the number of jobs.
    fn train(&self, member: Member, pool: Option<&rayon::ThreadPool>) -> Result<Trained> {
        let began = Instant::now();
        let config = of_member(self.config, member, self.rounds);
        let (mut training, own) = self.run.of_member(member, &config, self.data)?;
        training.count_before(self.run.before / self.rounds + began.elapsed());
        let arc = self.run.arc();
        let mut work = || {
            let mut observer = Stoppable { inner: self.observers.of(member), stop: &self.stop };
            train(&config, arc, &own, &mut training, &mut observer)
        };
        let outcome = match pool {
            Some(pool) => pool.install(work),
            None => work(),
        }?;
        let TrainOutcome { valid_accuracy, test_accuracy, .. } = outcome;
        let test_total = own.test.len() as u64;
        Ok((MemberOutcome { member, valid_accuracy, test_accuracy, test_total }, outcome))
    }
}

/// All trainings; or the error that caused the stop, rather than an interruption that followed from it.
fn gathered(results: Vec<Option<Result<Trained>>>) -> Result<Vec<Trained>> {
    let mut trained = Vec::new();
    let mut interrupted = None;
    for result in results.into_iter().flatten() {
        match result {
            Ok(one) => trained.push(one),
            Err(error @ Error::Interrupted { .. }) => interrupted = Some(error),
            Err(error) => return Err(error),
        }
    }
    interrupted.map_or(Ok(trained), Err)
}

/// The settings of one training. The time limit is divided by `rounds`.
fn of_member(config: &TrainConfig, member: Member, rounds: u32) -> TrainConfig {
    let mut config = config.clone();
    match member {
        Member::Seed(seed) => config.run.seed = seed,
        // Cross-validation measures a training recipe; its networks are not kept for use, so a refit is pointless.
        Member::Fold(_) => config.refit = RefitConfig::default(),
    }
    let share = |limit: Duration| Duration::from_secs((limit / rounds).as_secs().max(1));
    config.run.time = TimeLimit(config.run.time.0.map(share));
    config
}

/// An observer that also stops once another training has failed.
struct Stoppable<'a> {
    inner: Box<dyn Observer + 'a>,
    stop: &'a AtomicBool,
}

impl Observer for Stoppable<'_> {
    fn event(&mut self, event: &Event<'_>) {
        self.inner.event(event);
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.inner.should_stop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_run::config::ConfigBuilder;

    #[test]
    fn a_time_limit_is_shared_out() {
        let config: TrainConfig = ConfigBuilder::preset("quick").set("run.time=10s").load().unwrap();
        let of_three = of_member(&config, Member::Seed(9), 3);
        assert_eq!((of_three.run.seed, of_three.run.time.to_string()), (9, "3s".to_owned()));
        assert_eq!(of_member(&config, Member::Fold(2), 3).run.seed, config.run.seed);
    }

    #[test]
    fn the_error_that_stopped_all_is_told_and_not_the_interruption_of_another() {
        let interrupted = || Some(Err(Error::Interrupted { run: "a".into() }));
        let real = || Some(Err(Error::Mismatch("lost".into())));
        assert!(matches!(gathered(vec![interrupted(), None, real()]), Err(Error::Mismatch(_))));
        assert!(matches!(gathered(vec![None, interrupted()]), Err(Error::Interrupted { .. })));
    }
}
