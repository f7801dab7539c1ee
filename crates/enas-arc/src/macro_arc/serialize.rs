//! Macro arcs in serde's formats.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::MacroArc;

impl Serialize for MacroArc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacroArc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MacroArc, D::Error> {
        deserializer.deserialize_any(MacroArcVisitor)
    }
}

struct MacroArcVisitor;

impl<'de> Visitor<'de> for MacroArcVisitor {
    type Value = MacroArc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a macro arc, as a string or as a list of integers")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<MacroArc, E> {
        MacroArc::parse_any(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MacroArc, A::Error> {
        let mut ints = Vec::new();
        while let Some(int) = seq.next_element()? {
            ints.push(int);
        }
        MacroArc::from_ints(&ints).map_err(de::Error::custom)
    }
}
