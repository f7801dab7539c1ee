//! Names of files and classes as text of one line.

use std::borrow::Cow;
use std::ffi::OsStr;

/// A name or path for a message: control characters are escaped, as in `\n`, so that it stays on one line and cannot
/// steer a terminal. Parts that are not UTF-8 are replaced.
///
/// Characters that change the direction of the text around them are escaped as well, as in `\u{202e}`.
pub fn visible<'a>(name: &'a (impl AsRef<OsStr> + ?Sized)) -> Cow<'a, str> {
    let name = name.as_ref().to_string_lossy();
    if !name.contains(is_hidden) {
        return name;
    }
    let shown = |c: char| if is_hidden(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(name.chars().map(shown).collect())
}

/// Whether a character has an effect instead of a shape.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_stay_on_one_line_and_ordinary_ones_are_unchanged() {
        assert_eq!(visible("a\nb\tc\u{1b}[31m\u{202e}"), r"a\nb\tc\u{1b}[31m\u{202e}");
        assert_eq!(visible(Path::new("bilder/ein\rname.png")), r"bilder/ein\rname.png");
        for name in ["", "Äpfel/苹果 🍏.png", r"C:\new", "it's"] {
            assert!(matches!(visible(name), Cow::Borrowed(same) if same == name));
        }
    }
}
