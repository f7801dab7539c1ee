//! The backward pass: replays a tape and propagates gradients.

use super::{ConvBlockNode, Grads, Node, RecomputeCell, Tape, TapeValue, values};
use crate::backend::{Forward, Train};
use crate::error::Error;

impl<B: Train> Tape<'_, B> {
    /// Replays the tape: propagates the gradients of the [`relu_mean`](Self::relu_mean)s, and those in `grads`, back
    /// through all nodes. Each node's memory is released once it is done. `into` receives the parameters' gradients;
    /// `recompute` handles skipped cells.
    ///
    /// # Errors
    /// The errors of `recompute`.
    pub(crate) fn backward(
        self,
        means: &[B::Vector],
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
        recompute: &RecomputeCell<'_, B>,
    ) -> Result<(), Error> {
        let backend = self.backend;
        grads.resize(grads.len().max(self.next), None);
        let mut nodes = self.nodes.unwrap_or_default();
        while let Some(node) = nodes.pop() {
            match node {
                Node::Mean { inputs, slot } => {
                    let mut targets = take(grads, &inputs);
                    backend.relu_mean_backward(&values(&inputs), &means[slot], &mut targets);
                    put_back(backend, grads, &inputs, targets);
                }
                // A value without a gradient has no reader that leads to the loss; its node is skipped.
                Node::Concat { inputs, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    let mut targets = take(grads, &inputs);
                    backend.concat_backward(&grad, &values(&inputs), &mut targets);
                    put_back(backend, grads, &inputs, targets);
                }
                Node::Add { a, b, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    for (var, factors) in [a, b] {
                        backend.add_backward(&grad, factors.as_ref(), &mut grads[var.id]);
                    }
                }
                Node::Pool { pool, input, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    backend.pool_backward(&pool, &input.value, &grad, &mut grads[input.id]);
                }
                Node::ConvBlock(node) => {
                    let Some(grad) = grads[node.out.id].take() else { continue };
                    match nodes.last() {
                        Some(Node::ConvBlock(before)) if node.reads_only(before) => {
                            node.backward_fused(backend, before, &grad, grads, into);
                        }
                        _ => node.backward(backend, &grad, grads, into),
                    }
                }
                Node::CheckpointedCell(skipped) => recompute(skipped, grads, into)?,
                Node::Other { out, propagate } => {
                    let Some(grad) = grads[out].take() else { continue };
                    propagate(backend, &grad, grads, into);
                }
            }
        }
        Ok(())
    }
}

impl<B: Train> ConvBlockNode<B> {
    /// Whether the output of `before` is the only input.
    fn reads_only(&self, before: &Self) -> bool {
        matches!(self.inputs.as_slice(), [input] if input.id == before.out.id)
    }

    /// Propagates to the block `before`, whose output is the only input.
    ///
    /// The tape runs backwards, so the first reader of a value adds to its gradient last. The gradient of the input is
    /// complete after this call, and the kernel may take the batch-norm sums of `before` from it.
    fn backward_fused(
        &self,
        backend: &B,
        before: &Self,
        grad: &B::FeatureMap,
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
    ) {
        let input = &self.inputs[0];
        let block = &self.block;
        let out = &self.out.value;
        let target = &mut grads[input.id];
        backend.conv_block_backward_fused(
            &before.batch_stats,
            block,
            &input.value,
            out,
            &self.batch_stats,
            grad,
            target,
            into,
        );
    }

    fn backward(&self, backend: &B, grad: &B::FeatureMap, grads: &mut Grads<B>, into: &mut B::Gradients) {
        let Self { inputs, block, batch_stats, out } = self;
        // The network's input has id 0. The gradient of the images is never needed.
        let reads_images = inputs.iter().any(|v| v.id == 0);
        let mut targets = take(grads, inputs);
        let wanted = (!reads_images).then_some(targets.as_mut_slice());
        backend.conv_block_backward(block, &values(inputs), &out.value, batch_stats, grad, wanted, into);
        put_back(backend, grads, inputs, targets);
    }
}

/// Takes the gradients of values out of their places.
fn take<B: Forward>(
    grads: &mut [Option<B::FeatureMap>],
    vars: &[TapeValue<B>],
) -> Vec<Option<B::FeatureMap>> {
    vars.iter().map(|v| grads[v.id].take()).collect()
}

/// Returns gradients to their places. If a value occurs twice among `vars`, its gradients are added.
fn put_back<B: Train>(
    backend: &B,
    grads: &mut [Option<B::FeatureMap>],
    vars: &[TapeValue<B>],
    gradients: Vec<Option<B::FeatureMap>>,
) {
    for (var, gradient) in vars.iter().zip(gradients) {
        if let Some(gradient) = gradient {
            backend.add_backward(&gradient, None, &mut grads[var.id]);
        }
    }
}
