//! What proposes architectures, and learns from their scores: the strategy that the settings name.

use enas_child::Named;
use enas_controller::{Bounds, Policy, Rewarded, Stream, UpdateStats};
use enas_rng::Seed;
use enas_strategy::{Evolution, MicroSpace, Space, Strategy, Uniform, Wide};
use serde::{Deserialize, Serialize};

use crate::config::{SearchConfig, StrategyConfig};
use crate::error::Result;

/// The strategy of a search over the cells of the micro space.
pub(super) type MicroProposer = Proposer<MicroSpace>;

/// The strategy of a search, one of those that the settings may name.
pub(super) enum Proposer<S: Space> {
    /// An LSTM policy, trained by REINFORCE.
    Policy(Box<PolicyGradient<S>>),
    /// A population whose best get mutants.
    Evolution(Evolution<S>),
    /// Draws that learn nothing.
    Draws(Box<dyn Strategy<S>>),
}

/// A member of a population, as a checkpoint keeps it: its choices and its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    choices: Vec<usize>,
    score: f64,
}

impl MicroProposer {
    /// The strategy of these settings, which has learned nothing; `lr_factor` is for its learning rate, if it has one.
    pub(super) fn of(config: &SearchConfig, lr_factor: f32) -> Result<Self> {
        let space = MicroSpace::new(config.child.nodes)?;
        Ok(match config.strategy {
            StrategyConfig::Reinforce {} => {
                let lr = config.controller.lr * f64::from(lr_factor);
                let policy = enas_controller::Config { lr, ..config.controller.clone() };
                Self::Policy(Box::new(PolicyGradient::new(space, &policy, config.run.seed())?))
            }
            StrategyConfig::Evolution(sizes) => Self::Evolution(Evolution::new(space, sizes.into())),
            StrategyConfig::Uniform {} => Self::Draws(Box::new(Uniform(space))),
            StrategyConfig::Wide {} => Self::Draws(Box::new(Wide(space))),
        })
    }
}

impl<S: Space> Proposer<S> {
    /// One architecture; every random number comes from `stream`.
    pub(super) fn propose_one(&mut self, stream: &mut Stream) -> S::Arch {
        self.propose(1, stream).pop().expect("one was asked for")
    }

    /// Says how far the search is, from 0 to 1: a policy may become surer of itself on the way.
    pub(super) fn set_progress(&mut self, progress: f64) {
        if let Self::Policy(policy) = self {
            policy.bounds = policy.policy.config().bounds(progress);
        }
    }

    /// The architecture that is thought best: the policy's likeliest, or the best of the population, the youngest of
    /// equals. Strategies that learn nothing have none.
    pub(super) fn favourite(&self) -> Option<S::Arch> {
        match self {
            Self::Policy(policy) => Some(policy.most_likely()),
            Self::Evolution(evolution) => {
                let best = evolution.population().max_by(|(_, a), (_, b)| a.total_cmp(b));
                best.map(|(arch, _)| arch.clone())
            }
            Self::Draws(_) => None,
        }
    }

    /// Whether anything was learned, so that it may be the wrong thing.
    pub(super) fn has_learned(&self) -> bool {
        match self {
            Self::Policy(policy) => policy.policy.updates() > 0,
            Self::Evolution(evolution) => evolution.population().len() > 0,
            Self::Draws(_) => false,
        }
    }

    /// The moving average of the rewards, where there is a policy.
    pub(super) fn baseline(&self) -> Option<f32> {
        if let Self::Policy(policy) = self { Some(policy.policy.baseline()) } else { None }
    }

