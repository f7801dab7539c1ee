//! Loading: from a path to a [`Dataset`], with the checks between the steps.

use std::fmt;
use std::path::Path;
use std::sync::Arc as SyncArc;

use enas_rng::Seed;
use rayon::prelude::*;

use crate::augment::{self, Shape};
use crate::built_in;
use crate::checks;
use crate::config::{Config, NormalizationMode, Sampling};
use crate::dataset::{Dataset, Inner, PictureFile, Skipped, Split};
use crate::doctor;
use crate::error::Error;
use crate::holding::{Files, Holding, Library, Shelf, vary};
use crate::layout::{self, Item, Part};
use crate::left_out::warn_of;
use crate::normalize::{Normalization, Sums};
use crate::prepare::InputSpec;
use crate::reading::Pictures;
use crate::source::Source;
use crate::split::{Fractions, SplitFile, stratify};

/// Loads, checks and splits the data that `config` describes.
///
/// `seed` determines the splits that the folders do not give, augmented copies, and later the order of batches.
///
/// # Errors
/// An [`Error`] whose message says what was found where, and what to do.
pub fn load(config: &Config, seed: Seed) -> Result<Dataset, Error> {
    load_held(config, seed, None, Holding::Decoded)
}

/// [`load`] with the split of an earlier run, independently of the seed and the fractions.
///
/// Images that the stored split does not contain are left out with a warning.
///
/// # Errors
/// As [`load`], and [`Error::StoredSplit`] if classes differ or images of the split are missing.
pub fn load_with_split(config: &Config, seed: Seed, stored: &SplitFile) -> Result<Dataset, Error> {
    load_held(config, seed, Some(stored), Holding::Decoded)
}

/// [`load`], or [`load_with_split`] if there is a split, with a choice of how images are stored. The batches are
/// equal to the bit for every choice.
///
/// # Errors
/// As [`load`] and [`load_with_split`].
pub fn load_held(
    config: &Config,
    seed: Seed,
    stored: Option<&SplitFile>,
    holding: Holding,
) -> Result<Dataset, Error> {
    config.check()?;
    let source = open(&config.path, &[])?;
    let layout = layout::read(&source)?;
    warn_of(&source, &layout);
    checks::class_count(&source, &layout)?;

    let mut pictures = Pictures::read(&source, layout.items, &config.input(), config.strict, holding)?;
    pictures.find_white(&source)?;
    let input = pictures.input;
    let (classes, drawn) = (layout.classes, layout.drawn.to_vec());
    checks::classes_can_be_learnt(&source, &layout.splits, &classes, pictures.sorted())?;
    match stored {
        Some(stored) => pictures.restore(&source, &classes, stored)?,
        None => divide(&mut pictures.items, classes.len(), layout.drawn, config, seed),
    }
    checks::parts(&source, &layout.splits, layout.drawn, pictures.sorted())?;
    for (part, lacking) in checks::lacking(&classes, &pictures.items) {
        tracing::warn!("the {} split has no picture of {}", part.name(), lacking.join(", "));
    }
    let concerns = doctor::concerns(&source.files, &classes, &pictures.items, &pictures.hashes);

    let making = Making { input: &input, sampling: config.sampling, augment: &config.augment, seed };
    let assembly = Assembly::new(source, pictures, making, holding);
    let [train, valid, test] = Part::ALL.map(|part| assembly.collect(part));
    let moments = |raw: &Raw| assembly.moments(raw, config.normalization);
    let normalization = moments(&train)?;
    let of_own = |raw: &Raw| match config.normalization {
        NormalizationMode::PerChannel => Ok(normalization.clone()),
        NormalizationMode::Reference => moments(raw),
    };
    let (valid_moments, test_moments) = (of_own(&valid)?, of_own(&test)?);
    Ok(Dataset {
        name: name_of(&config.path),
        classes,
        channels: input.channels,
        height: input.height,
        width: input.width,
        train: assembly.split(train, Part::Train, normalization.clone()),
        valid: assembly.split(valid, Part::Valid, valid_moments),
        test: assembly.split(test, Part::Test, test_moments),
        drawn,
        skipped: assembly.pictures.skipped,
        concerns,
        fingerprint: assembly.pictures.fingerprint,
        files: assembly.pictures.files.into(),
        normalization,
        white: input.white,
    })
}

/// The image files at `path` as they are now, without decoding them; for comparison with the
/// [`files`](Dataset::files) of a loaded data set.
///
/// # Errors
/// If there is nothing, or the folder or archive cannot be read.
pub fn picture_files(path: &Path) -> Result<Vec<PictureFile>, Error> {
    let source = open(path, &[])?;
    // Files are listed even if they no longer form a data set.
    let numbers: Vec<usize> = match layout::read(&source) {
        Ok(layout) => layout.items.iter().map(|item| item.file).collect(),
        Err(_) => (0..source.files.len()).collect(),
    };
    let file = |number: usize| PictureFile::new(&source.files[number], &source.sha256(number));
    Ok(numbers.into_par_iter().map(file).collect())
}

