//! The font: widths of texts and outlines of letters.
//!
//! Viewers of an SVG use their own sans-serif font. The font measured here is one of the widest in common use. So a
//! text that fits its box with this font also fits with theirs.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Height of capital letters divided by the font size.
pub(crate) const CAPITALS: f64 = 0.729;

static REGULAR: LazyLock<Face<'static>> = LazyLock::new(|| face(include_bytes!("../fonts/enas-sans.ttf")));
static BOLD: LazyLock<Face<'static>> = LazyLock::new(|| face(include_bytes!("../fonts/enas-sans-bold.ttf")));

fn face(data: &'static [u8]) -> Face<'static> {
    Face::parse(data, 0).expect("the font is part of the program, and a test reads it")
}

/// A glyph of a line of text.
pub(crate) struct Glyph<'a> {
    pub(crate) face: &'a Face<'a>,
    pub(crate) id: GlyphId,
    /// Advance width in pixels.
    pub(crate) advance: f64,
}

/// The faces of a line of text: the font of the program, then further ones for characters that it lacks.
#[derive(Clone, Copy)]
pub(crate) struct Faces<'a> {
    own: &'a Face<'a>,
    further: &'a [Face<'a>],
}

impl Faces<'static> {
    /// The font of the program in regular or bold weight.
    pub(crate) fn own(bold: bool) -> Self {
        Self { own: if bold { &BOLD } else { &REGULAR }, further: &[] }
    }
}

impl<'a> Faces<'a> {
    /// The font of the program in regular weight, and further faces. Earlier faces take precedence.
    pub(crate) fn with(further: &'a [Face<'a>]) -> Self {
        Self { own: &REGULAR, further }
    }

    /// The face that has this character, and its glyph there.
    fn find(self, c: char) -> Option<(&'a Face<'a>, GlyphId)> {
        if let Some(id) = self.own.glyph_index(c) {
            return Some((self.own, id));
        }
        self.further.iter().find_map(|face| Some((face, drawable(face, c)?)))
    }

    /// Whether a character can be written.
    pub(crate) fn has(self, c: char) -> bool {
        c == ' ' || self.find(c).is_some()
    }

    /// The glyphs of a line of text for a font size in pixels.
    ///
    /// A character that all faces lack is drawn as glyph 0 of the program's font, an empty box.
    pub(crate) fn glyphs(self, text: &str, size: f64) -> impl Iterator<Item = Glyph<'a>> {
        text.chars().map(move |c| {
            let (face, id) = self.find(c).unwrap_or((self.own, GlyphId::default()));
            let scale = size / f64::from(face.units_per_em());
            Glyph { face, id, advance: f64::from(face.glyph_hor_advance(id).unwrap_or(0)) * scale }
        })
    }

    /// The width of a line of text in pixels, for a font size in pixels.
    pub(crate) fn width(self, text: &str, size: f64) -> f64 {
        self.glyphs(text, size).map(|glyph| glyph.advance).sum()
    }

    /// The text with every character that all faces lack replaced by its code, as in `\u{82f9}`.
    pub(crate) fn writable(self, text: &str) -> String {
        text.chars()
            .map(|c| if self.has(c) { c.to_string() } else { c.escape_unicode().to_string() })
            .collect()
    }

    /// The text, cut so that it fits into `room` pixels. A cut text ends in `…`; without room for that it is empty.
    pub(crate) fn shortened(self, text: &str, size: f64, room: f64) -> String {
        if self.width(text, size) <= room {
            return text.to_owned();
        }
        let left = room - self.width("…", size);
        let mut used = 0.0;
        let fits = |glyph: &Glyph<'_>| {
            used += glyph.advance;
            used <= left
        };
        let kept = self.glyphs(text, size).take_while(fits).count();
        let kept: String = text.chars().take(kept).collect();
        if left < 0.0 { String::new() } else { format!("{}…", kept.trim_end()) }
    }
}

