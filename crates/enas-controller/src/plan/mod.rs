//! The order in which the policy makes the decisions of an architecture, as data.

mod lstm_step;
mod step;

use std::ops::Range;

use enas_arc::Op;

pub(crate) use self::lstm_step::{IndexDecision, LstmStep, OpDecision, PlanSizes, TapeShape};
use self::lstm_step::{fed_ranges, lay_out};
pub use self::step::PlanStep;
use crate::Error;

/// Largest number of nodes per cell of [`Plan::micro`].
const MOST_NODES: usize = 64;
/// Largest number of LSTM steps of a plan, and of entries of its vocabulary. The tape grows with both.
const MOST: usize = 4096;
/// Constant bias of the operation logits in the normal cell, added after temperature and bound (`b_soft_no_learn`,
/// `micro_controller.py:106-109, 184-185`). The reduction cell has none (`micro_controller.py:79-80`).
const NORMAL_CELL_BIAS: [f32; Op::ALL.len()] = [0.25, 0.25, -0.25, -0.25, -0.25];
/// The authors' initial operation bias (`micro_controller.py:100-104`).
const FROZEN_BIAS: [f32; Op::ALL.len()] = [10.0, 10.0, 0.0, 0.0, 0.0];

/// All LSTM steps of a policy, the same for every architecture of a space.
///
/// A plan has a *vocabulary* of operations, and each decision offers a part of it. Decisions that offer the same part
/// share its weights. An architecture is a vector of choices, one per decision.
///
/// ```
/// use enas_controller::{Plan, PlanStep};
///
/// // Two columns of a table, of 3 and 5 values.
/// assert_eq!(Plan::of_choices(&[3, 5])?.n_choices(), [3, 5]);
///
/// // A node that reads one of two inputs and applies one of four operations; the next node can read it too.
/// let node = |decision, n_states| {
///     [
///         PlanStep::Index { decision, first: 0, n_choices: n_states },
///         PlanStep::Op { decision: decision + 1, first: 0, n_choices: 4 },
///         PlanStep::Key { feeds: true },
///     ]
/// };
/// let inputs = [PlanStep::Key { feeds: false }; 2];
/// let plan = Plan::new([&inputs[..], &node(0, 2), &node(2, 3)].concat())?;
/// assert_eq!(plan.n_choices(), [2, 4, 3, 4]);
/// # Ok::<(), enas_controller::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    steps: Vec<PlanStep>,
    /// Number of choices of each decision.
    n_choices: Vec<usize>,
    vocabulary: usize,
    /// Constants added to the logits of operations, `[decisions, width]`.
    constant_bias: Vec<f32>,
    /// Initial operation bias of [`OpBias::Frozen`](crate::OpBias::Frozen), `[vocabulary]`.
    frozen_bias: Vec<f32>,
    pub(crate) lstm_steps: Vec<LstmStep>,
    sizes: PlanSizes,
    /// Ranges of consecutive slots whose states feed the LSTM.
    pub(crate) fed_ranges: Vec<Range<usize>>,
}

impl Plan {
    /// A plan of these steps.
    ///
    /// # Errors
    /// [`Error::Plan`] in these cases:
    ///
    /// - The decisions are not numbered 0, 1, 2, … (each once, in any order), or there are none.
    /// - A decision has no choice, or reads a state that no earlier step makes.
    /// - There are more than 4,096 steps or operations.
    pub fn new(steps: Vec<PlanStep>) -> Result<Self, Error> {
        let n_choices = check(&steps)?;
        let vocabulary = steps.iter().map(|step| match *step {
            PlanStep::Op { first, n_choices, .. } => first + n_choices,
            _ => 0,
        });
        let vocabulary = vocabulary.max().unwrap_or(0);
        let width = n_choices.iter().copied().max().unwrap_or(0);
        let (lstm_steps, mut sizes) = lay_out(&steps);
        sizes.width = width;
        sizes.vocabulary = vocabulary;
        Ok(Self {
            constant_bias: vec![0.0; n_choices.len() * width],
            frozen_bias: vec![0.0; vocabulary],
            fed_ranges: fed_ranges(&lstm_steps),
            steps,
            n_choices,
            vocabulary,
            lstm_steps,
            sizes,
        })
    }

    /// One decision per entry, with that many choices. Each decision has operations of its own.
    ///
    /// # Errors
    /// [`Error::Plan`] if there is no entry, one of them is 0, or their sum is above 4,096.
    pub fn of_choices(n_choices: &[usize]) -> Result<Self, Error> {
        let mut first = 0;
        let step = |(decision, &n_choices): (usize, &usize)| {
            let step = PlanStep::Op { decision, first, n_choices };
            first += n_choices.min(MOST + 1);
            step
        };
        Self::new(n_choices.iter().enumerate().map(step).collect())
    }

