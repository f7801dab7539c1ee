//! Selection of an arc at the end of a search: every candidate is scored on the whole validation split.
//!
//! The authors' code does not select. It logs single-minibatch accuracies of sampled arcs. The highest of hundreds of
//! noisy values overestimates its arc (selection bias). Here all candidates are scored on the same images in the same
//! batches, and as many uniformly random arcs are scored for comparison. These are not accuracies of trained
//! networks: shared weights rank arcs only roughly, and the best of many benefits from chance in both groups.

use std::collections::BTreeSet;

use enas_arc::{Arc, Arch};
use enas_rng::{Seed, Stream};
use enas_run::config::SelectConfig;
use serde::{Deserialize, Serialize};

use crate::search::canonical;

/// An arc with its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate<A = Arc> {
    /// The arc.
    pub arc: A,
    /// Its origin.
    pub origin: Origin,
    /// Accuracy with the shared weights on the whole validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// Macro-F1 on the same images, if candidates are ranked by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_macro_f1: Option<f64>,
    /// Mean cross entropy on the same images in nats, if candidates are ranked by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// Multiply-adds per image in the shared network.
    pub macs: u64,
}

impl<A> Candidate<A> {
    /// The value that ranks candidates, higher is better: macro-F1 or 1/(1 + loss) if measured, otherwise accuracy.
    pub fn score(&self) -> f64 {
        let by_loss = self.valid_loss.map(|loss| 1.0 / (1.0 + loss));
        self.valid_macro_f1.or(by_loss).unwrap_or(self.valid_accuracy)
    }
}

/// The origin of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The strategy's favourite: the policy's most likely arc, or the best of a population.
    Greedy,
    /// Proposed by the strategy: drawn from the policy, or a mutant in evolution.
    Sampled,
    /// Drawn uniformly, for comparison.
    Random,
}

impl<A> Candidate<A> {
    /// The same candidate with its architecture converted by `form`.
    pub(crate) fn map<B>(self, form: &mut impl FnMut(A) -> B) -> Candidate<B> {
        let Self { arc, origin, valid_accuracy, valid_macro_f1, valid_loss, macs } = self;
        Candidate { arc: form(arc), origin, valid_accuracy, valid_macro_f1, valid_loss, macs }
    }
}

/// All scored arcs.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection<A = Arc> {
    /// Candidates of the strategy, best first: higher score, then fewer multiply-adds, then arc order.
    pub candidates: Vec<Candidate<A>>,
    /// Uniformly random arcs in the order they were drawn.
    pub random: Vec<Candidate<A>>,
}

impl<A: Ord> Selection<A> {
    /// Ranks scored arcs.
    pub(crate) fn rank(scored: Vec<Candidate<A>>) -> Self {
        let (random, mut candidates): (Vec<_>, Vec<_>) =
            scored.into_iter().partition(|c| c.origin == Origin::Random);
        candidates.sort_by(better);
        Self { candidates, random }
    }

    /// The best candidate; `None` if the time was too short to score any.
    pub fn best(&self) -> Option<&Candidate<A>> {
        self.candidates.first()
    }

    /// The best random arc; `None` if there are none.
    pub fn best_random(&self) -> Option<&Candidate<A>> {
        self.random.iter().min_by(|a, b| better(a, b))
    }

    /// Mean accuracy of the random arcs; `None` if there are none.
    pub fn random_accuracy(&self) -> Option<f64> {
        let sum: f64 = self.random.iter().map(|c| c.valid_accuracy).sum();
        (!self.random.is_empty()).then(|| sum / self.random.len() as f64)
    }
}

/// Orders candidates best first. Different arcs never compare as equal.
pub(crate) fn better<A: Ord>(a: &Candidate<A>, b: &Candidate<A>) -> std::cmp::Ordering {
    let by_score = b.score().total_cmp(&a.score());
    by_score.then(a.macs.cmp(&b.macs)).then_with(|| a.arc.cmp(&b.arc))
}

/// Proposals of the strategy per wanted arc before the search for a new one is given up.
const PATIENCE: u64 = 50;

/// The arcs to score, in order: `greedy` if there is one, then sampled and random ones in turns. If the time runs
/// out, about equally many of both were scored.
///
/// All sampled arcs differ in canonical form, which ignores the order of a node's two inputs, and so do the random
/// ones. A small space or a nearly deterministic strategy may give fewer arcs than asked for.
pub(crate) fn contestants(
    config: &SelectConfig,
    greedy: Option<Arch>,
    propose: &mut dyn FnMut(&mut Stream) -> Arch,
    random: &dyn Fn(&mut Stream) -> Arch,
    seed: Seed,
) -> Vec<(Arch, Origin)> {
    let sampled =
        distinct(config.samples, greedy.as_ref(), |i| propose(&mut seed.stream("select/sampled", &[i])));
    let random = distinct(config.random, None, |i| random(&mut seed.stream("select/random", &[i])));
    if sampled.len() < config.samples {
        tracing::warn!(
            "the strategy gave {} distinct arcs instead of {} in {} draws",
            sampled.len(),
            config.samples,
            PATIENCE * config.samples as u64
        );
    }
    let mut all: Vec<_> = greedy.map(|arc| (arc, Origin::Greedy)).into_iter().collect();
    let mut sampled = sampled.into_iter();
    let mut random = random.into_iter();
    loop {
        let pair = (sampled.next(), random.next());
        if pair == (None, None) {
            return all;
        }
        all.extend(pair.0.map(|arc| (arc, Origin::Sampled)));
        all.extend(pair.1.map(|arc| (arc, Origin::Random)));
    }
}