    /// What to call it in messages.
    pub(super) fn noun(&self) -> &'static str {
        if matches!(self, Self::Evolution(_)) { "population" } else { "policy" }
    }

    /// The numbers of the last observation's update; `None` where there is no policy to update.
    ///
    /// # Errors
    /// If the policy refused the scores.
    pub(super) fn take_update(&mut self) -> Result<Option<UpdateStats>> {
        let Self::Policy(policy) = self else { return Ok(None) };
        Ok(policy.last.take().transpose()?)
    }

    /// What was learned, as far as it is tensors.
    pub(super) fn tensors(&self) -> Vec<Named> {
        let Self::Policy(policy) = self else { return Vec::new() };
        let named = |(name, shape, data)| Named { name, shape, data };
        policy.policy.state().into_iter().map(named).collect()
    }

    /// What was learned, as far as it is architectures with scores, the oldest first.
    pub(super) fn population(&self) -> Vec<Member> {
        let Self::Evolution(evolution) = self else { return Vec::new() };
        let member = |(arch, score): &(S::Arch, f64)| Member {
            choices: evolution.space().encode(arch),
            score: *score,
        };
        evolution.population().map(member).collect()
    }

    /// Takes over what [`Self::tensors`] and [`Self::population`] gave; goes on as if never interrupted.
    ///
    /// # Errors
    /// If the tensors are not those of this policy.
    pub(super) fn load(&mut self, tensors: Vec<Named>, population: &[Member]) -> Result<()> {
        match self {
            Self::Policy(policy) => {
                let tensors = tensors.into_iter().map(|t| (t.name, t.shape, t.data));
                policy.policy.load_state(tensors)?;
            }
            Self::Evolution(evolution) => {
                let space = evolution.space();
                let member = |member: &Member| Some((space.decode(&member.choices)?, member.score));
                let members: Vec<_> = population.iter().filter_map(member).collect();
                evolution.restore(members);
            }
            Self::Draws(_) => {}
        }
        Ok(())
    }
}

impl<S: Space> Strategy<S> for Proposer<S> {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch> {
        match self {
            Self::Policy(policy) => policy.propose(n, stream),
            Self::Evolution(evolution) => evolution.propose(n, stream),
            Self::Draws(draws) => draws.propose(n, stream),
        }
    }

    fn observe(&mut self, scored: &[(S::Arch, f64)]) {
        match self {
            Self::Policy(policy) => policy.observe(scored),
            Self::Evolution(evolution) => evolution.observe(scored),
            Self::Draws(draws) => draws.observe(scored),
        }
    }
}

/// The policy π(m; θ) of ENAS: draws from it, and a step along ∇_θ E[R(m; ω)] for every observation.
///
/// Unlike [`enas_strategy::Reinforce`] it takes scores as they are, proposes what it has proposed before, and obeys
/// bounds that move while it learns: scores change as the shared weights learn.
pub(super) struct PolicyGradient<S: Space> {
    space: S,
    policy: Policy,
    bounds: Bounds,
    /// What the last observation came to, until it is asked for.
    last: Option<Result<UpdateStats, enas_controller::Error>>,
}

impl<S: Space> PolicyGradient<S> {
    fn new(space: S, config: &enas_controller::Config, seed: Seed) -> Result<Self, enas_controller::Error> {
        let policy = Policy::new(config, space.plan().clone(), seed)?;
        Ok(Self { bounds: config.bounds(0.0), space, policy, last: None })
    }

    fn most_likely(&self) -> S::Arch {
        self.arch(&self.policy.most_likely(self.bounds).choices)
    }

    fn arch(&self, choices: &[usize]) -> S::Arch {
        self.space.decode(choices).expect("every decision offers only what the space has")
    }
}

impl<S: Space> Strategy<S> for PolicyGradient<S> {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch> {
        (0..n).map(|_| self.arch(&self.policy.sample(self.bounds, stream).choices)).collect() // m ~ π(m; θ)
    }

    fn observe(&mut self, scored: &[(S::Arch, f64)]) {
        let rewarded = |(arch, score): &(S::Arch, f64)| Rewarded {
            choices: self.space.encode(arch),
            value: *score as f32,
        };
        let rewarded: Vec<Rewarded> = scored.iter().map(rewarded).collect();
        self.last = Some(self.policy.reinforce(self.bounds, &rewarded));
    }
}
