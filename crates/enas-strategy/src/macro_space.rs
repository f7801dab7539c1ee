//! The search space of macro arcs.

use enas_arc::{MacroArc, MacroOp};
use enas_controller::{Error, MacroPolicy, Plan, PlanStep};
use enas_rng::Stream;

use crate::space::Space;

/// The arcs of the ENAS macro search with a fixed number of layers.
///
/// Its plan has one step per decision, and all layers share the vocabularies. The authors' policy decides all skips
/// of a layer in one step (`general_controller.py:213-228`), which a plan cannot express; that policy is
/// [`MacroPolicy`].
#[derive(Clone, Debug)]
pub struct MacroSpace {
    n_layers: usize,
    plan: Plan,
}

impl MacroSpace {
    /// The space of arcs with `n_layers` layers.
    ///
    /// # Errors
    /// [`Error::Plan`] if `n_layers` is 0, or if there are more than 4,096 decisions.
    pub fn new(n_layers: usize) -> Result<Self, Error> {
        if n_layers > MacroPolicy::MOST_LAYERS {
            return Err(Error::Plan(format!("{n_layers} layers are too many")));
        }
        let n_ops = MacroOp::ALL.len();
        let mut steps = Vec::new();
        for layer in 0..n_layers {
            steps.push(PlanStep::Op { decision: steps.len(), first: 0, n_choices: n_ops });
            for _earlier in 0..layer {
                steps.push(PlanStep::Op { decision: steps.len(), first: n_ops, n_choices: 2 });
            }
        }
        Ok(Self { n_layers, plan: Plan::new(steps)? })
    }

    /// Number of layers of each arc.
    pub fn n_layers(&self) -> usize {
        self.n_layers
    }
}

impl Space for MacroSpace {
    type Arch = MacroArc;

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn encode(&self, arch: &MacroArc) -> Vec<usize> {
        arch.to_ints()
    }

    fn decode(&self, choices: &[usize]) -> Option<MacroArc> {
        let ints: Vec<i64> =
            choices.iter().map(|&choice| i64::try_from(choice).ok()).collect::<Option<_>>()?;
        MacroArc::from_ints(&ints).ok().filter(|arc| arc.n_layers() == self.n_layers)
    }

    fn random(&self, stream: &mut Stream) -> MacroArc {
        MacroArc::random(self.n_layers, stream)
    }

    fn mutated(&self, arch: &MacroArc, stream: &mut Stream) -> MacroArc {
        arch.mutated(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evolution, EvolutionSettings, Reinforce, ReinforceSettings, Strategy};
    use enas_rng::Seed;

    #[test]
    fn macro_arcs_survive_their_choices_and_mutants_differ_in_one() {
        let space = MacroSpace::new(5).unwrap();
        assert_eq!(space.plan().n_choices(), [6, 6, 2, 6, 2, 2, 6, 2, 2, 2, 6, 2, 2, 2, 2]);
        let mut stream = Seed::new(1).stream("test", &[]);
        for _ in 0..50 {
            let arc = space.random(&mut stream);
            let choices = space.encode(&arc);
            let mutant = space.mutated(&arc, &mut stream);
            assert_eq!(space.decode(&choices), Some(arc));
            assert_eq!(choices.iter().zip(space.encode(&mutant)).filter(|(a, b)| **a != *b).count(), 1);
        }
        assert!(space.decode(&[0; 14]).is_none() && space.decode(&[0; 21]).is_none());
        assert!(MacroSpace::new(0).is_err() && MacroSpace::new(1000).is_err());
    }

    #[test]
    fn strategies_find_more_of_what_is_scored_than_chance_has() {
        let space = MacroSpace::new(6).unwrap();
        let pools = |arc: &MacroArc| {
            arc.layers().iter().filter(|layer| layer.op.id() >= 4).count() as f64 + arc.skip_rate()
        };
        let reinforce = Reinforce::new(&space, &ReinforceSettings::default(), Seed::new(1)).unwrap();
        let evolution = Evolution::new(&space, EvolutionSettings::default());
        let strategies: [Box<dyn Strategy<&MacroSpace>>; 2] = [Box::new(reinforce), Box::new(evolution)];
        for mut strategy in strategies {
            let mut means = vec![];
            for batch in 0..40 {
                let archs = strategy.propose(10, &mut Seed::new(2).stream("test", &[batch]));
                let scored: Vec<_> = archs.into_iter().map(|arc| (arc.clone(), pools(&arc))).collect();
                means.push(scored.iter().map(|(_, score)| score).sum::<f64>() / 10.0);
                strategy.observe(&scored);
            }
            // The expectation for a random arc is 2.5.
            assert!(means[0] < 3.5 && means[35..].iter().all(|mean| *mean > 4.0), "{means:?}");
        }
    }
}
