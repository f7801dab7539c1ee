//! An architecture of either search space.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Arc, ArcError, MacroArc, MacroArcError};

/// Integer lists for fewer layers than this are not read as macro arcs.
const LEAST_LAYERS: usize = 3;

/// An architecture of the micro space (two cells) or of the macro space (a whole network).
///
/// Prints as the integer form of its space. Serialises as the integers of a micro arc, or as the one-line readable
/// form of a macro arc. Some lists of integers are valid in both spaces, so integers alone would be ambiguous.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// Two cells (Pham et al. 2018, section 2.4).
    Micro(Arc),
    /// A whole network (Pham et al. 2018, section 2.3).
    Macro(MacroArc),
}

/// A search space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpaceKind {
    /// Cells, which are stacked to a network.
    #[default]
    Micro,
    /// Whole networks, layer by layer.
    Macro,
}

impl SpaceKind {
    /// Both spaces.
    pub const ALL: [SpaceKind; 2] = [SpaceKind::Micro, SpaceKind::Macro];

    /// The name in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            SpaceKind::Micro => "micro",
            SpaceKind::Macro => "macro",
        }
    }
}

impl fmt::Display for SpaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text is not an architecture of either space.
#[derive(Clone, Debug, PartialEq)]
pub enum ArchError {
    /// The error as a micro arc.
    Micro(ArcError),
    /// The error as a macro arc.
    Macro(MacroArcError),
}

impl fmt::Display for ArchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchError::Micro(error) => error.fmt(f),
            ArchError::Macro(error) => write!(f, "as a macro architecture: {error}"),
        }
    }
}

impl std::error::Error for ArchError {}

impl Arch {
    /// The search space that it belongs to.
    pub fn space(&self) -> SpaceKind {
        match self {
            Arch::Micro(_) => SpaceKind::Micro,
            Arch::Macro(_) => SpaceKind::Macro,
        }
    }

    /// The micro arc, if it is one.
    pub fn micro(&self) -> Option<&Arc> {
        match self {
            Arch::Micro(arc) => Some(arc),
            Arch::Macro(_) => None,
        }
    }

    /// The readable form of its space.
    pub fn readable(&self) -> String {
        match self {
            Arch::Micro(arc) => arc.readable(),
            Arch::Macro(arc) => arc.readable(),
        }
    }

    /// Reads any written form. The readable forms differ. Integers are read as a micro arc if possible, otherwise as
    /// a macro arc of at least three layers. A shorter list is more likely a mistake.
    ///
    /// # Errors
    ///
    /// The first problem of the text, in the space that it is closest to.
    pub fn parse_any(text: &str) -> Result<Arch, ArchError> {
        if Self::is_readable_macro(text) {
            return MacroArc::parse_any(text).map(Arch::Macro).map_err(ArchError::Macro);
        }
        let micro = match Arc::parse_any(text) {
            Ok(arc) => return Ok(Arch::Micro(arc)),
            Err(error) => error,
        };
        let layers = text.parse::<MacroArc>().ok().filter(|arc| arc.n_layers() >= LEAST_LAYERS);
        layers.map(Arch::Macro).ok_or(ArchError::Micro(micro))
    }

    /// Whether a text can only be the readable form of a macro arc, in which every line begins with a number.
    pub fn is_readable_macro(text: &str) -> bool {
        text.contains('=') && text.trim_start().starts_with(|first: char| first.is_ascii_digit())
    }

    fn from_ints(ints: &[i64]) -> Result<Arch, ArchError> {
        let micro = match Arc::from_ints(ints) {
            Ok(arc) => return Ok(Arch::Micro(arc)),
            Err(error) => error,
        };
        MacroArc::from_ints(ints).ok().map(Arch::Macro).ok_or(ArchError::Micro(micro))
    }
}

impl From<Arc> for Arch {
    fn from(arc: Arc) -> Self {
        Arch::Micro(arc)
    }
}

impl From<MacroArc> for Arch {
    fn from(arc: MacroArc) -> Self {
        Arch::Macro(arc)
    }
}

impl From<&Arc> for Arch {
    fn from(arc: &Arc) -> Self {
        Arch::Micro(arc.clone())
    }
}

impl From<&Arch> for Arch {
    fn from(arch: &Arch) -> Self {
        arch.clone()
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arch::Micro(arc) => arc.fmt(f),
            Arch::Macro(arc) => arc.fmt(f),
        }
    }
}

impl FromStr for Arch {
    type Err = ArchError;

    fn from_str(text: &str) -> Result<Self, ArchError> {
        Arch::parse_any(text)
    }
}

impl Serialize for Arch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Arch::Micro(arc) => arc.serialize(serializer),
            Arch::Macro(arc) => {
                let lines: Vec<String> = arc.readable().lines().map(str::to_owned).collect();
                serializer.serialize_str(&lines.join("; "))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Arch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Arch, D::Error> {
        deserializer.deserialize_any(ArchVisitor)
    }
}

struct ArchVisitor;

impl<'de> Visitor<'de> for ArchVisitor {
    type Value = Arch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an architecture, as a string or as a list of integers")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Arch, E> {
        Arch::parse_any(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Arch, A::Error> {
        let mut ints = Vec::new();
        while let Some(int) = seq.next_element()? {
            ints.push(int);
        }
        Arch::from_ints(&ints).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: &str = "0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3";
    const MACRO: &str = "1 = conv-3x3(0)\n2 = max-pool-3x3(1) + 0\n3 = sep-conv-5x5(2)";

    #[test]
    fn every_form_leads_to_its_space() {
        let cells: Arch = MICRO.parse().unwrap();
        let layers: Arch = MACRO.parse().unwrap();
        assert_eq!((cells.space(), layers.space()), (SpaceKind::Micro, SpaceKind::Macro));
        for arch in [&cells, &layers] {
            assert_eq!(&Arch::parse_any(&arch.readable()).unwrap(), arch);
            assert_eq!(&Arch::parse_any(&arch.to_string()).unwrap(), arch);
        }
        assert!(cells.micro().is_some() && layers.micro().is_none());
    }

    #[test]
    fn what_is_stored_comes_back_as_what_it_was() {
        // 120 zeros are 15 nodes per cell, and also 15 layers.
        let zeros = ["0"; 120].join(" ");
        let cells: Arch = zeros.parse().unwrap();
        let layers = Arch::Macro(zeros.parse().unwrap());
        assert_eq!(cells.space(), SpaceKind::Micro);
        for arch in [&cells, &layers] {
            let stored = serde_json::to_string(arch).unwrap();
            assert_eq!(&serde_json::from_str::<Arch>(&stored).unwrap(), arch, "{stored}");
        }
        assert_eq!(serde_json::to_string(&cells).unwrap(), format!("\"{zeros}\""));
        assert_eq!(serde_json::from_str::<Arch>("[0, 1, 0]").unwrap().space(), SpaceKind::Macro);
    }

    #[test]
    fn what_is_of_neither_space_is_said_of_cells_unless_it_names_layers() {
        let error = Arch::parse_any("0 0 9").unwrap_err();
        assert!(matches!(error, ArchError::Micro(_)), "{error}");
        let error = Arch::parse_any("1 = conv-9x9(0)").unwrap_err();
        assert!(error.to_string().starts_with("as a macro architecture: "), "{error}");
    }
}
