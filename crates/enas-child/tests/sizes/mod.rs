//! The published sizes of networks, as `xtask/src/bench/configurations.rs` times them, on a GPU that computes
//! nothing.

use candle_core::{DType, Device, Tensor};
use enas_arc::Arc;
use enas_child::{Child, Config, Error, InputShape, Reductions, Step, StepStats};
use enas_kernels::gpu::{CountingDevice, Gpu, Precision};
use enas_rng::Seed;

/// Classes of all of them.
const CLASSES: usize = 10;
/// The first of the architectures that the comparison with PyTorch samples.
const SAMPLED: &str = "1 2 0 0 2 0 0 4 3 3 3 4 4 0 2 2 0 0 0 4 0 1 1 1 0 3 2 0 2 0 0 2 2 2 1 3 2 0 4 1";
/// The one that was published for MNIST.
const PUBLISHED: &str = "1 2 1 3 0 1 0 4 1 1 1 1 0 1 0 1 1 0 0 1 0 1 0 4 1 0 2 0 0 3 1 1 0 0 0 0 4 1 1 0";

/// A training step of a published size.
pub(crate) struct Size {
    /// As in the table of timings.
    pub(crate) name: &'static str,
    /// Whether the network has private weights for one architecture, or weights for all.
    fixed: bool,
    config: Config,
    input: InputShape,
    pub(crate) batch: usize,
}

/// All of them, in the order of the table.
pub(crate) fn all() -> [Size; 5] {
    let config = Config { reductions: Reductions::Three, ..Config::reference(20, 6, 5) };
    let two = Config { reductions: Reductions::Two, ..config.clone() };
    let small = Config { filters: 8, layers: 2, ..two.clone() };
    let long = Config { filters: 16, layers: 15, keep_prob: 0.8, ..config.clone() };
    let size = |name, fixed, config, batch, (channels, side)| Size {
        name,
        fixed,
        config,
        input: InputShape { channels, height: side, width: side },
        batch,
    };
    [
        size("S1-search", false, config, 128, (1, 32)),
        size("S2-search", false, two, 160, (3, 32)),
        size("S3-search", false, small.clone(), 64, (1, 28)),
        size("F1-step", true, long, 128, (1, 32)),
        size("F2-step", true, small, 64, (1, 28)),
    ]
}

impl Size {
    /// The network on a device, before its first step.
    pub(crate) fn child(&self, gpu: &Gpu, activations: Precision) -> Result<Child, Error> {
        let seed = Seed::new(1);
        let mut child = if self.fixed {
            Child::fixed(&self.config, &self.arc(), self.input, CLASSES, seed)?
        } else {
            Child::shared(&self.config, self.input, CLASSES, seed)?
        };
        child.use_gpu(gpu, activations)?;
        Ok(child)
    }

    /// One training step on a batch of `n` blank images.
    pub(crate) fn step(&self, child: &mut Child, n: usize) -> Result<StepStats, Error> {
        let InputShape { channels, height, width } = self.input;
        let step = Step { lr: 0.05, global_step: 0, total_steps: 1_000_000, seed: Seed::new(1) };
        let images = Tensor::zeros((n, channels, height, width), DType::F32, &Device::Cpu)?;
        let labels = Tensor::zeros(n, DType::U32, &Device::Cpu)?;
        child.train_step(&self.arc(), &images, &labels, &step)
    }

    fn arc(&self) -> Arc {
        let text = if self.fixed { PUBLISHED } else { SAMPLED };
        text.parse().expect("a valid architecture")
    }
}

/// A device with `memory` bytes, in the two forms that are needed.
pub(crate) fn dry(memory: usize) -> (CountingDevice, Gpu) {
    let dry = CountingDevice::with_memory(memory);
    let gpu = Gpu::new(Box::new(dry.clone()));
    (dry, gpu)
}
