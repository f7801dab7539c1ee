//! Candidates of the finals: from the strategy, wide, uniformly random, and mutants of the best.

use std::collections::BTreeSet;
use std::time::Instant;

use candle_core::{Device, Tensor};
use enas_arc::Arc;
use enas_child::{Child, InputShape, Norm};
use enas_data::Dataset;
use enas_rng::{Seed, Stream};
use enas_run::config::{Limits, TrainConfig};
use enas_run::error::{Error, Result};
use enas_run::finals::CandidateOrigin;
use enas_stats::Ridge;
use serde::{Deserialize, Serialize};

use super::features::features;

/// Cost of an architecture's network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Trained weights.
    pub(crate) params: usize,
    /// Multiply-adds per image.
    pub(crate) macs: u64,
    /// Median time for one image in milliseconds; only if a limit or the caller asks for it.
    pub(crate) latency_ms: Option<f64>,
}

/// An architecture that takes part in the finals.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) arc: Arc,
    pub(crate) origin: CandidateOrigin,
    pub(crate) cost: Cost,
}

/// Draws per wanted architecture before the search for a new one is given up.
const PATIENCE: u64 = 300;
/// Number of mutants of a parent among which a prediction chooses.
const MUTANTS: usize = 16;
/// Every fourth wide candidate is the smallest of this many draws, so that some candidates are small.
const SMALL_OF: u64 = 16;
/// Number of uniformly random architectures whose mean cost defines the usual size.
const USUAL_OF: u64 = 32;

/// Finds candidates within the limits; no two are equal in canonical form.
pub(crate) struct Proposals<'a> {
    recipe: &'a TrainConfig,
    data: &'a Dataset,
    limits: Limits,
    seed: Seed,
    nodes: usize,
    known: BTreeSet<Arc>,
    /// The cheapest architecture that exceeded the limits, for the error message.
    smallest_refused: Option<Cost>,
}

impl<'a> Proposals<'a> {
    /// For networks that are trained by `recipe`.
    pub(crate) fn new(recipe: &'a TrainConfig, data: &'a Dataset, limits: Limits, seed: Seed) -> Self {
        let nodes = recipe.child.nodes;
        Self { recipe, data, limits, seed, nodes, known: BTreeSet::new(), smallest_refused: None }
    }

    /// The `number`-th candidate of an origin; `None` if [`PATIENCE`] draws found none.
    ///
    /// # Errors
    /// Errors of the network, such as images that are too small for it.
    pub(crate) fn draw(&mut self, origin: CandidateOrigin, number: u64) -> Result<Option<Candidate>> {
        let nodes = self.nodes;
        match origin {
            CandidateOrigin::Wide if number % 4 == 3 => self.small_wide(number),
            CandidateOrigin::Wide => self.find(origin, number, |stream| Arc::random_wide(nodes, stream)),
            _ => self.find(CandidateOrigin::Random, number, |stream| Arc::random(nodes, stream)),
        }
    }

