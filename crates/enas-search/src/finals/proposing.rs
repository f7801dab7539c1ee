//! The candidates of the finals: proposals of the strategy, wide and random architectures, and mutants.

use enas_arc::Arc;
use enas_run::config::FinalsConfig;
use enas_run::error::Result;
use enas_run::finals::CandidateOrigin;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    pub(super) fn draw_mutants(&mut self, wanted: usize) -> Result<Vec<usize>> {
        let n_drawn = self.candidates.len();
        let of_drawn = self.progress.rounds[0].iter().filter(|entry| entry.candidate < n_drawn);
        let parents: Vec<Arc> = self
            .ranked(of_drawn)
            .into_iter()
            .take(PARENTS)
            .map(|entry| self.candidates[entry.candidate].arc.clone())
            .collect();
        for number in 0..wanted {
            let Some(parent) = parents.get(number % parents.len().max(1)) else { break };
            let found = self.proposals.mutant(parent, number as u64)?;
            self.candidates.extend(found);
        }
        Ok((n_drawn..self.candidates.len()).collect())
    }
}
