//! Class scores of pictures.

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use enas_arc::Arc;
use enas_kernels::RunningMoments;
use enas_rng::Stream;

use super::{Child, MOST_WEIGHTS, images_on_host};
use crate::Error;
use crate::backend::{Backend, ConvBlock, Cpu, Statistics, argmax};
use crate::examples::Examples;
use crate::loss::LossRule;

/// Which statistics batch norms use outside training steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Those of the batch at hand: the only ones that mean anything for shared weights.
    BatchStatistics,
    /// The moving ones: fixed networks only.
    RunningStatistics,
}

impl Child {
    /// Logits `[n, classes]` of images `[n, c, h, w]`.
    ///
    /// `dropout` switches dropout on, as the published search does even when it measures rewards.
    ///
    /// # Errors
    /// If the images or the arc do not fit, or a shared network is asked for moving statistics.
    pub fn logits(
        &self,
        arc: &Arc,
        images: &[f32],
        norm: Norm,
        dropout: Option<&mut Stream>,
    ) -> Result<Vec<f32>, Error> {
        self.logits_on(arc, Examples::Host { images, labels: &[] }, norm, dropout)
    }

    /// [`logits`](Self::logits) of pictures that may be on the network's GPU already; labels are not looked at.
    ///
    /// # Errors
    /// As for [`logits`](Self::logits), and if the pictures are on another device than the network.
    pub fn logits_on(
        &self,
        arc: &Arc,
        examples: Examples<'_>,
        norm: Norm,
        dropout: Option<&mut Stream>,
    ) -> Result<Vec<f32>, Error> {
        let statistics = self.statistics(norm)?;
        let keep = self.network.config.keep_prob;
        if let Some(device) = &self.device {
            let batch = self.batch(arc, examples)?;
            let len = batch.len() * self.network.classifier.channels;
            let factors = dropout.map(|s| (0..len).map(|_| (keep + s.uniform()).floor() / keep).collect());
            return device.logits((&self.network, &self.params), arc, &batch, statistics, factors);
        }
        let images = images_on_host(examples)?;
        self.check_batch(arc, images)?;
        let mut features = self.host_features(arc, images, statistics)?;
        if let Some(stream) = dropout {
            features.iter_mut().for_each(|x| *x *= (keep + stream.uniform()).floor() / keep);
        }
        self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            Ok(cpu.classify(&self.network.classifier, &features))
        })
    }

    /// What batch norms use, if they have it.
    pub(super) fn statistics(&self, norm: Norm) -> Result<Statistics, Error> {
        match norm {
            Norm::BatchStatistics => Ok(Statistics::Batch),
            Norm::RunningStatistics if self.arc.is_some() => Ok(Statistics::Running),
            Norm::RunningStatistics => {
                let why = "shared weights have no moving statistics; use those of the batch";
                Err(Error::Arc(why.to_owned()))
            }
        }
    }

    /// The most likely class of each image; the first of equals.
    pub fn classes(logits: &[f32], n_classes: usize) -> Vec<usize> {
        logits.chunks_exact(n_classes).map(argmax).collect()
    }

    /// The same network for inference with every batch norm folded into the convolution before it.
    ///
    /// # Errors
    /// If the network shares weights: its batch norms have no statistics of their own.
    pub fn folded(&self) -> Result<Self, Error> {
        let Some(arc) = &self.arc else {
            return Err(Error::Arc("shared weights have no moving statistics to fold".to_owned()));
        };
        let zeros = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let config = &self.network.config;
        let (input, classes) = (self.network.plan.input, self.n_classes);
        let mut folded = Self::new(config, Some(arc), input, classes, zeros.into(), MOST_WEIGHTS)?;
        folded.load(&self.weights()?)?;
        let (running, mut result) = (folded.running.current()?, Ok(()));
        folded.network.for_each_block(&mut |block| {
            if result.is_ok() {
                result = folded.fold(block, &running);
            }
        });
        result.map(|()| folded)
    }

    /// Folds the batch norm of one convolution.
    fn fold(&self, block: &ConvBlock, running: &[RunningMoments]) -> Result<(), Error> {
        let (params, norm) = (&self.params, block.norm);
        let Some(index) = norm.running else { return Ok(()) };
        let affine = params
            .read(|weights| Ok(running[index].affine(weights.get(norm.scale), weights.get(norm.offset))))?;
        let mut first = 0;
        for conv in &block.convs {
            let scale = &affine.scale[first..first + conv.outputs];
            for id in &conv.weight {
                params.write(*id, |matrix| {
                    let rows = matrix.chunks_exact_mut(conv.outputs);
                    rows.for_each(|row| row.iter_mut().zip(scale).for_each(|(w, s)| *w *= s));
                })?;
            }
            first += conv.outputs;
        }
        // What is left of the batch norm: no scale, no mean, a unit deviation, and the shift as its offset.
        params.write(norm.scale, |scale| scale.fill(1.0))?;
        params.write(norm.offset, |offset| offset.copy_from_slice(&affine.shift))?;
        let channels = affine.shift.len();
        self.running.replace(index, vec![0.0; channels], vec![1.0 - enas_kernels::EPSILON; channels])
    }
}
