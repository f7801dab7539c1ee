//! The candidates of the finals: proposals of the strategy, wide and random architectures, and mutants.

use enas_arc::Arc;
use enas_run::config::FinalsConfig;
use enas_run::error::Result;
use enas_run::finals::CandidateOrigin;
use enas_stats::Ridge;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::features::features;
use super::progress::Entry;
use super::rounds::Finals;

/// The best architectures of the first round, from which mutants are made.
const PARENTS: usize = 8;

impl<P: Serialize + DeserializeOwned> Finals<'_, '_, '_, P> {
    /// Adds candidates of the strategy, wide ones and random ones in turns. If the time runs out, about equally many
    /// of each kind were tried.
    pub(super) fn draw_candidates(&mut self, finals: &FinalsConfig) -> Result<()> {
        let proposed = self.progress.proposed.clone();
        let most = finals.policy.max(finals.wide).max(finals.random);
        for number in 0..most {
            let of_policy = proposed.get(number).filter(|_| number < finals.policy);
            let origin = CandidateOrigin::of(&self.task.config.strategy);
            let mut found = of_policy.map(|arc| self.proposals.given(arc, origin)).transpose()?.flatten();
            self.candidates.extend(found.take());
            for (origin, wanted) in
                [(CandidateOrigin::Wide, finals.wide), (CandidateOrigin::Random, finals.random)]
            {
                if number < wanted {
                    self.candidates.extend(self.proposals.draw(origin, number as u64)?);
                }
            }
        }
        Ok(())
    }

    /// Adds mutants of the best of the first round so far, and returns the indices of the new candidates.
    ///
    /// Of several mutants of a parent, one is trained: the one for which a ridge regression on the results so far
    /// predicts the highest combined score (a weak predictor, Wen et al., ECCV 2020). If it predicts nothing, chance
    /// decides.
    pub(super) fn draw_mutants(&mut self, wanted: usize) -> Result<Vec<usize>> {
        let n_drawn = self.candidates.len();
        let drawn = self.ranked(0, |entry| entry.candidate < n_drawn);
        let arc = |entry: &&Entry| self.candidates[entry.candidate].arc.clone();
        let parents: Vec<Arc> = drawn.iter().take(PARENTS).map(arc).collect();
        let predictor = self.fit_predictor(&drawn);
        if let Some(predictor) = &predictor {
            let explained = 100.0 * predictor.explained();
            tracing::debug!(
                "a ridge regression explains {explained:.0} % of the first results (left out in turn)"
            );
        }
        for number in 0..wanted {
            let Some(parent) = parents.get(number % parents.len().max(1)) else { break };
            let found = self.proposals.mutant(parent, number as u64, predictor.as_ref())?;
            self.candidates.extend(found);
        }
        Ok((n_drawn..self.candidates.len()).collect())
    }

    /// Predicts the combined score from the features of an architecture; `None` if the results do not allow it.
    fn fit_predictor(&self, entries: &[&Entry]) -> Option<Ridge> {
        let score = self.combined_score(0);
        let finite = || entries.iter().filter(|entry| entry.score.is_some());
        let rows: Vec<Vec<f64>> =
            finite().map(|entry| features(&self.candidates[entry.candidate].arc)).collect();
        let scores: Vec<f64> = finite().map(|entry| score.value(entry)).collect();
        Ridge::fit(&rows, &scores)
    }
}