/// Loads images for the measurement of a trained model: those of `part` if the data set has split folders (the others
/// may be absent), otherwise all.
///
/// `classes` are the model's and give the labels. The data set may lack some of them but must not have others.
/// `Holding` affects memory only.
///
/// # Errors
/// As [`load`], and [`Error::UnknownClasses`] for folders of images that are not among `classes`.
pub fn load_labelled(
    path: &Path,
    part: Part,
    classes: &[String],
    input: &InputSpec,
    normalization: &Normalization,
    (strict, holding): (bool, Holding),
) -> Result<(Split, Vec<Skipped>), Error> {
    let choice = Choice { strict, holding, wanted: &|_| true };
    let chosen = load_chosen(path, part, classes, input, normalization, &choice)?;
    Ok((chosen.split, chosen.skipped))
}

/// Which images [`load_chosen`] takes, and how it stores them.
pub struct Choice<'a> {
    /// Whether an unreadable file is an error.
    pub strict: bool,
    /// How images are stored.
    pub holding: Holding,
    /// Whether a usable file is wanted.
    pub wanted: &'a dyn Fn(&PictureFile) -> bool,
}

impl fmt::Debug for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strict, holding, .. } = self;
        f.debug_struct("Choice").field("strict", strict).field("holding", holding).finish_non_exhaustive()
    }
}

/// The result of [`load_chosen`].
#[derive(Debug)]
pub struct Chosen {
    /// The wanted images.
    pub split: Split,
    /// Files that could not be used.
    pub skipped: Vec<Skipped>,
    /// Number of usable images that were not wanted.
    pub left_out: usize,
}

/// [`load_labelled`] for the wanted images only.
///
/// # Errors
/// As [`load_labelled`]. If no image is wanted the split is empty, which is not an error.
pub fn load_chosen(
    path: &Path,
    part: Part,
    classes: &[String],
    input: &InputSpec,
    normalization: &Normalization,
    &Choice { strict, holding, wanted }: &Choice<'_>,
) -> Result<Chosen, Error> {
    let source = open(path, classes)?;
    let layout = layout::read_known_classes(&source, part, classes)?;
    warn_of(&source, &layout);
    let mut pictures = Pictures::read(&source, layout.items, input, strict, holding)?;
    if pictures.items.is_empty() {
        let detail = match pictures.n_lost() {
            0 => "no class folder holds one".into(),
            n => format!("all {n} files there were skipped as unreadable"),
        };
        return Err(Error::EmptySplit { split: part.name(), path: path.into(), detail });
    }
    let usable = pictures.items.len();
    let is_wanted = |file: usize| wanted(&PictureFile::new(&source.files[file], &pictures.hashes[file]));
    let chosen: Vec<bool> = pictures.items.iter().map(|item| is_wanted(item.file)).collect();
    let mut chosen = chosen.into_iter();
    pictures.items.retain(|_| chosen.next().expect("one answer for each image"));
    let left_out = usable - pictures.items.len();
    let skipped = std::mem::take(&mut pictures.skipped);
    let (sampling, augment, seed) = (Sampling::default(), augment::Config::default(), Seed::new(0));
    let making = Making { input, sampling, augment: &augment, seed };
    let assembly = Assembly::new(source, pictures, making, holding);
    let raw = assembly.collect(part);
    Ok(Chosen { split: assembly.split(raw, part, normalization.clone()), skipped, left_out })
}

/// Opens the source at a path, or a built-in data set. `classes` are those known in advance.
pub(crate) fn open(path: &Path, classes: &[String]) -> Result<Source, Error> {
    match built_in::find(path) {
        Some(set) => Ok(Source::built_in(set)),
        None => Source::open(path, classes),
    }
}

/// Assigns a part to every image, by its folders or at random.
pub(crate) fn divide(items: &mut [Item], n_classes: usize, drawn: &[Part], config: &Config, seed: Seed) {
    let share = |part, fraction| if drawn.contains(&part) { fraction } else { 0.0 };
    let valid = share(Part::Valid, config.valid_fraction);
    let fractions = Fractions { valid, test: share(Part::Test, config.test_fraction) };
    if valid > 0.0 || fractions.test > 0.0 {
        // A part that has to be taken out of the training images is drawn among all of those.
        items.iter_mut().filter(|i| i.part == Some(Part::Train)).for_each(|i| i.part = None);
    }
    stratify(items, n_classes, fractions, seed);
}

/// A short name for run folders.
fn name_of(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    absolute.file_stem().map_or_else(|| "data".into(), |stem| stem.to_string_lossy().into_owned())
}

fn shape(input: &InputSpec) -> Shape {
    Shape { channels: input.channels, height: input.height, width: input.width }
}

/// Number of images whose copies are made together.
const COPIED_AT_A_TIME: usize = 512;

