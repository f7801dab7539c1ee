//! Findings about sizes and aspect ratios of images, compared with the network input.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::finding::{Case, Finding, FindingKind, Severity, count};
use crate::image::resize::Resize;

/// Number of sizes listed in a report.
const LISTED: usize = 5;
/// An image is small if both sides are shorter than the input by this factor, and large if both are longer by it.
const SMALL: usize = 2;
const LARGE: usize = 16;
/// Aspect ratios that differ by less than this factor count as equal, because rounding changes them.
const ALIKE: f64 = 1.05;

/// Sizes of the usable images in upright orientation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Number of different sizes.
    pub distinct: usize,
    /// The most frequent sizes, most frequent first.
    pub common: Vec<SizeCount>,
    /// Minimum, median and maximum width in pixels.
    pub widths: [usize; 3],
    /// Minimum, median and maximum height in pixels.
    pub heights: [usize; 3],
    /// Minimum, median and maximum aspect ratio (width over height).
    pub proportions: [f64; 3],
}

/// Number of images of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeCount {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Number of images.
    pub count: usize,
}

impl Sizes {
    /// The sizes, from width and height of every image; `None` without images.
    pub(super) fn of(sizes: &[(usize, usize)]) -> Option<Self> {
        let mut counted: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        sizes.iter().for_each(|size| *counted.entry(*size).or_default() += 1);
        let as_count =
            |(&(width, height), &count): (&(usize, usize), &usize)| SizeCount { width, height, count };
        let mut common: Vec<SizeCount> = counted.iter().map(as_count).collect();
        // The sort is stable, so equally frequent sizes stay in ascending order.
        common.sort_by_key(|size| std::cmp::Reverse(size.count));
        common.truncate(LISTED);
        let proportions = sizes.iter().map(|&(w, h)| w as f64 / h as f64);
        Some(Self {
            distinct: counted.len(),
            common,
            widths: min_median_max(sizes.iter().map(|s| s.0).collect(), usize::cmp)?,
            heights: min_median_max(sizes.iter().map(|s| s.1).collect(), usize::cmp)?,
            proportions: min_median_max(proportions.collect(), f64::total_cmp)?,
        })
    }
}

/// Minimum, median and maximum.
fn min_median_max<T: Copy>(
    mut all: Vec<T>,
    order: impl FnMut(&T, &T) -> std::cmp::Ordering,
) -> Option<[T; 3]> {
    all.sort_by(order);
    Some([*all.first()?, all[all.len() / 2], *all.last()?])
}

/// Findings about the sizes. `images` holds name, width and height of every image.
pub(super) fn findings(config: &Config, sizes: &Sizes, images: &[(&str, usize, usize)]) -> Vec<Finding> {
    let input = config.image_size;
    let cases = |wanted: &dyn Fn(usize, usize) -> bool| -> Vec<Case> {
        let case = |&(name, w, h): &(&str, usize, usize)| Case {
            paths: vec![name.into()],
            detail: format!("{w} x {h}"),
        };
        images.iter().filter(|(_, w, h)| wanted(*w, *h)).map(case).collect()
    };
    let small = cases(&|w, h| w * SMALL <= input && h * SMALL <= input);
    let large = cases(&|w, h| w >= input * LARGE && h >= input * LARGE);
    let mut findings = Vec::new();
    let mut add = |kind, summary: String, consequence: String, cases| {
        findings.push(Finding { severity: Severity::Note, kind, summary, consequence, cases });
    };
    if !small.is_empty() {
        let n = count(small.len(), "picture has", "pictures have");
        add(
            FindingKind::Small,
            format!("{n} at most half the side of the network's input of {input} x {input}"),
            "enlarged, which adds work and no detail: a smaller data.image_size may do as well".into(),
            small,
        );
    }
    if !large.is_empty() {
        let n = count(large.len(), "picture has", "pictures have");
        add(
            FindingKind::Large,
            format!("{n} at least {LARGE} times the side of the network's input of {input} x {input}"),
            "shrunk, so fine detail is lost and decoding takes most of the loading time: a larger data.image_size keeps \
             more"
                .into(),
            large,
        );
    }
    if sizes.distinct > 1 {
        let ([w0, _, w1], [h0, _, h1]) = (sizes.widths, sizes.heights);
        let consequence = format!("all are brought to {input} x {input}");
        let listed = sizes.common.iter().map(|s| Case {
            paths: Vec::new(),
            detail: format!("{} x {}: {}", s.width, s.height, count(s.count, "picture", "pictures")),
        });
        let range = format!("{} sizes, {w0} to {w1} pixels wide and {h0} to {h1} high", sizes.distinct);
        add(FindingKind::MixedSizes, range, consequence, listed.collect());
    }
    let [least, _, most] = sizes.proportions;
    if most > least * ALIKE {
        let consequence = match config.resize {
            Resize::Stretch => {
                "stretched to squares, so shapes are distorted: data.resize = \"pad\" keeps them"
            }
            Resize::Pad => "kept in proportion between black bars (data.resize = \"pad\")",
            Resize::Crop => {
                "cut to the square in the middle (data.resize = \"crop\"): what lies outside is not seen"
            }
        };
        let range = format!("proportions of width to height from {least:.2} to {most:.2}");
        add(FindingKind::MixedProportions, range, consequence.into(), proportions(images));
    }
    findings
}

/// The number of upright, square and wide images.
fn proportions(images: &[(&str, usize, usize)]) -> Vec<Case> {
    let ratio = |w: usize, h: usize| w as f64 / h as f64;
    let counted = |name: &str, wanted: &dyn Fn(f64) -> bool| {
        let n = images.iter().filter(|(_, w, h)| wanted(ratio(*w, *h))).count();
        Case { paths: Vec::new(), detail: format!("{name}: {}", count(n, "picture", "pictures")) }
    };
    vec![
        counted("higher than wide", &|r| r < 1.0 / ALIKE),
        counted("about square", &|r| (1.0 / ALIKE..=ALIKE).contains(&r)),
        counted("wider than high", &|r| r > ALIKE),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_counts_every_image() {
        let sizes = Sizes::of(&[(4, 2), (8, 8), (4, 2), (6, 3), (2, 4)]).unwrap();
        assert_eq!((sizes.distinct, sizes.widths, sizes.heights), (4, [2, 4, 8], [2, 3, 8]));
        assert_eq!(sizes.proportions, [0.5, 2.0, 2.0]);
        assert_eq!(sizes.common[0], SizeCount { width: 4, height: 2, count: 2 });
        assert_eq!(sizes.common[1], SizeCount { width: 2, height: 4, count: 1 });
        assert_eq!(Sizes::of(&[]), None);
    }
}
