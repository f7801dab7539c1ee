//! The data check: examines every file of a data set before training, and reports problems and what the program will
//! do about them.
//!
//! [`check`] decodes every image once, in parallel, and keeps some hundred bytes of each: a SHA-256 digest, a small
//! copy and a SimHash. Problems that loading itself notices, from digests it computes anyway, are in
//! [`crate::Dataset::concerns`].

mod classes;
mod duplicates;
mod header;
mod inspect;
mod likeness;
mod names;
mod report;
mod sizes;
mod traits;

use enas_rng::Seed;
use rayon::prelude::*;

pub use self::report::{Case, ClassCount, Finding, Kind, Report, Severity};
pub use self::sizes::{SizeCount, Sizes};
use crate::checks::{self, Sorted};
use crate::config::{Config, Sampling};
use crate::dataset::Skipped;
use crate::error::Error;
use crate::layout::{self, Item, Layout, Part, Splits};
use crate::load::{divide, open};
use crate::source::Source;
use crate::white::Peaks;
use duplicates::Names;
use inspect::{Inspected, Looks, inspect};
use likeness::Likeness;

/// Checks the data set that `config` describes, with the splits of a run with this seed.
///
/// Problems of the data are in the report, even if no run could start.
///
/// # Errors
/// [`Error`] if there is nothing to check: the path does not exist, is not a zip archive, or a setting is invalid.
///
/// ```
/// use enas_data::{Config, doctor};
///
/// # fn main() -> Result<(), enas_data::Error> {
/// let report = doctor::check(&Config::default(), enas_rng::Seed::new(1))?;
/// assert!(report.can_start);
/// assert_eq!((report.files, report.usable, report.classes.len()), (1797, 1797, 10));
/// # Ok(())
/// # }
/// ```
pub fn check(config: &Config, seed: Seed) -> Result<Report, Error> {
    check_revised(config, seed, |_| None)
}

/// [`check`] with the settings that `revise` derives from a first report; the images are decoded once.
///
/// A run may choose its shares of validation and test images, or the size of its input, from the images. The report
/// then has the splits and the findings of these settings. `revise` is called only if a run can start, and `None` keeps
/// the first report. Its path must be that of `config`, by whose channels and white levels the images are decoded.
///
/// # Errors
/// As [`check`].
pub fn check_revised(
    config: &Config,
    seed: Seed,
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
    let mut patient = Patient::examine(&source, layout, config);
    let undivided = patient.items.clone();
    let report = patient.report(config, seed, &named);
    let revised = if report.can_start { revise(&report) } else { None };
    let Some(config) = revised else { return Ok(report) };
    config.check()?;
    patient.items = undivided;
    Ok(patient.report(&config, seed, &named))
}

/// Problems that loading notices; `hashes` are the SHA-256 digests of all files by index.
pub(crate) fn concerns(
    files: &[String],
    classes: &[String],
    items: &[Item],
    hashes: &[[u8; 32]],
) -> Vec<Finding> {
    let groups = duplicates::exact(items.iter().map(|item| hashes[item.file]));
    let mut findings = duplicates::findings(Names { files, classes, items }, &groups, true);
    findings.retain(|finding| finding.severity == Severity::Warning);
    findings.extend(classes::imbalance(&classes::counts(classes, items), Sampling::default()));
    findings
}

/// The finding for a reason why no run can start.
fn refusal(error: &Error) -> Finding {
    Finding {
        severity: Severity::Error,
        kind: Kind::Layout,
        summary: error.to_string(),
        consequence: "no run can start".into(),
        cases: Vec::new(),
    }
}

/// The examined images of a data set.
struct Patient<'a> {
    source: &'a Source,
    classes: Vec<String>,
    drawn: &'static [Part],
    splits: Splits,
    /// Usable images by name, with their properties.
    items: Vec<Item>,
    hashes: Vec<[u8; 32]>,
    looks: Vec<Looks>,
    /// Unusable images, with the reasons.
    lost: Vec<Item>,
    skipped: Vec<Skipped>,
}

