//! The search space of images: cells (micro) or whole networks layer by layer (macro).

use enas_arc::{Arch, MacroOp, Op, SpaceKind};
use enas_controller::Plan;
use enas_rng::{Seed, Stream};
use enas_run::config::SearchConfig;
use enas_run::error::Result;
use enas_strategy::{MacroSpace, MicroSpace, Space, Strategy};

/// The search space that the settings name.
#[derive(Clone, Debug)]
pub(super) enum ImageSpace {
    Micro(MicroSpace),
    Macro(MacroSpace),
}

impl ImageSpace {
    pub(super) fn of(config: &SearchConfig) -> Result<Self> {
        Ok(match config.space() {
            SpaceKind::Micro => Self::Micro(MicroSpace::new(config.child.nodes)?),
            SpaceKind::Macro => Self::Macro(MacroSpace::new(config.macro_network().layers)?),
        })
    }

    /// Number of operations that a branch (micro) or layer (macro) chooses from.
    fn n_ops(&self) -> usize {
        match self {
            Self::Micro(_) => Op::ALL.len(),
            Self::Macro(_) => MacroOp::ALL.len(),
        }
    }

    /// Number of shared weights that compete for one training step, for the weights trained least often.
    ///
    /// In the micro space a weight row belongs to one operation and one input of a branch, and the last node has
    /// `nodes + 1` inputs. In the macro space a branch belongs to one operation.
    pub(super) fn sharers(&self) -> u64 {
        let inputs = match self {
            Self::Micro(space) => space.n_nodes() + 1,
            Self::Macro(_) => 1,
        };
        (self.n_ops() * inputs) as u64
    }

    /// Zeros for counting operations, `[kinds][operations]`; two kinds of cell in the micro space, one in the macro
    /// space.
    pub(super) fn no_counts(&self) -> Vec<Vec<u64>> {
        let kinds = if matches!(self, Self::Micro(_)) { 2 } else { 1 };
        vec![vec![0; self.n_ops()]; kinds]
    }

    /// The name of the operation with this number.
    pub(super) fn op_name(&self, id: usize) -> &'static str {
        match self {
            Self::Micro(_) => Op::ALL[id].name(),
            Self::Macro(_) => MacroOp::ALL[id].name(),
        }
    }

    /// A fair draw for a training step (strict fairness, FairNAS; Chu et al., ICCV 2021).
    ///
    /// Inputs and skips are uniform. Operations are drawn without replacement: within `n_ops` consecutive steps,
    /// counted from a multiple of `n_ops`, every branch uses each operation exactly once.
    pub(super) fn fair(&self, seed: Seed, step: u64) -> Arch {
        let n_ops = self.n_ops();
        let group = step / n_ops as u64;
        let turn = (step % n_ops as u64) as usize;
        let mut inputs = seed.stream("search/fair-inputs", &[step]);
        let mut operations = seed.stream("search/fair-operations", &[group]);
        let mut op = || {
            let mut order: Vec<usize> = (0..n_ops).collect();
            operations.shuffle(&mut order);
            order[turn]
        };
        let mut choices = Vec::new();
        match self {
            Self::Micro(space) => {
                let nodes = space.n_nodes();
                for node in (0..nodes).chain(0..nodes) {
                    for _side in 0..2 {
                        let operation = op();
                        choices.extend([inputs.below(node + 2), operation]);
                    }
                }
            }
            Self::Macro(space) => {
                for layer in 0..space.n_layers() {
                    choices.push(op());
                    choices.extend((0..layer).map(|_| inputs.below(2)));
                }
            }
        }
        self.decode(&choices).expect("every number is one of those that its position allows")
    }
}

/// Operation numbers of an architecture: one list per kind of cell, or a single list in the macro space.
pub(super) fn operations(arch: &Arch) -> Vec<Vec<usize>> {
    match arch {
        Arch::Micro(arc) => [arc.normal(), arc.reduction()]
            .map(|cell| cell.nodes().iter().flat_map(|node| [node.x.op.id(), node.y.op.id()]).collect())
            .into(),
        Arch::Macro(arc) => vec![arc.layers().iter().map(|layer| layer.op.id()).collect()],
    }
}

impl Space for ImageSpace {
    type Arch = Arch;

    fn plan(&self) -> &Plan {
        match self {
            Self::Micro(space) => space.plan(),
            Self::Macro(space) => space.plan(),
        }
    }

    fn encode(&self, arch: &Arch) -> Vec<usize> {
        match arch {
            Arch::Micro(arc) => arc.to_ints(),
            Arch::Macro(arc) => arc.to_ints(),
        }
    }

    fn decode(&self, choices: &[usize]) -> Option<Arch> {
        match self {
            Self::Micro(space) => space.decode(choices).map(Arch::Micro),
            Self::Macro(space) => space.decode(choices).map(Arch::Macro),
        }
    }

    fn random(&self, stream: &mut Stream) -> Arch {
        match self {
            Self::Micro(space) => Arch::Micro(space.random(stream)),
            Self::Macro(space) => Arch::Macro(space.random(stream)),
        }
    }

    fn mutated(&self, arch: &Arch, stream: &mut Stream) -> Arch {
        match arch {
            Arch::Micro(arc) => Arch::Micro(arc.mutated(stream)),
            Arch::Macro(arc) => Arch::Macro(arc.mutated(stream)),
        }
    }

    fn canonical(&self, arch: &Arch) -> Arch {
        canonical(arch)
    }
}

/// The representative of all architectures that compute the same function. Macro architectures have no symmetries.
pub(crate) fn canonical(arch: &Arch) -> Arch {
    match arch {
        Arch::Micro(arc) => Arch::Micro(arc.canonical()),
        Arch::Macro(_) => arch.clone(),
    }
}

/// A strategy that draws uniformly among cells whose branches read only the two cell inputs.
pub(super) struct WideCells {
    pub(super) nodes: usize,
}

impl Strategy<ImageSpace> for WideCells {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<Arch> {
        (0..n).map(|_| Arch::Micro(enas_arc::Arc::random_wide(self.nodes, stream))).collect()
    }

    fn observe(&mut self, _: &[(Arch, f64)]) {}
}
