//! Passes through the network and its heads: forward, loss, and backward from the gradients of the logits.

use enas_arc::Arc;

use super::{Features, Network, PassOptions, Training};
use crate::autograd::{CellInput, Tape};
use crate::backend::{Statistics, Train};
use crate::error::Error;

/// The results of a forward and backward pass.
pub(crate) struct Pass<B: Train> {
    pub(crate) logits: B::Vector,
    pub(crate) loss: B::Loss,
    /// Logits and loss of the auxiliary head.
    pub(crate) aux: Option<(B::Vector, B::Loss)>,
    pub(crate) gradients: B::Gradients,
    /// Batch statistics of the batch norms with moving statistics, with their index.
    pub(crate) batch_stats: Vec<(usize, B::BatchStats)>,
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
pub(crate) struct LogitGradients<V> {
    pub(crate) main: V,
    pub(crate) aux: Option<V>,
}

/// The losses of both heads, and the gradients of their weighted sum.
pub(crate) struct Losses<B: Train> {
    pub(crate) main: B::Loss,
    pub(crate) aux: Option<B::Loss>,
    pub(crate) gradients: LogitGradients<B::Vector>,
}

impl Network {
    /// The loss `ce + aux_weight·ce_aux` of a batch (`micro_child.py:703-713`) and its gradients, without the L2
    /// penalty. Updates nothing.
    pub(crate) fn pass<B: Train>(
        &self,
        backend: &B,
        arc: &Arc,
        images: B::FeatureMap,
        labels: &B::Labels,
        options: PassOptions<'_, B>,
    ) -> Result<Pass<B>, Error> {
        let mut tape = Tape::new(backend, Statistics::Batch, true);
        let input = tape.input(images);
        let (n, ..) = tape.shape(&input);
        let Features { main, aux, cells, .. } = self.forward(&mut tape, arc, input, options)?;
        let heads = self.heads(backend, main, aux, n, options.training);
        let losses = self.losses(backend, &heads, labels);
        let batch_stats = std::mem::take(&mut tape.batch_stats);
        let gradients = self.propagate(tape, arc, &heads, losses.gradients, options)?;
        let aux = heads.aux.zip(losses.aux).map(|((_, logits), loss)| (logits, loss));
        Ok(Pass { logits: heads.logits, loss: losses.main, aux, gradients, batch_stats, cells })
    }

    /// Logits of the features of `n` images, with dropout in training. `aux` are the features of the auxiliary head.
    pub(crate) fn heads<B: Train>(
        &self,
        backend: &B,
        features: B::Vector,
        aux: Option<B::Vector>,
        n: usize,
        training: Option<Training<'_>>,
    ) -> Heads<B::Vector> {
        let head = &self.classifier;
        let keep = self.config.keep_prob;
        let dropout = training
            .filter(|_| keep < 1.0)
            .map(|training| backend.drop_factors(training.noise, "dropout", n * head.channels, keep));
        let features = scaled(backend, features, dropout.as_ref());
        let logits = backend.classify(head, &features);
        let aux = self.aux.as_ref().zip(aux).map(|(head, features)| {
            let logits = backend.classify(head.classifier(), &features);
            (features, logits)
        });
        Heads { logits, aux, features, dropout }
    }

    /// The losses of both heads, and the gradients of their weighted sum.
    pub(crate) fn losses<B: Train>(
        &self,
        backend: &B,
        heads: &Heads<B::Vector>,
        labels: &B::Labels,
    ) -> Losses<B> {
        let classes = self.classifier.classes;
        let (loss, grad) = backend.cross_entropy(&heads.logits, labels, classes, 1.0);
        let weight = self.config.aux_weight;
        let aux =
            heads.aux.as_ref().map(|(_, logits)| backend.cross_entropy(logits, labels, classes, weight));
        let (aux_loss, aux_grad) = aux.unzip();
        Losses { main: loss, aux: aux_loss, gradients: LogitGradients { main: grad, aux: aux_grad } }
    }

    /// The gradients of all parameters, given those of the logits.
    pub(crate) fn propagate<B: Train>(
        &self,
        tape: Tape<'_, B>,
        arc: &Arc,
        heads: &Heads<B::Vector>,
        grads: LogitGradients<B::Vector>,
        options: PassOptions<'_, B>,
    ) -> Result<B::Gradients, Error> {
        let backend = tape.backend;
        let mut gradients = backend.gradients();
        let grad = backend.classify_backward(&self.classifier, &heads.features, &grads.main, &mut gradients);
        let mut means = vec![scaled(backend, grad, heads.dropout.as_ref())];
        if let (Some(head), Some((features, _)), Some(grad)) = (&self.aux, &heads.aux, grads.aux) {
            // The tape numbers the means in the order of the forward pass, where the auxiliary head comes first.
            means.insert(0, backend.classify_backward(head.classifier(), features, &grad, &mut gradients));
        }
        self.propagate_means(tape, arc, &means, gradients, options)
    }

    /// Adds the gradients of the parameters of stem and cells to `gradients`, given those of the features.
    pub(crate) fn propagate_means<B: Train>(
        &self,
        tape: Tape<'_, B>,
        arc: &Arc,
        means: &[B::Vector],
        mut gradients: B::Gradients,
        PassOptions { training, checkpointing, .. }: PassOptions<'_, B>,
    ) -> Result<B::Gradients, Error> {
        let backend = tape.backend;
        tape.backward(means, &mut Vec::new(), &mut gradients, &|skipped, grads, into| {
            checkpointing.backward(backend, &self.step(arc, skipped.cell, training), skipped, grads, into)
        })?;
        Ok(gradients)
    }
}

/// Values times factors, if there are any.
fn scaled<B: Train>(backend: &B, values: B::Vector, factors: Option<&B::Vector>) -> B::Vector {
    match factors {
        Some(factors) => backend.scale(&values, factors),
        None => values,
    }
}
