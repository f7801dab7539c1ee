//! The built-in data set `fashion-small`: 6,000 images of Fashion-MNIST, grey, 28×28 pixels, 600 of each class.
//!
//! H. Xiao, K. Rasul and R. Vollgraf, *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
//! Algorithms*, 2017, <https://github.com/zalandoresearch/fashion-mnist>, MIT License, © 2017 Zalando SE. The images
//! are an unchanged part of the published training images, so that the published test images stay unseen. `cargo
//! xtask fashion-small` draws them again and compares.

use std::path::Path;
use std::sync::LazyLock;

use super::lossless;
use super::set::{BuiltIn, UnpackedImages};
use crate::error::Error;
use crate::source::item::Part;

/// The name of the built-in part of Fashion-MNIST in [`Config::path`](crate::Config::path).
pub const FASHION_SMALL: &str = "fashion-small";

/// The data set.
pub(crate) static SET: BuiltIn = BuiltIn {
    name: FASHION_SMALL,
    side: SIDE,
    classes: &CLASSES,
    number_width: 4,
    fixed: &[Part::Test],
    images: &IMAGES,
};

/// Height and width of an image in pixels.
pub const SIDE: usize = 28;
/// Images of each class; they are stored class by class.
pub const PER_CLASS: usize = 600;
/// The first images of each class are in the folder `train`, from which the validation split is drawn. The others,
/// 1,000 in all, are the test split.
const TRAINED_PER_CLASS: usize = 500;
/// The folder names of `enas data fetch fashion-mnist`, so that a model fits both data sets.
pub const CLASSES: [&str; 10] = [
    "0-t-shirt-top",
    "1-trouser",
    "2-pullover",
    "3-dress",
    "4-coat",
    "5-sandal",
    "6-shirt",
    "7-sneaker",
    "8-bag",
    "9-ankle-boot",
];

/// The stored images, compressed by [`lossless`].
pub static STORED: &[u8] = include_bytes!("../../../zalando-fashion/fashion-small.bin");

static IMAGES: LazyLock<UnpackedImages> = LazyLock::new(unpack);

fn unpack() -> UnpackedImages {
    let n = CLASSES.len() * PER_CLASS;
    let part = |n: usize| if n % PER_CLASS < TRAINED_PER_CLASS { Part::Train } else { Part::Test };
    UnpackedImages {
        pixels: lossless::decode(STORED, n, SIDE),
        labels: (0..n).map(|n| (n / PER_CLASS) as u8).collect(),
        parts: (0..n).map(part).collect(),
    }
}

/// Grey pixels, `[6000, 28, 28]`.
pub fn pixels() -> &'static [u8] {
    &IMAGES.pixels
}

/// Writes the images as `dir/{train,test}/<class>/<number>.png`, which loads to the same data set.
///
/// Replaces existing files of these names. Returns the number of images.
///
/// # Errors
/// [`Error::Write`] with the file or folder that could not be written.
pub fn write_png_tree(dir: &Path) -> Result<usize, Error> {
    SET.write_png_tree(dir)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_stored_images_are_those_that_were_drawn() {
        assert_eq!(IMAGES.pixels.len(), 6000 * 28 * 28);
        let digest = crate::hexadecimal(&Sha256::digest(&IMAGES.pixels));
        assert_eq!(digest, "8090ce4c6be280ed9d9ebe18625ca6f54f4bc5a1c2766fb95cc115658e77b88c");
        let pixel = |number: usize, y: usize, x: usize| SET.plane(number).pixels[y * SIDE + x];
        assert_eq!([pixel(0, 14, 14), pixel(3000, 20, 7), pixel(5999, 10, 20)], [162, 6, 221]);
    }

    #[test]
    fn each_class_has_500_images_and_100_for_testing() {
        let files = SET.files();
        let count = |folder: &str| files.iter().filter(|(name, _)| name.starts_with(folder)).count();
        for class in CLASSES {
            assert_eq!(count(&format!("train/{class}/")), 500);
            assert_eq!(count(&format!("test/{class}/")), 100);
        }
        assert_eq!((files.len(), count("train/"), count("test/")), (6000, 5000, 1000));
    }
}
