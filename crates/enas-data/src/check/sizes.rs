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

/// The size of an image in pixels.
pub(super) struct NamedSize<'a> {
    pub(super) name: &'a str,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// Findings about the sizes of all images.
pub(super) fn findings(config: &Config, sizes: &Sizes, images: &[NamedSize<'_>]) -> Vec<Finding> {
    let input = config.image_size;
    let all = [small(input, images), large(input, images), mixed_sizes(input, sizes)];
    all.into_iter().flatten().chain(mixed_proportions(config.resize, sizes, images)).collect()
}

fn note(kind: FindingKind, summary: String, consequence: &str, cases: Vec<Case>) -> Finding {
    Finding { severity: Severity::Note, kind, summary, consequence: consequence.into(), cases }
}

/// The images for which `wanted` holds, with their sizes.
fn cases(images: &[NamedSize<'_>], wanted: impl Fn(usize, usize) -> bool) -> Vec<Case> {
    let case = |image: &NamedSize<'_>| Case {
        paths: vec![image.name.into()],
        detail: format!("{} x {}", image.width, image.height),
    };
    images.iter().filter(|image| wanted(image.width, image.height)).map(case).collect()
}

fn small(input: usize, images: &[NamedSize<'_>]) -> Option<Finding> {
    let cases = cases(images, |w, h| w * SMALL <= input && h * SMALL <= input);
    let n = count(cases.len(), "image has", "images have");
    let summary = format!("{n} at most half the side of the network's input of {input} x {input}");
    let consequence = "enlarged, which adds work and no detail: a smaller data.image_size may do as well";
    (!cases.is_empty()).then(|| note(FindingKind::Small, summary, consequence, cases))
}

fn large(input: usize, images: &[NamedSize<'_>]) -> Option<Finding> {
    let cases = cases(images, |w, h| w >= input * LARGE && h >= input * LARGE);
    let n = count(cases.len(), "image has", "images have");
    let summary = format!("{n} at least {LARGE} times the side of the network's input of {input} x {input}");
    let consequence = "shrunk, so fine detail is lost and decoding takes most of the loading time: a larger \
                       data.image_size keeps more";
    (!cases.is_empty()).then(|| note(FindingKind::Large, summary, consequence, cases))
}

fn mixed_sizes(input: usize, sizes: &Sizes) -> Option<Finding> {
    let [narrowest, _, widest] = sizes.widths;
    let [lowest, _, highest] = sizes.heights;
    let case = |size: &SizeCount| Case {
        paths: Vec::new(),
        detail: format!("{} x {}: {}", size.width, size.height, count(size.count, "image", "images")),
    };
    let summary = format!(
        "{} sizes, {narrowest} to {widest} pixels wide and {lowest} to {highest} high",
        sizes.distinct
    );
    let consequence = format!("all are brought to {input} x {input}");
    let cases = sizes.common.iter().map(case).collect();
    (sizes.distinct > 1).then(|| note(FindingKind::MixedSizes, summary, &consequence, cases))
}

fn mixed_proportions(resize: Resize, sizes: &Sizes, images: &[NamedSize<'_>]) -> Option<Finding> {
    let [least, _, most] = sizes.proportions;
    let consequence = match resize {
        Resize::Stretch => "stretched to squares, so shapes are distorted: data.resize = \"pad\" keeps them",
        Resize::Pad => "kept in proportion between black bars (data.resize = \"pad\")",
        Resize::Crop => "cut to the square in the middle (data.resize = \"crop\"): the rest is not used",
    };
    let summary = format!("proportions of width to height from {least:.2} to {most:.2}");
    (most > least * ALIKE)
        .then(|| note(FindingKind::MixedProportions, summary, consequence, proportions(images)))
}

/// The number of upright, square and wide images.
fn proportions(images: &[NamedSize<'_>]) -> Vec<Case> {
    let counted = |name: &str, wanted: &dyn Fn(f64) -> bool| {
        let n = images.iter().filter(|image| wanted(image.width as f64 / image.height as f64)).count();
        Case { paths: Vec::new(), detail: format!("{name}: {}", count(n, "image", "images")) }
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
