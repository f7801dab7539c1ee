//! The work of a study in order. The most informative work comes first, in case the time limit ends the study early.

use crate::config::StudyCounts;
use crate::record::{Group, TrialKey};

/// A unit of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// The search with this number.
    Search(usize),
    /// A training.
    Train(TrialKey),
}

/// All work in order. `pool` and `wide` are the numbers of architectures that could be drawn; a small search space may
/// have fewer than `counts` asks for.
pub(crate) fn tasks(counts: &StudyCounts, pool: usize, wide: usize) -> Vec<Task> {
    let StudyCounts { searches, seeds, pick_seeds, controls, .. } = *counts;
    let of = |group: Group, n: usize, repeats: std::ops::Range<u64>| {
        let repeat = move |repeat| (0..n).map(move |index| Task::Train(TrialKey { group, index, repeat }));
        repeats.flat_map(repeat)
    };
    let mut all: Vec<Task> = of(Group::Pool, pool, 0..1).collect();
    all.extend((0..searches).map(Task::Search));
    all.extend(of(Group::SearchPick, searches, 0..1));
    all.extend(of(Group::Pool, pool, 1..seeds));
    all.extend(of(Group::SearchPick, searches, 1..pick_seeds));
    all.extend(of(Group::Wide, wide, 0..seeds));
    all.extend(of(Group::Control, searches * controls, 0..1));
    all.extend(of(Group::Small, searches, 0..seeds));
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everything_is_done_once_and_a_pick_after_its_search() {
        let counts = StudyCounts { pool: 4, wide: 3, searches: 2, seeds: 2, pick_seeds: 3, controls: 5 };
        let all = tasks(&counts, 4, 3);
        assert_eq!(all.len(), 4 * 2 + 3 * 2 + 2 + 2 * 3 + 2 * 5 + 2 * 2);
        let keys: BTreeSet<TrialKey> = all
            .iter()
            .filter_map(|task| match task {
                Task::Train(key) => Some(*key),
                Task::Search(_) => None,
            })
            .collect();
        assert_eq!(keys.len(), all.len() - 2);
        let first = |wanted: &dyn Fn(&Task) -> bool| all.iter().position(wanted).unwrap();
        let search = first(&|task| *task == Task::Search(1));
        let pick = first(&|task| matches!(task, Task::Train(TrialKey { group: Group::SearchPick, .. })));
        assert!(search < pick && matches!(all[0], Task::Train(TrialKey { group: Group::Pool, .. })));
    }
}
