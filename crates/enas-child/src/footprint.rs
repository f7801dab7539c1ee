//! How much memory a network takes at work, reckoned from a dry walk over what it would do.

use std::cell::RefCell;
use std::rc::Rc;

use enas_arc::{Arc, Branch, Cell, Node, Op};
use enas_kernels::LANES;

use crate::backend::{Dry, Ledger, Statistics};
use crate::build::Builder;
use crate::child::check_shape;
use crate::network::{Network, Training};
use crate::noise::Noise;
use crate::params::Params;
use crate::plan::Plan;
use crate::tape::Tape;
use crate::walk::{CellByCell, InParts, Kept, Recompute, Walk};
use crate::{Config, Error, InputShape};

/// A network that is only there to be reckoned with: it has places for weights, but no weights.
#[derive(Debug)]
pub struct Footprint {
    network: Network,
    params: Params,
    /// The arc, or arcs that together take the most.
    arcs: Vec<Arc>,
    threads: usize,
    is_fixed: bool,
}

/// Something that a network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A training step with so many images.
    Train(usize),
    /// Logits of so many images, normalised by their own statistics.
    Score(usize),
    /// Logits of so many images, normalised by moving statistics.
    Infer(usize),
    /// Weights and momentum are copied and written into a file.
    Save,
}

/// Draws nothing: a dry walk asks for no numbers.
struct Silence;

impl Noise for Silence {
    fn uniform(&self, _: &str, _: usize) -> Vec<f32> {
        Vec::new()
    }
}

impl Footprint {
    /// Of a child with shared weights, for the arcs that take the most memory; see [`worst_arcs`].
    ///
    /// # Errors
    /// As [`Child::shared`](crate::Child::shared).
    pub fn shared(
        config: &Config,
        input: InputShape,
        n_classes: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        Self::new(config, None, input, n_classes, threads)
    }

    /// Of a child with private weights for one arc.
    ///
    /// # Errors
    /// As [`Child::fixed`](crate::Child::fixed).
    pub fn fixed(
        config: &Config,
        arc: &Arc,
        input: InputShape,
        n_classes: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        Self::new(config, Some(arc), input, n_classes, threads)
    }

    /// Of every child with private weights that `config` allows: one for each arc of which one takes the most memory.
    ///
    /// # Errors
    /// As [`Child::fixed`](crate::Child::fixed).
    pub fn any_fixed(
        config: &Config,
        input: InputShape,
        n_classes: usize,
        threads: usize,
    ) -> Result<Vec<Self>, Error> {
        let arcs = worst_arcs(config.nodes);
        arcs.iter().map(|arc| Self::fixed(config, arc, input, n_classes, threads)).collect()
    }

    fn new(
        config: &Config,
        arc: Option<&Arc>,
        input: InputShape,
        n_classes: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        check_shape(config, arc, input, n_classes)?;
        let mut builder = Builder::new(None);
        let network = Network::new(&mut builder, config, Plan::new(config, input), arc, n_classes);
        let arcs = arc.map_or_else(|| worst_arcs(config.nodes), |arc| vec![arc.clone()]);
        Ok(Self { network, params: builder.params.places(), arcs, threads, is_fixed: arc.is_some() })
    }

    /// The same for given arcs of a shared network, one after another.
    ///
    /// # Errors
    /// If an arc does not fit the network.
    pub fn of_arcs(self, arcs: Vec<Arc>) -> Result<Self, Error> {
        let (input, classes) = (self.network.plan.input, self.network.classifier.classes);
        for arc in &arcs {
            check_shape(&self.network.config, Some(arc), input, classes)?;
        }
        Ok(Self { arcs, ..self })
    }

    /// Bytes of the weights, or of as many numbers: momentum takes the same again.
    pub fn weights(&self) -> usize {
        size_of::<f32>() * self.params.len()
    }

    /// The most bytes that are taken at one moment of all that is done in order, beside weights, momentum and the
    /// pictures in the host's memory. Idle buffers count, which [`enas_kernels::limit_buffers`] holds to `limit` bytes.
    pub fn peak(&self, works: &[Work], recompute: Recompute, limit: usize) -> usize {
        let ledger = Rc::new(RefCell::new(Ledger::new(limit, self.threads)));
        // One after another in one pool: what one arc leaves idle is no help to another that needs other sizes.
        for arc in &self.arcs {
            works.iter().for_each(|work| self.walk(arc, *work, recompute, &ledger));
        }
        ledger.borrow().peak()
    }

