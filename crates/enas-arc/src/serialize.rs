//! Arcs in serde's formats: written as a string, read from either written form or from a list of integers.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::arc::Arc;

impl Serialize for Arc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Arc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Arc, D::Error> {
        deserializer.deserialize_any(ArcVisitor)
    }
}

struct ArcVisitor;

impl<'de> Visitor<'de> for ArcVisitor {
    type Value = Arc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an arc, as a string or as a list of integers")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Arc, E> {
        Arc::parse_any(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Arc, A::Error> {
        let mut ints = Vec::new();
        while let Some(int) = seq.next_element()? {
            ints.push(int);
        }
        Arc::from_ints(&ints).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_NODES: &str = "1 2 0 0 2 4 1 0 0 1 1 3 0 0 0 4";

    #[test]
    fn serialises_as_the_integer_string() {
        let arc: Arc = TWO_NODES.parse().unwrap();
        assert_eq!(serde_json::to_string(&arc).unwrap(), format!("\"{TWO_NODES}\""));
    }

    #[test]
    fn deserialises_from_strings_and_lists() {
        let arc: Arc = TWO_NODES.parse().unwrap();
        let list = format!("[{}]", TWO_NODES.replace(' ', ","));
        for json in
            [list, serde_json::to_string(TWO_NODES).unwrap(), serde_json::to_string(&arc.readable()).unwrap()]
        {
            assert_eq!(serde_json::from_str::<Arc>(&json).unwrap(), arc, "{json}");
        }
    }

    #[test]
    fn deserialising_says_what_is_wrong() {
        let error = serde_json::from_str::<Arc>("[2, 0, 0, 0, 0, 0, 0, 0]").unwrap_err().to_string();
        assert!(
            error.starts_with("position 0 (normal cell, node 2, first input): 2 is out of range"),
            "{error}"
        );
        let error = serde_json::from_str::<Arc>("7").unwrap_err().to_string();
        assert!(error.contains("expected an arc, as a string or as a list of integers"), "{error}");
    }
}
