//! The lexer of the readable forms: words, numbers and signs, with their places.

use crate::error::{ArcError, Place, is_integer, shorten};

/// A word (name or number), or a single other character. An empty token marks the end.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) place: Place,
}

/// A token that the parser did not expect.
pub(crate) struct Unexpected {
    pub(crate) place: Place,
    pub(crate) expected: String,
    /// In a form that fits into a message.
    pub(crate) found: String,
}

impl From<Unexpected> for ArcError {
    fn from(Unexpected { place, expected, found }: Unexpected) -> ArcError {
        ArcError::Syntax { place, expected, found }
    }
}

pub(crate) struct Tokens<'a> {
    // Invariant: the last token is the end, and `next` never passes it.
    all: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn of(text: &'a str) -> Tokens<'a> {
        Tokens { all: split(text), next: 0 }
    }

    pub(crate) fn symbol(&mut self, symbol: &str) -> Result<(), Unexpected> {
        self.take(&format!("`{symbol}`"), |text| (text == symbol).then_some(()))
    }

    /// Consumes an integer of any size and returns its text.
    pub(crate) fn integer(&mut self, expected: &str) -> Result<Token<'a>, Unexpected> {
        let Token { place, .. } = self.peek();
        let text = self.take(expected, |text| is_integer(text).then_some(text))?;
        Ok(Token { text, place })
    }

    pub(crate) fn end(&mut self) -> Result<(), Unexpected> {
        self.take("the end", |text| text.is_empty().then_some(()))
    }

    /// Consumes any number of semicolons, which may stand in place of a line break.
    pub(crate) fn skip_semicolons(&mut self) {
        while self.peek().text == ";" {
            self.next += 1;
        }
    }

    /// Consumes the next token if `accept` takes its text; otherwise reports what was expected.
    pub(crate) fn take<T>(
        &mut self,
        expected: &str,
        accept: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, Unexpected> {
        let Token { text, place } = self.peek();
        let Some(accepted) = accept(text) else {
            let found = if text.is_empty() { "the end".to_owned() } else { format!("`{}`", shorten(text)) };
            return Err(Unexpected { place, expected: expected.to_owned(), found });
        };
        self.next = (self.next + 1).min(self.all.len() - 1);
        Ok(accepted)
    }

    pub(crate) fn peek(&self) -> Token<'a> {
        self.all[self.next]
    }
}

fn split(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut end = Place::Text { line: 1, column: 1 };
    for (line, mut rest) in (1..).zip(text.lines()) {
        let mut column = 1;
        while let Some(first) = rest.chars().next() {
            let word_len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (text, tail) = rest.split_at(word_len.max(first.len_utf8()));
            if !first.is_whitespace() {
                tokens.push(Token { text, place: Place::Text { line, column } });
            }
            column += text.chars().count();
            rest = tail;
        }
        end = Place::Text { line, column };
    }
    tokens.push(Token { text: "", place: end });
    tokens
}

/// Whether `c` can be a part of a name or number. Names of operations contain `-`.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}
