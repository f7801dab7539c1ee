//! The font: widths of texts and outlines of letters.
//!
//! Viewers of an SVG use their own sans-serif font. The font measured here is one of the widest in common use. So a
//! text that fits its box with this font also fits with theirs.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId};

/// Height of capital letters divided by the font size.
pub(crate) const CAPITALS: f64 = 0.729;

static REGULAR: LazyLock<Face<'static>> = LazyLock::new(|| face(include_bytes!("../fonts/enas-sans.ttf")));
static BOLD: LazyLock<Face<'static>> = LazyLock::new(|| face(include_bytes!("../fonts/enas-sans-bold.ttf")));

fn face(data: &'static [u8]) -> Face<'static> {
    Face::parse(data, 0).expect("the font is part of the program, and a test reads it")
}

/// The font in regular or bold weight.
pub(crate) fn font(bold: bool) -> &'static Face<'static> {
    if bold { &BOLD } else { &REGULAR }
}

/// The width of a line of text in pixels, for a font size in pixels.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    glyphs(text, size, bold).map(|(_, advance)| advance).sum()
}

/// The glyphs of a line of text, each with its advance width in pixels.
pub(crate) fn glyphs(text: &str, size: f64, bold: bool) -> impl Iterator<Item = (GlyphId, f64)> {
    let face = font(bold);
    let scale = size / f64::from(face.units_per_em());
    text.chars().map(move |c| {
        // A character that the font lacks is drawn as glyph 0, an empty box.
        let glyph = face.glyph_index(c).unwrap_or_default();
        (glyph, f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale)
    })
}

/// The text with every character that the font lacks replaced by its code, as in `\u{82f9}`.
pub(crate) fn writable(text: &str) -> String {
    let known = |c: char| c == ' ' || font(false).glyph_index(c).is_some();
    text.chars().map(|c| if known(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

/// The text, cut so that it fits into `room` pixels. A cut text ends in `…`; without room for that it is empty.
pub(crate) fn shortened(text: &str, size: f64, room: f64) -> String {
    if width(text, size, false) <= room {
        return text.to_owned();
    }
    let left = room - width("…", size, false);
    let mut used = 0.0;
    let fits = |(_, advance): &(GlyphId, f64)| {
        used += advance;
        used <= left
    };
    let kept = glyphs(text, size, false).take_while(fits).count();
    let kept: String = text.chars().take(kept).collect();
    if left < 0.0 { String::new() } else { format!("{}…", kept.trim_end()) }
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
    fn names_of_many_languages_can_be_written_and_others_are_told_by_their_codes() {
        for name in ["Äpfel grün", "œuvre façade", "Żółć", "яблоко", "μήλο", "quả táo", "cafe\u{301}"]
        {
            assert_eq!(writable(name), name);
        }
        assert_eq!(writable("a\n苹"), r"a\u{a}\u{82f9}");
    }

    #[test]
    fn what_is_too_long_is_shortened_to_its_room() {
        assert_eq!(shortened("apples", 12.0, 100.0), "apples");
        let short = shortened("apples and pears", 12.0, 60.0);
        assert!(short.starts_with("apples") && short.ends_with('…'), "{short}");
        assert!(width(&short, 12.0, false) <= 60.0);
        assert_eq!(shortened("apples", 12.0, 5.0), "");
    }

    #[test]
    fn widths_grow_with_size_and_weight() {
        let plain = width("sep-conv-3x3", 12.0, false);
        assert!((75.0..90.0).contains(&plain), "{plain}");
        assert!((width("sep-conv-3x3", 24.0, false) - 2.0 * plain).abs() < 1e-9);
        assert!(width("sep-conv-3x3", 12.0, true) > plain);
    }
}
