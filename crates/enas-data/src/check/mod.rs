//! The data check: examines every file of a data set before training, and reports problems and what the program will
//! do about them.
//!
//! [`check_dataset`] decodes every image once, in parallel, and keeps some hundred bytes of each: a SHA-256 digest, a
//! small copy and a SimHash. Problems that loading itself notices, from digests it computes anyway, are in
//! [`crate::Dataset::warnings`].

mod classes;
mod header;
mod inspect;
mod names;
mod near_duplicates;
mod properties;
mod report;
mod simhash;
mod sizes;

use enas_rng::Seed;
use rayon::prelude::*;

pub use self::report::Report;
pub use self::sizes::{SizeCount, Sizes};
use crate::config::Config;
use crate::dataset::checks::{self, Readability};
use crate::dataset::contents::content_of;
use crate::dataset::duplicates::ImageNames;
use crate::dataset::stratify::assign_splits;
use crate::dataset::{Skipped, class_balance, duplicates};
use crate::error::Error;
pub use crate::finding::{Case, ClassCount, Finding, FindingKind, Severity};
use crate::image::prepared::PreparedImages;
use crate::image::white_level::MaxSamples;
use crate::source::files::Source;
use crate::source::item::{Item, Part};
use crate::source::layout::{self, Layout, SplitFolders};
use crate::source::open;
use inspect::{ImageInfo, Inspected, inspect};
use simhash::SimHash;
use sizes::NamedSize;

/// Checks the data set that `config` describes, with the splits of a run with this seed.
///
/// Problems of the data are in the report, even if no run could start.
///
/// # Errors
/// [`Error`] if there is nothing to check: the path does not exist, is not a zip archive, or a setting is invalid.
///
/// ```
/// use enas_data::{Config, check};
///
/// # fn main() -> Result<(), enas_data::Error> {
/// let report = check::check_dataset(&Config::default(), enas_rng::Seed::new(1))?;
/// assert!(report.can_start);
/// assert_eq!((report.files, report.usable, report.classes.len()), (1797, 1797, 10));
/// # Ok(())
/// # }
/// ```
pub fn check_dataset(config: &Config, seed: Seed) -> Result<Report, Error> {
    check_revised(config, seed, |_| None)
}

/// [`check_dataset`] with the settings that `revise` derives from a first report; the images are decoded once.
///
/// A run may choose its shares of validation and test images, or the size of its input, from the images. The report
/// then has the splits and the findings of these settings. `revise` is called only if a run can start, and `None` keeps
/// the first report. Its path must be that of `config`, by whose channels and white levels the images are decoded.
///
/// # Errors
/// As [`check_dataset`].
pub fn check_revised(
    config: &Config,
    seed: Seed,
    revise: impl FnOnce(&Report) -> Option<Config>,
) -> Result<Report, Error> {
    check_with(config, seed, None, revise)
}

/// [`check_revised`], which also keeps large images as the network input of `prepared`. [`crate::load`] then need not
/// decode them again.
///
/// # Errors
/// As [`check_dataset`].
pub fn check_and_prepare(
    config: &Config,
    seed: Seed,
    prepared: &mut PreparedImages,
    revise: impl FnOnce(&Report) -> Option<Config>,
) -> Result<Report, Error> {
    check_with(config, seed, Some(prepared), revise)
}

fn check_with(
    config: &Config,
    seed: Seed,
    prepared: Option<&mut PreparedImages>,
    revise: impl FnOnce(&Report) -> Option<Config>,
) -> Result<Report, Error> {
    config.check()?;
    let source = open(&config.path, &[])?;
    let read = layout::read(&source).and_then(|layout| {
        checks::class_count(&source, &layout)?;
        Ok(layout)
    });
    let layout = match read {
        Ok(layout) => layout,
        // Without a layout, everything else would be a consequence of this error.
        Err(error) => return Ok(Report::refused(&source, refusal(&error))),
    };
    let named = names::findings(&source, &layout);
    let mut inspected = InspectedDataset::inspect_all(&source, layout, config, prepared);
    let undivided = inspected.items.clone();
    let report = inspected.report(config, seed, &named);
    let revised = if report.can_start { revise(&report) } else { None };
    let Some(config) = revised else { return Ok(report) };
    config.check()?;
    inspected.items = undivided;
    Ok(inspected.report(&config, seed, &named))
}

/// The finding for a reason why no run can start.
fn refusal(error: &Error) -> Finding {
    Finding {
        severity: Severity::Error,
        kind: FindingKind::Layout,
        summary: error.to_string(),
        consequence: "no run can start".into(),
        cases: Vec::new(),
    }
}

/// The examined images of a data set.
struct InspectedDataset<'a> {
    source: &'a Source,
    classes: Vec<String>,
    drawn: &'static [Part],
    splits: SplitFolders,
    /// Usable images by name, with their properties.
    items: Vec<Item>,
    hashes: Vec<[u8; 32]>,
    infos: Vec<ImageInfo>,
    /// Unusable images, with the reasons.
    unusable: Vec<Item>,
    skipped: Vec<Skipped>,
}

