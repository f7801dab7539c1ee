//! The child network as its users see it.

use std::borrow::Cow;

use enas_arc::Arc;
use enas_kernels::{Map, Nesterov, RunningMoments, Value, profile};
use enas_rng::{Seed, Stream};
use rayon::prelude::*;

use crate::backend::{Backend, Cpu, Statistics, argmax};
use crate::build::Builder;
use crate::config::{AuxHead, Config, InputShape};
use crate::device::{Inspected, OnDevice, Part};
use crate::examples::{Batch, Examples, check_labels, count, last_class};
use crate::network::{Network, Training};
use crate::noise::{Noise, SeededNoise};
use crate::params::{Params, is_finite};
use crate::pass::Pass;
use crate::plan::Plan;
use crate::tape::Tape;
use crate::walk::{CellByCell, InParts, Kept, Recompute, Walk};
use crate::{Error, Named};

/// A child network with its weights and the optimiser's momentum.
///
/// A *shared* child has weights for every arc of its search space and is told at every call which arc to be; a
/// *fixed* child has the weights of one arc only. See [`Child::shared`] and [`Child::fixed`].
#[derive(Debug)]
pub struct Child {
    n_classes: usize,
    arc: Option<Arc>,
    pub(crate) network: Network,
    pub(crate) params: Params,
    /// Moving statistics by the name of their batch norm.
    pub(crate) running: Vec<(String, RunningMoments)>,
    /// What the loss of an image counts for, by class; all count one if there are none.
    class_weights: Option<Vec<f32>>,
    recompute: Recompute,
    /// Where the numbers are, if not here.
    pub(crate) device: Option<OnDevice>,
}

/// Most weights of a network, which take 4 GB, and as much again for their momentum: far more than any that these
/// kernels train in a lifetime.
const MOST_WEIGHTS: usize = 1 << 30;

/// Most numbers that a layer makes of one picture; of sixteen, which are computed together, they take 8 GB.
const MOST_NUMBERS: usize = 1 << 27;

/// Where a training step stands in its run.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Learning rate.
    pub lr: f32,
    /// Steps done before this one.
    pub global_step: u64,
    /// Steps of the whole run, for the growth of drop-path.
    pub total_steps: u64,
    /// Seed of dropout and drop-path, which also depend on `global_step`.
    pub seed: Seed,
}

/// What a training step saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// Mean cross entropy of the main classifier, in nats, each image times the weight of its class.
    pub loss: f32,
    /// Mean cross entropy of the auxiliary classifier; 0 without one.
    pub aux_loss: f32,
    /// Images the main classifier got right.
    pub correct: usize,
    /// Images.
    pub n: usize,
    /// Norm of the whole gradient, L2 penalty and auxiliary loss included, before clipping. No finite number if anything
    /// in the step was none.
    pub grad_norm: f32,
}

/// Which statistics batch norms use outside training steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Those of the batch at hand: the only ones that mean anything for shared weights.
    BatchStatistics,
    /// The moving ones: fixed networks only.
    RunningStatistics,
}

/// Everything a training pass computes, for inspection; see [`Child::inspect`].
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Logits `[n, classes]`.
    pub logits: Vec<f32>,
    /// Logits of the auxiliary head, if there is one.
    pub aux_logits: Option<Vec<f32>>,
    /// Mean cross entropy.
    pub loss: f32,
    /// Mean cross entropy of the auxiliary head; 0 without one.
    pub aux_loss: f32,
    /// `loss + aux_weight·aux_loss + l2·Σ w²`.
    pub total_loss: f32,
    /// The output of every cell, `[n, c, h, w]`.
    pub cells: Vec<Named>,
    /// The gradient of `total_loss` with respect to every trained tensor.
    pub gradients: Vec<Named>,
    /// Norm of all gradients together.
    pub grad_norm: f32,
}

impl Child {
    /// A child with shared weights for every arc of `config.nodes` nodes.
    ///
    /// # Errors
    /// If a setting is out of range or `n_classes` is below 2.
    pub fn shared(config: &Config, input: InputShape, n_classes: usize, seed: Seed) -> Result<Self, Error> {
        Self::new(config, None, input, n_classes, seed, MOST_WEIGHTS)
    }

