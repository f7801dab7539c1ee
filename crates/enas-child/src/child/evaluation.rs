//! One evaluation of a network as a candle operation: what it needs, and what it records for the backward pass.

use std::sync::{Arc as SyncArc, Mutex, PoisonError};

use candle_core::Shape;
use enas_arc::Arc;
use enas_kernels::FeatureMap;
use enas_kernels::candle::Gradients as Slot;

use super::device::OnDevice;
use super::step::Step;
use crate::autograd::Recorded;
use crate::backend::{Cpu, OnGpu, Statistics, Train};
use crate::checkpointing::Recompute;
use crate::config::InputShape;
use crate::loss::{LossRule, LossSettings, Targets};
use crate::network::pass::{Heads, LogitGradients};
use crate::network::{Network, Training};
use crate::noise::SeededNoise;
use crate::params::{NetworkRunningStats, Params};

/// The values of an output, and their shape.
pub(super) type Values = (Vec<f32>, Shape);

/// The parts of a network that its candle operations hold.
#[derive(Clone)]
pub(super) struct NetworkParts {
    pub(super) network: SyncArc<Network>,
    pub(super) params: SyncArc<Params>,
    pub(super) running: SyncArc<NetworkRunningStats>,
    pub(super) arc: Arc,
    pub(super) recompute: Recompute,
    /// The GPU that passes are computed on; `None` for the CPU.
    pub(super) device: Option<OnDevice>,
}

/// What the operation returns.
pub(super) enum Output {
    /// `[n, channels]`, before dropout.
    Features,
    /// `[n, classes]`, or `[n, 2·classes]` with an auxiliary head.
    Logits,
    /// A scalar.
    Loss { targets: Targets, settings: LossSettings },
}

/// One evaluation of a network.
pub(super) struct Evaluation {
    pub(super) parts: NetworkParts,
    pub(super) output: Output,
    pub(super) statistics: Statistics,
    /// Training position, with dropout and drop-path; `None` without them.
    pub(super) step: Option<Step>,
    /// Whether the auxiliary head is evaluated.
    pub(super) with_aux: bool,
    /// Where the gradients of the weights are put; `None` if they are not wanted.
    pub(super) gradients: Option<Slot>,
    /// What the forward pass recorded, until the backward pass takes it.
    pub(super) recording: Mutex<Option<Recording>>,
}

/// What the forward pass recorded for the backward pass.
pub(super) enum Recording {
    Cpu(PassRecording<Cpu<'static>>),
    Gpu(PassRecording<OnGpu<'static>>),
}

/// The recording of a pass on one kind of device.
pub(super) struct PassRecording<B: Train> {
    pub(super) tape: Recorded<B>,
    /// `None` if only features were asked for.
    pub(super) heads: Option<Heads<B::Vector>>,
    /// The gradients of the logits, if the output is a loss.
    pub(super) loss_gradients: Option<LogitGradients<B::Vector>>,
}

impl Evaluation {
    pub(super) fn store(&self, recording: Recording) {
        *self.recording.lock().unwrap_or_else(PoisonError::into_inner) = Some(recording);
    }

    /// Logits of both heads, concatenated row by row.
    pub(super) fn logits_output(&self, logits: &[f32], aux: Option<&[f32]>) -> Values {
        let classes = self.parts.network.classifier.classes;
        let n = logits.len() / classes;
        match aux {
            None => (logits.to_vec(), Shape::from((n, classes))),
            Some(aux) => {
                let rows = logits.chunks_exact(classes).zip(aux.chunks_exact(classes));
                let both = rows.flat_map(|(main, aux)| main.iter().chain(aux)).copied().collect();
                (both, Shape::from((n, 2 * classes)))
            }
        }
    }

    /// Splits a gradient `[n, 2·classes]` into those of the main and the auxiliary logits: the inverse of
    /// [`logits_output`](Self::logits_output).
    pub(super) fn split(&self, grad: Vec<f32>, has_aux: bool) -> LogitGradients<Vec<f32>> {
        if !has_aux {
            return LogitGradients { main: grad, aux: None };
        }
        let classes = self.parts.network.classifier.classes;
        let half = |first: usize| {
            grad.chunks_exact(2 * classes).flat_map(|row| &row[first..first + classes]).copied().collect()
        };
        LogitGradients { main: half(0), aux: Some(half(classes)) }
    }

    pub(super) fn features_output(&self, features: Vec<f32>) -> Values {
        let channels = self.parts.network.classifier.channels;
        let n = features.len() / channels;
        (features, Shape::from((n, channels)))
    }

    pub(super) fn loss_rule(&self) -> LossRule<'_> {
        match &self.output {
            Output::Loss { settings, .. } => settings.rule(),
            _ => LossRule::default(),
        }
    }

    pub(super) fn noise(&self) -> Option<(SeededNoise, Step)> {
        self.step.map(|step| (SeededNoise { seed: step.seed, step: step.global_step }, step))
    }

    pub(super) fn training<'n>(&self, noise: Option<&'n (SeededNoise, Step)>) -> Option<Training<'n>> {
        noise.map(|(noise, step)| Training {
            noise,
            step: step.global_step,
            total_steps: step.total_steps,
            with_aux: self.with_aux,
        })
    }

    pub(super) fn image_len(&self) -> usize {
        let InputShape { channels, height, width } = self.parts.network.layout.input;
        channels * height * width
    }

    pub(super) fn map(&self, images: &[f32]) -> FeatureMap {
        self.parts.network.map(images)
    }
}