impl<'a> InspectedDataset<'a> {
    /// Examines all files in parallel; the result is in the order of the names. Large images are kept in `prepared`.
    fn inspect_all(
        source: &'a Source,
        layout: Layout,
        config: &Config,
        mut prepared: Option<&mut PreparedImages>,
    ) -> Self {
        let Layout { classes, items, drawn, splits, .. } = layout;
        let keep = prepared.as_deref();
        let examine = |(n, item): (usize, &Item)| {
            let keep = keep.filter(|keep| keep.has_room_after(n));
            inspect(source, item.file, config.channels, config.input().white, keep)
        };
        let examined: Vec<Inspected> = items.par_iter().enumerate().map(examine).collect();
        let mut inspected = Self {
            source,
            classes,
            drawn,
            splits,
            items: Vec::new(),
            hashes: Vec::new(),
            infos: Vec::new(),
            unusable: Vec::new(),
            skipped: Vec::new(),
        };
        for (item, Inspected { sha256, info, prepared: image }) in items.into_iter().zip(examined) {
            if let (Some(prepared), Some(image)) = (&mut prepared, image) {
                prepared.insert(sha256, image);
            }
            match info {
                Ok(info) => {
                    inspected.items.push(item);
                    inspected.hashes.push(sha256);
                    inspected.infos.push(info);
                }
                Err(reason) => {
                    let path = source.files[item.file].clone();
                    inspected.skipped.push(Skipped { path, reason: reason.to_string() });
                    inspected.unusable.push(item);
                }
            }
        }
        inspected
    }

    /// Splits the images as a run with these settings would, and reports on the result. `named` are the findings from
    /// names.
    fn report(&mut self, config: &Config, seed: Seed, named: &[Finding]) -> Report {
        let stopping = self.divide(config, seed);
        let mut findings = [named, &stopping, &self.findings(config)].concat();
        if !stopping.is_empty() {
            // Classes and images that a split lacks are a consequence of the error.
            findings.retain(|finding| {
                !matches!(finding.kind, FindingKind::MissingClass | FindingKind::SmallSplit)
            });
        }
        let sizes = Sizes::of(&self.infos.iter().map(|l| (l.width, l.height)).collect::<Vec<_>>());
        if let Some(sizes) = &sizes {
            let sized: Vec<NamedSize<'_>> = self
                .named()
                .map(|(name, info)| NamedSize { name, width: info.width, height: info.height })
                .collect();
            findings.extend(sizes::findings(config, sizes, &sized));
        }
        findings.sort_by_key(|finding| (finding.severity, finding.kind));
        Report {
            path: self.source.path.display().to_string(),
            can_start: findings.iter().all(|finding| finding.severity != Severity::Error),
            files: self.items.len() + self.unusable.len(),
            usable: self.items.len(),
            coloured: self.infos.iter().filter(|info| info.coloured).count(),
            drawn: self.drawn.to_vec(),
            classes: class_balance::counts(&self.classes, &self.items),
            sizes,
            findings,
        }
    }

    /// Splits the images as a run would; returns the findings that would stop a run.
    fn divide(&mut self, config: &Config, seed: Seed) -> Vec<Finding> {
        let learnable =
            checks::classes_can_be_learnt(self.source, &self.splits, &self.classes, self.readability());
        let contents: Vec<u64> = self.hashes.iter().map(content_of).collect();
        assign_splits(&mut self.items, &contents, self.classes.len(), self.drawn, config.fractions(), seed);
        let checked =
            learnable.and_then(|()| checks::parts(self.source, &self.splits, self.drawn, self.readability()));
        checked.err().map(|error| refusal(&error)).into_iter().collect()
    }

    fn readability(&self) -> Readability<'_> {
        Readability { items: &self.items, unusable: &self.unusable, skipped: &self.skipped }
    }

    /// Name and properties of every usable image.
    fn named(&self) -> impl Iterator<Item = (&str, &ImageInfo)> {
        self.items.iter().map(|item| self.source.files[item.file].as_str()).zip(&self.infos)
    }

    fn findings(&self, config: &Config) -> Vec<Finding> {
        let mut findings: Vec<Finding> = properties::unreadable(config, &self.skipped).into_iter().collect();
        let properties: Vec<_> = self.named().map(|(name, info)| (name, info.properties)).collect();
        let max_samples = self
            .infos
            .iter()
            .fold(MaxSamples::default(), |max_samples, info| max_samples.with(info.max_samples));
        let white = config.input().white.resolved(max_samples);
        findings.extend(properties::findings(config, &properties, white));
        let deep = self.named().map(|(name, info)| (name, info.max_samples));
        findings.extend(checks::few_levels(deep, white));

        let names = ImageNames { files: &self.source.files, classes: &self.classes, items: &self.items };
        let exact_duplicates = duplicates::exact_duplicates(self.hashes.iter().copied());
        let simhashes: Vec<&SimHash> = self.infos.iter().map(|info| &info.simhash).collect();
        let near_duplicates = near_duplicates::near_duplicates(&simhashes, &exact_duplicates);
        findings.extend(duplicates::findings(names, &exact_duplicates, true));
        findings.extend(duplicates::findings(names, &near_duplicates, false));

        let counts = class_balance::counts(&self.classes, &self.items);
        findings.extend(class_balance::imbalance(&counts, config.sampling));
        findings.extend(classes::scarcity(&self.classes, &self.items, &counts));
        findings.extend(classes::small_splits(&counts));
        findings
    }
}
