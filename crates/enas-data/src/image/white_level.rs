//! White levels: the sample value of white in images of more than 8 bits per sample. It is the same for all images of
//! a data set and for those that a model sees later.

use serde::{Deserialize, Serialize};

/// Numbers of bits up to 16 that cameras and scanners use, in ascending order.
const DEPTHS: [u32; 5] = [8, 10, 12, 14, 16];

/// An image keeps few levels if its samples become fewer than this many values of 8 bits.
const FEW_LEVELS: u32 = 16;

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
    /// For integers of more than 16 bits, where it replaces `integer`. `None` if their samples have at most 16 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide: Option<u32>,
    /// For floats. If `None`, each image has its own level: 1 if no sample is larger, otherwise as for integers.
    pub float: Option<u32>,
}

/// The largest samples of each kind; `None` without samples of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct MaxSamples {
    pub(crate) integer: Option<u32>,
    /// Of integer types of more than 16 bits.
    pub(crate) wide: Option<u32>,
    pub(crate) float: Option<f32>,
    /// The levels that one image was scaled by.
    pub(crate) used: WhiteLevels,
}

impl MaxSamples {
    /// The peaks of an image with integers up to `peak`, scaled by `level`.
    pub(crate) fn of_integers(peak: u32, level: u32) -> Self {
        let used = WhiteLevels { integer: Some(level), ..WhiteLevels::default() };
        Self { integer: Some(peak), used, ..Self::default() }
    }

    /// The peaks of an image with integers of a type of more than 16 bits up to `peak`, scaled by `level`.
    pub(crate) fn of_wide(peak: u32, level: u32) -> Self {
        let used = WhiteLevels { wide: Some(level), ..WhiteLevels::default() };
        Self { wide: Some(peak), used, ..Self::default() }
    }

    /// The peaks of an image with floats up to `peak`, scaled by `level`.
    pub(crate) fn of_floats(peak: f32, level: u32) -> Self {
        let used = WhiteLevels { float: Some(level), ..WhiteLevels::default() };
        Self { float: Some(peak), used, ..Self::default() }
    }

    /// Whether there are no samples of more than 8 bits.
    pub(crate) fn is_none(self) -> bool {
        self.integer.is_none() && self.wide.is_none() && self.float.is_none()
    }

    /// The larger peak of each kind.
    #[must_use]
    pub(crate) fn with(self, other: Self) -> Self {
        let float = [self.float, other.float].into_iter().flatten().reduce(f32::max);
        let integer = self.integer.max(other.integer);
        let wide = self.wide.max(other.wide);
        Self { integer, wide, float, used: self.used }
    }

    /// Whether an image with these peaks is so dark relative to `white` that few levels of grey remain.
    pub(crate) fn keeps_few_levels(self, white: WhiteLevels) -> bool {
        let peaks = [
            (self.integer.map(f64::from), white.integer),
            (self.wide.map(f64::from), white.of_wide()),
            (self.float.map(f64::from), white.float),
        ];
        let is_few = |(peak, white): (Option<f64>, Option<u32>)| {
            let share =
                peak.filter(|peak| *peak > 0.0).zip(white).map(|(peak, white)| peak / f64::from(white));
            share.is_some_and(|share| 255.0 * share < f64::from(FEW_LEVELS - 1))
        };
        peaks.into_iter().any(is_few)
    }
}

impl WhiteLevels {
    /// The given levels; where they are `None`, the levels that the peaks need.
    #[must_use]
    pub(crate) fn resolved(self, max_samples: MaxSamples) -> Self {
        // Types of more than 16 bits whose samples have fewer are scaled as the others.
        let is_wide = |peak: &u32| *peak > WHITE_16;
        let integer = max_samples.integer.max(max_samples.wide.filter(|peak| !is_wide(peak)));
        let wide = max_samples.wide.filter(|peak| is_wide(peak) && self.integer.is_none());
        Self {
            integer: self.integer.or_else(|| integer.map(level_of_integers)),
            wide: self.wide.or_else(|| wide.map(level_of_integers)),
            float: self.float.or_else(|| max_samples.float.map(level_of_floats)),
        }
    }

    /// The level for integer types of more than 16 bits.
    pub(crate) fn of_wide(self) -> Option<u32> {
        self.wide.or(self.integer)
    }
}

/// Whether an image that was scaled by `used` agrees with these levels.
pub(crate) fn is_scaled_by(white: WhiteLevels, used: WhiteLevels) -> bool {
    let agrees = |white: Option<u32>, used: Option<u32>| used.is_none() || used == white;
    agrees(white.integer, used.integer)
        && agrees(white.of_wide(), used.wide)
        && agrees(white.float, used.float)
}

/// The smallest level that is at least `peak`: of a usual number of bits up to 16, of any number above.
pub(crate) fn level_of_integers(peak: u32) -> u32 {
    let levels = DEPTHS.map(|bits| u32::MAX >> (32 - bits));
    levels.into_iter().find(|level| *level >= peak).unwrap_or_else(|| u32::MAX >> peak.leading_zeros())
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
            (65_536, 0x1_ffff),
            (97_500, 0x1_ffff),
            (0x2_0000, 0x3_ffff),
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
            WhiteLevels { integer: Some(4095), ..WhiteLevels::default() }
        );
        let asked = WhiteLevels { integer: Some(9000), float: Some(3), wide: None };
        assert_eq!(asked.resolved(max_samples), asked);
        assert_eq!(asked.resolved(MaxSamples::of_wide(97_500, 1)), asked, "it holds for all integers");
    }

    #[test]
    fn images_of_more_than_16_bits_leave_the_others_their_level() {
        let of_16 = MaxSamples::of_integers(60_000, WHITE_16);
        let mixed = of_16.with(MaxSamples::of_wide(97_500, 0x1_ffff));
        let white = WhiteLevels::default().resolved(mixed);
        assert_eq!(white, WhiteLevels { integer: Some(WHITE_16), wide: Some(0x1_ffff), float: None });
        assert!(!of_16.keeps_few_levels(white));
        // Types of 32 bits that use few of them are like the others.
        let narrow = of_16.with(MaxSamples::of_wide(4000, 4095));
        let white = WhiteLevels::default().resolved(narrow);
        assert_eq!((white.integer, white.wide, white.of_wide()), (Some(WHITE_16), None, Some(WHITE_16)));
    }

    #[test]
    fn dark_images_keep_few_levels() {
        let white = WhiteLevels { integer: Some(WHITE_16), ..WhiteLevels::default() };
        assert!(MaxSamples::of_integers(3800, WHITE_16).keeps_few_levels(white));
        assert!(!MaxSamples::of_integers(3900, WHITE_16).keeps_few_levels(white));
        assert!(!MaxSamples::of_integers(0, WHITE_16).keeps_few_levels(white), "black is another finding");
        assert!(MaxSamples::of_floats(0.01, 1).keeps_few_levels(WhiteLevels { float: Some(1), ..white }));
    }
}
