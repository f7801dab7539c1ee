//! Which candidates of the finals go on to the next round.

use enas_run::finals::CandidateOrigin;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::candidates::Candidate;
use super::combined_score::CombinedScore;
use super::picks;
use super::progress::Entry;
use super::rounds::{FEWEST, Finals};

/// Number of random architectures of nearly the best one's size that are trained as long as it.
const EQUAL_SIZE: usize = 2;

impl<P: Serialize + DeserializeOwned> Finals<'_, '_, '_, P> {
    /// Entries of a round that `is_wanted` admits, best first: higher combined score, then fewer multiply-adds, then
    /// arc order.
    pub(super) fn ranked(&self, round: usize, is_wanted: impl Fn(&Entry) -> bool) -> Vec<&Entry> {
        let score = self.combined_score(round);
        let mut entries: Vec<&Entry> =
            self.progress.rounds[round].iter().filter(|entry| is_wanted(entry)).collect();
        let key = |entry: &Entry| {
            let Candidate { arc, cost, .. } = &self.candidates[entry.candidate];
            (score.value(entry), cost.macs, arc)
        };
        entries.sort_by(|a, b| {
            let ((a_score, a_macs, a_arc), (b_score, b_macs, b_arc)) = (key(a), key(b));
            b_score.total_cmp(&a_score).then(a_macs.cmp(&b_macs)).then_with(|| a_arc.cmp(b_arc))
        });
        entries
    }

    /// The combined score of the networks that a round has trained so far.
    pub(super) fn combined_score(&self, round: usize) -> CombinedScore {
        CombinedScore::of(&self.progress.rounds[round], &self.progress.n_right[round])
    }

    /// The best `n` of a round. If none of them is small, the last place goes to the best small network.
    pub(super) fn survivors(&self, round: usize, n: usize) -> Vec<usize> {
        let ranked: Vec<usize> = self.ranked(round, |_| true).iter().map(|entry| entry.candidate).collect();
        let is_small = |id: &&usize| picks::is_small(self.candidates[**id].cost.macs, self.usual_macs);
        let mut best: Vec<usize> = ranked.iter().copied().take(n).collect();
        if let Some(&small) = ranked.iter().find(is_small).filter(|small| !best.contains(small)) {
            best.pop();
            best.push(small);
        }
        best
    }

    /// The first `n` random candidates of the first round, regardless of their results.
    pub(super) fn controls(&self, n: usize) -> Vec<usize> {
        self.random_ids().into_iter().take(n).collect()
    }

    /// Other random candidates whose size is nearest to that of the best.
    pub(super) fn equal_size(&self, best: &[usize]) -> Vec<usize> {
        let n_controls = self.task.config.finals.controls;
        let (Some(best), true) = (best.first(), n_controls > 0) else { return Vec::new() };
        let macs = self.candidates[*best].cost.macs;
        let mut others: Vec<usize> =
            self.random_ids().into_iter().skip(n_controls).filter(|id| id != best).collect();
        others.sort_by_key(|&id| (self.candidates[id].cost.macs.abs_diff(macs), id));
        others.truncate(EQUAL_SIZE);
        others
    }

    fn random_ids(&self) -> Vec<usize> {
        let mut ids: Vec<usize> = self.progress.rounds[0].iter().map(|entry| entry.candidate).collect();
        ids.retain(|&id| self.candidates[id].origin == CandidateOrigin::Random);
        ids.sort_unstable();
        ids
    }

    /// Drops networks that can no longer reach the next round, to save memory.
    pub(super) fn forget_all_but_the_best(&mut self) {
        let all = self.task.config.finals.drawn() + self.task.config.finals.mutants;
        let best = self.survivors(0, all.div_ceil(4).max(FEWEST));
        self.trials.retain(|id, _| best.contains(id));
    }
}
