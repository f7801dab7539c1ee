//! Provision of a data set: built in, from archives on disk, from a package of the operating system, or from the
//! network.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use enas_data::visible;

use crate::data_set::DataSet;
use crate::error::Error;
use crate::images::TrainTest;
use crate::install::{ImageCounts, Manifest};
use crate::local::SourceFiles;
use crate::progress::{Progress, Unit};
use crate::sources::{DataSetSource, Format, PublishedFile};
use crate::{cifar, digest, download, idx, install, local, png_tree, zips};

/// A data set that is to be provided as a folder.
#[derive(Clone, Debug)]
pub struct Fetch {
    data_set: DataSet,
    dest: PathBuf,
    from: Option<PathBuf>,
}

/// A complete data set on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// Its folder, `DEST/NAME`.
    pub folder: PathBuf,
    /// Number of images in each split.
    pub images: ImageCounts,
    /// Whether they are the published ones, by checksum.
    pub published: bool,
    /// Whether it existed before.
    pub was_there: bool,
}

impl Fetch {
    /// The data set as a folder with its name in `dest`.
    pub fn new(data_set: DataSet, dest: impl Into<PathBuf>) -> Self {
        Self { data_set, dest: dest.into(), from: None }
    }

    /// Uses the archives in this folder, or this archive, instead of the network.
    #[must_use]
    pub fn from(mut self, from: Option<PathBuf>) -> Self {
        self.from = from;
        self
    }

    /// Provides the folder. A complete data set that exists is left unchanged.
    ///
    /// Archives are taken from [`from`](Self::from) if given, then from a package of the operating system, then from
    /// the network. An interrupted download is resumed.
    ///
    /// # Errors
    /// If `from` is given for a built-in data set or lacks archives; if archives are damaged; if a download fails; if
    /// the folder cannot be written or holds something else. The folder is then absent or unchanged.
    pub fn run(&self, progress: &dyn Progress) -> Result<Fetched, Error> {
        let from = self.from.as_deref();
        let fetched = match self.data_set.published() {
            Some(set) => fetch(set, from, &self.dest, progress),
            None if from.is_some() => Err(anyhow!("these images are built in: leave --from out")),
            None => write_built_in(self.data_set, &self.dest),
        };
        Ok(fetched?)
    }
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let already = if self.was_there { " already" } else { "" };
        let ImageCounts { train, valid, test } = self.images;
        let origin = if self.published { "the published data set" } else { "from your own files" };
        write!(
            f,
            "{} is{already} complete: {train} training, {valid} validation and {test} test images, {origin}",
            visible(&self.folder)
        )
    }
}

/// The original images of a data set in memory, in the order of the original files.
///
/// The files come from `from`, a package of the operating system, or a download to a temporary folder.
///
/// # Errors
/// If the data set is built in, or the files cannot be obtained or are not the published ones by their SHA-256.
pub fn read_published_images(
    data_set: DataSet,
    from: Option<&Path>,
    progress: &dyn Progress,
) -> Result<TrainTest, Error> {
    let set = data_set.published().with_context(|| format!("{} is built in", data_set.name()))?;
    Ok(read_published(set, from, progress)?)
}

fn read_published(set: &DataSetSource, from: Option<&Path>, progress: &dyn Progress) -> Result<TrainTest> {
    let downloads = tempfile::tempdir().context("cannot create a temporary folder")?;
    let (files, source) = match find_local(set, from)? {
        Some(local) => local,
        None => (download(set, downloads.path(), progress)?, set.mirrors[0].to_owned()),
    };
    if matches!(files, SourceFiles::Zips(_)) {
        bail!("{source}: the original files are needed, these are different");
    }
    let (parts, published) = read(set, &files)?;
    if !published {
        bail!("{source}: not the published files of {} by their SHA-256", set.name);
    }
    Ok(parts)
}

/// Provides the built-in images in `dest`.
fn write_built_in(data_set: DataSet, dest: &Path) -> Result<Fetched> {
    let write_png_tree = match data_set {
        DataSet::FashionSmall => enas_data::fashion_small::write_png_tree,
        _ => enas_data::digits::write_png_tree,
    };
    provide(&dest.join(data_set.name()), |staging| {
        write_png_tree(staging)?;
        let images = install::count(staging)?;
        Ok(Manifest { data_set: data_set.name().into(), source: "built in".into(), published: true, images })
    })
}

