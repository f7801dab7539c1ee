//! Loading: from a path to a [`Dataset`], or to the images that a trained model is measured on.

use std::fmt;
use std::path::Path;

use enas_rng::Seed;
use rayon::prelude::*;

use super::checks::{self, data_warnings, warn_of_left_out};
use super::fingerprint::ImageFile;
use super::reading::{LoadedImages, ReadOptions};
use super::split::Split;
use super::split_builder::{SplitBuilder, SplitOptions, UnnormalizedSplit};
use super::split_file::SplitFile;
use super::store::Storage;
use super::stratify::assign_splits;
use super::{Dataset, Skipped};
use crate::config::{Config, NormalizationMode, Sampling};
use crate::error::Error;
use crate::image::normalize::Normalization;
use crate::image::prepare::InputSpec;
use crate::image::prepared::PreparedImages;
use crate::loader::augment;
use crate::source::files::Source;
use crate::source::item::Part;
use crate::source::layout::{self, Layout};
use crate::source::open;
use crate::visible::visible;

/// How [`load`] splits and stores the images.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// Determines the splits that the folders do not give, augmented copies, and later the order of batches.
    pub seed: Seed,
    /// The split of an earlier run, used independently of the seed and the fractions. Images that it does not contain
    /// are left out with a warning.
    pub split: Option<&'a SplitFile>,
    /// How images are stored. The batches are equal to the bit for every choice.
    pub storage: Storage,
    /// Images that the data check has already converted. Those for other input are decoded again.
    pub prepared: Option<&'a PreparedImages>,
}

impl LoadOptions<'_> {
    /// Splits drawn with this seed; images stored decoded.
    pub fn new(seed: Seed) -> Self {
        Self { seed, split: None, storage: Storage::Decoded, prepared: None }
    }
}

/// Loads, checks and splits the data that `config` describes.
///
/// # Errors
/// An [`Error`] whose message says what was found where, and what to do; [`Error::StoredSplit`] if classes differ
/// from those of a given split, or its images are missing.
pub fn load(config: &Config, options: &LoadOptions<'_>) -> Result<Dataset, Error> {
    let LoadOptions { seed, storage, .. } = *options;
    config.check()?;
    let source = open(&config.path, &[])?;
    let mut layout = layout::read(&source)?;
    warn_of_left_out(&source, &layout);
    checks::class_count(&source, &layout)?;

    let items = std::mem::take(&mut layout.items);
    let reading = ReadOptions { strict: config.strict, storage, prepared: options.prepared };
    let mut images = LoadedImages::read(&source, items, &config.input(), reading)?;
    images.estimate_white_levels(&source)?;
    divide(&source, &layout, &mut images, config, options)?;
    let mut warnings = data_warnings(&source.files, &layout.classes, &images.items, &images.hashes);
    warnings.extend(images.few_levels(&source));

    let input = images.input;
    let options = SplitOptions { input: &input, sampling: config.sampling, augment: &config.augment, seed };
    let builder = SplitBuilder::new(source, images, options, storage);
    let [train, valid, test] = Part::ALL.map(|part| builder.collect(part));
    let statistics = |split: &UnnormalizedSplit| builder.normalization(split, config.normalization);
    let normalization = statistics(&train)?;
    let of_own = |split: &UnnormalizedSplit| match config.normalization {
        NormalizationMode::PerChannel => Ok(normalization.clone()),
        NormalizationMode::Reference => statistics(split),
    };
    let valid_normalization = of_own(&valid)?;
    let test_normalization = of_own(&test)?;
    Ok(Dataset {
        name: name_of(&config.path),
        classes: layout.classes,
        channels: input.channels,
        height: input.height,
        width: input.width,
        train: builder.split(train, Part::Train, normalization.clone()),
        valid: builder.split(valid, Part::Valid, valid_normalization),
        test: builder.split(test, Part::Test, test_normalization),
        drawn: layout.drawn.to_vec(),
        skipped: builder.images.skipped,
        warnings,
        fingerprint: builder.images.fingerprint,
        files: builder.images.files.into(),
        normalization,
        white: input.white,
    })
}

