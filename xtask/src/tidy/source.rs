//! The code of a Rust file without comments, texts and tests, for rules that look at text.

/// A Rust file. Comments, texts and test items are blanked, so that every character keeps its line.
pub(super) struct Source {
    pub(super) code: String,
    /// Modules in files of their own that are compiled for tests only.
    pub(super) test_modules: Vec<String>,
    /// Number of lines outside test items.
    pub(super) lines: usize,
}

impl Source {
    /// Reads the text of a file.
    pub(super) fn new(text: &str) -> Self {
        let mut code = blank_texts(text);
        let mut test_modules = Vec::new();
        let mut test_lines = 0;
        if code.contains("#![cfg(test)]") {
            return Self { code: String::new(), test_modules, lines: 0 };
        }
        while let Some((start, end)) = test_item(&code) {
            let item = &code[start..end];
            test_lines += item.matches('\n').count() + 1;
            test_modules.extend(declared_module(item));
            let blank = blanked(item);
            code.replace_range(start..end, &blank);
        }
        Self { lines: text.lines().count().saturating_sub(test_lines), code, test_modules }
    }

    /// The words of the code: identifiers and keywords, with their places.
    pub(super) fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        words(&self.code)
    }

    /// The number of the line at a place, from 1.
    pub(super) fn line(&self, place: usize) -> usize {
        self.code[..place].matches('\n').count() + 1
    }

    /// The definitions of items whose keyword is among `kinds`: place, name, and whether it is plainly `pub`.
    pub(super) fn definitions(&self, kinds: &[&str]) -> Vec<(usize, &str, bool)> {
        let words: Vec<(usize, &str)> = self.words().collect();
        let mut found = Vec::new();
        for (i, pair) in words.windows(2).enumerate() {
            let [(place, keyword), (name_at, name)] = [pair[0], pair[1]];
            let follows = self.code[place + keyword.len()..name_at].trim().is_empty();
            if kinds.contains(&keyword) && follows {
                let is_public = i > 0 && {
                    let (at, before) = words[i - 1];
                    before == "pub" && self.code[at + 3..place].trim().is_empty()
                };
                found.push((place, name, is_public));
            }
        }
        found
    }
}

/// The words of a text: identifiers and keywords, with their places.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find(is_word)?;
        let length = text[start..].find(|c| !is_word(c)).unwrap_or(text.len() - start);
        from = start + length;
        Some((start, &text[start..from]))
    })
}

/// The same number of bytes, with spaces in the place of everything but line ends.
fn blanked(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Blanks comments, strings and characters.
fn blank_texts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let length = if after_word { None } else { raw_string(rest) };
        match length.or_else(|| comment_or_string(rest)) {
            Some(length) => {
                out += &blanked(&rest[..length]);
                rest = &rest[length..];
                after_word = false;
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                after_word = first.is_alphanumeric() || first == '_';
            }
        }
    }
    out
}

/// The length of the comment, string or character at the start of a text.
fn comment_or_string(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    // A quotation mark without a partner after one character is that of a lifetime.
    let mut chars = text.strip_prefix('\'')?.chars();
    let is_char = match chars.next()? {
        '\\' => true,
        _ => chars.next() == Some('\''),
    };
    is_char.then(|| quoted(text, '\''))
}

/// The length of a text in quotation marks, including both marks.
fn quoted(text: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == mark => return i + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of a block comment, which may contain others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let step = rest.chars().next().map_or(1, char::len_utf8);
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += step;
        }
    }
    text.len()
}

/// The length of a raw string at the start of a text.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let inner = after.trim_start_matches('#');
    let hashes = after.len() - inner.len();
    let content = inner.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = content.find(&end).map_or(content.len(), |at| at + end.len());
    Some(text.len() - content.len() + length)
}

/// The range of the first item that is compiled for tests only, with its attribute.
fn test_item(code: &str) -> Option<(usize, usize)> {
    let start = ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|mark| code.find(mark)).min()?;
    let attribute = start + code[start..].find(']').map_or(code.len() - start, |at| at + 1);
    let mut depth = 0_usize;
    for (i, byte) in code[attribute..].bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    return Some((start, attribute + i + 1));
                }
            }
            b';' if depth == 0 => return Some((start, attribute + i + 1)),
            _ => {}
        }
    }
    Some((start, code.len()))
}

/// The name in an item like `mod tests;`.
fn declared_module(item: &str) -> Option<String> {
    let words: Vec<&str> = words(item).map(|(_, word)| word).collect();
    let at = words.iter().position(|word| *word == "mod")?;
    (item.ends_with(';')).then(|| words.get(at + 1).map(|name| (*name).to_owned())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_texts_and_characters_are_blanked() {
        let text = "a /* b /* c */ d */ \"e \\\" f\" g 'h' '\\'' i<'j> r#\"k \" l\"# m // n\no";
        let source = Source::new(text);
        let words: Vec<&str> = source.words().map(|(_, word)| word).collect();
        assert_eq!(words, ["a", "g", "i", "j", "m", "o"]);
        assert_eq!((source.code.len(), source.lines), (text.len(), 2));
    }

    #[test]
    fn test_items_are_blanked_and_not_counted() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod far;\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let source = Source::new(text);
        assert_eq!(source.test_modules, ["far"]);
        assert_eq!(source.lines, 2);
        assert!(
            source.code.contains("fn a") && source.code.contains("fn c") && !source.code.contains("fn b")
        );
        assert_eq!(source.line(source.code.find("fn c").unwrap()), 8);
    }

    #[test]
    fn definitions_have_a_name_and_a_visibility() {
        let source = Source::new("pub struct A;\npub(crate) enum B {}\ntype C = A;\nfn structure() {}\n");
        let found = source.definitions(&["struct", "enum", "type"]);
        let found: Vec<(&str, bool)> = found.into_iter().map(|(_, name, public)| (name, public)).collect();
        assert_eq!(found, [("A", true), ("B", false), ("C", false)]);
    }
}