/// Provides `set` in `dest`.
fn fetch(set: &DataSetSource, from: Option<&Path>, dest: &Path, progress: &dyn Progress) -> Result<Fetched> {
    let downloads = dest.join(".downloads").join(set.name);
    let fetched = provide(&dest.join(set.name), |staging| {
        let (files, source) = match find_local(set, from)? {
            Some(local) => local,
            None => (download(set, &downloads, progress)?, set.mirrors[0].to_owned()),
        };
        unpack(set, &files, &source, staging, progress)
    })?;
    if downloads.exists() {
        fs::remove_dir_all(&downloads).with_context(|| format!("cannot delete {}", visible(&downloads)))?;
    }
    Ok(fetched)
}

/// Provides a complete data set at `target`, by `fill` if it does not exist.
fn provide(target: &Path, fill: impl FnOnce(&Path) -> Result<Manifest>) -> Result<Fetched> {
    let _lock = install::lock(target)?;
    let installed = install::installed(target)?;
    let was_there = installed.is_some();
    let manifest = match installed {
        Some(manifest) => manifest,
        None => install::install(target, fill)?,
    };
    let Manifest { images, published, .. } = manifest;
    Ok(Fetched { folder: target.to_owned(), images, published, was_there })
}

/// The files of `set` on disk and their place: the folder that the user names, or that of a package.
fn find_local(set: &DataSetSource, from: Option<&Path>) -> Result<Option<(SourceFiles, String)>> {
    let found = |files, folder: &Path| (files, visible(&folder).into_owned());
    if let Some(folder) = from {
        return Ok(Some(found(local::find(set, folder)?, folder)));
    }
    let installed = set.installed.map(Path::new);
    Ok(installed.and_then(|folder| Some(found(local::find(set, folder).ok()?, folder))))
}

/// Downloads the files of `set` to `folder`.
fn download(set: &DataSetSource, folder: &Path, progress: &dyn Progress) -> Result<SourceFiles> {
    let get = |original: PublishedFile| {
        progress.begin(original.name, Unit::Bytes);
        let path = download::from_mirrors(set.mirrors, original.name, original.sha256, folder, progress);
        progress.end();
        path
    };
    match set.format {
        Format::Idx([a, b, c, d]) => Ok(SourceFiles::Idx([get(a)?, get(b)?, get(c)?, get(d)?])),
        Format::Cifar10 { binary, .. } => Ok(SourceFiles::Cifar(get(binary)?, cifar::CifarFormat::Binary)),
    }
}

/// Writes the class folders of `set` below `staging`.
fn unpack(
    set: &DataSetSource,
    files: &SourceFiles,
    source: &str,
    staging: &Path,
    progress: &dyn Progress,
) -> Result<Manifest> {
    progress.begin(set.name, Unit::Images);
    let (images, published) = match files {
        SourceFiles::Zips(archives) => (zips::unpack(archives, staging, progress)?, false),
        _ => {
            let (parts, published) = read(set, files)?;
            (png_tree::write_tree(&parts, &set.classes, set.train_per_valid, staging, progress)?, published)
        }
    };
    progress.end();
    if !published {
        progress.warn(&format!(
            "{source}: not the published files of {} by their SHA-256; taken as they are",
            set.name
        ));
    }
    Ok(Manifest { data_set: set.name.into(), source: source.into(), published, images })
}

/// The images in `files`, and whether they are the published ones.
fn read(set: &DataSetSource, files: &SourceFiles) -> Result<(TrainTest, bool)> {
    match (files, set.format) {
        (SourceFiles::Idx(paths), Format::Idx(originals)) => read_idx(paths, &originals),
        (SourceFiles::Cifar(path, form), Format::Cifar10 { binary, python }) => {
            let original = if *form == cifar::CifarFormat::Binary { binary } else { python };
            let published = digest::of_file(path)? == original.sha256;
            Ok((cifar::read_archive(path, *form)?, published))
        }
        _ => unreachable!("local::find and download give files of the set's own format"),
    }
}

fn read_idx(paths: &[PathBuf; 4], originals: &[PublishedFile; 4]) -> Result<(TrainTest, bool)> {
    let mut published = true;
    let mut part = |images: usize| {
        let pixels = idx::read_file(&paths[images], 3)?;
        let labels = idx::read_file(&paths[images + 1], 1)?;
        published &= originals[images].payload_sha256 == Some(&*pixels.sha256)
            && originals[images + 1].payload_sha256 == Some(&*labels.sha256);
        let name = |i: usize| visible(&paths[i]).into_owned();
        idx::pair(pixels, labels, &name(images), &name(images + 1))
    };
    let parts = TrainTest { train: part(0)?, test: part(2)? };
    if (parts.train.height, parts.train.width) != (parts.test.height, parts.test.width) {
        bail!("{} and {} hold images of different sizes", visible(&paths[0]), visible(&paths[2]));
    }
    Ok((parts, published))
}

#[cfg(test)]
mod tests;