    /// A child with private weights for one arc.
    ///
    /// # Errors
    /// As for [`shared`](Self::shared), and if the arc has another number of nodes than `config.nodes`.
    pub fn fixed(
        config: &Config,
        arc: &Arc,
        input: InputShape,
        n_classes: usize,
        seed: Seed,
    ) -> Result<Self, Error> {
        Self::fixed_within(config, arc, input, n_classes, seed, MOST_WEIGHTS)
    }

    /// [`fixed`](Self::fixed), if the network has no more than `most_weights`: for a description that others wrote.
    ///
    /// No memory is taken for a larger one.
    ///
    /// # Errors
    /// As for [`fixed`](Self::fixed), and if it has more.
    pub fn fixed_within(
        config: &Config,
        arc: &Arc,
        input: InputShape,
        n_classes: usize,
        seed: Seed,
        most_weights: usize,
    ) -> Result<Self, Error> {
        check_nodes(arc, config)?;
        Self::new(config, Some(arc), input, n_classes, seed, most_weights.min(MOST_WEIGHTS))
    }

    fn new(
        config: &Config,
        arc: Option<&Arc>,
        input: InputShape,
        n_classes: usize,
        seed: Seed,
        most_weights: usize,
    ) -> Result<Self, Error> {
        check_shape(config, arc, input, n_classes)?;
        let plan = Plan::new(config, input);
        let numbers = |c: usize, h: usize, w: usize| c.saturating_mul(h).saturating_mul(w);
        let stem = numbers(plan.stem.max(input.channels), input.height, input.width);
        let map = plan.cells.iter().map(|c| numbers(c.filters, c.height, c.width)).fold(stem, usize::max);
        if map > MOST_NUMBERS {
            let value = format!("{} on {}x{} pixels", config.filters, input.height, input.width);
            let allowed =
                format!("{MOST_NUMBERS} numbers in a layer, here are {map}; use fewer or smaller pictures");
            return Err(Error::Config { key: "child.filters", value, allowed });
        }
        // Once for the number of weights: settings that are fine one by one can make a network that no machine can hold,
        // and memory that grows with the weights would leave its smaller predecessors behind.
        let mut places = Builder::new(Params::places());
        Network::new(&mut places, config, plan.clone(), arc, n_classes);
        let weights = places.params.len();
        if weights > most_weights {
            let value = format!("{} with {weights} weights in the whole network", config.filters);
            let allowed = format!("{most_weights} weights");
            return Err(Error::Config { key: "child.filters", value, allowed });
        }
        let mut builder = Builder::new(Params::new(seed, weights));
        let network = Network::new(&mut builder, config, plan, arc, n_classes);
        let Builder { params, running, .. } = builder;
        let (arc, recompute) = (arc.cloned(), Recompute::Nothing);
        Ok(Self { n_classes, arc, network, params, running, class_weights: None, recompute, device: None })
    }

