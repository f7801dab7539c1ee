//! Tests whether the claim of a search holds when its trainings are repeated with other seeds.

use std::collections::BTreeSet;

use enas_arc::Arc;
use enas_data::{Dataset, LoadOptions, Seed};
use enas_kernels::gpu::Gpu;
use enas_search::{
    CandidateOrigin, Error, Gain, MemoryPlan, Result, RunReader, SearchConfig, train_as_finalist,
};
use enas_stats::{Estimate, welch_interval};
use serde::Serialize;

use crate::summary::Comparison;

/// Draws per wanted random architecture.
const MAX_DRAWS_PER_ARC: u64 = 50;

/// The claim of a search: the found architecture is better than random ones with the same training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchClaim {
    /// The architecture found.
    pub arc: Arc,
    /// Number of steps of the training by which they were compared.
    pub steps: u64,
    /// The random architectures with the same training.
    pub random: Vec<Arc>,
    /// The difference in percentage points, on validation images, with the search's own seed.
    pub gain: Gain,
}

/// The result of repeating it. Accuracies are on test images, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replication {
    /// Whether the found architecture is better than random ones: the interval lies above zero.
    pub holds: bool,
    /// The result of the repeated trainings.
    #[serde(rename = "verdict")]
    pub comparison: Comparison,
    /// By how many percentage points the found architecture is better, with the 95 % interval over seeds and
    /// architectures.
    pub gain_points: Estimate,
    /// Accuracies of the found architecture, by seed.
    pub found: Vec<f64>,
    /// Accuracies of the random architectures.
    pub random: Vec<f64>,
    /// Number of test images.
    pub images: usize,
    /// The claim.
    pub claim: SearchClaim,
}

/// The number of trainings of a replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationCounts {
    /// Number of trainings of the found architecture, each with another seed; 2 or more.
    pub seeds: u64,
    /// Number of random architectures, each trained once: those of the search first, then newly drawn ones; 2 or
    /// more.
    pub random: usize,
}

impl SearchClaim {
    /// The claim of a finished search. `None` if it made no claim: it made no comparison, or found no measurable
    /// difference.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] for a run that is not a finished search.
    pub fn of(record: &RunReader) -> Result<Option<Self>> {
        let Some(finals) = record.finals()? else { return Ok(None) };
        let Some(gain) = finals.gain.filter(|gain| gain.low > 0.0) else { return Ok(None) };
        let found = finals.balanced();
        let is_control = |other: &&enas_search::Finalist| {
            other.origin == CandidateOrigin::Random && other.steps == found.steps && other.arc != found.arc
        };
        let random = finals.finalists.iter().filter(is_control).map(|other| other.arc.clone()).collect();
        Ok(Some(Self { arc: found.arc.clone(), steps: found.steps, random, gain }))
    }

    /// Random architectures to compare with: those of the search, then newly drawn ones. A search with size limits
    /// compared only within these limits, so then only its own architectures are used.
    fn controls(&self, wanted: usize, config: &SearchConfig) -> Vec<Arc> {
        let mut seen = BTreeSet::from([self.arc.canonical()]);
        let mut controls = self.random.clone();
        controls.retain(|arc| seen.insert(arc.canonical()));
        controls.truncate(wanted);
        if !config.limits.is_empty() {
            return controls;
        }
        let draws = MAX_DRAWS_PER_ARC * wanted as u64;
        let draw = |i| Arc::random(self.arc.n_nodes(), &mut config.run.seed().stream("prove/random", &[i]));
        let others = (0..draws).map(draw).filter(|arc| seen.insert(arc.canonical()));
        let missing = wanted - controls.len();
        controls.extend(others.take(missing));
        controls
    }

    /// Repeats the trainings of the claim with other seeds. `goes_on` is called often, with the number of finished
    /// trainings, the number of all trainings, and the share of the current one. If it returns `false`, the result is
    /// `None`.
    ///
    /// `data` are the images of the search in its splits.
    ///
    /// # Errors
    /// Errors of the images and the device; [`Error::Mismatch`] if there are too few architectures to compare with.
    pub fn replicate(
        &self,
        config: &SearchConfig,
        data: &Dataset,
        gpu: Option<&Gpu>,
        memory: Option<&MemoryPlan>,
        counts: ReplicationCounts,
        goes_on: &mut dyn FnMut(usize, usize, f64) -> bool,
    ) -> Result<Option<Replication>> {
        let controls = self.controls(counts.random, config);
        if controls.len() < 2 || counts.seeds < 2 {
            let what = "two random architectures and two seeds are needed at least; this search was limited in size, \
                        so only its own random ones may be compared with: set finals.controls to 2 or more";
            return Err(Error::Mismatch(what.into()));
        }
        let of_seed = |repeat: u64| config.run.seed.wrapping_add(1 + repeat);
        let found = (0..counts.seeds).map(|repeat| (&self.arc, of_seed(repeat)));
        let others = controls.iter().enumerate().map(|(i, arc)| (arc, of_seed(i as u64 % counts.seeds)));
        let all: Vec<(&Arc, u64)> = found.chain(others).collect();
        let mut accuracies = Vec::with_capacity(all.len());
        for (done, (arc, seed)) in all.iter().enumerate() {
            let (own, images) = reseeded(config, data, *seed)?;
            let mut watch = |steps: u64| goes_on(done, all.len(), steps as f64 / self.steps as f64);
            let answers = train_as_finalist(&own, arc, self.steps, &images, gpu, memory, &mut watch)?;
            let Some(answers) = answers else { return Ok(None) };
            let right = answers.iter().filter(|answer| answer.is_right).count();
            accuracies.push(right as f64 / answers.len().max(1) as f64);
        }
        let random = accuracies.split_off(counts.seeds as usize);
        let gain_points = welch_interval(&accuracies, &random).scaled(100.0);
        let comparison = Comparison::of(gain_points);
        Ok(Some(Replication {
            holds: comparison == Comparison::Better,
            comparison,
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
        None => {
            let split = data.split_file();
            enas_data::load(&config.data, &LoadOptions { split: Some(&split), ..LoadOptions::new(seed) })?
        }
    };
    Ok((own, images))
}
