//! The strategies of a search: what proposes architectures and learns from their scores.

use enas_arc::Arch;
use enas_controller::{Bounds, MacroPolicy, Policy, RewardedChoices, SampledChoices, UpdateStats};
use enas_rng::{Seed, Stream};
use enas_run::config::{SearchConfig, StrategyConfig};
use enas_run::error::Result;
use enas_run::files::safetensors::NamedTensor;
use enas_strategy::{Evolution, Space, Strategy, Uniform};
use serde::{Deserialize, Serialize};

use super::space::{ImageSpace, WideCells};

/// The strategy that the settings name.
#[allow(clippy::large_enum_variant, reason = "a search has one of them")]
pub(super) enum Proposer {
    /// An LSTM policy π(m; θ), trained by REINFORCE.
    Policy(Box<PolicyGradient>),
    /// Regularised evolution: mutants of the best of a population (Real et al., AAAI 2019).
    Evolution(Evolution<ImageSpace>),
    /// Random draws; nothing is learned.
    Draws(Box<dyn Strategy<ImageSpace>>),
}

/// A member of a population as a checkpoint stores it: its decisions and its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    choices: Vec<usize>,
    score: f64,
}

impl Proposer {
    /// A new strategy by the settings. `lr_factor` multiplies the learning rate of a policy.
    ///
    /// # Errors
    /// Invalid sizes of the space or settings of the policy.
    pub(super) fn of(config: &SearchConfig, lr_factor: f32) -> Result<Self> {
        let space = ImageSpace::of(config)?;
        Ok(match config.strategy {
            StrategyConfig::Reinforce {} => {
                let lr = config.controller.lr * f64::from(lr_factor);
                let policy = enas_controller::Config { lr, ..config.controller.clone() };
                Self::Policy(Box::new(PolicyGradient::new(space, &policy, config.run.seed())?))
            }
            StrategyConfig::Evolution(sizes) => Self::Evolution(Evolution::new(space, sizes.into())),
            StrategyConfig::Uniform {} => Self::Draws(Box::new(Uniform(space))),
            StrategyConfig::Wide {} => Self::Draws(Box::new(WideCells { nodes: config.child.nodes })),
        })
    }

    /// Proposes one architecture; all random numbers come from `stream`.
    pub(super) fn propose_one(&mut self, stream: &mut Stream) -> Arch {
        self.propose(1, stream).pop().expect("one was asked for")
    }

    /// Proposes one architecture from each stream; the same ones as [`Self::propose_one`] would.
    pub(super) fn propose_from_each(&mut self, streams: &mut [Stream]) -> Vec<Arch> {
        match self {
            Self::Policy(policy) => policy.propose_from_each(streams),
            _ => streams.iter_mut().map(|stream| self.propose_one(stream)).collect(),
        }
    }

    /// Sets the progress of the search, from 0 to 1. The bounds on the policy's logits may move with it.
    pub(super) fn set_progress(&mut self, progress: f64) {
        if let Self::Policy(policy) = self {
            policy.bounds = policy.net.config().bounds(progress);
        }
    }

    /// The best architecture by the strategy itself: the most likely one of a policy, or the best of a population
    /// (the youngest on a tie). `None` for random draws.
    pub(super) fn favourite(&self) -> Option<Arch> {
        match self {
            Self::Policy(policy) => Some(policy.most_likely()),
            Self::Evolution(evolution) => {
                let best = evolution.population().max_by(|(_, a), (_, b)| a.total_cmp(b));
                best.map(|(arch, _)| arch.clone())
            }
            Self::Draws(_) => None,
        }
    }

    /// Whether the strategy has learned from any score.
    pub(super) fn has_learned(&self) -> bool {
        match self {
            Self::Policy(policy) => policy.net.updates() > 0,
            Self::Evolution(evolution) => evolution.population().len() > 0,
            Self::Draws(_) => false,
        }
    }

    /// The moving average of the rewards (REINFORCE baseline); `None` without a policy.
    pub(super) fn baseline(&self) -> Option<f32> {
        if let Self::Policy(policy) = self { Some(policy.net.baseline()) } else { None }
    }

