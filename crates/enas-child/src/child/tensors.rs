//! The network in a candle program: tensors in and out, gradients through candle's autograd.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::ModuleT;
use enas_arc::Arc;
use enas_kernels::candle::{NesterovSgd, Tied, tie};

use super::evaluation::{Evaluation, NetworkParts, Output};
use super::{Child, Norm, Step};
use crate::backend::Statistics;
use crate::batch::Batch;
use crate::error::Error;

/// How a network is evaluated. Random numbers come from the arguments, so evaluations do not depend on their order.
#[derive(Clone, Copy, Debug)]
pub enum ForwardMode<'a> {
    /// With moving statistics, for networks of one arc. Gradients are not tracked.
    Eval,
    /// With batch statistics: the only meaningful ones for shared weights.
    BatchStatistics,
    /// Training: batch statistics, which also update the moving statistics, dropout and drop-path. The step's
    /// learning rate is not used.
    Train(&'a Step),
}

/// The result of [`Child::forward`].
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Logits `[n, classes]`.
    pub logits: Tensor,
    /// Logits `[n, classes]` of the auxiliary head, in training of a network that has one.
    pub aux_logits: Option<Tensor>,
}

/// A network along one arc, as a candle module.
#[derive(Clone, Copy, Debug)]
pub struct Along<'a> {
    child: &'a Child,
    arc: &'a Arc,
    mode: ForwardMode<'a>,
}

/// A network with private weights for one arc, as a candle module: images `[n, c, h, w]` to logits `[n, classes]`.
#[derive(Debug)]
pub struct FixedNet {
    child: Child,
    arc: Arc,
    step: Step,
    trained: AtomicU64,
}

impl Child {
    /// The device of the tensors.
    pub fn device(&self) -> &Device {
        self.params.tensors().next().map_or(&Device::Cpu, |(_, tensor)| tensor.device())
    }

    /// The trained variables, in the network's order.
    pub fn vars(&self) -> Vec<Var> {
        self.params.trained().filter_map(|tensor| Var::from_tensor(tensor).ok()).collect()
    }

