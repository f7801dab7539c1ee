//! Zip archives: read in place, and unpacked.

use std::fs;
use std::path::PathBuf;

use enas_data::{Config, check};
use enas_datasets::formats::unpack_zips;
use enas_rng::Seed;

use crate::place;

/// An archive as a data set, and as the `train.zip` of a data set to unpack.
///
/// Unpacking may only leave regular files in its own directory.
pub fn zips(data: &[u8]) {
    let archive = place::file("box/train.zip", data);
    let config = Config { path: archive.clone(), image_size: 4, ..Config::default() };
    if let Ok(data) = enas_data::load(&config, &enas_data::LoadOptions::new(Seed::new(1))) {
        assert!(!data.train.is_empty());
    }
    let _ = check::check_dataset(&config, Seed::new(1));

    let out = place::folder().join("box/out");
    let archives = [archive, PathBuf::from("/nowhere/valid.zip"), PathBuf::from("/nowhere/test.zip")];
    let _ = unpack_zips(&archives, &out, &());
    for (path, is_plain) in place::listing(place::folder()) {
        let may = path.as_os_str() == "box/train.zip" || path.starts_with("box/out/train");
        assert!(is_plain && may, "{}", path.display());
    }
    place::clear(&out);
    let left = fs::read_dir(place::folder().join("box")).expect("it was made").count();
    assert_eq!(left, 1);
}