    /// The word for this strategy in messages.
    pub(super) fn noun(&self) -> &'static str {
        if matches!(self, Self::Evolution(_)) { "population" } else { "policy" }
    }

    /// Statistics of the update made by the last observation; `None` without a policy.
    ///
    /// # Errors
    /// The policy's error, if it refused the scores.
    pub(super) fn take_update(&mut self) -> Result<Option<UpdateStats>> {
        let Self::Policy(policy) = self else { return Ok(None) };
        Ok(policy.last.take().transpose()?)
    }

    /// The learned tensors: weights and optimiser state of a policy, otherwise none.
    pub(super) fn tensors(&self) -> Vec<NamedTensor> {
        let Self::Policy(policy) = self else { return Vec::new() };
        policy.net.state()
    }

    /// The population of evolution, oldest first; empty for other strategies.
    pub(super) fn population(&self) -> Vec<Member> {
        let Self::Evolution(evolution) = self else { return Vec::new() };
        let member =
            |(arch, score): &(Arch, f64)| Member { choices: evolution.space().encode(arch), score: *score };
        evolution.population().map(member).collect()
    }

    /// Restores what [`Self::tensors`] and [`Self::population`] returned, so that the search continues exactly.
    ///
    /// # Errors
    /// If the tensors do not belong to this policy.
    pub(super) fn load(&mut self, tensors: Vec<NamedTensor>, population: &[Member]) -> Result<()> {
        match self {
            Self::Policy(policy) => {
                policy.net.load_state(tensors)?;
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

impl Strategy<ImageSpace> for Proposer {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<Arch> {
        match self {
            Self::Policy(policy) => policy.propose(n, stream),
            Self::Evolution(evolution) => evolution.propose(n, stream),
            Self::Draws(draws) => draws.propose(n, stream),
        }
    }

    fn observe(&mut self, scored: &[(Arch, f64)]) {
        match self {
            Self::Policy(policy) => policy.observe(scored),
            Self::Evolution(evolution) => evolution.observe(scored),
            Self::Draws(draws) => draws.observe(scored),
        }
    }
}

/// REINFORCE on the policy π(m; θ) of ENAS: proposes m ~ π(m; θ) and makes one step along ∇_θ E[R(m, ω)] per
/// observation.
///
/// Unlike [`enas_strategy::Reinforce`] it uses scores without scaling, may propose an architecture again, and follows
/// bounds that move with the progress. A repeated proposal is useful here because its score changes as ω learns.
pub(super) struct PolicyGradient {
    space: ImageSpace,
    net: PolicyNet,
    bounds: Bounds,
    /// Result of the last update, until [`Proposer::take_update`] collects it.
    last: Option<Result<UpdateStats, enas_controller::Error>>,
}

/// The LSTM policy of either space.
#[allow(clippy::large_enum_variant, reason = "a search has one of them")]
enum PolicyNet {
    Micro(Policy),
    Macro(MacroPolicy),
}

impl PolicyNet {
    fn new(
        space: &ImageSpace,
        config: &enas_controller::Config,
        seed: Seed,
    ) -> Result<Self, enas_controller::Error> {
        Ok(match space {
            ImageSpace::Micro(space) => Self::Micro(Policy::new(config, space.plan().clone(), seed)?),
            ImageSpace::Macro(space) => Self::Macro(MacroPolicy::new(config, space.n_layers(), seed)?),
        })
    }

    fn config(&self) -> &enas_controller::Config {
        match self {
            Self::Micro(policy) => policy.config(),
            Self::Macro(policy) => policy.config(),
        }
    }

    fn sample(&self, bounds: Bounds, stream: &mut Stream) -> SampledChoices {
        match self {
            Self::Micro(policy) => policy.sample(bounds, stream),
            Self::Macro(policy) => policy.sample(bounds, stream),
        }
    }

    /// One draw from each stream. A policy of cells runs the rollouts as a batch, and its next update uses them again.
    fn sample_many(&self, bounds: Bounds, streams: &mut [Stream]) -> Vec<SampledChoices> {
        match self {
            Self::Micro(policy) => policy.sample_many(bounds, streams),
            Self::Macro(policy) => streams.iter_mut().map(|stream| policy.sample(bounds, stream)).collect(),
        }
    }

    fn most_likely(&self, bounds: Bounds) -> SampledChoices {
        match self {
            Self::Micro(policy) => policy.most_likely(bounds),
            Self::Macro(policy) => policy.most_likely(bounds),
        }
    }

    fn reinforce(
        &mut self,
        bounds: Bounds,
        rewarded: &[RewardedChoices],
    ) -> Result<UpdateStats, enas_controller::Error> {
        match self {
            Self::Micro(policy) => policy.reinforce(bounds, rewarded),
            Self::Macro(policy) => policy.reinforce(bounds, rewarded),
        }
    }

    fn baseline(&self) -> f32 {
        match self {
            Self::Micro(policy) => policy.baseline(),
            Self::Macro(policy) => policy.baseline(),
        }
    }

    fn updates(&self) -> u64 {
        match self {
            Self::Micro(policy) => policy.updates(),
            Self::Macro(policy) => policy.updates(),
        }
    }

    fn state(&self) -> Vec<NamedTensor> {
        match self {
            Self::Micro(policy) => policy.state(),
            Self::Macro(policy) => policy.state(),
        }
    }

    fn load_state(&mut self, tensors: Vec<NamedTensor>) -> Result<(), enas_controller::Error> {
        match self {
            Self::Micro(policy) => policy.load_state(tensors),
            Self::Macro(policy) => policy.load_state(tensors),
        }
    }
}

impl PolicyGradient {
    fn new(
        space: ImageSpace,
        config: &enas_controller::Config,
        seed: Seed,
    ) -> Result<Self, enas_controller::Error> {
        let net = PolicyNet::new(&space, config, seed)?;
        Ok(Self { bounds: config.bounds(0.0), space, net, last: None })
    }

    fn propose_from_each(&self, streams: &mut [Stream]) -> Vec<Arch> {
        self.net.sample_many(self.bounds, streams).iter().map(|draw| self.arch(&draw.choices)).collect()
    }

    fn most_likely(&self) -> Arch {
        self.arch(&self.net.most_likely(self.bounds).choices)
    }

    fn arch(&self, choices: &[usize]) -> Arch {
        self.space.decode(choices).expect("every decision offers only what the space has")
    }
}

impl Strategy<ImageSpace> for PolicyGradient {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<Arch> {
        (0..n).map(|_| self.arch(&self.net.sample(self.bounds, stream).choices)).collect() // m ~ π(m; θ)
    }

    fn observe(&mut self, scored: &[(Arch, f64)]) {
        let rewarded = |(arch, score): &(Arch, f64)| RewardedChoices {
            choices: self.space.encode(arch),
            value: *score as f32,
        };
        let rewarded: Vec<RewardedChoices> = scored.iter().map(rewarded).collect();
        self.last = Some(self.net.reinforce(self.bounds, &rewarded));
    }
}