/// Assembles splits from the images that were read.
struct Assembly<'a> {
    config: Making<'a>,
    pictures: Pictures,
    /// The pixels of all usable images, if they are stored decoded.
    pixels: SyncArc<Vec<u8>>,
    library: SyncArc<Library>,
    holding: Holding,
}

/// How images become batches.
#[derive(Clone, Copy)]
struct Making<'a> {
    input: &'a InputSpec,
    sampling: Sampling,
    augment: &'a augment::Config,
    seed: Seed,
}

/// The images of one part before normalisation.
struct Raw {
    shelf: Shelf,
    /// Index of each file's pixels in the store.
    places: Vec<u32>,
    labels: Vec<u32>,
    paths: Vec<String>,
    copies: usize,
}

impl<'a> Assembly<'a> {
    fn new(source: Source, mut pictures: Pictures, config: Making<'a>, holding: Holding) -> Self {
        let pixels = SyncArc::new(std::mem::take(&mut pictures.pixels));
        let library = pictures.library(source);
        Self { config, pictures, pixels, library, holding }
    }

    /// The images of a part; augmented copies precede each original.
    fn collect(&self, part: Part) -> Raw {
        let copies = if part == Part::Train { self.config.augment.copies() } else { 1 };
        let members: Vec<&Item> = self.pictures.items.iter().filter(|i| i.part == Some(part)).collect();
        let places: Vec<u32> = members.iter().map(|item| self.pictures.places[item.file]).collect();
        let shelf = match self.holding {
            Holding::Decoded if copies == 1 => {
                Shelf::Decoded { pixels: self.pixels.clone(), places: places.clone() }
            }
            Holding::Decoded => self.copied(&places, copies),
            Holding::Compressed | Holding::Streamed => Shelf::Files(Files {
                library: self.library.clone(),
                files: members.iter().map(|item| item.file as u32).collect(),
                copies,
                input: *self.config.input,
                augment: self.config.augment.clone(),
                seed: self.config.seed,
            }),
        };
        let (mut labels, mut paths) = (Vec::new(), Vec::new());
        for item in members {
            labels.extend(std::iter::repeat_n(item.class as u32, copies));
            paths.push(self.library.source.files[item.file].clone());
        }
        Raw { shelf, places, labels, paths, copies }
    }

    /// Every image, preceded by its `copies - 1` augmented copies.
    fn copied(&self, places: &[u32], copies: usize) -> Shelf {
        let shape = shape(self.config.input);
        let mut pixels = Vec::with_capacity(places.len() * copies * shape.len());
        let group = |(number, place): (usize, &u32)| {
            let original = &self.pixels[*place as usize * shape.len()..][..shape.len()];
            let mut group = Vec::with_capacity(copies * original.len());
            for copy in 1..copies {
                let mut varied = original.to_vec();
                vary(self.config.augment, shape, &mut varied, (copy, number), self.config.seed);
                group.extend(varied);
            }
            group.extend(original);
            group
        };
        // In chunks, in parallel: the copies of a chunk are the only ones that exist twice.
        let numbered: Vec<(usize, &u32)> = places.iter().enumerate().collect();
        for chunk in numbered.chunks(COPIED_AT_A_TIME) {
            let copies: Vec<Vec<u8>> = chunk.par_iter().map(|one| group(*one)).collect();
            pixels.extend(copies.into_iter().flatten());
        }
        let places = (0..(places.len() * copies) as u32).collect();
        Shelf::Decoded { pixels: SyncArc::new(pixels), places }
    }

    /// Normalisation statistics of a part.
    ///
    /// # Errors
    /// [`Error::Lost`] if a file that is read again has changed.
    fn moments(&self, raw: &Raw, mode: NormalizationMode) -> Result<Normalization, Error> {
        let shape = shape(self.config.input);
        let sums: Vec<Sums> = if raw.copies == 1 {
            raw.places.iter().map(|place| self.pictures.sums[*place as usize].clone()).collect()
        } else {
            let one = |i: usize| -> Result<Sums, Error> {
                Ok(Sums::of(&raw.shelf.image(i, shape)?, shape.channels))
            };
            (0..raw.labels.len()).into_par_iter().map(one).collect::<Result<_, Error>>()?
        };
        Ok(match mode {
            NormalizationMode::PerChannel => Normalization::per_channel(&sums, shape.plane()),
            NormalizationMode::Reference => Normalization::reference(&sums, shape.plane()),
        })
    }

    fn split(&self, raw: Raw, part: Part, normalization: Normalization) -> Split {
        let Making { input, seed, .. } = self.config;
        // Only training images are augmented and sampled.
        let (sampling, augment) = match part {
            Part::Train => (self.config.sampling, self.config.augment.clone()),
            Part::Valid | Part::Test => (Sampling::default(), augment::Config::default()),
        };
        let Raw { shelf, labels, paths, copies, .. } = raw;
        let shape = shape(input);
        let inner =
            Inner { part, shape, shelf, labels, paths, copies, normalization, sampling, augment, seed };
        Split { inner: SyncArc::new(inner) }
    }
}