    /// An optimiser of the trained variables that takes the same steps as [`train_step`](Self::train_step): Nesterov
    /// momentum, L2 penalty and clipping by the network's settings.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn optimizer(&self, lr: f64) -> Result<NesterovSgd, Error> {
        self.params.new_optimizer(self.network.config.optimizer(lr))
    }

    /// Number of channels of [`features`](Self::features).
    pub fn channels(&self) -> usize {
        self.network.classifier.channels
    }

    /// Logits `[n, classes]` of images `[n, c, h, w]` of F32.
    ///
    /// # Errors
    /// - The images or the arc do not fit the network.
    /// - The images are on another device than the network's tensors.
    /// - A shared network is asked for moving statistics, or a gradient of the images is asked for.
    pub fn forward(&self, arc: &Arc, images: &Tensor, mode: ForwardMode<'_>) -> Result<Outputs, Error> {
        let has_aux = matches!(mode, ForwardMode::Train(_)) && self.network.aux.is_some();
        let logits = self.evaluate(arc, images, mode, Output::Logits, has_aux)?;
        if !has_aux {
            return Ok(Outputs { logits, aux_logits: None });
        }
        let half = |first| logits.narrow(D::Minus1, first, self.n_classes());
        Ok(Outputs { logits: half(0)?, aux_logits: Some(half(self.n_classes())?) })
    }

    /// The input of the classifier: means over all pixels of the last cell's output, `[n, channels]`, without
    /// dropout.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn features(&self, arc: &Arc, images: &Tensor, mode: ForwardMode<'_>) -> Result<Tensor, Error> {
        self.evaluate(arc, images, mode, Output::Features, false)
    }

    /// The loss of a training step as a scalar, with the auxiliary loss but without the L2 penalty, which the
    /// optimiser adds.
    ///
    /// Shapes: `images` `[n, c, h, w]` of F32, `labels` `[n]`, whole numbers.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward), and if the labels do not fit.
    pub fn loss(&self, arc: &Arc, images: &Tensor, labels: &Tensor, step: &Step) -> Result<Tensor, Error> {
        let batch = Batch::labelled(images, labels)?;
        batch.check_labels(batch.len(), self.n_classes())?;
        let (_, targets) = batch.on_host()?;
        let output = Output::Loss { targets: targets.clone(), settings: self.loss.clone() };
        self.evaluate(arc, images, ForwardMode::Train(step), output, self.network.aux.is_some())
    }

    /// The network along an arc, as a candle module that returns logits.
    pub fn along<'a>(&'a self, arc: &'a Arc, mode: ForwardMode<'a>) -> Along<'a> {
        Along { child: self, arc, mode }
    }

    fn evaluate(
        &self,
        arc: &Arc,
        images: &Tensor,
        mode: ForwardMode<'_>,
        output: Output,
        with_aux: bool,
    ) -> Result<Tensor, Error> {
        let (statistics, step) = match mode {
            ForwardMode::Eval => (self.statistics(Norm::RunningStatistics)?, None),
            ForwardMode::BatchStatistics => (Statistics::Batch, None),
            ForwardMode::Train(step) => (Statistics::Batch, Some(*step)),
        };
        self.check_tracked(arc, images)?;
        self.device.as_ref().map_or(Ok(()), |device| device.synchronise(&self.params))?;
        let images = images.contiguous()?;
        let mut evaluation = Evaluation { step, with_aux, ..self.evaluation(arc, statistics, output) };
        if statistics == Statistics::Running {
            return Ok(images.apply_op2_no_bwd(&untracked(images.device())?, &evaluation)?);
        }
        let Tied { token, gradients } = tie(self.params.tensors().map(|(_, tensor)| tensor))?;
        if !token.track_op() {
            return Ok(images.apply_op2_no_bwd(&token, &evaluation)?);
        }
        evaluation.gradients = Some(gradients);
        Ok(images.apply_op2(&token, evaluation)?)
    }

    /// The network's output outside training, without tracking gradients.
    pub(super) fn evaluate_untracked(
        &self,
        arc: &Arc,
        images: &Tensor,
        statistics: Statistics,
        output: Output,
    ) -> Result<Tensor, Error> {
        let evaluation = self.evaluation(arc, statistics, output);
        Ok(images.contiguous()?.apply_op2_no_bwd(&untracked(images.device())?, &evaluation)?)
    }

    fn evaluation(&self, arc: &Arc, statistics: Statistics, output: Output) -> Evaluation {
        Evaluation {
            parts: self.parts(arc),
            output,
            statistics,
            step: None,
            with_aux: false,
            gradients: None,
            recording: Mutex::default(),
        }
    }

    fn parts(&self, arc: &Arc) -> NetworkParts {
        NetworkParts {
            network: self.network.clone(),
            params: self.params.clone(),
            running: self.running.clone(),
            arc: arc.clone(),
            recompute: self.recompute,
            device: self.device.clone(),
        }
    }

    /// Checks images of a pass that candle may track.
    fn check_tracked(&self, arc: &Arc, images: &Tensor) -> Result<(), Error> {
        self.check_batch(arc, &images.into())?;
        let refuse = |why: &str| Err(Error::Batch(why.to_owned()));
        if images.track_op() {
            return refuse("the network has no gradient for its images; detach them");
        }
        if !images.device().same_device(self.device()) {
            let images = images.device();
            let own = self.device();
            return refuse(&format!("the images are on {images:?}, the network's tensors on {own:?}"));
        }
        Ok(())
    }
}

/// The second input of an operation without gradients, on the device of its images.
fn untracked(device: &Device) -> Result<Tensor, Error> {
    Ok(Tensor::zeros((), DType::F32, device)?)
}

impl ModuleT for Along<'_> {
    /// In training the given mode; otherwise moving statistics, or batch statistics if weights are shared.
    fn forward_t(&self, images: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let mode = match (train, self.child.arc()) {
            (true, _) => self.mode,
            (false, Some(_)) => ForwardMode::Eval,
            (false, None) => ForwardMode::BatchStatistics,
        };
        let outputs = self.child.forward(self.arc, images, mode).map_err(candle_core::Error::wrap)?;
        Ok(outputs.logits)
    }
}

impl FixedNet {
    /// A module whose first training pass is that of `step`; each further training pass is the next step.
    ///
    /// # Errors
    /// If the child shares weights: it stands for many networks.
    pub fn new(child: Child, step: Step) -> Result<Self, Error> {
        match child.arc().cloned() {
            Some(arc) => Ok(Self { child, arc, step, trained: AtomicU64::new(0) }),
            None => Err(Error::Arc("shared weights are many networks; take Child::along one arc".to_owned())),
        }
    }

    /// The network.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// The arc that the weights belong to.
    pub fn arc(&self) -> &Arc {
        &self.arc
    }
}

impl ModuleT for FixedNet {
    fn forward_t(&self, images: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let done = if train { self.trained.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let step = Step { global_step: self.step.global_step + done, ..self.step };
        self.child.along(&self.arc, ForwardMode::Train(&step)).forward_t(images, train)
    }
}
