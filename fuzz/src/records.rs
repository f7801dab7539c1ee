//! The small files of a run: manifest, split, arc, settings, and the plan of an automatic run.

use std::io::Cursor;
use std::sync::OnceLock;
use std::time::Instant;

use enas_data::Config;
use enas_rng::Seed;
use enas_search::{AutoRun, RunReader, Run, SearchConfig, TrainConfig};

use crate::place;

/// The files, separated by NUL bytes, as a run that is read and resumed.
pub fn records(data: &[u8]) {
    let dir = place::folder().join("run");
    place::clear(&dir);
    let names = [
        "manifest.json",
        "split.json",
        "best.arc.json",
        "config.toml",
        "auto.json",
        "search.toml",
        "train.toml",
    ];
    for (name, bytes) in names.iter().zip(data.split(|&byte| byte == 0)) {
        place::file(&format!("run/{name}"), bytes);
    }
    if let Ok(record) = RunReader::open(&dir) {
        let _ = record.best_arc();
        let _ = record.config::<SearchConfig>();
        let _ = record.config::<TrainConfig>();
        let loaded = record.split().ok().and_then(|_| record.load_data(images(), Seed::new(1), None).ok());
        assert!(loaded.is_none_or(|data| !data.train.is_empty()));
        let run = Run::resume(&dir).expect("its manifest reads");
        let _ = run.classes();
    }
    if let Ok(auto) = AutoRun::resume(&dir, Instant::now()) {
        let _ = auto.config();
    }
}

/// A small data set that may match a stored split.
fn images() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        for (i, name) in ["0/a.png", "0/c.png", "1/b.png"].into_iter().enumerate() {
            let mut png = Cursor::new(Vec::new());
            image::GrayImage::from_pixel(2, 2, image::Luma([i as u8]))
                .write_to(&mut png, image::ImageFormat::Png)
                .expect("memory can be written");
            place::file(&format!("pictures/{name}"), &png.into_inner());
        }
        Config { path: place::folder().join("pictures"), image_size: 2, ..Config::default() }
    })
}
