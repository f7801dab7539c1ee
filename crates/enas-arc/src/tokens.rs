//! Words, numbers and signs of a readable form, with their places. What they mean is for each form to say.

use crate::error::{ArcError, Place, is_integer, shorten};

/// A word (name or number), or a single other character. The end is an empty token.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) place: Place,
}

/// What stands in the place of something else.
pub(crate) struct Unexpected {
    pub(crate) place: Place,
    pub(crate) expected: String,
    /// As it can be shown.
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

    /// Moves past a whole number of any size, and gives it as it is written.
    pub(crate) fn integer(&mut self, expected: &str) -> Result<Token<'a>, Unexpected> {
        let Token { place, .. } = self.peek();
        let text = self.take(expected, |text| is_integer(text).then_some(text))?;
        Ok(Token { text, place })
    }

    pub(crate) fn end(&mut self) -> Result<(), Unexpected> {
        self.take("the end", |text| text.is_empty().then_some(()))
    }

    /// Moves past any number of semicolons, which may stand where a line could end.
    pub(crate) fn skip_semicolons(&mut self) {
        while self.peek().text == ";" {
            self.next += 1;
        }
    }

    /// Moves past the next token if `accept` takes its text; otherwise says that something else was expected.
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

/// Whether `c` can be part of a name or of a number; names of operations have a `-` in them.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}
