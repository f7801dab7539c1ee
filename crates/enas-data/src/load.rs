//! From a path to a [`Dataset`]: the steps, in order, and the checks between them.

use std::path::Path;
use std::sync::Arc as SyncArc;

use enas_rng::Seed;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::augment::{self, Shape};
use crate::checks::{self, Sorted};
use crate::config::{Config, NormalizationMode, Sampling, is_digits};
use crate::dataset::{Dataset, Fingerprint, Inner, PictureFile, Skipped, Split};
use crate::doctor;
use crate::error::Error;
use crate::layout::{self, Item, Part};
use crate::normalize::Normalization;
use crate::prepare::{InputSpec, conform};
use crate::source::Source;
use crate::split::{Fractions, SplitFile, restore, stratify};

/// Loads, checks and splits the data that `config` describes.
///
/// Splits that the folders leave open are drawn from `seed`; so are augmented copies and, later, the order of
/// batches.
///
/// # Errors
/// [`Error`], whose message says what was found where and what to do.
pub fn load(config: &Config, seed: Seed) -> Result<Dataset, Error> {
    load_parts(config, seed, None)
}

/// [`load`] with the split of an earlier run, whatever the seed and the fractions are now.
///
/// Pictures that the stored split does not know are left out with a warning.
///
/// # Errors
/// As [`load`], and [`Error::StoredSplit`] if classes differ or pictures of the split are gone.
pub fn load_with_split(config: &Config, seed: Seed, stored: &SplitFile) -> Result<Dataset, Error> {
    load_parts(config, seed, Some(stored))
}

/// Loads the pictures that a finished model is measured on: those of `part` where the data has split folders
/// (the others need not be there), all of them where it has none.
///
/// `classes` are those of the model and give the labels; the data may lack some of them but have no others.
///
/// # Errors
/// As [`load`], and [`Error::UnknownClasses`] for folders with pictures that are none of `classes`.
pub fn load_labelled(
    path: &Path,
    part: Part,
    classes: &[String],
    input: &InputSpec,
    normalization: &Normalization,
    strict: bool,
) -> Result<(Split, Vec<Skipped>), Error> {
    let source = open(path)?;
    let layout = layout::read_known_classes(&source, part, classes)?;
    let mut pictures = Pictures::read(&source, layout.items, input, strict)?;
    if pictures.items.is_empty() {
        let detail = match pictures.lost.len() {
            0 => "no class folder holds one".into(),
            n => format!("all {n} files there were skipped as unreadable"),
        };
        return Err(Error::EmptySplit { split: part.name(), path: path.into(), detail });
    }
    let augment = augment::Config::default();
    let (shape, sampling, seed) = (shape(input), Sampling::default(), Seed::new(0));
    let assembly = Assembly { source: &source, shape, sampling, augment, seed };
    let raw = assembly.collect(&mut pictures, part);
    Ok((assembly.split(raw, part, normalization.clone()), pictures.skipped))
}

/// The pictures at a path, or the built-in ones.
pub(crate) fn open(path: &Path) -> Result<Source, Error> {
    if is_digits(path) { Ok(Source::digits()) } else { Source::open(path) }
}

fn load_parts(config: &Config, seed: Seed, stored: Option<&SplitFile>) -> Result<Dataset, Error> {
    config.check()?;
    let source = open(&config.path)?;
    let layout = layout::read(&source)?;
    layout.ignored.iter().for_each(|ignored| tracing::warn!("{ignored}"));
    checks::class_count(&source, &layout)?;

    let input = config.input();
    let mut pictures = Pictures::read(&source, layout.items, &input, config.strict)?;
    let classes = layout.classes;
    checks::classes_can_be_learnt(&source, &classes, pictures.sorted())?;
    match stored {
        Some(stored) => pictures.restore(&source, &classes, stored)?,
        None => divide(&mut pictures.items, classes.len(), layout.drawn, config, seed),
    }
    checks::parts(&source, layout.drawn, pictures.sorted())?;
    for (part, lacking) in checks::lacking(&classes, &pictures.items) {
        tracing::warn!("the {} split has no picture of {}", part.name(), lacking.join(", "));
    }
    let concerns = doctor::concerns(&source.files, &classes, &pictures.items, &pictures.hashes);

    let (shape, sampling, augment) = (shape(&input), config.sampling, config.augment.clone());
    let assembly = Assembly { source: &source, shape, sampling, augment, seed };
    let [train, valid, test] = Part::ALL.map(|part| assembly.collect(&mut pictures, part));
    let moments = |raw: &Raw| assembly.moments(raw, config.normalization);
    let normalization = moments(&train);
    let of_own = |raw: &Raw| match config.normalization {
        NormalizationMode::PerChannel => normalization.clone(),
        NormalizationMode::Reference => moments(raw),
    };
    let (valid_moments, test_moments) = (of_own(&valid), of_own(&test));
    Ok(Dataset {
        name: name_of(&config.path),
        classes,
        channels: input.channels,
        height: input.height,
        width: input.width,
        train: assembly.split(train, Part::Train, normalization.clone()),
        valid: assembly.split(valid, Part::Valid, valid_moments),
        test: assembly.split(test, Part::Test, test_moments),
        skipped: pictures.skipped,
        concerns,
        fingerprint: pictures.fingerprint,
        files: pictures.files.into(),
        normalization,
    })
}