    /// Weighs the loss: that of an image of class `k` counts `weights[k]` times, for the main and for the auxiliary
    /// classifier. The mean is still taken over the number of images. Weights are no part of the state.
    ///
    /// # Errors
    /// If there is not one weight per class, or one is no positive number.
    pub fn weigh_classes(&mut self, weights: &[f32]) -> Result<(), Error> {
        let refuse = |value: String, allowed: String| Error::Config { key: "class weights", value, allowed };
        if weights.len() != self.n_classes {
            let allowed = format!("as many as there are classes: {}", self.n_classes);
            return Err(refuse(format!("{} numbers", weights.len()), allowed));
        }
        if let Some(wrong) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            return Err(refuse(wrong.to_string(), "numbers above 0".to_owned()));
        }
        if let Some(device) = &mut self.device {
            device.weigh_classes(weights);
        }
        self.class_weights = Some(weights.to_vec());
        Ok(())
    }

    /// Decides what passes that take statistics of their batch keep and what they compute again. No result changes; on a
    /// GPU everything is kept.
    pub fn recompute(&mut self, what: Recompute) {
        self.recompute = what;
    }

    /// How cells are evaluated for a batch of `n` images.
    fn walk<'a>(&self, n: usize) -> Box<dyn Walk<Cpu<'a>> + 'a> {
        match self.recompute {
            Recompute::Nothing => Box::new(Kept),
            Recompute::Cells => Box::new(CellByCell),
            Recompute::Groups(groups) => Box::new(InParts::new(n, groups)),
        }
    }

    /// The weight of each class in the loss.
    pub(crate) fn class_weights_or_ones(&self) -> Vec<f32> {
        self.class_weights.clone().unwrap_or_else(|| vec![1.0; self.n_classes])
    }

    /// One training step: forward, backward, and the update of all weights and moving statistics.
    ///
    /// A step with a loss, a gradient or a statistic that is not finite changes nothing: its numbers say what happened, and
    /// [`diagnose`](Self::diagnose) where.
    ///
    /// Shapes: `images` `[n, c, h, w]`, `labels` `[n]`.
    ///
    /// # Errors
    /// If the batch or the arc does not fit the network.
    pub fn train_step(
        &mut self,
        arc: &Arc,
        images: &[f32],
        labels: &[u32],
        step: &Step,
    ) -> Result<StepStats, Error> {
        let noise = SeededNoise { seed: step.seed, step: step.global_step };
        self.train_step_with(arc, images, labels, step, &noise)
    }

    /// [`train_step`](Self::train_step) on pictures that may be on the network's GPU already.
    ///
    /// `meanwhile` is called once while a GPU computes the step, for the host to make the next batch and to send it
    /// ahead; on the CPU after the step, and not at all where a step fails early.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step), and if the pictures are on another device than the network.
    pub fn train_on(
        &mut self,
        arc: &Arc,
        examples: Examples<'_>,
        step: &Step,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let noise = SeededNoise { seed: step.seed, step: step.global_step };
        self.train(arc, examples, step, &noise, meanwhile)
    }

    /// [`train_step`](Self::train_step) with given random numbers for dropout and drop-path.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step).
    pub fn train_step_with(
        &mut self,
        arc: &Arc,
        images: &[f32],
        labels: &[u32],
        step: &Step,
        noise: &dyn Noise,
    ) -> Result<StepStats, Error> {
        self.train(arc, Examples::Host { images, labels }, step, noise, &mut || ())
    }

    fn train(
        &mut self,
        arc: &Arc,
        examples: Examples<'_>,
        step: &Step,
        noise: &dyn Noise,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let training = Training { noise, step: step.global_step, total_steps: step.total_steps };
        let batch = self.device.is_some().then(|| self.labelled_batch(arc, examples)).transpose()?;
        if let (Some(device), Some(batch)) = (&mut self.device, &batch) {
            let network = (&self.network, &self.params);
            return device.train_step(network, arc, batch, (training, step.lr), meanwhile);
        }
        let (images, labels) = on_host(examples)?;
        let stats = on_pool(|| self.train_here(arc, (images, labels), training, step.lr))?;
        meanwhile();
        Ok(stats)
    }

    fn train_here(
        &mut self,
        arc: &Arc,
        (images, labels): (&[f32], &[u32]),
        training: Training<'_>,
        lr: f32,
    ) -> Result<StepStats, Error> {
        let Pass { loss, aux, gradients, moments, .. } = self.pass(arc, images, labels, training, false)?;
        let aux_loss = aux.map_or(0.0, |(_, loss)| loss.mean);
        let mut stats = StepStats {
            loss: loss.mean,
            aux_loss,
            correct: loss.correct,
            n: labels.len(),
            grad_norm: f32::NAN,
        };
        let moments_are_finite = moments.iter().all(|(_, of)| is_finite(&of.mean) && is_finite(&of.variance));
        if !(stats.loss.is_finite() && aux_loss.is_finite() && moments_are_finite && gradients.is_finite()) {
            return Ok(stats);
        }
        for (index, moments) in &moments {
            self.running[*index].1.update(moments);
        }
        let Config { momentum, l2, clip_norm, .. } = self.network.config;
        let rule = Nesterov { lr, momentum, l2, scale: 1.0 };
        stats.grad_norm = self.params.step(rule, clip_norm, &gradients);
        Ok(stats)
    }

    /// A training pass that changes nothing and returns all it computed: for tests and for curiosity.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step).
    pub fn inspect(
        &self,
        arc: &Arc,
        images: &[f32],
        labels: &[u32],
        noise: &dyn Noise,
        (step, total_steps): (u64, u64),
    ) -> Result<Inspection, Error> {
        let training = Training { noise, step, total_steps };
        let (parts, params) = match &self.device {
            Some(device) => {
                let batch = self.labelled_batch(arc, Examples::Host { images, labels })?;
                let parts = device.inspect((&self.network, &self.params), arc, &batch, training)?;
                (parts, Cow::Owned(device.download(&self.params, &self.running)?.0))
            }
            None => (self.inspect_here(arc, images, labels, training)?, Cow::Borrowed(&self.params)),
        };
        let Config { l2, aux_weight, .. } = self.network.config;
        let penalty = f64::from(l2) * params.squares();
        let gradients = params.export_gradients(&parts.gradients, l2);
        let squares: f64 = gradients.iter().flat_map(|g| &g.data).map(|g| f64::from(*g).powi(2)).sum();
        Ok(Inspection {
            total_loss: (f64::from(parts.loss + aux_weight * parts.aux_loss) + penalty) as f32,
            cells: parts.cells.iter().enumerate().map(|(i, cell)| named_cell(i, cell)).collect(),
            logits: parts.logits,
            aux_logits: parts.aux_logits,
            loss: parts.loss,
            aux_loss: parts.aux_loss,
            gradients,
            grad_norm: squares.sqrt() as f32,
        })
    }

    fn inspect_here(
        &self,
        arc: &Arc,
        images: &[f32],
        labels: &[u32],
        training: Training<'_>,
    ) -> Result<Inspected, Error> {
        let pass = self.pass(arc, images, labels, training, true)?;
        let fetch = |value: &Value| Part { shape: value.map.shape(), data: value.to_nchw() };
        let cells = pass.cells.iter().map(|cell| cell.iter().map(|part| fetch(&part.value)).collect());
        Ok(Inspected {
            cells: cells.collect(),
            aux_loss: pass.aux.as_ref().map_or(0.0, |(_, loss)| loss.mean),
            aux_logits: pass.aux.map(|(logits, _)| logits),
            logits: pass.logits,
            loss: pass.loss.mean,
            gradients: pass.gradients,
        })
    }

    fn pass(
        &self,
        arc: &Arc,
        images: &[f32],
        labels: &[u32],
        training: Training<'_>,
        keep_cells: bool,
    ) -> Result<Pass<Cpu<'_>>, Error> {
        let n = self.check_batch(arc, images)?;
        check_labels((labels.len(), last_class(labels)), n, self.n_classes)?;
        let class_weights = self.class_weights.as_deref();
        let cpu = Cpu { params: &self.params, running: &[], class_weights };
        let walk = self.walk(n);
        self.network.pass(&cpu, arc, self.map(images, n), labels, training, (&*walk, keep_cells))
    }

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
        let statistics = match norm {
            Norm::BatchStatistics => Statistics::Batch,
            Norm::RunningStatistics if self.arc.is_some() => Statistics::Running,
            Norm::RunningStatistics => {
                let why = "shared weights have no moving statistics; use those of the batch";
                return Err(Error::Arc(why.to_owned()));
            }
        };
        let keep = self.network.config.keep_prob;
        if let Some(device) = &self.device {
            let batch = self.batch(arc, examples)?;
            let len = batch.len() * self.network.classifier.channels;
            let factors = dropout.map(|s| (0..len).map(|_| (keep + s.uniform()).floor() / keep).collect());
            return device.logits((&self.network, &self.params), arc, &batch, statistics, factors);
        }
        let (images, _) = on_host(examples)?;
        self.check_batch(arc, images)?;
        let mut features = match statistics {
            Statistics::Batch => on_pool(|| self.features(arc, images, statistics, &[]))?,
            Statistics::Running => self.features_in_groups(arc, images)?,
        };
        if let Some(stream) = dropout {
            features.iter_mut().for_each(|x| *x *= (keep + stream.uniform()).floor() / keep);
        }
        let cpu = Cpu { params: &self.params, running: &[], class_weights: None };
        Ok(cpu.classify(&self.network.classifier, &features))
    }

    /// The features `[n, channels]` of images `[n, c, h, w]`, at inference.
    fn features(
        &self,
        arc: &Arc,
        images: &[f32],
        statistics: Statistics,
        running: &[RunningMoments],
    ) -> Result<Vec<f32>, Error> {
        let cpu = Cpu { params: &self.params, running, class_weights: None };
        let mut tape = Tape::new(&cpu, statistics, false);
        let n = images.len() / self.image_len();
        let input = tape.input(self.map(images, n));
        let walk: Box<dyn Walk<Cpu<'_>> + '_> = match statistics {
            Statistics::Batch => self.walk(n),
            Statistics::Running => Box::new(Kept),
        };
        Ok(self.network.forward(&mut tape, arc, input, None, (&*walk, false))?.main)
    }

    /// The same with moving statistics: nothing joins the images of a batch, so a few at a time go through the
    /// whole network, each group on one thread and out of its cache.
    fn features_in_groups(&self, arc: &Arc, images: &[f32]) -> Result<Vec<f32>, Error> {
        let running: Vec<RunningMoments> = self.running.iter().map(|(_, r)| r.clone()).collect();
        let groups = images.par_chunks(enas_kernels::LANES * self.image_len());
        let features: Vec<Vec<f32>> = groups
            .map(|group| self.features(arc, group, Statistics::Running, &running))
            .collect::<Result<_, _>>()?;
        Ok(features.concat())
    }

    fn image_len(&self) -> usize {
        let InputShape { channels, height, width } = self.network.plan.input;
        channels * height * width
    }

    /// The same network for inference with every batch norm folded into the convolution before it.
    ///
    /// # Errors
    /// If the network shares weights: its batch norms have no statistics of their own.
    pub fn folded(&self) -> Result<Self, Error> {
        let Some(arc) = &self.arc else {
            return Err(Error::Arc("shared weights have no moving statistics to fold".to_owned()));
        };
        let mut folded = Self::new(
            &self.network.config,
            Some(arc),
            self.network.plan.input,
            self.n_classes,
            self.params.seed(),
            MOST_WEIGHTS,
        )?;
        folded.load(&self.weights()?)?;
        folded.network.for_each_block(&mut |block| {
            let norm = block.norm;
            let Some(running) = norm.running.map(|index| &mut folded.running[index].1) else { return };
            let affine = running.affine(folded.params.get(norm.scale), folded.params.get(norm.offset));
            let mut first = 0;
            for conv in &block.convs {
                let scale = &affine.scale[first..first + conv.outputs];
                for id in &conv.weight {
                    let rows = folded.params.get_mut(*id).chunks_exact_mut(conv.outputs);
                    rows.for_each(|row| row.iter_mut().zip(scale).for_each(|(w, s)| *w *= s));
                }
                first += conv.outputs;
            }
            // What is left of the batch norm: no scale, no mean, a unit deviation, and the shift as its offset.
            folded.params.get_mut(norm.scale).fill(1.0);
            folded.params.get_mut(norm.offset).copy_from_slice(&affine.shift);
            running.mean.fill(0.0);
            running.variance.fill(1.0 - enas_kernels::EPSILON);
        });
        Ok(folded)
    }

    /// The most likely class of each image; the first of equals.
    pub fn classes(logits: &[f32], n_classes: usize) -> Vec<usize> {
        logits.chunks_exact(n_classes).map(argmax).collect()
    }

    /// Trained weights, batch norms included, without the auxiliary head: the number the published code prints.
    pub fn n_params(&self) -> usize {
        self.params.count(|name| !name.starts_with("aux_head"))
    }

    /// Weights of the auxiliary head.
    pub fn n_aux_params(&self) -> usize {
        self.params.count(|name| name.starts_with("aux_head"))
    }

    /// Multiply-adds that one image costs at inference.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub fn macs(&self, arc: &Arc) -> Result<u64, Error> {
        self.check_arc(arc)?;
        // A batch without images walks the same path and computes nothing.
        let cpu = Cpu { params: &self.params, running: &[], class_weights: None };
        let mut tape = Tape::new(&cpu, Statistics::Batch, false);
        let input = tape.input(self.map(&[], 0));
        self.network.forward(&mut tape, arc, input, None, (&Kept, false))?;
        Ok(tape.macs + self.network.classifier.macs())
    }

    /// The layout of the network.
    pub fn plan(&self) -> &Plan {
        &self.network.plan
    }

    /// The settings the network was built with.
    pub fn config(&self) -> &Config {
        &self.network.config
    }

    /// The pictures the network takes.
    pub fn input(&self) -> InputShape {
        self.network.plan.input
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The arc of a fixed network.
    pub fn arc(&self) -> Option<&Arc> {
        self.arc.as_ref()
    }

    pub(crate) fn map(&self, images: &[f32], n: usize) -> Map {
        let InputShape { channels, height, width } = self.network.plan.input;
        let start = profile::start();
        let map = Map::from_nchw(images, n, channels, height, width);
        profile::stop(start, ("pictures", "in"), 0.0, (8 * images.len()) as f64);
        map
    }

    /// Checks a batch for the device.
    fn batch<'a>(&self, arc: &Arc, examples: Examples<'a>) -> Result<Batch<'a>, Error> {
        self.check_arc(arc)?;
        let gpu = self.gpu().expect("asked for children on a device alone");
        Batch::on(gpu, self.network.plan.input, examples)
    }

    /// Checks a batch with its labels for the device.
    fn labelled_batch<'a>(&self, arc: &Arc, examples: Examples<'a>) -> Result<Batch<'a>, Error> {
        let batch = self.batch(arc, examples)?;
        batch.check_labels(self.n_classes)?;
        Ok(batch)
    }

    fn check_batch(&self, arc: &Arc, images: &[f32]) -> Result<usize, Error> {
        self.check_arc(arc)?;
        count(images.len(), self.network.plan.input)
    }

    pub(crate) fn check_arc(&self, arc: &Arc) -> Result<(), Error> {
        check_nodes(arc, &self.network.config)?;
        match &self.arc {
            Some(own) if own != arc => {
                Err(Error::Arc(format!("the network was built for {own}, not for {arc}")))
            }
            _ => Ok(()),
        }
    }
}