    /// The decisions of an ENAS micro arc, numbered in the order of its integers: 2 + 5·`n_nodes` steps for each of
    /// the two cells (`_build_sampler`, `micro_controller.py:116-229`).
    ///
    /// A node chooses both inputs before both operations, although an arc lists them alternately
    /// (`micro_controller.py:150-196`). The normal cell adds a constant to the operation logits: 0.25 for separable
    /// convolutions, −0.25 for the rest.
    ///
    /// # Errors
    /// [`Error::Nodes`] if `n_nodes` is not within 1 to 64.
    pub fn micro(n_nodes: usize) -> Result<Self, Error> {
        if !(1..=MOST_NODES).contains(&n_nodes) {
            return Err(Error::Nodes(n_nodes));
        }
        let mut steps = vec![];
        for cell in 0..2 {
            let first = cell * (n_nodes + 2);
            // The two inputs of the cell. The LSTM runs on the start symbol for them (`micro_controller.py:135-140`).
            steps.extend([PlanStep::Key { feeds: false }; 2]);
            for node in 0..n_nodes {
                // Four decisions per node, numbered as the integers of an arc: input, operation, input, operation.
                let decision = 4 * (cell * n_nodes + node);
                let index = |side: usize| PlanStep::Index {
                    decision: decision + 2 * side,
                    first,
                    n_choices: node + 2,
                };
                let op = |side: usize| PlanStep::Op {
                    decision: decision + 2 * side + 1,
                    first: 0,
                    n_choices: Op::ALL.len(),
                };
                steps.extend([index(0), index(1), op(0), op(1), PlanStep::Key { feeds: true }]);
            }
        }
        let mut plan = Self::new(steps).expect("the steps were numbered in order");
        let width = plan.sizes.width;
        for decision in (0..4 * n_nodes).skip(1).step_by(2) {
            plan.constant_bias[decision * width..][..Op::ALL.len()].copy_from_slice(&NORMAL_CELL_BIAS);
        }
        plan.frozen_bias.copy_from_slice(&FROZEN_BIAS);
        Ok(plan)
    }

