//! Regularised evolution (Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019).

use std::collections::VecDeque;

use enas_rng::Stream;

use crate::space::Space;
use crate::strategy::Strategy;

/// Keeps a population of fixed size. The best of a random sample gets a mutant, and the oldest member dies whatever it
/// was worth.
#[derive(Clone, Debug)]
pub struct Evolution<S: Space> {
    space: S,
    settings: EvolutionSettings,
    /// Oldest first.
    population: VecDeque<(S::Arch, f64)>,
}

/// Sizes of an [`Evolution`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvolutionSettings {
    /// Members that live at the same time; so many are drawn uniformly first.
    pub population: usize,
    /// Members, drawn with replacement, of which the best becomes a parent.
    pub sample: usize,
}

impl Default for EvolutionSettings {
    /// 50 and 10. The authors took 100 and 25 for 20,000 trainings; a smaller population is renewed often enough with
    /// a few hundred.
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

    /// The members with their scores, the oldest first: with the settings, all that it knows.
    pub fn population(&self) -> impl ExactSizeIterator<Item = &(S::Arch, f64)> {
        self.population.iter()
    }

    /// Goes on with the members of a [`population`](Self::population) in the place of its own; the oldest of too many
    /// are left out.
    pub fn restore(&mut self, population: impl IntoIterator<Item = (S::Arch, f64)>) {
        self.population = population.into_iter().collect();
        self.drop_the_oldest();
    }

    fn drop_the_oldest(&mut self) {
        let surplus = self.population.len().saturating_sub(self.settings.population);
        self.population.drain(..surplus);
    }

    fn parent(&self, stream: &mut Stream) -> &S::Arch {
        let draws = (0..self.settings.sample).map(|_| &self.population[stream.below(self.population.len())]);
        let better = |best, member| if worth(member) > worth(best) { member } else { best };
        &draws.reduce(better).expect("a sample has at least one member").0
    }
}

fn worth<A>(member: &(A, f64)) -> f64 {
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
        worth: fn(&Arc) -> f64,
    ) -> Vec<Arc> {
        let archs = evolution.propose(n, stream);
        let scored: Vec<_> = archs.iter().map(|arch| (arch.clone(), worth(arch))).collect();
        evolution.observe(&scored);
        archs
    }

    fn distance(a: &Arc, b: &Arc) -> usize {
        a.to_ints().iter().zip(b.to_ints()).filter(|(a, b)| **a != *b).count()
    }

    #[test]
    fn a_full_population_has_children_of_its_best_and_the_oldest_die() {
        let mut stream = Seed::new(1).stream("test", &[]);
        // So many draws that the best is among them.
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
        let (mut first, mut second) = (new(), new());
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
        // Nobody is there yet, so even a population of one is drawn as often as asked.
        assert_eq!(evolution.propose(3, &mut stream).len(), 3);
        let parent = observed(&mut evolution, 1, &mut stream, |_| 0.0);
        assert_eq!(distance(&parent[0], &observed(&mut evolution, 1, &mut stream, |_| 0.0)[0]), 1);
    }
}
