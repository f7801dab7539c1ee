//! Reads a `model.safetensors` with candle's builder and classifies images with it. Nothing is trained.
#![forbid(unsafe_code)]

use candle_core::{DType, Device, Tensor};
use candle_nn::{ModuleT, VarBuilder, VarMap};
use enas_child::{Arc, Child, Config, FixedNet, InputShape, Seed, Step, seeded};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The model's settings: `enas runs DIR` shows them, and `config.toml` holds them.
    let arc: Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse()?;
    let config = Config { keep_prob: 0.9, l2: 1e-4, clip_norm: 5.0, ..Config::plain(8, 1, 2) };
    let input = InputShape { channels: 3, height: 16, width: 16 };
    let classes = 5;

    // A file to read.
    let varmap = VarMap::new();
    let written = Child::fixed(&config, &arc, input, classes, seeded(&varmap, Seed::new(1), &Device::Cpu))?;
    let file = std::env::temp_dir().join(format!("enas-read-model-{}.safetensors", std::process::id()));
    varmap.save(&file)?;

    // `VarBuilder::from_mmaped_safetensors` reads large files without a copy. It is unsafe because files can change.
    let vb = VarBuilder::from_buffered_safetensors(std::fs::read(&file)?, DType::F32, &Device::Cpu)?;
    std::fs::remove_file(&file)?;
    let child = Child::fixed(&config, &arc, input, classes, vb)?;
    assert!(child.vars().is_empty(), "tensors of a file are no variables");

    let step = Step { lr: 0.0, global_step: 0, total_steps: 1, seed: Seed::new(0) };
    let images = Tensor::zeros((2, 3, 16, 16), DType::F32, &Device::Cpu)?;
    let net = FixedNet::new(child, step)?;
    let logits = net.forward_t(&images, false)?;
    assert_eq!(logits.dims(), [2, classes]);
    assert_eq!(
        logits.to_vec2::<f32>()?,
        FixedNet::new(written, step)?.forward_t(&images, false)?.to_vec2::<f32>()?
    );
    Ok(())
}
