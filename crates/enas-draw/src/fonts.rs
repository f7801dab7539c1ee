//! Further fonts, for labels with characters that the font of the program lacks.

use std::collections::BTreeSet;
use std::fmt;

use ttf_parser::Face;

use crate::text::{self, Faces};

/// Fonts for characters that the built-in font lacks. By default there are none.
///
/// Only characters that can be drawn alone, from left to right, are looked for: Chinese and Japanese, but not Arabic.
#[derive(Clone, Default)]
pub struct FallbackFonts {
    fonts: Vec<FallbackFont>,
}

/// A font of a font file, which may hold several.
#[derive(Clone)]
struct FallbackFont {
    file: Vec<u8>,
    index: u32,
}

impl FallbackFont {
    fn face(&self) -> Option<Face<'_>> {
        Face::parse(&self.file, self.index).ok()
    }
}

impl FallbackFonts {
    /// Keeps those of the font files (TrueType or OpenType) that some character of the labels needs.
    ///
    /// `files` is read no further once every character has a font. Files that are not fonts are ignored.
    pub fn find<'a>(
        labels: impl IntoIterator<Item = &'a str>,
        files: impl IntoIterator<Item = Vec<u8>>,
    ) -> FallbackFonts {
        let own = Faces::own(false);
        let mut missing: BTreeSet<char> =
            labels.into_iter().flat_map(str::chars).filter(|c| !own.has(*c)).collect();
        missing.retain(|c| text::stands_alone(*c));
        let mut found = FallbackFonts::default();
        let mut files = files.into_iter();
        while !missing.is_empty()
            && let Some(file) = files.next()
        {
            found.fonts.extend(useful(file, &mut missing));
        }
        found
    }

    /// The faces of the fonts.
    pub(crate) fn faces(&self) -> Vec<Face<'_>> {
        self.fonts.iter().filter_map(FallbackFont::face).collect()
    }
}

impl fmt::Debug for FallbackFonts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFonts").field("fonts", &self.fonts.len()).finish()
    }
}

/// The first font of a file that has some of the missing characters, which are then no longer missing.
fn useful(file: Vec<u8>, missing: &mut BTreeSet<char>) -> Option<FallbackFont> {
    let before = missing.len();
    let mut has_some = |face: Face<'_>| {
        missing.retain(|c| text::drawable(&face, *c).is_none());
        missing.len() < before
    };
    let mut fonts = 0..ttf_parser::fonts_in_collection(&file).unwrap_or(1);
    let index = fonts.find(|index| Face::parse(&file, *index).is_ok_and(&mut has_some))?;
    Some(FallbackFont { file, index })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The program's font with other characters: `count` of them from `first` on look like `A`, `B` and so on.
    pub(crate) fn font_with(first: char, count: u32) -> Vec<u8> {
        let mut file = include_bytes!("../fonts/enas-sans.ttf").to_vec();
        let glyph = Face::parse(&file, 0).unwrap().glyph_index('A').unwrap();
        // One table of format 12 for Unicode, with one group of characters.
        let mut map: Vec<u8> = [0, 1, 3, 10].iter().flat_map(|v: &u16| v.to_be_bytes()).collect();
        map.extend(12_u32.to_be_bytes());
        map.extend([12_u16, 0].iter().flat_map(|v| v.to_be_bytes()));
        let first = u32::from(first);
        let fields = [28, 0, 1, first, first + count - 1, u32::from(glyph.0)];
        map.extend(fields.iter().flat_map(|v| v.to_be_bytes()));
        let entry = (0..).map(|i| 12 + 16 * i).find(|at| &file[*at..at + 4] == b"cmap").unwrap();
        let [offset, length] = [file.len(), map.len()].map(|n| (n as u32).to_be_bytes());
        file[entry + 8..entry + 12].copy_from_slice(&offset);
        file[entry + 12..entry + 16].copy_from_slice(&length);
        file.extend(map);
        file
    }

    #[test]
    fn files_are_read_until_every_character_has_a_font() {
        let files = [b"no font".to_vec(), font_with('ㄱ', 1), font_with('苹', 2), font_with('苹', 1)];
        let mut read = 0;
        let fonts = FallbackFonts::find(["苹 a", "苺"], files.into_iter().inspect(|_| read += 1));
        assert_eq!((fonts.fonts.len(), read), (1, 3));
        let faces = fonts.faces();
        assert_eq!(Faces::with(&faces).writable("苹苺 ㄱ"), r"苹苺 \u{3131}");
    }

    #[test]
    fn no_file_is_read_for_what_the_font_has_or_what_needs_shaping() {
        for label in ["Äpfel яблоко", "", "\n\t\u{202e}", "تفاح", "תפוח"] {
            let files = std::iter::from_fn(|| -> Option<Vec<u8>> { panic!("{label:?}") });
            assert_eq!(FallbackFonts::find([label], files).fonts.len(), 0);
        }
    }
}
