//! The interface of a search space, and the space of ENAS micro arcs.

use std::fmt::Debug;
use std::hash::Hash;

use enas_arc::Arc;
use enas_controller::{Error, Plan};
use enas_rng::Stream;

/// A set of architectures, each made by a fixed number of decisions.
pub trait Space {
    /// One architecture.
    type Arch: Clone + Ord + Hash + Debug;

    /// The decisions that make an architecture, in the order in which a policy makes them.
    fn plan(&self) -> &Plan;

    /// The choices that make `arch`, one per decision of the plan.
    fn encode(&self, arch: &Self::Arch) -> Vec<usize>;

    /// The architecture that these choices make; `None` if the space does not have it.
    fn decode(&self, choices: &[usize]) -> Option<Self::Arch>;

    /// A uniformly drawn architecture.
    fn random(&self, stream: &mut Stream) -> Self::Arch;

    /// An architecture that differs from `arch` in one decision.
    fn mutated(&self, arch: &Self::Arch, stream: &mut Stream) -> Self::Arch;

    /// A canonical form, the same for all architectures that are known to compute the same function.
    fn canonical(&self, arch: &Self::Arch) -> Self::Arch {
        arch.clone()
    }
}

impl<S: Space> Space for &S {
    type Arch = S::Arch;

    fn plan(&self) -> &Plan {
        S::plan(self)
    }

    fn encode(&self, arch: &Self::Arch) -> Vec<usize> {
        S::encode(self, arch)
    }

    fn decode(&self, choices: &[usize]) -> Option<Self::Arch> {
        S::decode(self, choices)
    }

    fn random(&self, stream: &mut Stream) -> Self::Arch {
        S::random(self, stream)
    }

    fn mutated(&self, arch: &Self::Arch, stream: &mut Stream) -> Self::Arch {
        S::mutated(self, arch, stream)
    }

    fn canonical(&self, arch: &Self::Arch) -> Self::Arch {
        S::canonical(self, arch)
    }
}

/// The arcs of the ENAS micro search with a fixed number of nodes per cell.
#[derive(Clone, Debug)]
pub struct MicroSpace {
    n_nodes: usize,
    plan: Plan,
}

impl MicroSpace {
    /// The space of arcs with `n_nodes` nodes per cell.
    ///
    /// # Errors
    /// [`Error::Nodes`] if `n_nodes` is not within 1 to 64.
    pub fn new(n_nodes: usize) -> Result<Self, Error> {
        Ok(Self { n_nodes, plan: Plan::micro(n_nodes)? })
    }

    /// Number of nodes per cell.
    pub fn n_nodes(&self) -> usize {
        self.n_nodes
    }
}

impl Space for MicroSpace {
    type Arch = Arc;

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn encode(&self, arch: &Arc) -> Vec<usize> {
        arch.to_ints()
    }

    fn decode(&self, choices: &[usize]) -> Option<Arc> {
        let ints: Vec<i64> =
            choices.iter().map(|&choice| i64::try_from(choice).ok()).collect::<Option<_>>()?;
        Arc::from_ints(&ints).ok().filter(|arc| arc.n_nodes() == self.n_nodes)
    }

    fn random(&self, stream: &mut Stream) -> Arc {
        Arc::random(self.n_nodes, stream)
    }

    fn mutated(&self, arch: &Arc, stream: &mut Stream) -> Arc {
        arch.mutated(stream)
    }

    fn canonical(&self, arch: &Arc) -> Arc {
        arch.canonical()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_rng::Seed;

    #[test]
    fn micro_arcs_survive_their_choices_and_mutants_differ() {
        let space = MicroSpace::new(3).unwrap();
        let mut stream = Seed::new(1).stream("test", &[]);
        for _ in 0..50 {
            let arc = space.random(&mut stream);
            assert_eq!(space.decode(&space.encode(&arc)), Some(arc.clone()));
            assert_ne!(space.mutated(&arc, &mut stream), arc);
            assert_eq!(space.canonical(&space.canonical(&arc)), space.canonical(&arc));
        }
    }

    #[test]
    fn choices_of_other_spaces_make_no_arc() {
        let space = MicroSpace::new(2).unwrap();
        for choices in [&[0; 8][..], &[0; 15], &[9; 16], &[usize::MAX; 16]] {
            assert_eq!(space.decode(choices), None, "{choices:?}");
        }
        assert!(MicroSpace::new(0).is_err());
    }
}
