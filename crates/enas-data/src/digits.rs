//! The built-in data set: the UCI optical digits, 1,797 grey pictures of 8 x 8 pixels.
//!
//! E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository,
//! 1998, <https://doi.org/10.24432/C50P49>, CC BY 4.0. Stored as one sheet of pictures and one text of labels;
//! the original values 0 to 16 are stored as `round(value * 255 / 16)`.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use enas_rng::Seed;

use crate::error::Error;
use crate::layout::{Item, Part};
use crate::resize::Plane;
use crate::split::{Fractions, stratify};

/// The name of the data set.
pub(crate) const NAME: &str = "digits";
/// Height and width of a picture.
pub const SIDE: usize = 8;
/// Pictures side by side in the stored sheet.
const COLUMNS: usize = 40;
const CLASSES: usize = 10;

/// The split is part of the data set and independent of any run, so that "accuracy on the test split of
/// digits" always means the same 179 pictures.
const SPLIT_SEED: Seed = Seed::new(0);
const SPLIT: Fractions = Fractions { valid: 0.1, test: 0.1 };

static SHEET: &[u8] = include_bytes!("../digits/digits.png");
static LABELS: &str = include_str!("../digits/labels.txt");

static DIGITS: LazyLock<Digits> = LazyLock::new(Digits::unpack);

struct Digits {
    /// `[n, 8, 8]`
    pixels: Vec<u8>,
    labels: Vec<u8>,
    parts: Vec<Part>,
}

impl Digits {
    fn unpack() -> Self {
        let sheet = image::load_from_memory(SHEET)
            .expect("the embedded sheet is a PNG, which a test decodes")
            .to_luma8();
        let labels: Vec<u8> = LABELS.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
        let pixel = |number: usize, y: usize, x: usize| {
            let (row, column) = (number / COLUMNS, number % COLUMNS);
            sheet.get_pixel((column * SIDE + x) as u32, (row * SIDE + y) as u32)[0]
        };
        let picture = |n| (0..SIDE).flat_map(move |y| (0..SIDE).map(move |x| (n, y, x)));
        let pixels = (0..labels.len()).flat_map(picture).map(|(n, y, x)| pixel(n, y, x)).collect();
        let item = |(file, &label): (usize, &u8)| Item { file, class: label.into(), part: None };
        let mut items: Vec<Item> = labels.iter().enumerate().map(item).collect();
        stratify(&mut items, CLASSES, SPLIT, SPLIT_SEED);
        let parts = items.iter().map(|i| i.part.expect("stratify gives every item a part")).collect();
        Self { pixels, labels, parts }
    }
}

/// Names such as `train/3/0042.png` in byte order, each with the number of its picture.
pub(crate) fn files() -> Vec<(String, usize)> {
    let name = |n: usize| format!("{}/{}/{n:04}.png", DIGITS.parts[n].name(), DIGITS.labels[n]);
    let mut files: Vec<_> = (0..DIGITS.labels.len()).map(|n| (name(n), n)).collect();
    files.sort_unstable();
    files
}

/// Names of all folders that [`files`] lie in, in byte order.
pub(crate) fn folders() -> Vec<String> {
    let mut folders: Vec<String> = Vec::new();
    for part in Part::ALL {
        folders.push(part.name().into());
        folders.extend((0..CLASSES).map(|class| format!("{}/{class}", part.name())));
    }
    folders.sort_unstable();
    folders
}

/// One picture.
pub(crate) fn plane(number: usize) -> Plane {
    let size = SIDE * SIDE;
    Plane { width: SIDE, height: SIDE, pixels: DIGITS.pixels[number * size..][..size].to_vec() }
}

/// Writes the digits as `dir/{train,valid,test}/<digit>/<number>.png`, which loads to the same data set.
///
/// Existing files of these names are replaced. Returns the number of pictures.
///
/// # Errors
/// [`Error::Write`] naming the file or folder that could not be made.
pub fn write_png_tree(dir: &Path) -> Result<usize, Error> {
    let write_error = |path: &Path, e: String| Error::Write { path: path.into(), reason: e };
    for folder in folders() {
        let path = dir.join(folder);
        fs::create_dir_all(&path).map_err(|e| write_error(&path, e.to_string()))?;
    }
    let files = files();
    for (name, number) in &files {
        let path = dir.join(name);
        let picture = image::GrayImage::from_raw(SIDE as u32, SIDE as u32, plane(*number).pixels)
            .expect("a plane holds 64 pixels");
        picture.save(&path).map_err(|e| write_error(&path, e.to_string()))?;
    }
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_stored_pictures_are_the_published_ones() {
        assert_eq!(DIGITS.pixels.len(), 1797 * 64);
        // Back to values of 0 to 16, then the labels: the digest was taken from the published numbers.
        let values = DIGITS.pixels.iter().map(|&p| ((u32::from(p) * 16 + 127) / 255) as u8);
        let bytes: Vec<u8> = values.chain(DIGITS.labels.iter().copied()).collect();
        let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(digest, "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826");
    }

    #[test]
    fn each_class_is_there_in_each_part() {
        let count =
            |part, class| (0..1797).filter(|&n| DIGITS.parts[n] == part && DIGITS.labels[n] == class).count();
        for class in 0..10 {
            assert!((17..=19).contains(&count(Part::Valid, class)), "valid {class}");
            assert!((17..=19).contains(&count(Part::Test, class)), "test {class}");
            assert!(count(Part::Train, class) >= 138, "train {class}");
        }
    }
}
