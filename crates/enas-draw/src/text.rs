//! The font: how wide a text is, and the outlines of its letters.
//!
//! Viewers of an SVG use their own sans-serif font. The one measured here is among the widest in use, so a text that
//! fits its box with this font fits with theirs.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId};

/// Height of capital letters, as a share of the size.
pub(crate) const CAPITALS: f64 = 0.729;

static REGULAR: LazyLock<Face<'static>> = LazyLock::new(|| face(include_bytes!("../fonts/enas-sans.ttf")));
static BOLD: LazyLock<Face<'static>> = LazyLock::new(|| face(include_bytes!("../fonts/enas-sans-bold.ttf")));

fn face(data: &'static [u8]) -> Face<'static> {
    Face::parse(data, 0).expect("the font is part of the program, and a test reads it")
}

/// The font of a weight.
pub(crate) fn font(bold: bool) -> &'static Face<'static> {
    if bold { &BOLD } else { &REGULAR }
}

/// The width of a line of text of this size.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    glyphs(text, size, bold).map(|(_, advance)| advance).sum()
}

/// The letters of a line of text, each with the distance to the next.
pub(crate) fn glyphs(text: &str, size: f64, bold: bool) -> impl Iterator<Item = (GlyphId, f64)> {
    let face = font(bold);
    let scale = size / f64::from(face.units_per_em());
    text.chars().map(move |c| {
        // A character that the font lacks is drawn as the font's empty box.
        let glyph = face.glyph_index(c).unwrap_or_default();
        (glyph, f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_weights_have_every_character_of_the_drawings() {
        let characters = (' '..='~').chain("·×…→−".chars());
        for c in characters {
            assert!(font(false).glyph_index(c).is_some() && font(true).glyph_index(c).is_some(), "{c:?}");
        }
    }

    #[test]
    fn widths_grow_with_size_and_weight() {
        let plain = width("sep-conv-3x3", 12.0, false);
        assert!((75.0..90.0).contains(&plain), "{plain}");
        assert!((width("sep-conv-3x3", 24.0, false) - 2.0 * plain).abs() < 1e-9);
        assert!(width("sep-conv-3x3", 12.0, true) > plain);
    }
}
