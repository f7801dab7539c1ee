//! The lexer of the readable forms: words, numbers and signs, with their locations.

use crate::entry::{Location, is_integer, shorten};
use crate::error::ArcError;

/// A word (name or number), or a single other character. An empty token marks the end.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) location: Location,
}

/// A token that the parser did not expect.
pub(crate) struct UnexpectedToken {
    pub(crate) location: Location,
    pub(crate) expected: String,
    /// In a form that fits into a message.
    pub(crate) found: String,
}

impl From<UnexpectedToken> for ArcError {
    fn from(UnexpectedToken { location, expected, found }: UnexpectedToken) -> ArcError {
        ArcError::Syntax { location, expected, found }
    }
}

/// The tokens of a text, consumed one after another.
pub(crate) struct Lexer<'a> {
    // Invariant: the last token is the end, and `next` never passes it.
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { tokens: split(text), next: 0 }
    }

    pub(crate) fn symbol(&mut self, symbol: &str) -> Result<(), UnexpectedToken> {
        self.take(&format!("`{symbol}`"), |text| (text == symbol).then_some(()))
    }

    /// Consumes an integer of any size and returns its text.
    pub(crate) fn integer(&mut self, expected: &str) -> Result<Token<'a>, UnexpectedToken> {
        let Token { location, .. } = self.peek();
        let text = self.take(expected, |text| is_integer(text).then_some(text))?;
        Ok(Token { text, location })
    }

    pub(crate) fn end(&mut self) -> Result<(), UnexpectedToken> {
        self.take("the end", |text| text.is_empty().then_some(()))
    }

    /// Consumes any number of semicolons, which may stand in location of a line break.
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
    ) -> Result<T, UnexpectedToken> {
        let Token { text, location } = self.peek();
        let Some(accepted) = accept(text) else {
            let found = if text.is_empty() { "the end".to_owned() } else { format!("`{}`", shorten(text)) };
            return Err(UnexpectedToken { location, expected: expected.to_owned(), found });
        };
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        Ok(accepted)
    }

    pub(crate) fn peek(&self) -> Token<'a> {
        self.tokens[self.next]
    }
}

fn split(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut end = Location::Text { line: 1, column: 1 };
    for (line, mut rest) in (1..).zip(text.lines()) {
        let mut column = 1;
        while let Some(first) = rest.chars().next() {
            let word_len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (text, tail) = rest.split_at(word_len.max(first.len_utf8()));
            if !first.is_whitespace() {
                tokens.push(Token { text, location: Location::Text { line, column } });
            }
            column += text.chars().count();
            rest = tail;
        }
        end = Location::Text { line, column };
    }
    tokens.push(Token { text: "", location: end });
    tokens
}

/// Whether `c` can be a part of a name or number. Names of operations contain `-`.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}
