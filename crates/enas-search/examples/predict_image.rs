//! Classifies images with a trained model. Depends on `enas-search` only.
//!
//!     cargo run --release -p enas-search --example predict_image -- runs/digits-train-1/model.safetensors photo.png
#![forbid(unsafe_code)]
// A terminal example: printing is its purpose.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;

use enas_search::{Model, enas_data};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let model = args.next().ok_or("usage: predict_image MODEL IMAGE…")?;
    let model = Model::load(Path::new(&model))?;
    for path in args {
        // Exactly the preparation that the training images had.
        let pixels = enas_data::prepare_file(Path::new(&path), &model.input_spec())?;
        let probabilities =
            model.probabilities(&model.images(&[pixels])?)?.flatten_all()?.to_vec1::<f32>()?;
        let best = probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let (label, probability) = best.ok_or("the model knows no class")?;
        println!("{}: {} ({:.1} %)", path.display(), model.classes()[label], 100.0 * probability);
    }
    Ok(())
}
