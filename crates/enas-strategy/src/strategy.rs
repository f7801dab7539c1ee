//! The interface of a strategy, and strategies that only draw at random.

use enas_rng::Stream;

use crate::space::{MicroSpace, Space};

/// A strategy decides which architectures are scored.
///
/// Calls alternate: after each [`propose`](Strategy::propose) the caller may [`observe`](Strategy::observe) the
/// scores of exactly these architectures, in their order, or skip it. A caller that gives every architecture a random
/// stream of its own may observe the results of several one-element proposals together.
pub trait Strategy<S: Space> {
    /// `n` architectures to be scored; all random numbers come from `stream`.
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch>;

    /// Receives the scores of the last proposal; more is better, and all are finite.
    fn observe(&mut self, scored: &[(S::Arch, f64)]);
}

impl<S: Space, T: Strategy<S> + ?Sized> Strategy<S> for Box<T> {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch> {
        (**self).propose(n, stream)
    }

    fn observe(&mut self, scored: &[(S::Arch, f64)]) {
        (**self).observe(scored);
    }
}

/// Draws all architectures with equal probability and does not learn: random search, the control of every search.
#[derive(Clone, Debug)]
pub struct Uniform<S>(pub S);

impl<S: Space> Strategy<S> for Uniform<S> {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch> {
        (0..n).map(|_| self.0.random(stream)).collect()
    }

    fn observe(&mut self, _: &[(S::Arch, f64)]) {}
}

/// Draws from a list of architectures with equal probability and does not learn.
///
/// # Panics
/// If the list is empty and `n` is not 0.
#[derive(Clone, Debug)]
pub struct UniformAmong<A>(pub Vec<A>);

impl<S: Space> Strategy<S> for UniformAmong<S::Arch> {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch> {
        (0..n).map(|_| self.0[stream.below(self.0.len())].clone()).collect()
    }

    fn observe(&mut self, _: &[(S::Arch, f64)]) {}
}

/// Draws wide arcs, whose branches all read the cell's inputs, and does not learn: the harder control; see
/// [`Arc::random_wide`](enas_arc::Arc::random_wide).
#[derive(Clone, Debug)]
pub struct Wide(pub MicroSpace);

impl Strategy<MicroSpace> for Wide {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<enas_arc::Arc> {
        (0..n).map(|_| enas_arc::Arc::random_wide(self.0.n_nodes(), stream)).collect()
    }

    fn observe(&mut self, _: &[(enas_arc::Arc, f64)]) {}
}

/// Lets another strategy propose, but draws a share of every batch uniformly. The other strategy does not see the
/// scores of that share.
///
/// So the architectures that train shared weights never become too few.
#[derive(Clone, Debug)]
pub struct PartlyUniform<S, T> {
    space: S,
    strategy: T,
    share: f64,
    proposed: usize,
}

impl<S: Space, T: Strategy<S>> PartlyUniform<S, T> {
    /// `share` of each batch, from 0 to 1 and rounded down, is drawn uniformly.
    pub fn new(space: S, strategy: T, share: f64) -> Self {
        Self { space, strategy, share: share.clamp(0.0, 1.0), proposed: 0 }
    }
}

impl<S: Space, T: Strategy<S>> Strategy<S> for PartlyUniform<S, T> {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch> {
        let uniform = (self.share * n as f64) as usize;
        let mut proposed = self.strategy.propose(n - uniform, stream);
        self.proposed = proposed.len();
        proposed.extend((0..uniform).map(|_| self.space.random(stream)));
        proposed
    }

    fn observe(&mut self, scored: &[(S::Arch, f64)]) {
        self.strategy.observe(&scored[..self.proposed.min(scored.len())]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_rng::Seed;

    #[test]
    fn wide_proposals_are_wide_and_uniform_ones_are_not() {
        let space = MicroSpace::new(4).unwrap();
        let mut stream = Seed::new(1).stream("test", &[]);
        assert!(Wide(space.clone()).propose(50, &mut stream).iter().all(enas_arc::Arc::is_wide));
        assert!(Uniform(&space).propose(50, &mut stream).iter().any(|arc| !arc.is_wide()));
    }

    #[test]
    fn a_uniform_part_is_kept_from_the_strategy() {
        #[derive(Default)]
        struct RecordingStrategy(Vec<usize>);
        impl Strategy<MicroSpace> for RecordingStrategy {
            fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<enas_arc::Arc> {
                (0..n).map(|_| enas_arc::Arc::random_wide(4, stream)).collect()
            }
            fn observe(&mut self, scored: &[(enas_arc::Arc, f64)]) {
                assert!(scored.iter().all(|(arc, _)| arc.is_wide()));
                self.0.push(scored.len());
            }
        }
        let mut mixed = PartlyUniform::new(MicroSpace::new(4).unwrap(), RecordingStrategy::default(), 0.3);
        let proposed = mixed.propose(10, &mut Seed::new(1).stream("test", &[]));
        assert_eq!(proposed.len(), 10);
        let scored: Vec<_> = proposed.into_iter().map(|arc| (arc, 0.0)).collect();
        mixed.observe(&scored);
        assert_eq!(mixed.strategy.0, [7]);
    }
}
