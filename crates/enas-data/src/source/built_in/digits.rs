//! The built-in data set `digits`: the UCI optical digits, 1,797 grey images of 8×8 pixels.
//!
//! E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, 1998,
//! <https://doi.org/10.24432/C50P49>, CC BY 4.0. The images are stored as one sheet and the labels as one text. The
//! original values 0 to 16 are stored as `round(value * 255 / 16)`.

use std::path::Path;
use std::sync::LazyLock;

use enas_rng::Seed;
use image::GrayImage;

use super::set::{BuiltIn, UnpackedImages};
use crate::dataset::stratify::{Fractions, stratify};
use crate::error::Error;
use crate::source::item::{Item, Part};

/// The name of the built-in digits in [`Config::path`](crate::Config::path).
pub const DIGITS: &str = "digits";

/// The data set.
pub(crate) static SET: BuiltIn = BuiltIn {
    name: DIGITS,
    side: SIDE,
    classes: &CLASSES,
    number_width: 4,
    fixed: &Part::ALL,
    images: &IMAGES,
};

/// Height and width of an image in pixels.
pub const SIDE: usize = 8;
/// Images per row of the stored sheet.
const COLUMNS: usize = 40;
const CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Seed of the split. The split belongs to the data set and does not depend on a run, so that "accuracy on the test
/// split of digits" always refers to the same 179 images.
const SPLIT_SEED: Seed = Seed::new(0);
const SPLIT: Fractions = Fractions { valid: 0.1, test: 0.1 };

static SHEET: &[u8] = include_bytes!("../../../digits/digits.png");
static LABELS: &str = include_str!("../../../digits/labels.txt");

static IMAGES: LazyLock<UnpackedImages> = LazyLock::new(unpack);

fn unpack() -> UnpackedImages {
    let sheet =
        image::load_from_memory(SHEET).expect("the embedded sheet is a PNG, which a test decodes").to_luma8();
    let labels: Vec<u8> = LABELS.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
    let pixels = cut(&sheet, SIDE, COLUMNS, labels.len());
    let item = |(file, &label): (usize, &u8)| Item { file, class: label.into(), part: None };
    let mut items: Vec<Item> = labels.iter().enumerate().map(item).collect();
    // Every image counts as different, so that the split stays the same.
    let contents: Vec<u64> = (0..items.len() as u64).collect();
    stratify(&mut items, &contents, CLASSES.len(), SPLIT, SPLIT_SEED);
    let parts = items.iter().map(|i| i.part.expect("stratify gives every item a part")).collect();
    UnpackedImages { pixels, labels, parts }
}

/// The first `n` images of a sheet with `columns` images per row, `[n, side, side]`.
fn cut(sheet: &GrayImage, side: usize, columns: usize, n: usize) -> Vec<u8> {
    let row = |number: usize, y: usize| {
        let start = (number / columns * side + y) * sheet.width() as usize + number % columns * side;
        &sheet.as_raw()[start..][..side]
    };
    (0..n)
        .flat_map(|number| (0..side).map(move |y| (number, y)))
        .flat_map(|(n, y)| row(n, y))
        .copied()
        .collect()
}

/// Writes the digits as `dir/{train,valid,test}/<digit>/<number>.png`, which loads to the same data set.
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
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_stored_images_are_the_published_ones() {
        assert_eq!(IMAGES.pixels.len(), 1797 * 64);
        // The digest is that of the published numbers: values of 0 to 16, then the labels.
        let values = IMAGES.pixels.iter().map(|&p| ((u32::from(p) * 16 + 127) / 255) as u8);
        let bytes: Vec<u8> = values.chain(IMAGES.labels.iter().copied()).collect();
        let digest = crate::hexadecimal(&Sha256::digest(&bytes));
        assert_eq!(digest, "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826");
    }

    #[test]
    fn images_are_cut_out_of_the_rows_of_a_sheet() {
        // Three images of 2×2 pixels, two per row.
        let sheet =
            GrayImage::from_raw(4, 4, vec![1, 2, 5, 6, 3, 4, 7, 8, 9, 10, 0, 0, 11, 12, 0, 0]).unwrap();
        assert_eq!(cut(&sheet, 2, 2, 3), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn each_class_is_there_in_each_part() {
        let count =
            |part, class| (0..1797).filter(|&n| IMAGES.parts[n] == part && IMAGES.labels[n] == class).count();
        for class in 0..10 {
            assert!((17..=19).contains(&count(Part::Valid, class)), "valid {class}");
            assert!((17..=19).contains(&count(Part::Test, class)), "test {class}");
            assert!(count(Part::Train, class) >= 138, "train {class}");
        }
    }
}
