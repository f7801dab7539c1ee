//! Image files of all formats, as input of the loader and of the data check.

use enas_data::{Config, Filter, InputSpec, Resize, WhiteLevels, check, prepare};
use enas_rng::Seed;

use crate::place;

/// An image as network input, in grey and in colour, and as the only file of each class of a data set that is checked.
pub fn images(data: &[u8]) {
    let ways = [
        (1, Resize::Stretch, Filter::Smooth),
        (3, Resize::Pad, Filter::OpenCv),
        (3, Resize::Crop, Filter::Smooth),
    ];
    for (channels, resize, filter) in ways {
        let spec = InputSpec { channels, height: 5, width: 7, resize, filter, white: WhiteLevels::default() };
        match prepare(data, &spec) {
            Ok(pixels) => assert_eq!(pixels.len(), spec.len()),
            // An image that cannot be decoded fails in the same way for every specification.
            Err(_) => break,
        }
    }
    // Of two classes, since a data set with fewer is refused before an image is decoded.
    place::file("set/a/picture.png", data);
    place::file("set/b/picture.png", data);
    let config = Config { path: place::folder().join("set"), image_size: 4, ..Config::default() };
    let report = check::check_dataset(&config, Seed::new(1)).expect("the folder is there");
    assert_eq!(report.files, 2);
}