/// Divides the images into splits: those of the options, those that the folders give, or random ones.
///
/// # Errors
/// If a class has no training image, or a split has no image.
fn divide(
    source: &Source,
    layout: &Layout,
    images: &mut LoadedImages,
    config: &Config,
    options: &LoadOptions<'_>,
) -> Result<(), Error> {
    let Layout { classes, drawn, splits, .. } = layout;
    checks::classes_can_be_learnt(source, splits, classes, images.readability())?;
    match options.split {
        Some(stored) => images.restore(source, classes, stored)?,
        None => {
            let contents = images.contents();
            let fractions = config.fractions();
            assign_splits(&mut images.items, &contents, classes.len(), drawn, fractions, options.seed);
        }
    }
    checks::parts(source, splits, drawn, images.readability())?;
    for (part, lacking) in checks::lacking(classes, &images.items) {
        tracing::warn!("the {} split has no image of {}", part.name(), visible(&lacking.join(", ")));
    }
    Ok(())
}

/// The image files at `path` as they are now, without decoding them; for comparison with the
/// [`files`](Dataset::files) of a loaded data set.
///
/// # Errors
/// If there is nothing, or the folder or archive cannot be read.
pub fn image_files(path: &Path) -> Result<Vec<ImageFile>, Error> {
    let source = open(path, &[])?;
    // Files are listed even if they no longer form a data set.
    let numbers: Vec<usize> = match layout::read(&source) {
        Ok(layout) => layout.items.iter().map(|item| item.file).collect(),
        Err(_) => (0..source.files.len()).collect(),
    };
    let file = |number: usize| ImageFile::new(&source.files[number], &source.sha256(number));
    Ok(numbers.into_par_iter().map(file).collect())
}

/// What a trained model gives to [`load_labelled`], and which images are taken.
pub struct LabelledOptions<'a> {
    /// The split folder that is read if there are split folders (the others may be absent). Otherwise all images are.
    pub part: Part,
    /// The model's classes, which give the labels. The data set may lack some of them but must not have others.
    pub classes: &'a [String],
    /// The model's input.
    pub input: &'a InputSpec,
    /// The model's normalisation.
    pub normalization: &'a Normalization,
    /// Whether an unreadable file is an error.
    pub strict: bool,
    /// How images are stored; it affects memory only.
    pub storage: Storage,
    /// Whether a usable file is taken.
    pub wanted: &'a dyn Fn(&ImageFile) -> bool,
}

impl fmt::Debug for LabelledOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, classes, strict, storage, .. } = self;
        f.debug_struct("LabelledOptions")
            .field("part", part)
            .field("classes", classes)
            .field("strict", strict)
            .field("storage", storage)
            .finish_non_exhaustive()
    }
}

/// The result of [`load_labelled`].
#[derive(Debug)]
pub struct LabelledImages {
    /// The wanted images.
    pub split: Split,
    /// Files that could not be used.
    pub skipped: Vec<Skipped>,
    /// Number of usable images that were not wanted.
    pub left_out: usize,
}

/// Loads images for the measurement of a trained model.
///
/// # Errors
/// As [`load`], and [`Error::UnknownClasses`] for folders of images that are not among the model's classes. If no image
/// is wanted the split is empty, which is not an error.
pub fn load_labelled(path: &Path, options: &LabelledOptions<'_>) -> Result<LabelledImages, Error> {
    let LabelledOptions { part, classes, input, normalization, strict, storage, wanted } = *options;
    let source = open(path, classes)?;
    let layout = layout::read_known_classes(&source, part, classes)?;
    warn_of_left_out(&source, &layout);
    let mut images =
        LoadedImages::read(&source, layout.items, input, ReadOptions { strict, storage, prepared: None })?;
    if images.items.is_empty() {
        let detail = match images.n_unusable() {
            0 => "no class folder holds one".into(),
            n => format!("all {n} files there were skipped as unreadable"),
        };
        return Err(Error::EmptySplit { split: part.name(), path: path.into(), detail });
    }
    let usable = images.items.len();
    let hashes = &images.hashes;
    images.items.retain(|item| wanted(&ImageFile::new(&source.files[item.file], &hashes[item.file])));
    let left_out = usable - images.items.len();
    let skipped = std::mem::take(&mut images.skipped);
    let augment = augment::Config::default();
    let options =
        SplitOptions { input, sampling: Sampling::default(), augment: &augment, seed: Seed::new(0) };
    let builder = SplitBuilder::new(source, images, options, storage);
    let split = builder.split(builder.collect(part), part, normalization.clone());
    Ok(LabelledImages { split, skipped, left_out })
}

/// A short name for run folders.
fn name_of(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    absolute.file_stem().map_or_else(|| "data".into(), |stem| stem.to_string_lossy().into_owned())
}
