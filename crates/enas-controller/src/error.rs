//! Errors in a caller's input.

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A setting has an invalid value.
    #[error("controller.{key} = {value}: {expected}")]
    Config {
        /// Name of the key in [`Config`](crate::Config).
        key: &'static str,
        /// The invalid value.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A number of nodes outside 1 to 64.
    #[error("a controller needs cells of 1 to 64 nodes, got {0}")]
    Nodes(usize),
    /// An arc of another size than the controller's.
    #[error("arc {position} has {got} nodes per cell, this controller decides about {expected}")]
    ArcNodes {
        /// Position of the arc among those given.
        position: usize,
        /// Nodes per cell of the controller.
        expected: usize,
        /// Nodes per cell of the arc.
        got: usize,
    },
    /// Steps that do not make a plan.
    #[error("impossible plan: {0}")]
    Plan(String),
    /// The number of choices differs from the number of decisions.
    #[error("vector {position} has {got} choices, this policy takes {expected} decisions")]
    Choices {
        /// Position of the vector among those given.
        position: usize,
        /// Number of decisions of the plan.
        expected: usize,
        /// Number of choices given.
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
        /// The invalid choice.
        choice: usize,
        /// Number of choices of the decision.
        n_choices: usize,
    },
    /// A reward that is not finite.
    #[error("reward {position} is {value}; it must be finite")]
    Reward {
        /// Position of the reward among those given.
        position: usize,
        /// The invalid value.
        value: f32,
    },
    /// Too few rewarded arcs for an update.
    #[error("an update needs at least {expected} rewarded arcs with advantage = \"{advantage}\", got {got}")]
    Episodes {
        /// The setting that determines the smallest number.
        advantage: &'static str,
        /// Smallest allowed number.
        expected: usize,
        /// Number given.
        got: usize,
    },
    /// An accuracy that is not a fraction from 0 to 1.
    #[error("accuracy of episode {position} is {value}; it must be a fraction between 0 and 1")]
    Accuracy {
        /// Position of the episode among those given.
        position: usize,
        /// The invalid value.
        value: f32,
    },
    /// An empty list of arcs.
    #[error("no arcs; give at least one")]
    NoArcs,
    /// A tensor of the policy is not a variable, for instance because it was read from a file.
    #[error(
        "tensor \"{0}\" is not a variable, so this policy cannot be trained; make it with a VarMap to train it"
    )]
    Frozen(String),
    /// An error of candle, such as a variable of another shape.
    #[error("candle: {0}")]
    Candle(String),
    /// The number of coefficients differs from the number of arcs.
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
    /// A saved state holds a tensor twice, or one that this controller does not have.
    #[error("saved controller state holds an unexpected or repeated tensor \"{0}\"")]
    UnexpectedTensor(String),
    /// A saved tensor has another shape than the controller's.
    #[error("saved tensor \"{name}\" has shape {got:?}, this controller needs {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape the controller needs.
        expected: Vec<usize>,
        /// Shape found, or the number of values if that is wrong.
        got: Vec<usize>,
    },
    /// A saved tensor does not hold `f32` values.
    #[error("saved tensor \"{name}\" is {got:?}, this controller needs F32")]
    DType {
        /// Name of the tensor.
        name: String,
        /// Its type.
        got: candle_core::DType,
    },
    /// A saved value that no run can have produced.
    #[error("saved tensor \"{name}\" holds {value} at position {position}: {expected}")]
    Value {
        /// Name of the tensor.
        name: String,
        /// Position in the flattened tensor.
        position: usize,
        /// The invalid value.
        value: f32,
        /// What is allowed.
        expected: &'static str,
    },
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Candle(error.to_string())
    }
}
