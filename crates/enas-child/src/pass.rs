//! One training pass: forward through the network, its loss, and back.

use enas_arc::Arc;

use crate::Error;
use crate::backend::{Backend, Statistics};
use crate::network::{Network, Training};
use crate::tape::{State, Tape};
use crate::walk::Walk;

/// The results of a forward and backward pass.
pub(crate) struct Pass<B: Backend> {
    pub(crate) logits: B::Vector,
    pub(crate) loss: B::Loss,
    /// Logits and loss of the auxiliary head.
    pub(crate) aux: Option<(B::Vector, B::Loss)>,
    pub(crate) gradients: B::Gradients,
    /// Batch statistics of the batch norms that keep moving ones, by their index.
    pub(crate) moments: Vec<(usize, B::Moments)>,
    /// The output of every cell, if asked for.
    pub(crate) cells: Vec<State<B>>,
}

impl Network {
    /// The loss `ce + aux_weight·ce_aux` of a batch and its gradients, without the L2 penalty; updates nothing. `walk`
    /// decides what of the cells is kept and what is computed again; results do not depend on it.
    pub(crate) fn pass<B: Backend>(
        &self,
        backend: &B,
        arc: &Arc,
        images: B::Map,
        labels: &B::Labels,
        training: Training<'_>,
        (walk, keep_cells): (&dyn Walk<B>, bool),
    ) -> Result<Pass<B>, Error> {
        let mut tape = Tape::new(backend, Statistics::Batch, true);
        let input = tape.input(images);
        let (n, ..) = tape.shape(&input);
        let features = self.forward(&mut tape, arc, input, Some(training), (walk, keep_cells))?;
        let mut gradients = backend.gradients();

        let (config, head) = (&self.config, &self.classifier);
        let dropout = (config.keep_prob < 1.0)
            .then(|| backend.drop_factors(training.noise, "dropout", n * head.channels, config.keep_prob));
        let drop = |numbers| match &dropout {
            Some(factors) => backend.scale(&numbers, factors),
            None => numbers,
        };
        let dropped = drop(features.main);
        let logits = backend.classify(head, &dropped);
        let (loss, grad) = backend.cross_entropy(&logits, labels, head.classes, 1.0);
        let grad = backend.classify_backward(head, &dropped, &grad, &mut gradients);
        let mut means = vec![drop(grad)];

        let mut aux = None;
        if let (Some(head), Some(features)) = (&self.aux, &features.aux) {
            let head = head.classifier();
            let logits = backend.classify(head, features);
            let (loss, grad) = backend.cross_entropy(&logits, labels, head.classes, config.aux_weight);
            // The auxiliary head's mean was taken before the main one's.
            means.insert(0, backend.classify_backward(head, features, &grad, &mut gradients));
            aux = Some((logits, loss));
        }
        let moments = std::mem::take(&mut tape.batch_moments);
        tape.backward(&means, &mut Vec::new(), &mut gradients, &|skipped, grads, into| {
            walk.backward(backend, &self.step(arc, skipped.cell, Some(training)), skipped, grads, into)
        })?;
        Ok(Pass { logits, loss, aux, gradients, moments, cells: features.cells })
    }
}
