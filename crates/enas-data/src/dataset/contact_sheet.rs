//! The content of a contact sheet: training images, each with augmented versions and its label. Drawing is left to
//! others.

use image::{Rgb, RgbImage};

use crate::dataset::Dataset;
use crate::dataset::split::Split;
use crate::error::Error;

/// A training image or an augmented version, before normalisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetTile {
    /// The image at the size of the network input. A grey image has three equal channels.
    pub image: RgbImage,
    /// The name of its class.
    pub label: String,
    /// Whether it is the original.
    pub original: bool,
}

/// `images` training images, one class after another, each followed by up to `variations` augmented versions as
/// training would use them.
///
/// If copies are made in advance there are `augment.n_aug - 1` versions; without augmentation there are none.
///
/// # Errors
/// [`Error::Lost`] if an image is read from its file and the file has changed.
pub fn contact_tiles(data: &Dataset, images: usize, variations: usize) -> Result<Vec<Vec<SheetTile>>, Error> {
    let chosen = one_class_after_another(&data.train, data.classes.len(), images);
    chosen.into_iter().map(|file| tiles(data, file, variations)).collect()
}

/// Indices of files: the first of every class, then the second of every class, and so on.
fn one_class_after_another(split: &Split, classes: usize, wanted: usize) -> Vec<usize> {
    let label = |file: usize| split.labels()[file * split.copies()] as usize;
    let mut seen = vec![0; classes];
    let mut ranked: Vec<(usize, usize, usize)> = (0..split.len() / split.copies())
        .map(|file| {
            seen[label(file)] += 1;
            (seen[label(file)], label(file), file)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(wanted).map(|(_, _, file)| file).collect()
}

/// An image and its augmented versions.
fn tiles(data: &Dataset, file: usize, variations: usize) -> Result<Vec<SheetTile>, Error> {
    let split = &data.train;
    let copies = split.copies();
    let original = file * copies + copies - 1;
    let label = &data.classes[split.labels()[original] as usize];
    let varied: Vec<Vec<u8>> = if copies > 1 {
        let copy = |i| Ok(split.image(i)?.into_owned());
        (file * copies..original).take(variations).map(copy).collect::<Result<_, Error>>()?
    } else if split.is_augmented() {
        let view = |epoch| Ok(split.normalization().undo(&split.augmented(original, epoch)?));
        (0..variations as u64).map(view).collect::<Result<_, Error>>()?
    } else {
        Vec::new()
    };
    let tile =
        |pixels: &[u8], original| SheetTile { image: to_rgb(data, pixels), label: label.clone(), original };
    let first = tile(&split.image(original)?, true);
    Ok(std::iter::once(first).chain(varied.iter().map(|pixels| tile(pixels, false))).collect())
}

/// Pixels `[c, h, w]` as an image.
fn to_rgb(data: &Dataset, pixels: &[u8]) -> RgbImage {
    let plane = data.height * data.width;
    RgbImage::from_fn(data.width as u32, data.height as u32, |x, y| {
        let at = y as usize * data.width + x as usize;
        // Grey images use their single channel for all three colours.
        Rgb([0, 1, 2].map(|c: usize| pixels[c.min(data.channels - 1) * plane + at]))
    })
}