impl<'a> Patient<'a> {
    /// Examines all files in parallel; the result is in the order of the names.
    fn examine(source: &'a Source, layout: Layout, config: &Config) -> Self {
        let Layout { classes, items, drawn, splits, .. } = layout;
        let examined: Vec<Inspected> = items
            .par_iter()
            .map(|item| inspect(source, item.file, config.channels, config.input().white))
            .collect();
        let mut patient = Self {
            source,
            classes,
            drawn,
            splits,
            items: Vec::new(),
            hashes: Vec::new(),
            looks: Vec::new(),
            lost: Vec::new(),
            skipped: Vec::new(),
        };
        for (item, Inspected { sha256, looks }) in items.into_iter().zip(examined) {
            match looks {
                Ok(looks) => {
                    patient.items.push(item);
                    patient.hashes.push(sha256);
                    patient.looks.push(looks);
                }
                Err(reason) => {
                    let path = source.files[item.file].clone();
                    patient.skipped.push(Skipped { path, reason: reason.to_string() });
                    patient.lost.push(item);
                }
            }
        }
        patient
    }

    /// Splits the images as a run with these settings would, and reports on the result. `named` are the findings from
    /// names.
    fn report(&mut self, config: &Config, seed: Seed, named: &[Finding]) -> Report {
        let stopping = self.divide(config, seed);
        let mut findings = [named, &stopping, &self.findings(config)].concat();
        if !stopping.is_empty() {
            // Classes and images that a split lacks are a consequence of the error.
            findings.retain(|finding| !matches!(finding.kind, Kind::MissingClass | Kind::SmallSplit));
        }
        let sizes = Sizes::of(&self.looks.iter().map(|l| (l.width, l.height)).collect::<Vec<_>>());
        if let Some(sizes) = &sizes {
            let sized: Vec<_> = self.named().map(|(name, l)| (name, l.width, l.height)).collect();
            findings.extend(sizes::findings(config, sizes, &sized));
        }
        findings.sort_by_key(|finding| (finding.severity, finding.kind));
        Report {
            path: self.source.path.display().to_string(),
            can_start: findings.iter().all(|finding| finding.severity != Severity::Error),
            files: self.items.len() + self.lost.len(),
            usable: self.items.len(),
            coloured: self.looks.iter().filter(|looks| looks.coloured).count(),
            drawn: self.drawn.to_vec(),
            classes: classes::counts(&self.classes, &self.items),
            sizes,
            findings,
        }
    }

    /// Splits the images as a run would; returns the findings that would stop a run.
    fn divide(&mut self, config: &Config, seed: Seed) -> Vec<Finding> {
        let learnable =
            checks::classes_can_be_learnt(self.source, &self.splits, &self.classes, self.sorted());
        divide(&mut self.items, self.classes.len(), self.drawn, config, seed);
        let checked =
            learnable.and_then(|()| checks::parts(self.source, &self.splits, self.drawn, self.sorted()));
        checked.err().map(|error| refusal(&error)).into_iter().collect()
    }

    fn sorted(&self) -> Sorted<'_> {
        Sorted { items: &self.items, lost: &self.lost, skipped: &self.skipped }
    }

    /// Name and properties of every usable image.
    fn named(&self) -> impl Iterator<Item = (&str, &Looks)> {
        self.items.iter().map(|item| self.source.files[item.file].as_str()).zip(&self.looks)
    }

    fn findings(&self, config: &Config) -> Vec<Finding> {
        let mut findings: Vec<Finding> = traits::unreadable(config, &self.skipped).into_iter().collect();
        let traits: Vec<_> = self.named().map(|(name, looks)| (name, looks.traits)).collect();
        let peaks = self.looks.iter().fold(Peaks::default(), |peaks, looks| peaks.with(looks.peaks));
        findings.extend(traits::findings(config, &traits, config.input().white.resolved(peaks)));

        let names = Names { files: &self.source.files, classes: &self.classes, items: &self.items };
        let exact = duplicates::exact(self.hashes.iter().copied());
        let likenesses: Vec<&Likeness> = self.looks.iter().map(|looks| &looks.likeness).collect();
        let near = duplicates::near(&likenesses, &exact);
        findings.extend(duplicates::findings(names, &exact, true));
        findings.extend(duplicates::findings(names, &near, false));

        let counts = classes::counts(&self.classes, &self.items);
        findings.extend(classes::imbalance(&counts, config.sampling));
        findings.extend(classes::scarcity(&self.classes, &self.items, &counts));
        findings.extend(classes::small_splits(&counts));
        findings
    }
}