/// The first `n` draws that differ from each other and from `known` in canonical form.
fn distinct(n: usize, known: Option<&Arch>, draw: impl FnMut(u64) -> Arch) -> Vec<Arch> {
    let mut seen: BTreeSet<Arch> = known.map(canonical).into_iter().collect();
    let draws = (0..PATIENCE * n as u64).map(draw);
    draws.filter(|arc| seen.insert(canonical(arc))).take(n).collect()
}

#[cfg(test)]
mod tests {
    use enas_controller::{Config, Controller};

    use super::*;
    use enas_run::config::Metric;

    fn candidate(arc: &str, valid_accuracy: f64, macs: u64, origin: Origin) -> Candidate {
        Candidate {
            arc: arc.parse().unwrap(),
            origin,
            valid_accuracy,
            valid_macro_f1: None,
            valid_loss: None,
            macs,
        }
    }

    #[test]
    fn macro_f1_decides_where_it_was_measured() {
        let scored = |arc, accuracy, f1| Candidate {
            valid_macro_f1: Some(f1),
            ..candidate(arc, accuracy, 7, Origin::Sampled)
        };
        let a = "0 0 0 0 0 0 0 0";
        let b = "0 0 0 0 0 0 0 1";
        let ranked = Selection::rank(vec![scored(a, 0.9, 0.4), scored(b, 0.8, 0.6)]);
        assert_eq!(ranked.best().unwrap().arc.to_string(), b);
    }

    #[test]
    fn ties_go_to_fewer_macs_and_then_to_the_smaller_arc() {
        let a = "0 0 0 0 0 0 0 0";
        let b = "0 0 0 0 0 0 0 1";
        let ranked = Selection::rank(vec![
            candidate(b, 0.5, 7, Origin::Sampled),
            candidate(a, 0.5, 7, Origin::Greedy),
            candidate(a, 1.0, 1, Origin::Random),
            candidate(b, 0.5, 6, Origin::Sampled),
            candidate(b, 0.6, 9, Origin::Sampled),
        ]);
        let order: Vec<(f64, u64, String)> =
            ranked.candidates.iter().map(|c| (c.valid_accuracy, c.macs, c.arc.to_string())).collect();
        assert_eq!(
            order,
            [(0.6, 9, b.to_owned()), (0.5, 6, b.to_owned()), (0.5, 7, a.to_owned()), (0.5, 7, b.to_owned())]
        );
        assert_eq!((ranked.random.len(), ranked.random_accuracy()), (1, Some(1.0)));
        assert_eq!(ranked.best_random().unwrap().valid_accuracy, 1.0);
    }

    fn draw(n_nodes: usize, samples: usize, random: usize) -> Vec<(Arch, Origin)> {
        let seed = Seed::new(3);
        let controller = Controller::new(&Config::improved(), n_nodes, seed).unwrap();
        let config = SelectConfig { samples, random, metric: Metric::Accuracy };
        let bounds = controller.config().bounds(1.0);
        let greedy = controller.most_likely(bounds).arc;
        let mut propose = |stream: &mut Stream| Arch::Micro(controller.sample(bounds, stream).arc);
        let random = |stream: &mut Stream| Arch::Micro(Arc::random(n_nodes, stream));
        contestants(&config, Some(greedy.into()), &mut propose, &random, seed)
    }

    #[test]
    fn contestants_are_distinct_and_take_turns_after_the_greedy_one() {
        let all = draw(5, 100, 100);
        assert_eq!(all.len(), 201);
        assert_eq!(all[0].1, Origin::Greedy);
        assert!(all[1..].chunks(2).all(|pair| pair[0].1 == Origin::Sampled && pair[1].1 == Origin::Random));
        let of_policy: BTreeSet<Arch> =
            all.iter().filter(|(_, o)| *o != Origin::Random).map(|(arc, _)| canonical(arc)).collect();
        assert_eq!(of_policy.len(), 101);
        assert_eq!(all, draw(5, 100, 100));
    }

    #[test]
    fn a_space_smaller_than_the_wish_gives_what_it_has() {
        // One node per cell: (2·5)² raw cells, 55 canonical ones, 3025 arcs.
        let seed = Seed::new(5);
        let arcs = distinct(4000, None, |i| Arc::random(1, &mut seed.stream("test", &[i])).into());
        assert_eq!(arcs.len(), 3025);
    }

    #[test]
    fn more_random_arcs_than_samples_follow_at_the_end() {
        let origins: Vec<Origin> = draw(5, 1, 3).into_iter().map(|(_, o)| o).collect();
        use Origin::{Greedy, Random, Sampled};
        assert_eq!(origins, [Greedy, Sampled, Random, Random, Random]);
    }
}
