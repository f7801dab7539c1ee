//! The readable form of a macro arc: printing and parsing.
//!
//! ```text
//! arc   = layer+
//! layer = number "=" operation "(" number ")" ("+" number)* ";"*
//! ```
//!
//! The numbers of the layers and of their inputs are redundant but required. If a person moves a line, the parser
//! reports it instead of returning another network.

use std::fmt::Write;

use super::entry::{LayerField, MacroEntry};
use super::error::MacroArcError;
use super::op::MacroOp;
use super::{MacroArc, MacroLayer};
use crate::lexer::{Lexer, Token};

impl MacroArc {
    /// Reads either written form: the readable one if `text` has a `=`, otherwise the integers.
    ///
    /// # Errors
    ///
    /// The first problem, with its position, in the form that was recognised.
    pub fn parse_any(text: &str) -> Result<MacroArc, MacroArcError> {
        if text.contains('=') { parse(text) } else { text.parse() }
    }

    /// The readable form: one line per layer, with its operation by name, the layer it reads in brackets, and the
    /// layers that are added. The stem is 0.
    ///
    /// ```text
    /// 1 = conv-3x3(0)
    /// 2 = sep-conv-5x5(1) + 0
    /// 3 = max-pool-3x3(2)
    /// 4 = conv-3x3(3) + 0 + 2
    /// ```
    ///
    /// The parser ignores case and space. Layers may be separated by `;` instead of line breaks.
    pub fn readable(&self) -> String {
        print(self)
    }
}

/// Writes `arc`, one line per layer.
fn print(arc: &MacroArc) -> String {
    let mut text = String::new();
    for (before, layer) in arc.layers().iter().enumerate() {
        write!(text, "{} = {}({before})", before + 1, layer.op).expect("a string takes any text");
        layer.added().for_each(|added| write!(text, " + {added}").expect("a string takes any text"));
        text.push('\n');
    }
    text
}

/// Reads a macro arc.
fn parse(text: &str) -> Result<MacroArc, MacroArcError> {
    let mut lexer = Lexer::new(text);
    let mut layers = Vec::new();
    while layers.is_empty() || !lexer.peek().text.is_empty() {
        layers.push(lexer.layer(layers.len() + 1)?);
    }
    MacroArc::new(layers)
}

impl Lexer<'_> {
    fn layer(&mut self, layer: usize) -> Result<MacroLayer, MacroArcError> {
        let entry = |field| MacroEntry { layer, field };
        // After a layer that could have more skips, `+` is allowed too.
        let expected =
            if layer > 2 { format!("layer {layer}, `+` or the end") } else { format!("layer {layer}") };
        self.take(&expected, |text| (text.parse() == Ok(layer)).then_some(()))?;
        self.symbol("=")?;
        let names = MacroOp::ALL.map(MacroOp::name).join(", ");
        let op = self.take(&format!("an operation ({names})"), MacroOp::from_name)?;
        self.symbol("(")?;
        let Token { text, location } = self.integer(&format!("{}, the layer before", layer - 1))?;
        entry(LayerField::Input).read(location, text)?;
        self.symbol(")")?;
        let mut skips = vec![false; layer - 1];
        while layer > 1 && self.peek().text == "+" {
            self.symbol("+")?;
            let Token { text, location } = self.integer(&format!("a layer to add, 0..={}", layer - 2))?;
            let added = entry(LayerField::Added).read(location, text)?;
            if std::mem::replace(&mut skips[added], true) {
                return Err(MacroArcError::Repeated {
                    location,
                    entry: entry(LayerField::Added),
                    value: added,
                });
            }
        }
        self.skip_semicolons();
        Ok(MacroLayer { op, skips })
    }
}
