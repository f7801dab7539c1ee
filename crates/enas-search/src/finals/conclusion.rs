//! The result of the finals, assembled from the entries of their rounds.

use enas_run::error::{Error, Result};
use enas_run::finals::{CandidateOrigin, FinalsOutcome, FirstRound, Picks};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::picks;
use super::progress::Entry;
use super::recipe::ROUNDS;
use super::rounds::Finals;

impl<P: Serialize + DeserializeOwned> Finals<'_, '_, '_, P> {
    /// Assembles the result. `best` reached the last round by rank, the others regardless of their results.
    pub(super) fn outcome(
        &self,
        best: &[usize],
        controls: &[usize],
        equal_size: &[usize],
    ) -> Result<FinalsOutcome> {
        let is_reached = |round: &usize| best.iter().any(|&id| self.progress.entry(*round, id).is_some());
        let round = (0..ROUNDS.len()).rev().find(is_reached).unwrap_or(0);
        let last = |ids: &[usize]| -> Vec<&Entry> {
            ids.iter().filter_map(|&id| self.progress.entry(round, id)).collect()
        };
        let ranked = self.ranked(round, |entry| best.contains(&entry.candidate));
        let macs = |entry: &Entry| self.candidates[entry.candidate].cost.macs;
        let arc = |entry: &Entry| self.candidates[entry.candidate].arc.clone();
        let Some(chosen) = picks::choose(&ranked, macs, self.usual_macs) else {
            let what = "no network of the finals had a finite loss; lower schedule.lr_max".to_owned();
            return Err(Error::Mismatch(what));
        };
        let found = chosen.balanced;
        // The found network may itself be a control; it is not compared with itself.
        let others = |ids: &[usize]| -> Vec<&Entry> {
            last(ids).into_iter().filter(|entry| entry.candidate != found.candidate).collect()
        };
        let controls = others(controls);
        let equal_size = others(equal_size);
        Ok(FinalsOutcome {
            finalists: self.furthest_first().into_iter().map(|entry| self.finalist(entry)).collect(),
            gain: picks::gain(found, &controls),
            control: picks::control(&controls),
            equal_size: picks::control(&equal_size),
            first_round: self.first_round_beside(found.candidate),
            picks: Picks { small: arc(chosen.small), balanced: arc(found), accurate: arc(chosen.accurate) },
            usual_macs: self.usual_macs,
            images: [self.task.halves.choose.len(), self.task.halves.report.len()],
        })
    }

    /// Every candidate's entry in its last round, those with the longest training first.
    fn furthest_first(&self) -> Vec<&Entry> {
        let mut seen = std::collections::BTreeSet::new();
        let rounds = (0..ROUNDS.len()).rev().flat_map(|round| self.ranked(round, |_| true));
        rounds.filter(|entry| seen.insert(entry.candidate)).collect()
    }

    /// The found network compared with the random ones after the first round, where all had the same training.
    fn first_round_beside(&self, found: usize) -> FirstRound {
        let accuracy = self.progress.entry(0, found).map_or(0.0, |entry| entry.valid[1]);
        let is_random = |entry: &&Entry| {
            let origin = self.candidates[entry.candidate].origin;
            entry.candidate != found && matches!(origin, CandidateOrigin::Random | CandidateOrigin::Wide)
        };
        let random: Vec<&Entry> = self.progress.rounds[0].iter().filter(is_random).collect();
        FirstRound {
            random: random.len(),
            beaten: random.iter().filter(|entry| entry.valid[1] < accuracy).count(),
            steps: ROUNDS[0] * self.progress.steps,
        }
    }
}
