//! A memory limit as text: `"auto"`, or a size such as `"512M"`, `"1.5G"`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::machine;

/// The memory limit of a run in bytes: `"auto"`, or a number followed by `K`, `M`, `G` or `T` (powers of 1024).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MemoryLimit(pub Option<u64>);

/// Units and their powers of two, largest first.
const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

/// The smallest limit that is accepted; every process of this program is larger.
const LEAST: u64 = 1 << 20;

impl MemoryLimit {
    /// The limit in bytes: the given one, or four fifths of the memory available to this process. `None` if neither
    /// is known.
    pub fn bytes(self) -> Option<u64> {
        self.0.or_else(|| machine::memory().map(|bytes| bytes / 5 * 4))
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else { return f.write_str("auto") };
        match UNITS.iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift)) {
            Some((unit, shift)) => write!(f, "{}{unit}", bytes >> shift),
            None => write!(f, "{bytes}"),
        }
    }
}

impl From<MemoryLimit> for String {
    fn from(limit: MemoryLimit) -> Self {
        limit.to_string()
    }
}

impl TryFrom<String> for MemoryLimit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for MemoryLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let bad =
            || format!("{text:?} is not a size; write \"auto\", or a number with a unit: 512M, 1.5G, 4G");
        let unit = text.chars().last().map(|c| c.to_ascii_uppercase());
        let (number, shift) = match UNITS.iter().find(|(name, _)| Some(*name) == unit) {
            Some((_, shift)) => (&text[..text.len() - 1], *shift),
            None => (text, 0),
        };
        let is_plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number: f64 = number.parse().ok().filter(|_| is_plain).ok_or_else(bad)?;
        // The largest accepted size is 2⁵³ bytes, so the product is exact enough.
        let bytes = (number * (1u64 << shift) as f64).round() as u64;
        if !(LEAST..=1 << 53).contains(&bytes) {
            return Err(format!("{text:?} is not allowed: a limit is from 1M to 8192T"));
        }
        Ok(Self(Some(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_a_unit() {
        for (text, bytes) in [
            ("512M", 512 << 20),
            ("4G", 4 << 30),
            ("1.5G", 3 << 29),
            ("2t", 2 << 40),
            ("3000000", 3_000_000),
            ("1024K", 1 << 20),
        ] {
            assert_eq!(text.parse(), Ok(MemoryLimit(Some(bytes))), "{text}");
        }
        assert_eq!("auto".parse(), Ok(MemoryLimit(None)));
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for bad in ["", "G", "-1G", "1e3M", "nanG", "infG", "4 G", "4GB", "1..5G", "1.5.2M", "Auto"] {
            let error = bad.parse::<MemoryLimit>().unwrap_err();
            assert!(error.contains("512M"), "{bad:?}: {error}");
        }
        for out in ["0", "1K", "1000", "99999999T"] {
            assert!(out.parse::<MemoryLimit>().unwrap_err().contains("1M"), "{out}");
        }
    }

    #[test]
    fn a_limit_is_shown_as_it_may_be_written() {
        for text in ["auto", "512M", "1536M", "4G", "1025K", "1048577"] {
            assert_eq!(text.parse::<MemoryLimit>().unwrap().to_string(), text);
        }
    }
}
