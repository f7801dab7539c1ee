//! Trains a ready architecture on a folder of images and saves the model. Depends on `enas-search` only.
//!
//!     cargo run --release -p enas-search --example train_arc -- photos
//!
//! Without an argument it trains on the built-in digits, for one epoch of a small network.
#![forbid(unsafe_code)]
// A terminal example: printing is its purpose.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;

use enas_search::enas_data::{self, check};
use enas_search::{ConfigBuilder, Event, Given, Kind, Observer, Run, TrainConfig, ready_cells, recommend};

/// Prints a line for each epoch.
struct Epochs;

impl Observer for Epochs {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Epoch(epoch) = event {
            let valid =
                epoch.valid_accuracy.map_or(String::new(), |valid| format!(", validation {valid:.3}"));
            println!("epoch {}: loss {:.3}{valid}", epoch.epoch, epoch.loss);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = match std::env::args_os().nth(1) {
        Some(path) => of_folder(Path::new(&path))?,
        None => ConfigBuilder::preset("quick")
            .set("run.epochs=1")
            .set("child.filters=4")
            .set("child.layers=1")
            .load()?,
    };
    let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed()))?;
    let cell = ready_cells().into_iter().next().ok_or("there are ready cells")?;
    let config = TrainConfig {
        child: enas_search::enas_child::Config { nodes: cell.arc.n_nodes(), ..config.child },
        ..config
    };
    let mut run = Run::for_training(None, &config, &cell.arc, &data)?;
    let trained = enas_search::train(&config, &cell.arc, &data, &mut run, &mut Epochs)?;
    println!("{}: {:.3} of the test images", trained.model.display(), trained.test_accuracy);
    Ok(())
}

/// The settings chosen for the images, on top of the preset for folders.
fn of_folder(path: &Path) -> Result<TrainConfig, enas_search::Error> {
    let base =
        ConfigBuilder::preset("folder").set(format!("data.path={}", enas_data::resolve_path(path).display()));
    let read: TrainConfig = base.load()?;
    let report = check::check_dataset(&read.data, read.run.seed())?;
    let choices = recommend(&report, &Given::default());
    let of_training = choices.iter().filter(|choice| choice.is_for(Kind::Train));
    of_training.fold(base, |layers, choice| layers.set(format!("{}={}", choice.key, choice.value))).load()
}
