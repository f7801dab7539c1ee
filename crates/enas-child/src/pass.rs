//! Passes through the network and its heads: forward, loss, and backward from the gradients of the logits.

use enas_arc::Arc;

use crate::Error;
use crate::backend::{Backend, Statistics};
use crate::checkpointing::Checkpointing;
use crate::network::{Features, Network, Training};
use crate::tape::{CellInput, Tape};

/// The results of a forward and backward pass.
pub(crate) struct Pass<B: Backend> {
    pub(crate) logits: B::Vector,
    pub(crate) loss: B::Loss,
    /// Logits and loss of the auxiliary head.
    pub(crate) aux: Option<(B::Vector, B::Loss)>,
    pub(crate) gradients: B::Gradients,
    /// Batch statistics of the batch norms with moving statistics, with their index.
    pub(crate) moments: Vec<(usize, B::BatchStats)>,
    /// The output of every cell, if the caller asked for them.
    pub(crate) cells: Vec<CellInput<B>>,
}

/// The logits, and what the backward pass of the heads needs; `V` is the vector type of a backend.
pub(crate) struct Heads<V> {
    pub(crate) logits: V,
    /// Features and logits of the auxiliary head.
    pub(crate) aux: Option<(V, V)>,
    features: V,
    /// The dropout factors of the features.
    dropout: Option<V>,
}

/// The gradients of the main and the auxiliary logits.
pub(crate) type LogitGradients<V> = (V, Option<V>);

impl Network {
    /// The loss `ce + aux_weight·ce_aux` of a batch (`micro_child.py:703-713`) and its gradients, without the L2
    /// penalty. Updates nothing. `walk` decides which activations are stored and which are recomputed; results do not
    /// depend on it.
    pub(crate) fn pass<B: Backend>(
        &self,
        backend: &B,
        arc: &Arc,
        images: B::FeatureMap,
        labels: &B::Labels,
        training: Training<'_>,
        (walk, keep_cells): (&dyn Checkpointing<B>, bool),
    ) -> Result<Pass<B>, Error> {
        let mut tape = Tape::new(backend, Statistics::Batch, true);
        let input = tape.input(images);
        let (n, ..) = tape.shape(&input);
        let features = self.forward(&mut tape, arc, input, Some(training), (walk, keep_cells))?;
        let Features { main, aux, cells, .. } = features;
        let heads = self.heads(backend, (main, aux), n, Some(training));
        let (loss, aux_loss, grads) = self.losses(backend, &heads, labels);
        let moments = std::mem::take(&mut tape.batch_stats);
        let gradients = self.propagate(tape, arc, &heads, grads, (Some(training), walk))?;
        let aux = heads.aux.zip(aux_loss).map(|((_, logits), loss)| (logits, loss));
        Ok(Pass { logits: heads.logits, loss, aux, gradients, moments, cells })
    }

    /// Logits of the features of `n` images, with dropout in training.
    pub(crate) fn heads<B: Backend>(
        &self,
        backend: &B,
        (features, aux): (B::Vector, Option<B::Vector>),
        n: usize,
        training: Option<Training<'_>>,
    ) -> Heads<B::Vector> {
        let (head, keep) = (&self.classifier, self.config.keep_prob);
        let dropout = training
            .filter(|_| keep < 1.0)
            .map(|training| backend.drop_factors(training.noise, "dropout", n * head.channels, keep));
        let features = dropped(backend, features, dropout.as_ref());
        let logits = backend.classify(head, &features);
        let aux = self.aux.as_ref().zip(aux).map(|(head, features)| {
            let logits = backend.classify(head.classifier(), &features);
            (features, logits)
        });
        Heads { logits, aux, features, dropout }
    }

    /// The losses of both heads, and the gradients of their weighted sum.
    pub(crate) fn losses<B: Backend>(
        &self,
        backend: &B,
        heads: &Heads<B::Vector>,
        labels: &B::Labels,
    ) -> (B::Loss, Option<B::Loss>, LogitGradients<B::Vector>) {
        let classes = self.classifier.classes;
        let (loss, grad) = backend.cross_entropy(&heads.logits, labels, classes, 1.0);
        let weight = self.config.aux_weight;
        let aux =
            heads.aux.as_ref().map(|(_, logits)| backend.cross_entropy(logits, labels, classes, weight));
        let (aux_loss, aux_grad) = aux.unzip();
        (loss, aux_loss, (grad, aux_grad))
    }

    /// The gradients of all parameters, given those of the logits.
    pub(crate) fn propagate<B: Backend>(
        &self,
        tape: Tape<'_, B>,
        arc: &Arc,
        heads: &Heads<B::Vector>,
        (grad, aux_grad): LogitGradients<B::Vector>,
        (training, walk): (Option<Training<'_>>, &dyn Checkpointing<B>),
    ) -> Result<B::Gradients, Error> {
        let backend = tape.backend;
        let mut gradients = backend.gradients();
        let grad = backend.classify_backward(&self.classifier, &heads.features, &grad, &mut gradients);
        let mut means = vec![dropped(backend, grad, heads.dropout.as_ref())];
        if let (Some(head), Some((features, _)), Some(grad)) = (&self.aux, &heads.aux, aux_grad) {
            // The tape numbers the means in the order of the forward pass, where the auxiliary head comes first.
            means.insert(0, backend.classify_backward(head.classifier(), features, &grad, &mut gradients));
        }
        self.propagate_means(tape, arc, &means, gradients, (training, walk))
    }

    /// Adds the gradients of the parameters of stem and cells to `gradients`, given those of the features.
    pub(crate) fn propagate_means<B: Backend>(
        &self,
        tape: Tape<'_, B>,
        arc: &Arc,
        means: &[B::Vector],
        mut gradients: B::Gradients,
        (training, walk): (Option<Training<'_>>, &dyn Checkpointing<B>),
    ) -> Result<B::Gradients, Error> {
        let backend = tape.backend;
        tape.backward(means, &mut Vec::new(), &mut gradients, &|skipped, grads, into| {
            walk.backward(backend, &self.step(arc, skipped.cell, training), skipped, grads, into)
        })?;
        Ok(gradients)
    }
}

fn dropped<B: Backend>(backend: &B, numbers: B::Vector, factors: Option<&B::Vector>) -> B::Vector {
    match factors {
        Some(factors) => backend.scale(&numbers, factors),
        None => numbers,
    }
}
