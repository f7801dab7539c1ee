//! A network as one layer of a larger candle model: two images go through the same trunk, and a head compares them.
#![forbid(unsafe_code)]

use candle_core::{D, Device, Result, Tensor};
use candle_nn::{Linear, Module, Optimizer, VarBuilder, VarMap, linear, loss};
use enas_child::{Arc, Child, Config, ForwardMode, InputShape, Seed, Step, seeded};
use enas_kernels::candle::{NesterovConfig, NesterovSgd};

/// Decides whether two images are of the same class.
struct Siamese {
    trunk: Child,
    arc: Arc,
    head: Linear,
}

impl Siamese {
    fn new(vb: VarBuilder<'_>) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let arc: Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse()?;
        let config = Config { keep_prob: 0.9, l2: 1e-4, clip_norm: 5.0, ..Config::plain(8, 1, 2) };
        let input = InputShape { channels: 1, height: 8, width: 8 };
        let trunk = Child::fixed(&config, &arc, input, 2, vb.pp("trunk"))?;
        let head = linear(trunk.channels(), 2, vb.pp("head"))?;
        Ok(Self { trunk, arc, head })
    }

    fn forward(&self, left: &Tensor, right: &Tensor, step: &Step) -> Result<Tensor> {
        let n = left.dim(0)?;
        let both = Tensor::cat(&[left, right], 0)?;
        let features = self
            .trunk
            .features(&self.arc, &both, ForwardMode::Train(step))
            .map_err(candle_core::Error::wrap)?;
        let apart = (features.narrow(0, 0, n)? - features.narrow(0, n, n)?)?.abs()?;
        self.head.forward(&apart)
    }
}

pub(crate) fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let varmap = VarMap::new();
    let model = Siamese::new(seeded(&varmap, Seed::new(1), &Device::Cpu))?;
    let vars = varmap.all_vars();
    let mut optimizer = NesterovSgd::new(vars, NesterovConfig { lr: 0.02, ..NesterovConfig::default() })?;
    let mut first = 0.0;
    let mut last = 0.0;
    for i in 0..30 {
        let mut noise = Seed::new(i).stream("images", &[]);
        // Bright or dark images. Left and right are alike in half of the pairs.
        let mut images = |half: usize| {
            let bright = |k: usize| if (k / half).is_multiple_of(2) { 1.0 } else { -1.0 };
            let pixels: Vec<f32> = (0..32 * 64).map(|p| bright(p / 64) + noise.normal()).collect();
            Tensor::from_vec(pixels, (32, 1, 8, 8), &Device::Cpu)
        };
        let left = images(1)?;
        let right = images(2)?;
        let same: Vec<u32> = (0..32).map(|k| u32::from(k % 2 == k / 2 % 2)).collect();
        let step = Step { lr: 0.0, global_step: i, total_steps: 30, seed: Seed::new(1) };
        let logits = model.forward(&left, &right, &step)?;
        let loss = loss::cross_entropy(&logits, &Tensor::new(same, &Device::Cpu)?)?;
        optimizer.backward_step(&loss)?;
        last = loss.to_scalar::<f32>()?;
        if i == 0 {
            first = last;
        }
        assert_eq!(logits.dim(D::Minus1)?, 2);
    }
    assert!(last < 0.7 * first, "the loss went from {first} to {last}");
    Ok(())
}
