//! Loads a folder of images, prints a summary, and takes the first batches of a training. Depends on `enas-data`
//! only.
//!
//!     cargo run --release -p enas-data --example load_folder -- photos
//!
//! Without an argument it loads the built-in digits.
#![forbid(unsafe_code)]
// A terminal example: printing is its purpose.
#![allow(clippy::print_stdout)]

use std::error::Error;

use enas_data::{Config, EpochPlan, LoadOptions, Seed, resolve_path};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| enas_data::DIGITS.into());
    // An existing folder wins over the built-in data set of the same name.
    let config = Config { path: resolve_path(path.as_ref()), image_size: 32, ..Config::default() };
    let data = enas_data::load(&config, &LoadOptions::new(Seed::new(1)))?;
    println!("{}: {} classes, {} channels", data.name, data.classes.len(), data.channels);
    for split in [&data.train, &data.valid, &data.test] {
        println!("{:<5} {} images", split.part().name(), split.len());
    }
    for skipped in &data.skipped {
        println!("left out {}: {}", skipped.path, skipped.reason);
    }
    for batch in data.train.epoch(&EpochPlan::new(0, 16))?.take(2) {
        let batch = batch?;
        let labels: Vec<&str> =
            batch.labels.iter().map(|label| data.classes[*label as usize].as_str()).collect();
        println!("a batch of {} numbers: {}", batch.images.len(), labels.join(" "));
    }
    Ok(())
}