    fn walk(&self, arc: &Arc, work: Work, recompute: Recompute, ledger: &Rc<RefCell<Ledger>>) {
        // The arc was checked, and nothing else can be wrong with a pass.
        let done = match work {
            Work::Train(n) => self.train(arc, n, recompute, ledger),
            Work::Score(n) => self.forward(&Dry::new(&self.params, ledger), arc, n, recompute),
            // Each thread has a group of images of its own, in buffers of their own size.
            Work::Infer(n) => {
                let groups = n.div_ceil(LANES).min(self.threads);
                let dry = Dry::new(&self.params, ledger).apart();
                self.forward(&dry, arc, groups * LANES, Recompute::Nothing)
            }
            Work::Save => {
                let bytes = 4 * self.weights();
                ledger.borrow_mut().hold(bytes);
                ledger.borrow_mut().release(bytes);
                Ok(())
            }
        };
        debug_assert!(done.is_ok(), "{done:?}");
    }

    fn train(
        &self,
        arc: &Arc,
        n: usize,
        recompute: Recompute,
        ledger: &Rc<RefCell<Ledger>>,
    ) -> Result<(), Error> {
        let dry = Dry::new(&self.params, ledger);
        let walk = walk(recompute, n);
        let images = dry.map(self.shape(n));
        let training = Training { noise: &Silence, step: 0, total_steps: 1, with_aux: true };
        self.network.pass(&dry, arc, images, &(), training, (&*walk, false)).map(drop)
    }

    fn forward(&self, dry: &Dry<'_>, arc: &Arc, n: usize, recompute: Recompute) -> Result<(), Error> {
        let statistics = if self.is_fixed { Statistics::Running } else { Statistics::Batch };
        let mut tape = Tape::new(dry, statistics, false);
        let input = tape.input(dry.map(self.shape(n)));
        let walk = walk(recompute, n);
        self.network.forward(&mut tape, arc, input, None, (&*walk, false)).map(drop)
    }

    fn shape(&self, n: usize) -> (usize, usize, usize, usize) {
        let InputShape { channels, height, width } = self.network.plan.input;
        (n, channels, height, width)
    }
}

fn walk<'a>(recompute: Recompute, n: usize) -> Box<dyn Walk<Dry<'a>> + 'a> {
    match recompute {
        Recompute::Nothing => Box::new(Kept),
        Recompute::Cells => Box::new(CellByCell),
        Recompute::Groups(groups) => Box::new(InParts::new(n, groups)),
    }
}

/// Arcs that together take as much memory as all arcs with so many nodes, give or take a few hundredths.
///
/// A separable convolution keeps two maps; pools keep one and identities none. So an arc that keeps the most has separable
/// convolutions on every edge, and wherever those read from, it keeps equally many maps. What differs is how many
/// gradients are in memory beside them when the way back through a cell begins: one for every loose end, which is most where
/// all nodes read the cell's inputs. The others here are chains, where the gradient of a state meets another, and cells of
/// pools alone, whose maps are of sizes that convolutions do not leave idle.
pub fn worst_arcs(nodes: usize) -> Vec<Arc> {
    let arc = |op, inputs: &dyn Fn(usize) -> (usize, usize)| {
        let node = |i: usize| {
            let (x, y) = inputs(i);
            let branch = |input| Branch { input, op };
            Node { x: branch(x), y: branch(y) }
        };
        let cell = Cell::new((0..nodes).map(node).collect()).expect("nodes read states before them");
        Arc::new(cell.clone(), cell).expect("both cells have as many nodes")
    };
    let separable = Op::SepConv5x5;
    vec![
        arc(separable, &|_| (0, 1)),
        arc(separable, &|_| (1, 1)),
        arc(separable, &|i| (i, i + 1)),
        arc(separable, &|i| (i + 1, i + 1)),
        arc(Op::MaxPool3x3, &|_| (0, 1)),
        arc(Op::MaxPool3x3, &|i| (0, i + 1)),
    ]
}