/// Images and labels for a network in the host's memory.
fn on_host(examples: Examples<'_>) -> Result<(&[f32], &[u32]), Error> {
    match examples {
        Examples::Host { images, labels } => Ok((images, labels)),
        Examples::Staged(_) | Examples::Resident { .. } => {
            Err(Error::Batch("the pictures are on a GPU, the network is not".to_owned()))
        }
    }
}

/// Runs `body` on a thread of the pool, once for all the operations inside it. From elsewhere each of them would be
/// handed over and waited for, which costs more than a small operation itself.
pub(crate) fn on_pool<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| body())
}

/// Refuses a network that cannot be.
pub(crate) fn check_shape(
    config: &Config,
    arc: Option<&Arc>,
    input: InputShape,
    n_classes: usize,
) -> Result<(), Error> {
    arc.map_or(Ok(()), |arc| check_nodes(arc, config))?;
    config.validate()?;
    let least = |key, value: usize, low: usize| {
        if value >= low {
            return Ok(());
        }
        Err(Error::Config { key, value: value.to_string(), allowed: format!("{low} or more") })
    };
    least("number of classes", n_classes, 2)?;
    least("number of channels", input.channels, 1)?;
    least("image height", input.height, 1)?;
    least("image width", input.width, 1)
}

fn check_nodes(arc: &Arc, config: &Config) -> Result<(), Error> {
    if arc.n_nodes() == config.nodes {
        return Ok(());
    }
    let (got, want) = (arc.n_nodes(), config.nodes);
    Err(Error::Arc(format!("it has {got} nodes per cell, the network {want} (child.nodes)")))
}

/// The output of cell `i`, given in parts, as one tensor `[n, c, h, w]`.
fn named_cell(i: usize, parts: &[Part]) -> Named {
    let (n, _, h, w) = parts[0].shape;
    let channels = parts.iter().map(|part| part.shape.1).sum();
    let of_image = |image: usize| {
        parts.iter().flat_map(move |part| {
            let size = part.shape.1 * h * w;
            &part.data[image * size..][..size]
        })
    };
    let data = (0..n).flat_map(of_image).copied().collect();
    Named { name: format!("layer_{i}"), shape: vec![n, channels, h, w], data }
}

impl Config {
    /// Whether the auxiliary head is built.
    pub fn has_aux_head(&self) -> bool {
        self.aux_head != AuxHead::Off
    }
}
