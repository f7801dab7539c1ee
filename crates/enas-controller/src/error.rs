//! What can be wrong with what a caller hands in.

/// Everything this crate refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A setting has a value that makes no sense.
    #[error("controller.{key} = {value}: {expected}")]
    Config {
        /// Name of the key in [`Config`](crate::Config).
        key: &'static str,
        /// The offending value.
        value: String,
        /// What is allowed instead.
        expected: &'static str,
    },
    /// A controller for cells without nodes has nothing to decide.
    #[error("a controller needs cells of 1 to 64 nodes, got {0}")]
    Nodes(usize),
    /// An arc of another size than the controller was built for.
    #[error("arc {position} has {got} nodes per cell, this controller decides about {expected}")]
    ArcNodes {
        /// Position of the arc among those given.
        position: usize,
        /// Nodes per cell of the controller.
        expected: usize,
        /// Nodes per cell of the arc.
        got: usize,
    },
    /// A plan that makes no sense.
    #[error("impossible plan: {0}")]
    Plan(String),
    /// Not one choice per decision.
    #[error("vector {position} has {got} choices, this policy takes {expected} decisions")]
    Choices {
        /// Position of the vector among those given.
        position: usize,
        /// Decisions of the plan.
        expected: usize,
        /// Choices given.
        got: usize,
    },
    /// A choice that does not exist.
    #[error(
        "vector {position}, decision {decision}: choice {choice} does not exist; there are {n_choices}, from 0"
    )]
    Choice {
        /// Position of the vector among those given.
        position: usize,
        /// The decision.
        decision: usize,
        /// The offending choice.
        choice: usize,
        /// How many there are.
        n_choices: usize,
    },
    /// A reward that is not a number.
    #[error("reward {position} is {value}; it must be finite")]
    Reward {
        /// Position of the reward among those given.
        position: usize,
        /// The offending value.
        value: f32,
    },
    /// An update needs at least one rewarded arc.
    #[error("an update needs at least {expected} rewarded arcs with advantage = \"{advantage}\", got {got}")]
    Episodes {
        /// The setting that decides how many are needed.
        advantage: &'static str,
        /// Smallest usable number.
        expected: usize,
        /// Number given.
        got: usize,
    },
    /// An accuracy that is no fraction.
    #[error("accuracy of episode {position} is {value}; it must be a fraction between 0 and 1")]
    Accuracy {
        /// Position of the episode among those given.
        position: usize,
        /// The offending value.
        value: f32,
    },
    /// There is nothing to compute -ln π of.
    #[error("no arcs; give at least one")]
    NoArcs,
    /// A tensor of the policy was read from somewhere and is not a variable.
    #[error(
        "tensor \"{0}\" is not a variable, so this policy cannot be trained; make it with a VarMap to train it"
    )]
    Frozen(String),
    /// Policies are computed on the CPU alone.
    #[error("a policy's variables must be on the CPU: an update is too small to gain from another device")]
    Device,
    /// candle refused an operation, such as a variable of another shape.
    #[error("candle: {0}")]
    Candle(String),
    /// As many weights as arcs are needed.
    #[error("{arcs} arcs but {coefficients} coefficients; give one coefficient per arc")]
    Coefficients {
        /// Number of arcs given.
        arcs: usize,
        /// Number of coefficients given.
        coefficients: usize,
    },
    /// A saved state lacks a tensor.
    #[error("saved controller state has no tensor \"{0}\"; was it saved with other controller settings?")]
    MissingTensor(String),
    /// A saved state holds a tensor twice or one that this controller does not have.
    #[error("saved controller state holds an unexpected or repeated tensor \"{0}\"")]
    UnexpectedTensor(String),
    /// A saved tensor has another shape than this controller's.
    #[error("saved tensor \"{name}\" has shape {got:?}, this controller needs {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape the controller needs.
        expected: Vec<usize>,
        /// Shape found; of a wrong number of values, the number found.
        got: Vec<usize>,
    },
    /// A saved tensor holds other numbers than `f32`.
    #[error("saved tensor \"{name}\" is {got:?}, this controller needs F32")]
    DType {
        /// Name of the tensor.
        name: String,
        /// What it holds.
        got: candle_core::DType,
    },
    /// A saved number that no run can have produced.
    #[error("saved tensor \"{name}\" holds {value} at position {position}: {expected}")]
    Value {
        /// Name of the tensor.
        name: String,
        /// Position in the flattened tensor.
        position: usize,
        /// The offending value.
        value: f32,
        /// What is allowed instead.
        expected: &'static str,
    },
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Candle(error.to_string())
    }
}
