//! Regularised evolution (Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019).

use std::collections::VecDeque;

use enas_rng::Stream;

use crate::space::Space;
use crate::strategy::Strategy;

/// Keeps a population of fixed size. The best of a random sample gets a mutated child, and the oldest member is
/// removed whatever its score.
#[derive(Clone, Debug)]
pub struct Evolution<S: Space> {
    space: S,
    settings: EvolutionSettings,
    /// Oldest first.
    population: VecDeque<(S::Arch, f64)>,
}

/// The sizes of an [`Evolution`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvolutionSettings {
    /// Size of the population; this many members are first drawn uniformly.
    pub population: usize,
    /// Number of members drawn with replacement; the best of them becomes a parent.
    pub sample: usize,
}

impl Default for EvolutionSettings {
    /// 50 and 10. Real et al. used 100 and 25 for 20,000 trainings. With a few hundred scores a smaller population is
    /// renewed more often.
    fn default() -> Self {
        Self { population: 50, sample: 10 }
    }
}

impl<S: Space> Evolution<S> {
    /// An empty population; sizes of 0 count as 1.
    pub fn new(space: S, settings: EvolutionSettings) -> Self {
        let EvolutionSettings { population, sample } = settings;
        let settings = EvolutionSettings { population: population.max(1), sample: sample.max(1) };
        Self { space, settings, population: VecDeque::new() }
    }

    /// The space whose architectures it proposes.
    pub fn space(&self) -> &S {
        &self.space
    }

    /// The members with their scores, oldest first. Together with the settings this is the whole state.
    pub fn population(&self) -> impl ExactSizeIterator<Item = &(S::Arch, f64)> {
        self.population.iter()
    }

    /// Replaces the members by those of a [`population`](Self::population). If there are too many, the oldest are
    /// left out.
    pub fn restore(&mut self, population: impl IntoIterator<Item = (S::Arch, f64)>) {
        self.population = population.into_iter().collect();
        self.drop_the_oldest();
    }

    fn drop_the_oldest(&mut self) {
        let surplus = self.population.len().saturating_sub(self.settings.population);
        self.population.drain(..surplus);
    }

    fn parent(&self, stream: &mut Stream) -> &S::Arch {
        // Tournament selection.
        let draws = (0..self.settings.sample).map(|_| &self.population[stream.below(self.population.len())]);
        let better = |best, member| if score_of(member) > score_of(best) { member } else { best };
        &draws.reduce(better).expect("a sample has at least one member").0
    }
}

fn score_of<A>(member: &(A, f64)) -> f64 {
    member.1
}

impl<S: Space> Strategy<S> for Evolution<S> {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch> {
        let one = |i| {
            if self.population.len() + i < self.settings.population || self.population.is_empty() {
                return self.space.random(stream);
            }
            self.space.mutated(self.parent(stream), stream)
        };
        (0..n).map(one).collect()
    }

    fn observe(&mut self, scored: &[(S::Arch, f64)]) {
        self.population.extend(scored.iter().cloned());
        self.drop_the_oldest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::MicroSpace;
    use enas_arc::Arc;
    use enas_rng::Seed;

    fn observed(
        evolution: &mut Evolution<MicroSpace>,
        n: usize,
        stream: &mut Stream,
        score_of: fn(&Arc) -> f64,
    ) -> Vec<Arc> {
        let archs = evolution.propose(n, stream);
        let scored: Vec<_> = archs.iter().map(|arch| (arch.clone(), score_of(arch))).collect();
        evolution.observe(&scored);
        archs
    }

    fn distance(a: &Arc, b: &Arc) -> usize {
        a.to_ints().iter().zip(b.to_ints()).filter(|(a, b)| **a != *b).count()
    }

    #[test]
    fn a_full_population_has_children_of_its_best_and_the_oldest_die() {
        let mut stream = Seed::new(1).stream("test", &[]);
        // Enough draws that the best member is almost surely among them.
        let settings = EvolutionSettings { population: 20, sample: 400 };
        let mut evolution = Evolution::new(MicroSpace::new(3).unwrap(), settings);
        let sum = |arc: &Arc| arc.to_ints().iter().sum::<usize>() as f64;
        let first = observed(&mut evolution, 20, &mut stream, sum);
        let best = first.iter().max_by(|a, b| sum(a).total_cmp(&sum(b))).unwrap();
        let children = observed(&mut evolution, 15, &mut stream, sum);
        assert!(children.iter().all(|child| distance(child, best) == 1));
        assert_eq!(evolution.population.len(), 20);
        let expected: Vec<&Arc> = first[15..].iter().chain(&children).collect();
        assert_eq!(evolution.population.iter().map(|(arch, _)| arch).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_restored_population_has_the_same_children() {
        let settings = EvolutionSettings { population: 4, sample: 2 };
        let new = || Evolution::new(MicroSpace::new(3).unwrap(), settings);
        let mut first = new();
        let mut second = new();
        observed(&mut first, 7, &mut Seed::new(1).stream("test", &[]), |arc| arc.to_ints()[0] as f64);
        second.restore(first.population().cloned());
        assert_eq!(second.population().len(), 4);
        let children = |of: &mut Evolution<MicroSpace>| of.propose(5, &mut Seed::new(2).stream("test", &[]));
        assert_eq!(children(&mut first), children(&mut second));
    }

    #[test]
    fn a_population_is_drawn_before_anything_is_mutated() {
        let mut stream = Seed::new(1).stream("test", &[]);
        let settings = EvolutionSettings { population: 0, sample: 0 };
        let mut evolution = Evolution::new(MicroSpace::new(3).unwrap(), settings);
        // An empty population draws uniformly, even if its size is one.
        assert_eq!(evolution.propose(3, &mut stream).len(), 3);
        let parent = observed(&mut evolution, 1, &mut stream, |_| 0.0);
        assert_eq!(distance(&parent[0], &observed(&mut evolution, 1, &mut stream, |_| 0.0)[0]), 1);
    }
}
