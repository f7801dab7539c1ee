//! Fine-tunes a network on other classes than those it was trained on, with candle's own head and optimiser.
#![forbid(unsafe_code)]

use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Module, Optimizer, VarMap, linear, loss::cross_entropy};
use enas_child::{Arc, Child, Config, ForwardMode, InputShape, Seed, Step, seeded};

/// Images `[n, 1, 12, 12]` of stripes, whose direction is the class, and their labels.
fn images(n: usize, classes: usize, salt: u64) -> candle_core::Result<(Tensor, Tensor)> {
    let mut noise = Seed::new(salt).stream("images", &[]);
    let pixel = |i: usize| {
        let angle = i / 144 % classes;
        let x = (i % 12) as f32;
        let y = (i / 12 % 12) as f32;
        let (sin, cos) = (std::f32::consts::PI * angle as f32 / classes as f32).sin_cos();
        (x * cos + y * sin).sin()
    };
    let pixels: Vec<f32> = (0..n * 144).map(|i| pixel(i) + 0.3 * noise.normal()).collect();
    let labels: Vec<u32> = (0..n).map(|i| (i % classes) as u32).collect();
    Ok((Tensor::from_vec(pixels, (n, 1, 12, 12), &Device::Cpu)?, Tensor::new(labels, &Device::Cpu)?))
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arc: Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse()?;
    let config = Config { keep_prob: 0.9, l2: 1e-4, clip_norm: 5.0, ..Config::plain(8, 1, 2) };
    let input = InputShape { channels: 1, height: 12, width: 12 };
    let at = |global_step| Step { lr: 0.0, global_step, total_steps: 40, seed: Seed::new(1) };

    // A network trained on two directions, in a file such as `enas train` writes.
    let varmap = VarMap::new();
    let child = Child::fixed(&config, &arc, input, 2, seeded(&varmap, Seed::new(1), &Device::Cpu))?;
    let mut optimizer = child.optimizer(0.05)?;
    for i in 0..20 {
        let (images, labels) = images(32, 2, i)?;
        optimizer.backward_step(&child.loss(&arc, &images, &labels, &at(i))?)?;
    }
    let model = std::env::temp_dir().join(format!("enas-finetune-{}.safetensors", std::process::id()));
    varmap.save(&model)?;

    // The same network without its classifier, under a head for four directions. Variables are loaded by name.
    let mut varmap = VarMap::new();
    let trunk = Child::fixed(&config, &arc, input, 2, seeded(&varmap, Seed::new(2), &Device::Cpu))?;
    varmap.load(&model)?;
    std::fs::remove_file(&model)?;
    let heads = VarMap::new();
    let head = linear(trunk.channels(), 4, seeded(&heads, Seed::new(3), &Device::Cpu))?;
    let vars = trunk.vars().into_iter().chain(heads.all_vars()).collect();
    let mut optimizer = AdamW::new_lr(vars, 5e-3)?;
    for i in 0..40 {
        let (images, labels) = images(64, 4, 100 + i)?;
        let features = trunk.features(&arc, &images, ForwardMode::Train(&at(i)))?;
        let loss = cross_entropy(&head.forward(&features)?, &labels)?;
        optimizer.backward_step(&loss)?; // candle's autograd; the trunk is one operation of its graph
    }
    let (images, labels) = images(100, 4, 999)?;
    let logits = head.forward(&trunk.features(&arc, &images, ForwardMode::Eval)?)?;
    let right = logits.argmax(1)?.eq(&labels)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
    assert!(right > 60.0, "{right} of 100 images are right");
    Ok(())
}
