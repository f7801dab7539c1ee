//! White levels: the sample value of white in images of more than 8 bits per sample. It is the same for all images of
//! a data set and for those that a model sees later.

use serde::{Deserialize, Serialize};

/// Numbers of bits that cameras and scanners use, in ascending order.
const DEPTHS: [u32; 7] = [8, 10, 12, 14, 16, 24, 32];

/// The maximum of 16 bits: the default white level.
pub(crate) const WHITE_16: u32 = 65_535;

/// The sample values of white; `None` by default.
///
/// Samples of 12 bits are often stored in 16, so that none exceeds 4095. Read as 16 bits, such an image would keep
/// only 16 levels of grey.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhiteLevels {
    /// For integers of more than 8 bits. If `None`, the maximum of the type up to 16 bits. Larger types are never
    /// used fully, so each image has its own level.
    pub integer: Option<u32>,
    /// For floats. If `None`, each image has its own level: 1 if no sample is larger, otherwise as for integers.
    pub float: Option<u32>,
}

/// The largest samples of each kind; `None` without samples of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct MaxSamples {
    pub(crate) integer: Option<u32>,
    pub(crate) float: Option<f32>,
    /// The levels that one image was scaled by.
    pub(crate) used: WhiteLevels,
}

impl MaxSamples {
    /// The peaks of an image with integers up to `peak`, scaled by `level`.
    pub(crate) fn of_integers(peak: u32, level: u32) -> Self {
        let used = WhiteLevels { integer: Some(level), float: None };
        Self { integer: Some(peak), float: None, used }
    }

    /// The peaks of an image with floats up to `peak`, scaled by `level`.
    pub(crate) fn of_floats(peak: f32, level: u32) -> Self {
        let used = WhiteLevels { integer: None, float: Some(level) };
        Self { integer: None, float: Some(peak), used }
    }

    /// Whether there are no samples of more than 8 bits.
    pub(crate) fn is_none(self) -> bool {
        self.integer.is_none() && self.float.is_none()
    }

    /// The larger peak of each kind.
    #[must_use]
    pub(crate) fn with(self, other: Self) -> Self {
        let float = [self.float, other.float].into_iter().flatten().reduce(f32::max);
        Self { integer: self.integer.max(other.integer), float, used: self.used }
    }
}

impl WhiteLevels {
    /// The given levels; where they are `None`, the levels that the peaks need.
    #[must_use]
    pub(crate) fn resolved(self, max_samples: MaxSamples) -> Self {
        Self {
            integer: self.integer.or_else(|| max_samples.integer.map(level_of_integers)),
            float: self.float.or_else(|| max_samples.float.map(level_of_floats)),
        }
    }
}

/// Whether an image that was scaled by `used` agrees with these levels.
pub(crate) fn is_scaled_by(white: WhiteLevels, used: WhiteLevels) -> bool {
    let agrees = |white: Option<u32>, used: Option<u32>| used.is_none() || used == white;
    agrees(white.integer, used.integer) && agrees(white.float, used.float)
}

/// The smallest level of a usual number of bits that is at least `peak`.
pub(crate) fn level_of_integers(peak: u32) -> u32 {
    let levels = DEPTHS.map(|bits| u32::MAX >> (32 - bits));
    levels.into_iter().find(|level| *level >= peak).unwrap_or(u32::MAX)
}

/// The same for floats, which often range from 0 to 1.
pub(crate) fn level_of_floats(peak: f32) -> u32 {
    if peak <= 1.0 { 1 } else { level_of_integers(peak.ceil() as u32) }
}

/// A sample as 8 bits; `white` and above become 255.
pub(crate) fn to_8_bits(sample: f32, white: u32) -> u8 {
    // NaN becomes 0 (black) in the cast.
    (sample.max(0.0) / white as f32 * 255.0).round() as u8
}

/// The same for integers, exactly.
pub(crate) fn integer_to_8_bits(sample: u32, white: u32) -> u8 {
    let sample = u64::from(sample.min(white));
    let white = u64::from(white);
    ((sample * 255 + white / 2) / white) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_bits_in_use() {
        for (peak, level) in [
            (0, 255),
            (255, 255),
            (256, 1023),
            (4000, 4095),
            (4095, 4095),
            (4096, 16_383),
            (16_384, 65_535),
            (65_536, 0xff_ffff),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(level_of_integers(peak), level, "{peak}");
        }
        assert_eq!(
            [0.3, 1.0, 1.1, 255.0, 255.5, 1e20].map(level_of_floats),
            [1, 1, 255, 255, 1023, u32::MAX]
        );
    }

    #[test]
    fn samples_above_white_and_below_black_are_cut() {
        assert_eq!([0, 2048, 4095, 9000].map(|s| integer_to_8_bits(s, 4095)), [0, 128, 255, 255]);
        assert_eq!([-1.0, 0.5, 1.0, 7.0, f32::NAN].map(|s| to_8_bits(s, 1)), [0, 128, 255, 255, 0]);
        assert_eq!(integer_to_8_bits(u32::MAX, u32::MAX), 255);
    }

    #[test]
    fn what_is_asked_for_wins_over_what_is_found() {
        let max_samples = MaxSamples::of_integers(3000, WHITE_16);
        assert_eq!(
            WhiteLevels::default().resolved(max_samples),
            WhiteLevels { integer: Some(4095), float: None }
        );
        let asked = WhiteLevels { integer: Some(9000), float: Some(3) };
        assert_eq!(asked.resolved(max_samples), asked);
    }
}
