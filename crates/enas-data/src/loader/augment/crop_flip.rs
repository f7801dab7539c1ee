//! The ENAS authors' augmentation of normalised values, where zero is the mean of the training images (authors' code,
//! `src/cifar10/models.py` lines 87-104).

use enas_rng::Stream;

use super::config::{Config, CutoutAnchor};
use super::shape::{Shape, flip_horizontal};

/// Probability of a horizontal flip.
const FLIP: f32 = 0.5;

/// Augments one image `[c, h, w]` in place: crop, flip, cutout.
pub(super) fn apply(config: &Config, shape: Shape, values: &mut [f32], stream: &mut Stream) {
    let offsets = (stream.below(2 * config.pad + 1), stream.below(2 * config.pad + 1));
    crop(shape, values, config.pad, offsets);
    // Drawn even if unused, so that the setting alone does not change later draws.
    if stream.chance(FLIP) && config.flip {
        flip_horizontal(shape.width, values);
    }
    if config.cutout > 0 {
        let point = (stream.below(shape.height), stream.below(shape.width));
        blank(shape, values, config.cutout, config.cutout_anchor, point);
    }
}

/// The window at `offsets` (row, column) of the image padded with `pad` zeros on every side.
fn crop(shape: Shape, values: &mut [f32], pad: usize, offsets: (usize, usize)) {
    let source = values.to_vec();
    values.fill(0.0);
    let columns = overlap(shape.width, pad, offsets.1);
    if columns.is_empty() {
        return;
    }
    for channel in 0..shape.channels {
        for y in overlap(shape.height, pad, offsets.0) {
            let from = channel * shape.plane() + (y + offsets.0 - pad) * shape.width;
            let to = channel * shape.plane() + y * shape.width;
            let row = &source[from + columns.start + offsets.1 - pad..][..columns.len()];
            values[to + columns.start..][..columns.len()].copy_from_slice(row);
        }
    }
}

/// The destination positions whose source `position + offset - pad` is within `0..n`.
fn overlap(n: usize, pad: usize, offset: usize) -> std::ops::Range<usize> {
    // Both ends are clipped, because a window of a wide border may contain only padding.
    pad.saturating_sub(offset).min(n)..(n + pad).saturating_sub(offset).min(n)
}

/// Sets a square of `side` pixels to zero, clipped at the edges.
fn blank(shape: Shape, values: &mut [f32], side: usize, anchor: CutoutAnchor, point: (usize, usize)) {
    let before = match anchor {
        CutoutAnchor::Centre => side / 2,
        CutoutAnchor::Corner => 0,
    };
    let span = |at: usize, n: usize| at.saturating_sub(before)..(at + side - before).min(n);
    for channel in 0..shape.channels {
        for y in span(point.0, shape.height) {
            let row = channel * shape.plane() + y * shape.width;
            span(point.1, shape.width).for_each(|x| values[row + x] = 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use enas_rng::Seed;
    use proptest::prelude::*;

    use super::*;

    const SHAPE: Shape = Shape { channels: 2, height: 3, width: 4 };

    fn ramp() -> Vec<f32> {
        (1..=24).map(|v| v as f32).collect()
    }

    /// The definition: pad with zeros on all sides, then take a window.
    fn padded_window(shape: Shape, values: &[f32], pad: usize, offsets: (usize, usize)) -> Vec<f32> {
        let value = |c: usize, y: usize, x: usize| {
            let inside = y >= pad && x >= pad && y < shape.height + pad && x < shape.width + pad;
            if inside { values[c * shape.plane() + (y - pad) * shape.width + x - pad] } else { 0.0 }
        };
        let position = |i: usize| (i / shape.plane(), i % shape.plane() / shape.width, i % shape.width);
        (0..shape.len()).map(position).map(|(c, y, x)| value(c, y + offsets.0, x + offsets.1)).collect()
    }

    #[test]
    fn the_middle_window_is_the_image_itself() {
        let mut values = ramp();
        crop(SHAPE, &mut values, 4, (4, 4));
        assert_eq!(values, ramp());
        crop(SHAPE, &mut values, 1, (0, 2));
        assert_eq!(values[..12], [0., 0., 0., 0., 2., 3., 4., 0., 6., 7., 8., 0.]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_crop_is_a_window_of_the_padded_image(pad in 0usize..6, y in 0usize..12, x in 0usize..12) {
            let offsets = (y.min(2 * pad), x.min(2 * pad));
            let mut values = ramp();
            crop(SHAPE, &mut values, pad, offsets);
            prop_assert_eq!(values, padded_window(SHAPE, &ramp(), pad, offsets));
        }
    }

    #[test]
    fn every_offset_is_drawn_and_mirroring_obeys_the_flag() {
        let shape = Shape { channels: 1, height: 9, width: 9 };
        let start: Vec<f32> = (1..=81).map(|v| v as f32).collect();
        let outcomes = |flip| -> BTreeSet<Vec<u32>> {
            let config = Config { flip, pad: 1, ..Config::default() };
            let one = |i| {
                let mut values = start.clone();
                apply(&config, shape, &mut values, &mut Seed::new(2).stream("augment", &[i]));
                values.iter().map(|v| v.to_bits()).collect()
            };
            (0..400).map(one).collect()
        };
        assert_eq!((outcomes(false).len(), outcomes(true).len()), (9, 18));
    }

    #[test]
    fn cutout_is_clipped_where_its_anchor_says() {
        let shape = Shape { channels: 1, height: 4, width: 4 };
        let blanked = |anchor, point| {
            let mut values = vec![1.0; 16];
            blank(shape, &mut values, 2, anchor, point);
            (0..16).filter(|&i| values[i] == 0.0).collect::<Vec<_>>()
        };
        assert_eq!(blanked(CutoutAnchor::Corner, (0, 0)), [0, 1, 4, 5]);
        assert_eq!(blanked(CutoutAnchor::Corner, (3, 3)), [15]);
        assert_eq!(blanked(CutoutAnchor::Centre, (0, 0)), [0]);
        assert_eq!(blanked(CutoutAnchor::Centre, (3, 2)), [9, 10, 13, 14]);
    }

    #[test]
    fn cutout_blanks_all_channels() {
        let config = Config { cutout: 2, pad: 0, ..Config::default() };
        let mut values = ramp();
        apply(&config, SHAPE, &mut values, &mut Seed::new(2).stream("augment", &[]));
        let blank = |c: usize| (0..12).filter(|i| values[c * 12 + i] == 0.0).collect::<Vec<_>>();
        assert!(!blank(0).is_empty() && blank(0) == blank(1));
    }
}
