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

use super::{MacroArc, MacroArcError, MacroField, MacroLayer, MacroOp, MacroSlot};
use crate::tokens::{Token, Tokens};

/// Writes `arc`, one line per layer.
pub(super) fn print(arc: &MacroArc) -> String {
    let mut text = String::new();
    for (before, layer) in arc.layers().iter().enumerate() {
        write!(text, "{} = {}({before})", before + 1, layer.op).expect("a string takes any text");
        layer.added().for_each(|added| write!(text, " + {added}").expect("a string takes any text"));
        text.push('\n');
    }
    text
}

/// Reads a macro arc.
pub(super) fn parse(text: &str) -> Result<MacroArc, MacroArcError> {
    let mut tokens = Tokens::of(text);
    let mut layers = Vec::new();
    while layers.is_empty() || !tokens.peek().text.is_empty() {
        layers.push(tokens.layer(layers.len() + 1)?);
    }
    MacroArc::new(layers)
}

impl Tokens<'_> {
    fn layer(&mut self, layer: usize) -> Result<MacroLayer, MacroArcError> {
        let slot = |field| MacroSlot { layer, field };
        // After a layer that could have more skips, `+` is allowed too.
        let expected =
            if layer > 2 { format!("layer {layer}, `+` or the end") } else { format!("layer {layer}") };
        self.take(&expected, |text| (text.parse() == Ok(layer)).then_some(()))?;
        self.symbol("=")?;
        let names = MacroOp::ALL.map(MacroOp::name).join(", ");
        let op = self.take(&format!("an operation ({names})"), MacroOp::from_name)?;
        self.symbol("(")?;
        let Token { text, place } = self.integer(&format!("{}, the layer before", layer - 1))?;
        slot(MacroField::Input).read(place, text)?;
        self.symbol(")")?;
        let mut skips = vec![false; layer - 1];
        while layer > 1 && self.peek().text == "+" {
            self.symbol("+")?;
            let Token { text, place } = self.integer(&format!("a layer to add, 0..={}", layer - 2))?;
            let added = slot(MacroField::Added).read(place, text)?;
            if std::mem::replace(&mut skips[added], true) {
                return Err(MacroArcError::Repeated { place, slot: slot(MacroField::Added), value: added });
            }
        }
        self.skip_semicolons();
        Ok(MacroLayer { op, skips })
    }
}