    /// The plan with constants added to the logits of one operation decision, after temperature and bound.
    ///
    /// # Errors
    /// [`Error::Plan`] if `decision` does not choose an operation, or if `bias` is not one finite number per choice.
    pub fn with_bias(mut self, decision: usize, bias: &[f32]) -> Result<Self, Error> {
        let is_op = |step: &LstmStep| matches!(step, LstmStep::Op(op) if op.decision == decision);
        if !self.lstm_steps.iter().any(is_op) {
            return Err(Error::Plan(format!(
                "decision {decision} does not choose an operation, so it has no bias"
            )));
        }
        let n_choices = self.n_choices[decision];
        if bias.len() != n_choices || !bias.iter().all(|b| b.is_finite()) {
            let problem =
                format!("the bias of decision {decision} needs {n_choices} finite numbers, got {bias:?}");
            return Err(Error::Plan(problem));
        }
        self.constant_bias[decision * self.sizes.width..][..n_choices].copy_from_slice(bias);
        Ok(self)
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[PlanStep] {
        &self.steps
    }

    /// The number of choices of each decision.
    pub fn n_choices(&self) -> &[usize] {
        &self.n_choices
    }

    /// Number of operations, over all decisions.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The constants added to the logits of an operation decision.
    pub(crate) fn constant_bias(&self, op: OpDecision) -> &[f32] {
        &self.constant_bias[op.decision * self.sizes.width..][..op.n_choices]
    }

    pub(crate) fn frozen_bias(&self) -> &[f32] {
        &self.frozen_bias
    }

    /// The sizes of a rollout of `batch` architectures.
    pub(crate) fn shape(&self, hidden: usize, layers: usize, batch: usize) -> TapeShape {
        TapeShape { hidden, layers, batch, sizes: self.sizes }
    }
}

/// The number of choices of each decision, if the steps make a plan.
fn check(steps: &[PlanStep]) -> Result<Vec<usize>, Error> {
    if steps.len() > MOST {
        return Err(Error::Plan(format!("{} steps are too many; there may be {MOST}", steps.len())));
    }
    let mut known = vec![0; steps.len()];
    let mut states = 0;
    for (position, step) in steps.iter().enumerate() {
        let (decision, first, n_choices, most) = match *step {
            PlanStep::Key { .. } => {
                states += 1;
                continue;
            }
            PlanStep::Index { decision, first, n_choices } => (decision, first, n_choices, states),
            PlanStep::Op { decision, first, n_choices } => (decision, first, n_choices, MOST),
        };
        if n_choices == 0 {
            return Err(Error::Plan(format!("step {position} has nothing to choose from")));
        }
        if first.checked_add(n_choices).is_none_or(|end| end > most) {
            let problem =
                format!("step {position} chooses from {n_choices} entries after {first}; {most} exist");
            return Err(Error::Plan(problem));
        }
        match known.get_mut(decision) {
            Some(n @ 0) => *n = n_choices,
            _ => {
                return Err(Error::Plan(format!(
                    "step {position}: decision {decision} is taken twice or skips one"
                )));
            }
        }
    }
    let decisions = known.iter().position(|&n| n == 0).unwrap_or(known.len());
    if decisions == 0 || known[decisions..].iter().any(|&n| n > 0) {
        return Err(Error::Plan(format!(
            "there is no decision number {decisions}; number them from 0 without gaps"
        )));
    }
    known.truncate(decisions);
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_nodes_take_27_steps_per_cell() {
        let plan = Plan::micro(5).unwrap();
        assert_eq!(plan.steps.len(), 54);
        assert_eq!(plan.steps[2], PlanStep::Index { decision: 0, first: 0, n_choices: 2 });
        assert_eq!(plan.steps[5], PlanStep::Op { decision: 3, first: 0, n_choices: 5 });
        assert_eq!(plan.lstm_steps[53], LstmStep::Key { slot: None, feeds: true });
        assert_eq!((plan.vocabulary, plan.sizes.width), (5, 6));
    }

    #[test]
    fn positions_of_the_micro_plan_are_those_of_its_cells() {
        for nodes in 1..7 {
            let plan = Plan::micro(nodes).unwrap();
            let sizes = plan.sizes;
            let counts = (sizes.steps, sizes.decisions, sizes.states, sizes.queries, sizes.pairs);
            let pairs = 2 * nodes * (nodes + 3);
            assert_eq!(counts, (2 * (2 + 5 * nodes), 8 * nodes, 2 * (nodes + 1), 4 * nodes, pairs));
            let fed: Vec<_> = [2, nodes + 3].into_iter().map(|first| first..first + nodes - 1).collect();
            assert_eq!(plan.fed_ranges, if nodes == 1 { vec![] } else { fed });
            for step in &plan.lstm_steps {
                let LstmStep::Index(index) = step else { continue };
                // The cell, node and side that a position of an arc's integers belongs to.
                let cell = index.decision / 4 / nodes;
                let node = index.decision / 4 % nodes;
                let side = index.decision % 4 / 2;
                assert_eq!(index.slot, cell * (nodes + 1));
                assert_eq!(index.query, 2 * (cell * nodes + node) + side);
                assert_eq!(index.pair, cell * nodes * (nodes + 3) + node * (node + 3) + side * (node + 2));
            }
        }
    }

    #[test]
    fn impossible_plans_are_refused_with_the_reason() {
        let op = |decision, n_choices| PlanStep::Op { decision, first: 0, n_choices };
        let index = |first, n_choices| PlanStep::Index { decision: 0, first, n_choices };
        let key = PlanStep::Key { feeds: true };
        for (steps, reason) in [
            (vec![], "no decision number 0"),
            (vec![key], "no decision number 0"),
            (vec![op(1, 2)], "decision 1 is taken twice or skips one"),
            (vec![op(0, 2), key, op(2, 2)], "no decision number 1"),
            (vec![op(0, 2), op(0, 2)], "step 1: decision 0 is taken twice"),
            (vec![op(0, 0)], "step 0 has nothing to choose from"),
            (vec![op(0, 5000)], "chooses from 5000 entries after 0; 4096 exist"),
            (vec![key, index(0, 2), key], "chooses from 2 entries after 0; 1 exist"),
            (vec![key, index(usize::MAX, 2)], "; 1 exist"),
            (vec![key; 5000], "5000 steps are too many"),
        ] {
            let error = Plan::new(steps).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        for n_choices in [&[][..], &[3, 0], &[4000, 97], &[usize::MAX, usize::MAX]] {
            assert!(matches!(Plan::of_choices(n_choices), Err(Error::Plan(_))), "{n_choices:?}");
        }
    }

    #[test]
    fn a_bias_belongs_to_a_decision_for_an_operation() {
        let plan = Plan::micro(1).unwrap();
        assert!(
            plan.clone().with_bias(0, &[0.0, 0.0]).unwrap_err().to_string().contains("decision 0 does not")
        );
        for bias in [&[0.0; 4][..], &[0.0, 0.0, 0.0, 0.0, f32::NAN]] {
            let error = plan.clone().with_bias(1, bias).unwrap_err().to_string();
            assert!(error.contains("needs 5 finite numbers"), "{error}");
        }
    }
}
