//! The inference graph of a fixed network, for export to other runtimes.

mod graph;
mod tracer;

pub use self::graph::{Convolution, InferenceGraph, Operation};
pub(crate) use self::tracer::GraphTracer;
use self::tracer::TracedValue;
use crate::autograd::{Tape, TapeValue};
use crate::backend::{Forward, Statistics};
use crate::child::Child;
use crate::config::InputShape;
use crate::error::Error;
use crate::layer::Classifier;
use crate::network::PassOptions;
use crate::params::Params;

impl Child {
    /// The inference graph of the network.
    ///
    /// # Errors
    /// If the network shares weights, which have no moving statistics, or if its weights cannot be copied from its
    /// device.
    pub fn inference_graph(&self) -> Result<InferenceGraph, Error> {
        let Some(arc) = self.arc() else {
            return Err(Error::Arc("shared weights have no moving statistics to fold".to_owned()));
        };
        let folded = self.folded()?;
        let network = &folded.network;
        trace(&folded.params, self.input(), &network.classifier, |tape, images| {
            Ok(network.forward(tape, arc, images, PassOptions::store_all(None))?.main)
        })
    }
}

/// The inference graph of a folded network. `features` runs it up to the input of the classifier.
pub(crate) fn trace(
    params: &Params,
    input: InputShape,
    classifier: &Classifier,
    features: impl for<'t, 'w> FnOnce(
        &mut Tape<'t, GraphTracer<'w>>,
        TapeValue<GraphTracer<'w>>,
    ) -> Result<TracedValue, Error>,
) -> Result<InferenceGraph, Error> {
    let operations = params.read(|weights| {
        let tracer = GraphTracer::new(weights);
        let mut tape = Tape::new(&tracer, Statistics::Running, false);
        let images = tape.input(tracer.images(input));
        let features = features(&mut tape, images)?;
        tracer.classify(classifier, &features);
        Ok(tracer.into_operations())
    })?;
    Ok(InferenceGraph { input, classes: classifier.classes, operations })
}
