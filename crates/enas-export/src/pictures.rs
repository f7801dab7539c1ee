//! The pictures that an exported file is checked with: the model's own where they can be had, invented ones otherwise.

use enas_data::{Normalization, Part, Split};
use enas_rng::Seed;
use enas_search::Model;

use crate::check::{BATCHES, picture_len};

/// How many where time does not matter: every batch size twice.
const WANTED: usize = 2 * (BATCHES[0] + BATCHES[1] + BATCHES[2]);
/// How many at least: a batch of one and one of several.
const LEAST: usize = BATCHES[0] + BATCHES[1];

/// Pictures to check with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pictures {
    /// `[n, c, h, w]`
    pub(crate) pixels: Vec<u8>,
    /// How many there are.
    pub(crate) n: usize,
    /// How many of them, the last ones, are invented.
    pub(crate) synthetic: usize,
    /// Why the model's own pictures could not be used.
    pub(crate) problem: Option<String>,
}

impl Pictures {
    /// Of the model's test split, then of its validation split, then invented ones; `most` of them.
    pub(crate) fn of(model: &Model, most: Option<usize>) -> Self {
        let wanted = most.map_or(WANTED, |most| most.clamp(LEAST, WANTED));
        let len = picture_len(model.network());
        let (mut pixels, mut problem) = (Vec::new(), None);
        for part in [Part::Test, Part::Valid] {
            let missing = wanted - pixels.len() / len;
            if missing == 0 {
                break;
            }
            let taken = model
                .load_split(&model.data_path(), part)
                .and_then(|(split, _)| take(&split, missing, &mut pixels));
            match taken {
                Ok(()) => {}
                Err(error) => {
                    problem = Some(error.to_string());
                    break;
                }
            }
        }
        let synthetic = wanted - pixels.len() / len;
        let input = model.input();
        pixels.extend(synthesize(synthetic, (input.height, input.width), model.normalization()));
        Self { pixels, n: wanted, synthetic, problem }
    }
}

/// Up to `n` pictures of a split, spread over all of it: splits are sorted by class.
fn take(split: &Split, n: usize, pixels: &mut Vec<u8>) -> enas_search::Result<()> {
    let n = n.min(split.len());
    for i in 0..n {
        pixels.extend_from_slice(&split.image(i * split.len() / n)?);
    }
    Ok(())
}

/// Coarse patches of light and dark under a little noise, about as bright and as varied as the training pictures.
///
/// Shapes: `n` pictures `[c, h, w]`, as many channels as the moments have.
pub(crate) fn synthesize(
    n: usize,
    (height, width): (usize, usize),
    normalization: &Normalization,
) -> Vec<u8> {
    /// Patches along an axis.
    const PATCHES: usize = 4;
    let Normalization { mean, std } = normalization;
    let mut pixels = Vec::with_capacity(n * mean.len() * height * width);
    for picture in 0..n {
        let mut stream = Seed::new(0).stream("synthetic picture", &[picture as u64]);
        for (mean, std) in mean.iter().zip(std) {
            let patches: Vec<f32> = (0..PATCHES * PATCHES).map(|_| stream.normal()).collect();
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let patch = patches[y * PATCHES / height * PATCHES + x * PATCHES / width];
                let value = mean + std * (patch + 0.25 * stream.normal());
                // The cast cuts off what no byte can hold.
                pixels.push(value.round() as u8);
            }
        }
    }
    pixels
}
