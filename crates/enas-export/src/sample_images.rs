//! The images for the check of an exported file: those of the model's data set, else synthetic ones.

use enas_data::{Dataset, Normalization, Part, Split};
use enas_rng::Seed;
use enas_run::Model;

use crate::check::{BATCHES, image_len};

/// Default number of images: every batch size twice.
const WANTED: usize = 2 * (BATCHES[0] + BATCHES[1] + BATCHES[2]);
/// Minimum number of images: the two smaller batches.
const LEAST: usize = BATCHES[0] + BATCHES[1];

/// The images of a check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SampleImages {
    /// `[n, c, h, w]`
    pub(crate) pixels: Vec<u8>,
    /// The number of images.
    pub(crate) n: usize,
    /// How many of them, at the end, are synthetic.
    pub(crate) synthetic: usize,
    /// Why the images of the model's data set could not be loaded.
    pub(crate) problem: Option<String>,
}

impl SampleImages {
    /// Takes images of the model's test split, then of its validation split, then synthetic ones. They are those of
    /// `data` if it has the size of the model's input; otherwise they are read from where the training had them.
    ///
    /// Their number is `most`, clamped to [`LEAST`] to [`WANTED`].
    pub(crate) fn of(model: &Model, data: Option<&Dataset>, most: Option<usize>) -> Self {
        let wanted = most.map_or(WANTED, |most| most.clamp(LEAST, WANTED));
        let len = image_len(model.network());
        let mut pixels = Vec::new();
        let mut problem = None;
        for part in [Part::Test, Part::Valid] {
            let missing = wanted - pixels.len() / len;
            if missing == 0 {
                break;
            }
            let taken = match data.filter(|data| fits(model, data)) {
                Some(data) => take(data.split(part), missing, &mut pixels),
                None => model
                    .load_split(&model.data_path(), part)
                    .and_then(|(split, _)| take(&split, missing, &mut pixels)),
            };
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

/// Whether the images of `data` have the size of the model's input.
fn fits(model: &Model, data: &Dataset) -> bool {
    let input = model.input();
    (data.channels, data.height, data.width) == (input.channels, input.height, input.width)
}

/// Takes up to `n` images at equal distances over the whole split, because splits are sorted by class.
fn take(split: &Split, n: usize, pixels: &mut Vec<u8>) -> enas_run::Result<()> {
    let n = n.min(split.len());
    for i in 0..n {
        pixels.extend_from_slice(&split.image(i * split.len() / n)?);
    }
    Ok(())
}

/// Synthetic images: coarse patches with a little noise, whose mean and deviation are about those of the training
/// images.
///
/// Returns `n` images `[c, h, w]` with as many channels as `normalization` has.
pub(crate) fn synthesize(
    n: usize,
    (height, width): (usize, usize),
    normalization: &Normalization,
) -> Vec<u8> {
    /// Number of patches along an axis.
    const PATCHES: usize = 4;
    let Normalization { mean, std } = normalization;
    let mut pixels = Vec::with_capacity(n * mean.len() * height * width);
    for image in 0..n {
        let mut stream = Seed::new(0).stream("synthetic picture", &[image as u64]);
        for (mean, std) in mean.iter().zip(std) {
            let patches: Vec<f32> = (0..PATCHES * PATCHES).map(|_| stream.normal()).collect();
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let patch = patches[y * PATCHES / height * PATCHES + x * PATCHES / width];
                let value = mean + std * (patch + 0.25 * stream.normal());
                // The cast saturates at 0 and 255.
                pixels.push(value.round() as u8);
            }
        }
    }
    pixels
}