/// The picture files at `path` as they are now, none of them decoded: to be compared with the
/// [`files`](Dataset::files) of a data set that was loaded from there.
///
/// # Errors
/// If nothing is there, or the folder or archive cannot be read.
pub fn picture_files(path: &Path) -> Result<Vec<PictureFile>, Error> {
    let source = open(path)?;
    // What is not laid out as a data set any more still has files.
    let numbers: Vec<usize> = match layout::read(&source) {
        Ok(layout) => layout.items.iter().map(|item| item.file).collect(),
        Err(_) => (0..source.files.len()).collect(),
    };
    let file = |number: usize| PictureFile::new(&source.files[number], &source.sha256(number));
    Ok(numbers.into_par_iter().map(file).collect())
}

/// Gives every picture the part that its folders or chance decide.
pub(crate) fn divide(items: &mut [Item], n_classes: usize, drawn: &[Part], config: &Config, seed: Seed) {
    let share = |part, fraction| if drawn.contains(&part) { fraction } else { 0.0 };
    let valid = share(Part::Valid, config.valid_fraction);
    let fractions = Fractions { valid, test: share(Part::Test, config.test_fraction) };
    if valid > 0.0 {
        // Where valid has to be taken out of the training pictures, the split decides about those.
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

/// Everything decoded, in the order of the file names.
struct Pictures {
    /// Usable pictures.
    items: Vec<Item>,
    /// Pixels `[c, h, w]` of every file by its number; empty for unusable ones and once collected.
    pixels: Vec<Vec<u8>>,
    /// SHA-256 of every file by its number.
    hashes: Vec<[u8; 32]>,
    /// Classes of unusable pictures, with what their folders said about the part.
    lost: Vec<Item>,
    skipped: Vec<Skipped>,
    fingerprint: Fingerprint,
    /// What the fingerprint is of.
    files: Vec<PictureFile>,
}

impl Pictures {
    /// Decodes all pictures on all threads; the result is in the order of the names, whoever was first.
    fn read(source: &Source, items: Vec<Item>, input: &InputSpec, strict: bool) -> Result<Self, Error> {
        let mut pictures = Self {
            items: Vec::with_capacity(items.len()),
            pixels: vec![Vec::new(); source.files.len()],
            hashes: vec![[0; 32]; source.files.len()],
            lost: Vec::new(),
            skipped: Vec::new(),
            fingerprint: Fingerprint { files: items.len(), sha256: String::new() },
            files: Vec::with_capacity(items.len()),
        };
        let decode = |item: &Item| {
            let opened = source.picture(item.file, input.channels);
            (opened.sha256, opened.planes.map(|planes| conform(&planes, input)))
        };
        let decoded: Vec<_> = items.par_iter().map(decode).collect();
        let mut hash = Sha256::new();
        for (item, (sha256, picture)) in items.into_iter().zip(decoded) {
            let name = &source.files[item.file];
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(sha256);
            pictures.hashes[item.file] = sha256;
            pictures.files.push(PictureFile::new(name, &sha256));
            match picture {
                Ok(pixels) => {
                    pictures.pixels[item.file] = pixels;
                    pictures.items.push(item);
                }
                Err(reason) if strict => {
                    let path = source.path.join(name).display().to_string();
                    return Err(Error::Strict { path, reason: reason.to_string() });
                }
                Err(reason) => {
                    pictures.skipped.push(Skipped { path: name.clone(), reason: reason.to_string() });
                    pictures.lost.push(item);
                }
            }
        }
        pictures.fingerprint.sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        warn_of(source, &pictures.skipped);
        Ok(pictures)
    }

    fn sorted(&self) -> Sorted<'_> {
        Sorted { items: &self.items, lost: &self.lost, skipped: &self.skipped }
    }

    fn restore(&mut self, source: &Source, classes: &[String], stored: &SplitFile) -> Result<(), Error> {
        let left_out = restore(&mut self.items, &source.files, classes, stored, &source.path)?;
        if left_out > 0 {
            tracing::warn!(
                "{left_out} pictures in {} are not in the stored split and are left out",
                source.path.display()
            );
        }
        Ok(())
    }
}

/// Names the skipped files, but not thousands of them.
fn warn_of(source: &Source, skipped: &[Skipped]) {
    const SHOWN: usize = 10;
    for Skipped { path, reason } in skipped.iter().take(SHOWN) {
        tracing::warn!("skipped {}: {reason}", source.path.join(path).display());
    }
    if skipped.len() > SHOWN {
        let (all, more) = (skipped.len(), skipped.len() - SHOWN);
        tracing::warn!("skipped {more} more: {all} files in {} could not be used", source.path.display());
    }
}

/// Pictures whose copies are made together.
const COPIED_AT_A_TIME: usize = 512;

/// Turns decoded pictures into splits.
struct Assembly<'a> {
    source: &'a Source,
    shape: Shape,
    sampling: Sampling,
    augment: augment::Config,
    seed: Seed,
}

