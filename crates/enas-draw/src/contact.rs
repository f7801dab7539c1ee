//! A contact sheet: images in groups, each group under its label.

use crate::fonts::FallbackFonts;
use crate::png;
use crate::text::Faces;

/// An image on a contact sheet. Its values are bytes, 0 to 255.
#[derive(Clone, Copy, Debug)]
pub struct ContactTile<'a> {
    /// `[height, width, 3]`, in the order red, green, blue.
    pub rgb: &'a [u8],
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Whether a blue frame is drawn around it.
    pub framed: bool,
}

/// Images that belong together. Tiles smaller than the largest one of the sheet leave empty space.
#[derive(Clone, Debug)]
pub struct ContactGroup<'a> {
    /// The text above the images.
    pub label: &'a str,
    /// The images, from left to right.
    pub tiles: Vec<ContactTile<'a>>,
}

/// An RGB image with 8 bits per channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `[height, width, 3]`, in the order red, green, blue.
    pub rgb: Vec<u8>,
}

/// Tiles are enlarged by a whole factor so that the longest side of all has at least this many pixels.
const LEAST_TILE: usize = 64;
/// Gap between tiles and around a frame, in pixels.
const GAP: usize = 4;
/// Horizontal gap between groups, in pixels.
const APART: usize = 14;
/// Height of a label with the space around it, in pixels.
const LABEL: usize = 20;
/// Font size of a label, in pixels.
const LETTERS: f64 = 12.0;
/// Distance from the top of a label to its base line, in pixels.
const BASE: f64 = 15.0;
/// Number of tiles in a row, unless one group has more.
const COLUMNS: usize = 12;
/// Width of the frame's line, in pixels.
const DEPTH: usize = 2;

const PAPER: [u8; 3] = [0xf1, 0xf3, 0xf6];
const INK: [u8; 3] = [0x17, 0x21, 0x2c];
/// Colour of the frame. It distinguishes an original from its augmented variants.
const FRAME: [u8; 3] = [0, 114, 178];

