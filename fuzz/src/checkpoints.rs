//! Checkpoints, read by resuming a search.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use enas_data::Dataset;
use enas_search::{Error, Event, ConfigBuilder, Observer, Run, SearchConfig};
use sha2::{Digest, Sha256};

use crate::place;

/// The first byte selects the meaning of the rest: a checkpoint, or changes to a valid checkpoint.
///
/// The search must either continue from it for a step or return an error.
pub fn checkpoints(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let subject = SUBJECT.get_or_init(Subject::new);
    let bytes = match kind % 2 {
        0 => rest.to_vec(),
        _ => changed(&subject.checkpoint, rest),
    };
    place::clear(&subject.run.join("checkpoints"));
    place::file("run/checkpoints/000001.safetensors", &bytes);
    let mut run = Run::resume(&subject.run).expect("all but the checkpoint is as it was");
    let _ = enas_search::search(&subject.config, &subject.data, &mut run, &mut OneStep);
}

static SUBJECT: OnceLock<Subject> = OnceLock::new();

/// A search that was interrupted after its first step.
struct Subject {
    config: SearchConfig,
    data: Dataset,
    run: PathBuf,
    checkpoint: Vec<u8>,
}

struct OneStep;

impl Observer for OneStep {
    fn event(&mut self, _: &Event<'_>) {}

    fn should_stop(&self) -> bool {
        true
    }
}

const SETTINGS: [&str; 13] = [
    "run.epochs=2",
    "run.batch_size=16",
    "data.image_size=4",
    "child.filters=2",
    "child.layers=1",
    "child.nodes=1",
    "controller.steps=1",
    "controller.aggregate=2",
    "select.samples=1",
    "select.random=1",
    "warmup.updates=0",
    "finals.steps=1",
    "finals.policy=1",
];

impl Subject {
    fn new() -> Self {
        let layers = SETTINGS.iter().fold(ConfigBuilder::preset("quick"), |layers, setting| layers.set(*setting));
        let config: SearchConfig = layers.load().expect("the settings are valid");
        let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed()))
            .expect("the digits are built in");
        let dir = place::folder().join("run");
        let mut run = Run::for_search(Some(&dir), &config, &data).expect("temporary files can be made");
        let stopped = enas_search::search(&config, &data, &mut run, &mut OneStep);
        assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stopped:?}");
        let checkpoint = newest(&dir.join("checkpoints"));
        Self { config, data, run: dir, checkpoint }
    }
}

fn newest(folder: &Path) -> Vec<u8> {
    let mut files: Vec<PathBuf> = place::listing(folder).into_iter().map(|(path, _)| path).collect();
    files.sort();
    std::fs::read(folder.join(files.last().expect("an interrupted search saves its state")))
        .expect("it was listed")
}

/// Applies changes of four bytes each: a position (three bytes, big-endian) and a value to add.
fn changed(bytes: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes.chunks_exact(4) {
        let at = usize::from(change[0]) << 16 | usize::from(change[1]) << 8 | usize::from(change[2]);
        let at = at % bytes.len();
        bytes[at] = bytes[at].wrapping_add(change[3]);
    }
    seal(&mut bytes);
    bytes
}

/// Corrects the checksum, so that changes are not rejected because of it.
fn seal(bytes: &mut [u8]) {
    const BEFORE: &[u8] = b"\"sha256\":\"";
    const LENGTH: usize = 64;
    let Some(at) = bytes.windows(BEFORE.len()).position(|w| w == BEFORE) else { return };
    let start = at + BEFORE.len();
    let Some(place) = bytes.get_mut(start..start + LENGTH) else { return };
    place.fill(b'0');
    let sum = enas_data::hexadecimal(&Sha256::digest(&*bytes));
    bytes[start..start + LENGTH].copy_from_slice(sum.as_bytes());
}
