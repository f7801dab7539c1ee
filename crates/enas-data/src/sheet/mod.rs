//! A contact sheet: training pictures beside their variations, each with its label.

mod font;

use image::{Rgb, RgbImage};

use crate::dataset::{Dataset, Split};
use crate::error::Error;

/// A picture of pictures.
#[derive(Clone, Debug)]
pub struct ContactSheet {
    /// The sheet.
    pub image: RgbImage,
    /// Pictures on it, originals and variations.
    pub images: usize,
}

/// Tiles are enlarged by a whole factor to at least this many pixels.
const MIN_TILE: usize = 64;
/// Space between tiles, and above and below a label.
const GAP: usize = 4;
/// Tiles side by side, unless one picture and its variations need more.
const COLUMNS: usize = 12;

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const INK: Rgb<u8> = Rgb([30, 30, 30]);
/// The frame that tells an original from its variations.
const FRAME: Rgb<u8> = Rgb([0, 114, 178]);

/// Draws `pictures` training pictures, class by class in turn, each followed by up to `variations` variations as
/// the trainer would see them. Originals have a blue frame; values are shown before normalisation.
///
/// Where variations are made once there are `augment.n_aug - 1` of them; where pictures are not varied, none.
///
/// # Errors
/// [`Error::Lost`] if a picture is read from its file and that is no longer what it was.
pub fn contact_sheet(data: &Dataset, pictures: usize, variations: usize) -> Result<ContactSheet, Error> {
    let chosen = one_class_after_another(&data.train, data.classes.len(), pictures);
    let groups = chosen.iter().map(|&file| group(data, file, variations));
    let groups: Vec<Vec<Tile>> = groups.collect::<Result<_, Error>>()?;
    let per_group = groups.iter().map(Vec::len).max().unwrap_or(1);
    let groups_per_row = (COLUMNS / per_group).clamp(1, groups.len().max(1));

    let scale = MIN_TILE.div_ceil(data.width.max(data.height));
    let (step_x, step_y) = (data.width * scale + GAP, data.height * scale + 2 * GAP + font::HEIGHT);
    let rows = groups.len().div_ceil(groups_per_row).max(1);
    let (width, height) = (groups_per_row * per_group * step_x + GAP, rows * step_y + GAP);
    let mut image = RgbImage::from_pixel(width as u32, height as u32, PAPER);
    for (number, tiles) in groups.iter().enumerate() {
        let (row, column) = (number / groups_per_row, number % groups_per_row * per_group);
        for (i, tile) in tiles.iter().enumerate() {
            let (x, y) = (GAP + (column + i) * step_x, GAP + row * step_y);
            draw(&mut image, data, tile, scale, (x, y));
        }
    }
    Ok(ContactSheet { image, images: groups.iter().map(Vec::len).sum() })
}

struct Tile<'a> {
    /// `[c, h, w]`
    pixels: Vec<u8>,
    label: &'a str,
    original: bool,
}

/// Numbers of files: the first of every class, then the second of every class, and so on.
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

/// A picture and its variations.
fn group(data: &Dataset, file: usize, variations: usize) -> Result<Vec<Tile<'_>>, Error> {
    let split = &data.train;
    let copies = split.copies();
    let original = file * copies + copies - 1;
    let label = data.classes[split.labels()[original] as usize].as_str();
    let varied: Vec<Vec<u8>> = if copies > 1 {
        let copy = |i| Ok(split.image(i)?.into_owned());
        (file * copies..original).take(variations).map(copy).collect::<Result<_, Error>>()?
    } else if split.is_varied() {
        let view = |epoch| Ok(split.normalization().undo(&split.augmented(original, epoch)?));
        (0..variations as u64).map(view).collect::<Result<_, Error>>()?
    } else {
        Vec::new()
    };
    let first = Tile { pixels: split.image(original)?.into_owned(), label, original: true };
    let rest = varied.into_iter().map(|pixels| Tile { pixels, label, original: false });
    Ok(std::iter::once(first).chain(rest).collect())
}

fn draw(sheet: &mut RgbImage, data: &Dataset, tile: &Tile<'_>, scale: usize, (left, top): (usize, usize)) {
    let plane = data.height * data.width;
    let (width, height) = (data.width * scale, data.height * scale);
    if tile.original {
        for (x, y) in border(left, top, width, height) {
            sheet.put_pixel(x as u32, y as u32, FRAME);
        }
    }
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let at = (y / scale) * data.width + x / scale;
        // Grey has one channel, which then serves all three colours.
        let sample = |c: usize| tile.pixels[c.min(data.channels - 1) * plane + at];
        sheet.put_pixel((left + x) as u32, (top + y) as u32, Rgb([sample(0), sample(1), sample(2)]));
    }
    let mut dot =
        |x: usize, y: usize| sheet.put_pixel((left + x) as u32, (top + height + GAP + y) as u32, INK);
    font::write(tile.label, width, &mut dot);
}

/// The pixels just around a rectangle, two deep.
fn border(left: usize, top: usize, width: usize, height: usize) -> impl Iterator<Item = (usize, usize)> {
    const DEPTH: usize = 2;
    let (right, bottom) = (left + width + DEPTH, top + height + DEPTH);
    let all = (top - DEPTH..bottom).flat_map(move |y| (left - DEPTH..right).map(move |x| (x, y)));
    all.filter(move |&(x, y)| x < left || y < top || x >= left + width || y >= top + height)
}