/// Draws groups of images, each with its label above it.
///
/// A label that is wider than its group is cut and ends in `…`. The built-in font has Latin, Greek and Cyrillic
/// letters. Other characters are drawn with `fonts`; those that are not there either are written as their code, such as
/// `\u{82f9}`.
pub fn contact_sheet(groups: &[ContactGroup<'_>], fonts: &FallbackFonts) -> Bitmap {
    let further = fonts.faces();
    let faces = Faces::with(&further);
    let tiles = || groups.iter().flat_map(|group| &group.tiles);
    let side = |of: fn(&ContactTile<'_>) -> usize| tiles().map(of).max().unwrap_or(1).max(1);
    let width = side(|tile| tile.width);
    let height = side(|tile| tile.height);
    let per_group = groups.iter().map(|group| group.tiles.len()).max().unwrap_or(1).max(1);
    let per_row = (COLUMNS / per_group).clamp(1, groups.len().max(1));
    let rows = groups.len().div_ceil(per_row).max(1);
    let scale = LEAST_TILE.div_ceil(width.max(height));
    let layout = Layout { scale, tile: (width * scale, height * scale), per_group };
    let mut sheet = Bitmap::paper(per_row * layout.group_width() + GAP, rows * layout.row_height() + GAP);
    for (number, group) in groups.iter().enumerate() {
        let row = number / per_row;
        let column = number % per_row;
        let left = GAP + column * layout.group_width();
        let top = row * layout.row_height();
        let room = layout.group_width() - APART;
        let label = faces.shortened(&faces.writable(group.label), LETTERS, room as f64);
        sheet.write(&label, faces, (left, top), room);
        for (i, tile) in group.tiles.iter().enumerate() {
            let at = (left + i * (layout.tile.0 + GAP), top + LABEL + DEPTH);
            sheet.draw_tile(tile, layout.scale, at);
        }
    }
    sheet
}

struct Layout {
    scale: usize,
    /// Width and height of an enlarged tile, in pixels.
    tile: (usize, usize),
    per_group: usize,
}

impl Layout {
    fn group_width(&self) -> usize {
        self.per_group * (self.tile.0 + GAP) + APART - GAP
    }

    fn row_height(&self) -> usize {
        LABEL + self.tile.1 + DEPTH + 2 * GAP
    }
}

impl Bitmap {
    fn paper(width: usize, height: usize) -> Self {
        Self { width, height, rgb: PAPER.repeat(width * height) }
    }

    fn pixel(&mut self, x: usize, y: usize) -> &mut [u8] {
        let at = 3 * (y * self.width + x);
        &mut self.rgb[at..at + 3]
    }

    /// Draws an image enlarged `scale` times by nearest-neighbour interpolation.
    fn draw_tile(&mut self, tile: &ContactTile<'_>, scale: usize, (left, top): (usize, usize)) {
        let width = tile.width * scale;
        let height = tile.height * scale;
        if tile.framed {
            for y in top - DEPTH..top + height + DEPTH {
                for x in left - DEPTH..left + width + DEPTH {
                    self.pixel(x, y).copy_from_slice(&FRAME);
                }
            }
        }
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let from = 3 * ((y / scale) * tile.width + x / scale);
            self.pixel(left + x, top + y).copy_from_slice(&tile.rgb[from..from + 3]);
        }
    }

    /// Writes a line of text into a box that is `width` pixels wide and [`LABEL`] pixels high.
    fn write(&mut self, line: &str, faces: Faces<'_>, (left, top): (usize, usize), width: usize) {
        let text_coverage = png::text_coverage(line, faces, (LETTERS, BASE), (width, LABEL));
        for (i, shade) in text_coverage.into_iter().enumerate() {
            let pixel = self.pixel(left + i % width, top + i / width);
            for (value, colour) in pixel.iter_mut().zip(INK) {
                let paper = u32::from(*value);
                let colour = u32::from(colour);
                let shade = u32::from(shade);
                // Alpha blending with rounding to the nearest integer.
                *value = ((paper * (255 - shade) + colour * shade + 127) / 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [200, 10, 20];

    fn sheet(labels: &[&str], tiles: usize) -> Bitmap {
        sheet_with(&FallbackFonts::default(), labels, tiles)
    }

    fn sheet_with(fonts: &FallbackFonts, labels: &[&str], tiles: usize) -> Bitmap {
        let rgb = RED.repeat(64);
        let tile = |i| ContactTile { rgb: &rgb, width: 8, height: 8, framed: i == 0 };
        let group = |label| ContactGroup { label, tiles: (0..tiles).map(tile).collect() };
        contact_sheet(&labels.iter().map(|label| group(label)).collect::<Vec<_>>(), fonts)
    }

    /// The number of dark pixels in the labels of the first group.
    fn inked(sheet: &Bitmap, width: usize) -> usize {
        let dark = |x: usize, y: usize| sheet.rgb[3 * (y * sheet.width + x)] < 128;
        (0..LABEL).map(|y| (0..width).filter(|x| dark(*x, y)).count()).sum()
    }

    #[test]
    fn every_pixel_of_every_image_is_there_and_originals_are_framed() {
        let sheet = sheet(&["a", "b", "c"], 6);
        // A row holds two groups of six tiles of 64 pixels.
        assert_eq!((sheet.width, sheet.height), (2 * (6 * 68 + 10) + 4, 2 * (20 + 64 + 2 + 8) + 4));
        let count = |colour: [u8; 3]| sheet.rgb.chunks_exact(3).filter(|pixel| **pixel == colour).count();
        assert_eq!(count(RED), 18 * 64 * 64);
        assert_eq!(count(FRAME), 3 * (68 * 68 - 64 * 64));
    }

    #[test]
    fn labels_are_written_within_their_group_whatever_they_are_called() {
        let widest = 6 * 68 + 10;
        let plain = sheet(&["Äpfel grün"], 6);
        assert!(inked(&plain, widest) > 60);
        assert_ne!(plain, sheet(&["Apfel grun"], 6), "marks are drawn");
        let long =
            "sehr lange Klassennamen, wie sie in Ordnern vorkommen, die jemand sorgfältig angelegt hat";
        assert!(Faces::own(false).shortened(long, LETTERS, widest as f64 - APART as f64).ends_with('…'));
        for label in [long, "苹果", "", "\n\t", "🍏"] {
            let sheet = sheet(&[label, "b"], 6);
            let beyond =
                |y: usize| (widest - APART..widest).any(|x| sheet.rgb[3 * (y * sheet.width + x)] < 128);
            assert!((0..LABEL).all(|y| !beyond(y)), "{label}");
        }
        assert_eq!(Faces::own(false).writable("苹果 a"), r"\u{82f9}\u{679c} a");
    }

    #[test]
    fn characters_that_the_font_lacks_are_drawn_with_a_further_font_and_measured_with_it() {
        let fonts = FallbackFonts::find(["苹苺"], [crate::fonts::tests::font_with('苹', 2)]);
        let widest = 6 * 68 + 10;
        let drawn = sheet_with(&fonts, &["苹苺"], 6);
        assert_ne!(drawn, sheet(&["苹苺"], 6), "codes without the font");
        // The font has the shapes of `A` and `B` for them.
        assert_eq!(drawn, sheet(&["AB"], 6));
        let long = "苹".repeat(200);
        let cut = sheet_with(&fonts, &[&long], 6);
        assert!(inked(&cut, widest) > 200);
        let beyond = |y: usize| (widest - APART..widest).any(|x| cut.rgb[3 * (y * cut.width + x)] < 128);
        assert!((0..LABEL).all(|y| !beyond(y)));
    }

    #[test]
    fn no_images_make_an_empty_sheet() {
        let empty = sheet(&[], 0);
        assert_eq!(empty.rgb, PAPER.repeat(empty.width * empty.height));
        assert!(sheet(&["a"], 0).width > 0);
    }
}
