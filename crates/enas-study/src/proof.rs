//! Whether what a search claims of itself holds when its trainings are repeated with other seeds.

use std::collections::BTreeSet;

use enas_arc::Arc;
use enas_data::{Dataset, Seed};
use enas_kernels::gpu::Gpu;
use enas_search::{Error, Gain, MemoryPlan, Record, Result, SearchConfig, Source, train_as_finalist};
use enas_stats::{Estimate, welch_interval};
use serde::Serialize;

use crate::summary::Verdict;

/// Draws for each random architecture that is wanted.
const PATIENCE: u64 = 50;

/// What a search claims: that the architecture found is better than random ones with the same training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// The architecture found.
    pub arc: Arc,
    /// Steps of the training that it was compared by.
    pub steps: u64,
    /// The random architectures that had the same training.
    pub random: Vec<Arc>,
    /// By how many points it was better, on validation images, by the search's own seed.
    pub gain: Gain,
}

/// What repeating it came to. Accuracies are of the test images, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// Whether the architecture found is better than random ones: the interval lies above zero.
    pub holds: bool,
    /// What the repeated trainings say.
    pub verdict: Verdict,
    /// By how many points the architecture found is better, with the 95 % interval over seeds and architectures.
    pub gain_points: Estimate,
    /// The architecture found, seed by seed.
    pub found: Vec<f64>,
    /// The random architectures.
    pub random: Vec<f64>,
    /// Test images.
    pub images: usize,
    /// What the search claimed.
    pub claim: Claim,
}

/// How much a proof does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Trainings of the architecture found, each with another seed; 2 or more.
    pub seeds: u64,
    /// Random architectures, each trained once: those of the search, then others; 2 or more.
    pub random: usize,
}

impl Claim {
    /// What a finished search claims; `None` if that is nothing: it compared with nothing, or found no measurable difference.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] for a run that is not a finished search.
    pub fn of(record: &Record) -> Result<Option<Self>> {
        let Some(finals) = record.finals()? else { return Ok(None) };
        let Some(gain) = finals.gain.filter(|gain| gain.low > 0.0) else { return Ok(None) };
        let found = finals.balanced();
        let is_control = |other: &&enas_search::Finalist| {
            other.origin == Source::Random && other.steps == found.steps && other.arc != found.arc
        };
        let random = finals.finalists.iter().filter(is_control).map(|other| other.arc.clone()).collect();
        Ok(Some(Self { arc: found.arc.clone(), steps: found.steps, random, gain }))
    }

    /// Random architectures to compare with: those of the search, then others by lot. A search with limits compared within
    /// them, and so does this.
    fn rivals(&self, wanted: usize, config: &SearchConfig) -> Vec<Arc> {
        let mut seen = BTreeSet::from([self.arc.canonical()]);
        let mut rivals = self.random.clone();
        rivals.retain(|arc| seen.insert(arc.canonical()));
        rivals.truncate(wanted);
        if !config.limits.is_empty() {
            return rivals;
        }
        let draws = PATIENCE * wanted as u64;
        let draw = |i| Arc::random(self.arc.n_nodes(), &mut config.run.seed().stream("prove/random", &[i]));
        let others = (0..draws).map(draw).filter(|arc| seen.insert(arc.canonical()));
        let missing = wanted - rivals.len();
        rivals.extend(others.take(missing));
        rivals
    }

    /// Repeats the trainings of the claim with other seeds. `goes_on` is asked often, with trainings done, trainings in all,
    /// and the share of the present one; where it says no, there is no result.
    ///
    /// `data` are the images of the search in its splits.
    ///
    /// # Errors
    /// Whatever images and device report; [`Error::Mismatch`] if there are too few architectures to compare with.
    pub fn prove(
        &self,
        config: &SearchConfig,
        data: &Dataset,
        (gpu, memory): (Option<&Gpu>, Option<&MemoryPlan>),
        effort: Effort,
        goes_on: &mut dyn FnMut(usize, usize, f64) -> bool,
    ) -> Result<Option<Proof>> {
        let rivals = self.rivals(effort.random, config);
        if rivals.len() < 2 || effort.seeds < 2 {
            let what = "two random architectures and two seeds are needed at least; this search was limited in size, \
                        so only its own random ones may be compared with: set finals.controls to 2 or more";
            return Err(Error::Mismatch(what.into()));
        }
        let of_seed = |repeat: u64| config.run.seed.wrapping_add(1 + repeat);
        let found = (0..effort.seeds).map(|repeat| (&self.arc, of_seed(repeat)));
        let others = rivals.iter().enumerate().map(|(i, arc)| (arc, of_seed(i as u64 % effort.seeds)));
        let all: Vec<(&Arc, u64)> = found.chain(others).collect();
        let mut accuracies = Vec::with_capacity(all.len());
        for (done, (arc, seed)) in all.iter().enumerate() {
            let (own, images) = reseeded(config, data, *seed)?;
            let mut watch = |steps: u64| goes_on(done, all.len(), steps as f64 / self.steps as f64);
            let answers = train_as_finalist(&own, (arc, self.steps), &images, (gpu, memory), &mut watch)?;
            let Some(answers) = answers else { return Ok(None) };
            let right = answers.iter().filter(|answer| answer.is_right).count();
            accuracies.push(right as f64 / answers.len().max(1) as f64);
        }
        let random = accuracies.split_off(effort.seeds as usize);
        let gain_points = welch_interval(&accuracies, &random).scaled(100.0);
        let verdict = Verdict::of(gain_points);
        Ok(Some(Proof {
            holds: verdict == Verdict::Better,
            verdict,
            gain_points,
            found: accuracies,
            random,
            images: data.test.len(),
            claim: self.clone(),
        }))
    }
}

/// Settings and images with another seed.
fn reseeded(config: &SearchConfig, data: &Dataset, seed: u64) -> Result<(SearchConfig, Dataset)> {
    let mut own = config.clone();
    own.run.seed = seed;
    let seed = Seed::new(seed);
    let images = match data.reseeded(seed) {
        Some(images) => images,
        None => enas_data::load_with_split(&config.data, seed, &data.split_file())?,
    };
    Ok((own, images))
}
