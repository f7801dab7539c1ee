//! Written arcs with a few characters changed.

use proptest::prelude::*;

/// A text after a few characters were replaced, removed or inserted.
pub(crate) fn mangled(texts: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        prop::sample::select("0123456789 -+,;:=()[]\"\nxné".chars().collect::<Vec<_>>()),
        any::<char>()
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0usize..3, characters), 0..6);
    (texts, edits).prop_map(|(text, edits)| {
        let mut text: Vec<char> = text.chars().collect();
        for (location, action, character) in edits {
            let location = location.index(text.len());
            match action {
                0 => text[location] = character,
                1 => text.insert(location, character),
                _ if text.len() > 1 => drop(text.remove(location)),
                _ => {}
            }
        }
        text.into_iter().collect()
    })
}