    /// The `number`-th mutant of `parent`: the one with the highest prediction among [`MUTANTS`] new ones that the
    /// limits admit, or the first one without a predictor. `None` if [`PATIENCE`] draws found none.
    pub(crate) fn mutant(
        &mut self,
        parent: &Arc,
        number: u64,
        predictor: Option<&Ridge>,
    ) -> Result<Option<Candidate>> {
        let Some(predictor) = predictor else {
            return self.find(CandidateOrigin::Mutant, number, |stream| parent.mutated(stream));
        };
        let mut mutants = BTreeSet::new();
        for turn in 0..PATIENCE {
            let mut stream =
                self.seed.stream("finals/candidate", &[CandidateOrigin::Mutant as u64, number, turn]);
            let arc = parent.mutated(&mut stream);
            if !self.known.contains(&arc.canonical()) {
                mutants.insert(arc);
            }
            if mutants.len() >= MUTANTS {
                break;
            }
        }
        let mut mutants: Vec<(f64, Arc)> =
            mutants.into_iter().map(|arc| (predictor.predict(&features(&arc)), arc)).collect();
        mutants.sort_by(|(a, a_arc), (b, b_arc)| b.total_cmp(a).then_with(|| a_arc.cmp(b_arc)));
        for (_, arc) in mutants {
            if let Some(candidate) = self.admit(arc, CandidateOrigin::Mutant)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// Admits a given arc if it is within the limits and new.
    pub(crate) fn given(&mut self, arc: &Arc, origin: CandidateOrigin) -> Result<Option<Candidate>> {
        self.admit(arc.clone(), origin)
    }

    fn find(
        &mut self,
        origin: CandidateOrigin,
        number: u64,
        mut draw: impl FnMut(&mut Stream) -> Arc,
    ) -> Result<Option<Candidate>> {
        for turn in 0..PATIENCE {
            let mut stream = self.seed.stream("finals/candidate", &[origin as u64, number, turn]);
            if let Some(candidate) = self.admit(draw(&mut stream), origin)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// The smallest admissible one of [`SMALL_OF`] wide architectures.
    fn small_wide(&mut self, number: u64) -> Result<Option<Candidate>> {
        let mut arcs = Vec::new();
        for turn in 0..SMALL_OF {
            let mut stream =
                self.seed.stream("finals/candidate", &[CandidateOrigin::Wide as u64, number, turn]);
            let arc = Arc::random_wide(self.nodes, &mut stream);
            arcs.push((self.child(&arc)?.macs(&arc)?, arc));
        }
        arcs.sort();
        for (_, arc) in arcs {
            if let Some(candidate) = self.admit(arc, CandidateOrigin::Wide)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn admit(&mut self, arc: Arc, origin: CandidateOrigin) -> Result<Option<Candidate>> {
        if self.known.contains(&arc.canonical()) {
            return Ok(None);
        }
        let cost = self.cost(&arc)?;
        if !is_within(&self.limits, &cost) {
            if self.smallest_refused.is_none_or(|known| cost.macs < known.macs) {
                self.smallest_refused = Some(cost);
            }
            return Ok(None);
        }
        self.known.insert(arc.canonical());
        Ok(Some(Candidate { arc, origin, cost }))
    }

    fn cost(&self, arc: &Arc) -> Result<Cost> {
        let child = self.child(arc)?;
        let latency_ms = self.limits.latency_ms.map(|_| latency_ms(&child, arc)).transpose()?;
        Ok(Cost { params: child.n_params(), macs: child.macs(arc)?, latency_ms })
    }

    /// The untrained network of an architecture.
    fn child(&self, arc: &Arc) -> Result<Child> {
        let data = self.data;
        let recipe = self.recipe;
        let input = InputShape { channels: data.channels, height: data.height, width: data.width };
        Ok(Child::fixed(&recipe.child, arc, input, data.classes.len(), recipe.run.seed())?)
    }

    /// Mean multiply-adds of uniformly random architectures, regardless of the limits.
    pub(crate) fn usual_macs(&self) -> Result<u64> {
        let mut sum = 0;
        for number in 0..USUAL_OF {
            let arc = Arc::random(self.nodes, &mut self.seed.stream("finals/usual", &[number]));
            sum += self.child(&arc)?.macs(&arc)?;
        }
        Ok(sum / USUAL_OF)
    }

    /// The error for limits that no architecture meets.
    pub(crate) fn none_found(&self) -> Error {
        let seen = self.smallest_refused.map_or(String::new(), |cost| {
            let Cost { params, macs, latency_ms } = cost;
            let latency = latency_ms.map_or(String::new(), |ms| format!(" and {ms:.2} ms"));
            format!(": the smallest seen has {params} parameters, {macs} multiply-adds{latency}")
        });
        Error::Mismatch(format!(
            "no architecture is within the limits{seen}; raise --max-params, --max-macs or --max-latency, or make the \
             networks smaller with child.filters, child.layers or data.image_size"
        ))
    }
}

fn is_within(limits: &Limits, cost: &Cost) -> bool {
    limits.params.is_none_or(|most| cost.params as u64 <= most.get())
        && limits.macs.is_none_or(|most| cost.macs <= most.get())
        && limits.latency_ms.is_none_or(|most| cost.latency_ms.is_some_and(|ms| ms <= most))
}

/// Median time in milliseconds that a network needs for one image on the CPU, with batch norms folded into
/// convolutions.
///
/// # Errors
/// Errors of the network.
pub(crate) fn latency_ms(child: &Child, arc: &Arc) -> Result<f64> {
    const TIMED: usize = 15;
    let folded = child.folded()?;
    let InputShape { channels, height, width } = child.input();
    let image = Tensor::full(0.5f32, (1, channels, height, width), &Device::Cpu)?;
    let mut ms = Vec::with_capacity(TIMED);
    for turn in 0..TIMED + 3 {
        let began = Instant::now();
        folded.logits(arc, &image, Norm::RunningStatistics, None)?;
        if turn >= 3 {
            ms.push(1e3 * began.elapsed().as_secs_f64());
        }
    }
    ms.sort_by(f64::total_cmp);
    Ok(ms[TIMED / 2])
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use enas_run::config::ConfigBuilder;

    fn recipe() -> TrainConfig {
        let tiny = ["child.filters=4", "child.layers=1", "child.nodes=3", "data.image_size=8"];
        tiny.into_iter().fold(ConfigBuilder::preset("quick"), ConfigBuilder::set).load().unwrap()
    }

    #[test]
    fn candidates_are_all_different_and_of_their_kind() {
        let recipe = recipe();
        let data = enas_data::load(&recipe.data, &enas_data::LoadOptions::new(Seed::new(1))).unwrap();
        let mut proposals = Proposals::new(&recipe, &data, Limits::default(), Seed::new(1));
        let mut arcs = BTreeSet::new();
        let mut of_wide = Vec::new();
        for number in 0..12 {
            let wide = proposals.draw(CandidateOrigin::Wide, number).unwrap().unwrap();
            assert!(wide.arc.is_wide() && wide.origin == CandidateOrigin::Wide);
            of_wide.push(wide.cost.macs);
            let random = proposals.draw(CandidateOrigin::Random, number).unwrap().unwrap();
            let mutant = proposals.mutant(&random.arc, number, None).unwrap().unwrap();
            arcs.extend([wide, random, mutant].map(|candidate| candidate.arc.canonical()));
        }
        assert_eq!(arcs.len(), 36);
        let (small, others): (Vec<_>, Vec<_>) = of_wide.iter().enumerate().partition(|(i, _)| i % 4 == 3);
        let mean = |of: &[(usize, &u64)]| of.iter().map(|(_, macs)| **macs).sum::<u64>() / of.len() as u64;
        assert!(5 * mean(&small) < 4 * mean(&others), "every fourth wide one is small: {of_wide:?}");
    }

    #[test]
    fn limits_are_kept_and_impossible_ones_are_explained() {
        let recipe = recipe();
        let data = enas_data::load(&recipe.data, &enas_data::LoadOptions::new(Seed::new(1))).unwrap();
        let all = Proposals::new(&recipe, &data, Limits::default(), Seed::new(1));
        let most = all.usual_macs().unwrap();
        let limits = Limits { macs: NonZeroU64::new(most), ..Limits::default() };
        let mut proposals = Proposals::new(&recipe, &data, limits, Seed::new(1));
        for number in 0..10 {
            assert!(proposals.draw(CandidateOrigin::Random, number).unwrap().unwrap().cost.macs <= most);
        }
        let limits = Limits { params: NonZeroU64::new(10), ..Limits::default() };
        let mut proposals = Proposals::new(&recipe, &data, limits, Seed::new(1));
        assert_eq!(proposals.draw(CandidateOrigin::Random, 0).unwrap(), None);
        let error = proposals.none_found().to_string();
        assert!(error.contains("parameters") && error.contains("raise --max-params"), "{error}");
    }
}