/// The width of a line of text in the font of the program in pixels, for a font size in pixels.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    Faces::own(bold).width(text, size)
}

/// The glyph of a character in a further face, if it can be drawn alone, from left to right, as an outline.
///
/// Fonts of coloured pictures have glyphs without outlines.
pub(crate) fn drawable(face: &Face<'_>, c: char) -> Option<GlyphId> {
    let id = stands_alone(c).then(|| face.glyph_index(c)).flatten()?;
    let is_space = c == '\u{3000}';
    (is_space || face.outline_glyph(id, &mut Ignored).is_some()).then_some(id)
}

/// Whether a character is drawn the same way whatever its neighbours are. Letters of scripts that run from right to left, or
/// that are joined or reordered, would be wrong without text shaping.
pub(crate) fn stands_alone(c: char) -> bool {
    const OTHERS: [(char, char); 12] = [
        ('\u{590}', '\u{dff}'),   // Hebrew, Arabic, scripts of India
        ('\u{f00}', '\u{109f}'),  // Tibetan, Myanmar
        ('\u{1100}', '\u{11ff}'), // Hangul Jamo
        ('\u{1780}', '\u{18af}'), // Khmer, Mongolian
        ('\u{1900}', '\u{1cff}'), // scripts of South East Asia
        ('\u{200b}', '\u{200f}'), // marks of direction
        ('\u{2028}', '\u{202e}'),
        ('\u{a800}', '\u{abff}'), // further scripts of India and South East Asia
        ('\u{fb1d}', '\u{fdff}'), // forms of Hebrew and Arabic letters
        ('\u{fe70}', '\u{feff}'),
        ('\u{10800}', '\u{11fff}'), // old scripts
        ('\u{1e800}', '\u{1efff}'),
    ];
    let excluded = |&(first, last): &(char, char)| (first..=last).contains(&c);
    !c.is_control() && !OTHERS.iter().any(excluded)
}

/// Receives an outline that only has to exist.
struct Ignored;

impl OutlineBuilder for Ignored {
    fn move_to(&mut self, _: f32, _: f32) {}
    fn line_to(&mut self, _: f32, _: f32) {}
    fn quad_to(&mut self, _: f32, _: f32, _: f32, _: f32) {}
    fn curve_to(&mut self, _: f32, _: f32, _: f32, _: f32, _: f32, _: f32) {}
    fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_weights_have_every_character_of_the_drawings() {
        let characters = (' '..='~').chain("·×…→−".chars());
        for c in characters {
            assert!(REGULAR.glyph_index(c).is_some() && BOLD.glyph_index(c).is_some(), "{c:?}");
        }
    }

    #[test]
    fn names_of_many_languages_can_be_written_and_others_are_told_by_their_codes() {
        let faces = Faces::own(false);
        for name in ["Äpfel grün", "œuvre façade", "Żółć", "яблоко", "μήλο", "quả táo", "cafe\u{301}"]
        {
            assert_eq!(faces.writable(name), name);
        }
        assert_eq!(faces.writable("a\n苹"), r"a\u{a}\u{82f9}");
    }

    #[test]
    fn what_is_too_long_is_shortened_to_its_room() {
        let faces = Faces::own(false);
        assert_eq!(faces.shortened("apples", 12.0, 100.0), "apples");
        let short = faces.shortened("apples and pears", 12.0, 60.0);
        assert!(short.starts_with("apples") && short.ends_with('…'), "{short}");
        assert!(faces.width(&short, 12.0) <= 60.0);
        assert_eq!(faces.shortened("apples", 12.0, 5.0), "");
    }

    #[test]
    fn widths_grow_with_size_and_weight() {
        let plain = width("sep-conv-3x3", 12.0, false);
        assert!((75.0..90.0).contains(&plain), "{plain}");
        assert!((width("sep-conv-3x3", 24.0, false) - 2.0 * plain).abs() < 1e-9);
        assert!(width("sep-conv-3x3", 12.0, true) > plain);
    }
}
