//! Occlusion sensitivity: which parts of an image the prediction depends on.
//!
//! A grey square covers one part of the image after another, and the network predicts each covered image. Reference:
//! Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.

use std::fmt::Write;

use enas_data::Split;
use enas_run::Model;

use crate::quality::Mistake;
use crate::text::percent;

/// Number of positions of the square along either side.
pub(crate) const GRID: usize = 8;
/// Side of the square as a fraction of the image's side.
const SQUARE: f64 = 0.25;
/// The middle of the range of 8-bit pixels.
const GREY: u8 = 128;
/// Changes of the probability below this are not coloured.
const VISIBLE: f32 = 0.02;

/// The occlusion sensitivity of one image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sensitivity {
    /// `[GRID, GRID]`: the decrease of the predicted class's probability when that part is covered. Negative values
    /// are increases.
    pub(crate) drops: Vec<f32>,
    /// The probability of the predicted class with nothing covered.
    pub(crate) whole: f32,
}

/// Computes the occlusion sensitivity of an image of `split`, whose shape is `[channels, height, width]`.
///
/// This costs one prediction for each of the `GRID · GRID` positions and one for the whole image.
///
/// # Errors
/// If the image cannot be read or predicted.
pub(crate) fn sensitivity(
    model: &Model,
    split: &Split,
    mistake: &Mistake,
    [channels, height, width]: [usize; 3],
) -> enas_run::Result<Sensitivity> {
    let pixels = split.image(mistake.index)?;
    let covered = (0..GRID * GRID).map(|place| {
        let mut part = pixels.to_vec();
        let rows = span(place / GRID, height);
        let columns = span(place % GRID, width);
        for (channel, y) in (0..channels).flat_map(|channel| rows.clone().map(move |y| (channel, y))) {
            let row = (channel * height + y) * width;
            part[row + columns.start..row + columns.end].fill(GREY);
        }
        part
    });
    let images: Vec<Vec<u8>> = std::iter::once(pixels.to_vec()).chain(covered).collect();
    let probabilities = probabilities(model, &images, mistake.predicted)?;
    let whole = probabilities[0];
    Ok(Sensitivity { drops: probabilities[1..].iter().map(|covered| whole - covered).collect(), whole })
}

/// The probability of a class for each image, computed in batches. Images are bytes in the order `[c, h, w]`.
fn probabilities(model: &Model, images: &[Vec<u8>], class: usize) -> enas_run::Result<Vec<f32>> {
    let mut all = Vec::with_capacity(images.len());
    for batch in images.chunks(model.eval_batch().max(1)) {
        let rows = model.raw_probabilities(&model.images(batch)?)?.to_vec2::<f32>()?;
        all.extend(rows.iter().map(|row| row[class]));
    }
    Ok(all)
}

/// The range of pixels that the square covers along one side. It is centred in its cell and clipped at the border.
fn span(place: usize, side: usize) -> std::ops::Range<usize> {
    let middle = (place as f64 + 0.5) / GRID as f64 * side as f64;
    let half = (SQUARE * side as f64 / 2.0).max(0.5);
    let from = (middle - half).round().max(0.0) as usize;
    let to = (middle + half).round() as usize;
    // The range has at least one pixel, also in tiny images.
    let from = from.min(side - 1);
    from..to.clamp(from + 1, side)
}

impl Sensitivity {
    /// The position where covering decreases the probability most, and the decrease there.
    fn most(&self) -> (usize, f32) {
        let best =
            (1..self.drops.len()).fold(0, |best, i| if self.drops[i] > self.drops[best] { i } else { best });
        (best, self.drops[best])
    }

    /// A description of the map for screen readers. `class` is the predicted class.
    pub(crate) fn description(&self, class: &str) -> String {
        let (place, drop) = self.most();
        if drop < VISIBLE {
            return format!(
                "Occlusion sensitivity: covering no part lowers the probability of {class} noticeably."
            );
        }
        let third = |at: usize, names: [&'static str; 3]| names[(3 * at / GRID).min(2)];
        let rows = third(place / GRID, ["top", "middle", "bottom"]);
        let columns = third(place % GRID, ["left", "centre", "right"]);
        let [whole, covered] = [self.whole, self.whole - drop].map(|share| percent(f64::from(share)));
        format!(
            "Occlusion sensitivity: covering the {rows} {columns} lowers the probability of {class} most, from {whole} to \
             {covered}."
        )
    }

    /// The map as an SVG element to be laid over the image.
    ///
    /// Orange marks parts whose covering decreases the probability, blue those that increase it. The opacity grows
    /// with the change.
    pub(crate) fn svg(&self) -> String {
        let strongest = self.drops.iter().fold(VISIBLE, |most, drop| most.max(drop.abs()));
        let mut svg =
            format!("<svg viewBox=\"0 0 {GRID} {GRID}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
        for (place, drop) in self.drops.iter().enumerate().filter(|(_, drop)| drop.abs() >= VISIBLE) {
            let x = place % GRID;
            let y = place / GRID;
            let class = if *drop > 0.0 { "falls" } else { "rises" };
            let opacity = 0.75 * drop.abs() / strongest;
            write!(
                svg,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"1\" height=\"1\" fill-opacity=\"{opacity:.2}\"/>"
            )
            .expect("a string grows");
        }
        svg + "</svg>"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_covers_a_quarter_of_a_side_and_every_pixel_in_turn() {
        assert_eq!((span(0, 64), span(3, 64), span(7, 64)), (0..12, 20..36, 52..64));
        for side in [1, 2, 5, 8, 28, 224] {
            let covered: std::collections::BTreeSet<usize> =
                (0..GRID).flat_map(|place| span(place, side)).collect();
            assert_eq!(covered.len(), side, "{side}");
            assert!((0..GRID).all(|place| !span(place, side).is_empty()));
        }
    }

    #[test]
    fn a_map_shows_and_says_where_the_probability_falls() {
        let mut drops = vec![0.0; GRID * GRID];
        (drops[0], drops[GRID * GRID - 1], drops[9]) = (-0.1, 0.8, 0.001);
        let map = Sensitivity { drops, whole: 0.9 };
        let svg = map.svg();
        assert!(
            svg.contains("class=\"falls\" x=\"7\" y=\"7\" width=\"1\" height=\"1\" fill-opacity=\"0.75\""),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"rises\" x=\"0\" y=\"0\"") && svg.matches("<rect").count() == 2,
            "{svg}"
        );
        let text = map.description("cat");
        assert!(text.contains(
            "covering the bottom right lowers the probability of cat most, from 90.00\u{a0}% to 10.00"
        ));
        let flat = Sensitivity { drops: vec![0.0; GRID * GRID], whole: 0.9 };
        assert!(flat.description("cat").contains("no part") && !flat.svg().contains("<rect"));
    }
}
