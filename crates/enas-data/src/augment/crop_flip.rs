//! The ENAS authors' variations on normalised values, where zero is the mean of the training pictures.

use enas_rng::Stream;

use super::{Config, CutoutAnchor, Shape, mirror};

/// Probability of mirroring.
const FLIP: f32 = 0.5;

/// Varies one picture `[c, h, w]` in place: crop, mirror, cutout.
pub(super) fn vary(config: &Config, shape: Shape, values: &mut [f32], stream: &mut Stream) {
    let offsets = (stream.below(2 * config.pad + 1), stream.below(2 * config.pad + 1));
    crop(shape, values, config.pad, offsets);
    // Drawn even when unused, so that the flag alone does not change the other draws.
    if stream.chance(FLIP) && config.flip {
        mirror(shape.width, values);
    }
    if config.cutout > 0 {
        let point = (stream.below(shape.height), stream.below(shape.width));
        blank(shape, values, config.cutout, config.cutout_anchor, point);
    }
}

/// The window at `offsets` (row, column) of the picture with `pad` zeros on every side.
fn crop(shape: Shape, values: &mut [f32], pad: usize, offsets: (usize, usize)) {
    let source = values.to_vec();
    values.fill(0.0);
    let columns = overlap(shape.width, pad, offsets.1);
    for channel in 0..shape.channels {
        for y in overlap(shape.height, pad, offsets.0) {
            let from = channel * shape.plane() + (y + offsets.0 - pad) * shape.width;
            let to = channel * shape.plane() + y * shape.width;
            let row = &source[from + columns.start + offsets.1 - pad..][..columns.len()];
            values[to + columns.start..][..columns.len()].copy_from_slice(row);
        }
    }
}

/// The destination positions whose source `position + offset - pad` lies within `0..n`.
fn overlap(n: usize, pad: usize, offset: usize) -> std::ops::Range<usize> {
    let start = pad.saturating_sub(offset);
    start..(n + pad - offset).clamp(start, n)
}

/// Sets a square of `side` to zero, clipped at the edges.
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