/// The pictures of one part, not yet normalised.
struct Raw {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    paths: Vec<String>,
    copies: usize,
}

impl Assembly<'_> {
    /// Moves the pictures of a part together, with their augmented copies before them.
    fn collect(&self, pictures: &mut Pictures, part: Part) -> Raw {
        let copies = if part == Part::Train { self.augment.copies() } else { 1 };
        let members: Vec<&Item> = pictures.items.iter().filter(|i| i.part == Some(part)).collect();
        let mut raw = Raw { pixels: Vec::new(), labels: Vec::new(), paths: Vec::new(), copies };
        raw.pixels.reserve_exact(members.len() * copies * self.shape.len());
        let mut number = 0;
        // Some at a time, on all threads, so that the copies never exist twice.
        for chunk in members.chunks(COPIED_AT_A_TIME) {
            let originals =
                chunk.iter().map(|item| std::mem::take(&mut pictures.pixels[item.file])).collect();
            raw.pixels.extend(self.copy(originals, copies, number).into_iter().flatten());
            number += chunk.len();
        }
        for item in members {
            raw.labels.extend(std::iter::repeat_n(item.class as u32, copies));
            raw.paths.push(self.source.files[item.file].clone());
        }
        raw
    }

    /// Every picture behind its `copies - 1` variations; `first` is the number of the first picture.
    fn copy(&self, originals: Vec<Vec<u8>>, copies: usize, first: usize) -> Vec<Vec<u8>> {
        let group = |(i, original): (usize, Vec<u8>)| {
            let mut group = Vec::with_capacity(copies * original.len());
            for copy in 1..copies {
                let mut varied = original.clone();
                let mut stream = self.seed.stream("augment", &[copy as u64, (first + i) as u64]);
                self.augment.vary_pixels(self.shape, &mut varied, &mut stream);
                group.extend(varied);
            }
            group.extend(original);
            group
        };
        originals.into_par_iter().enumerate().map(group).collect()
    }

    fn moments(&self, raw: &Raw, mode: NormalizationMode) -> Normalization {
        match mode {
            NormalizationMode::PerChannel => {
                Normalization::per_channel(&raw.pixels, self.shape.channels, self.shape.plane())
            }
            NormalizationMode::Reference => {
                Normalization::reference(&raw.pixels, self.shape.channels, self.shape.plane())
            }
        }
    }

    fn split(&self, raw: Raw, part: Part, normalization: Normalization) -> Split {
        // Only training pictures are ever varied or chosen.
        let (sampling, augment) = match part {
            Part::Train => (self.sampling, self.augment.clone()),
            Part::Valid | Part::Test => (Sampling::default(), augment::Config::default()),
        };
        let Raw { pixels, labels, paths, copies } = raw;
        let (shape, seed) = (self.shape, self.seed);
        let inner =
            Inner { part, shape, pixels, labels, paths, copies, normalization, sampling, augment, seed };
        Split { inner: SyncArc::new(inner) }
    }
}
