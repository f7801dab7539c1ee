//! `cargo xtask fetch-data`: a public data set as folders of PNG files, from the network, from archives on
//! disk, or from an operating system's package.
//!
//! Reading a format, checking, downloading and writing files each have their own module; this one decides
//! where a data set comes from.

mod capped;
mod cifar;
mod digest;
mod download;
pub(crate) mod fashion_small;
mod idx;
mod install;
mod local;
mod pickle;
mod pictures;
mod sources;
mod unpack;
mod zips;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use enas_data::{DIGITS, FASHION_SMALL};
use indicatif::{ProgressBar, ProgressStyle};

use install::Manifest;
use pictures::Parts;
use sources::{CIFAR10, DataSet, FASHION_MNIST, Format, MNIST, Original};

/// Download a public data set, or take it from archives on disk, and unpack it to folders of PNG files.
///
/// The result is DEST/NAME/{train,valid,test}/CLASS/NNNNN.png, complete or absent. Interrupted downloads go
/// on where they stopped. A data set that is already there is left alone.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which data set
    name: Name,
    /// Take the archives from this folder instead of the network: the original *-ubyte.gz or *-ubyte files,
    /// cifar-10-binary.tar.gz or cifar-10-python.tar.gz (or such an archive itself, whatever it is called), or
    /// train.zip, valid.zip and test.zip whose top level is the class folders
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// Folder that will hold the data set's folder
    #[arg(long, value_name = "DIR", default_value = "data")]
    dest: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// 8×8 handwritten digits that come with the program
    Digits,
    /// 28×28 handwritten digits
    Mnist,
    /// 28×28 articles of clothing
    FashionMnist,
    /// 6,000 of these that come with the program
    FashionSmall,
    /// 32×32 colour pictures of ten kinds of things
    Cifar10,
}

/// Carries the command out and says what was done.
pub(crate) fn run(args: &Args) -> Result<()> {
    let message = match args.name {
        Name::Digits | Name::FashionSmall if args.from.is_some() => {
            bail!("these images are built in: leave --from out")
        }
        Name::Digits => fetch_digits(&args.dest),
        Name::FashionSmall => {
            write_built_in(FASHION_SMALL, enas_data::fashion_small::write_png_tree, &args.dest)
        }
        Name::Mnist => fetch(&MNIST, args.from.as_deref(), &args.dest),
        Name::FashionMnist => fetch(&FASHION_MNIST, args.from.as_deref(), &args.dest),
        Name::Cifar10 => fetch(&CIFAR10, args.from.as_deref(), &args.dest),
    }?;
    println!("{message}");
    Ok(())
}

/// Makes sure that `dest` holds the built-in digits; their folder.
pub(crate) fn digits(dest: &Path) -> Result<PathBuf> {
    fetch_digits(dest)?;
    Ok(dest.join(DIGITS))
}

/// Makes sure that `dest` holds the built-in digits; what to tell the user.
fn fetch_digits(dest: &Path) -> Result<String> {
    write_built_in(DIGITS, enas_data::digits::write_png_tree, dest)
}

/// Makes sure that `dest` holds the built-in images that `write_png_tree` writes; what to tell the user.
fn write_built_in(
    name: &str,
    write_png_tree: fn(&Path) -> Result<usize, enas_data::Error>,
    dest: &Path,
) -> Result<String> {
    provide(&dest.join(name), |staging| {
        write_png_tree(staging)?;
        let pictures = install::count(staging)?;
        Ok(Manifest { data_set: name.into(), source: "built in".into(), published: true, pictures })
    })
}

/// Makes sure that `dest` holds `set`; what to tell the user.
fn fetch(set: &DataSet, from: Option<&Path>, dest: &Path) -> Result<String> {
    let downloads = dest.join(".downloads").join(set.name);
    let message = provide(&dest.join(set.name), |staging| {
        let (files, source) = match find_local(set, from)? {
            Some(local) => local,
            None => (download(set, &downloads)?, set.mirrors[0].to_owned()),
        };
        unpack(set, &files, &source, staging)
    })?;
    if downloads.exists() {
        fs::remove_dir_all(&downloads).with_context(|| format!("cannot delete {}", downloads.display()))?;
    }
    Ok(message)
}

/// Makes sure that `target` is a complete data set, by `fill` if it is not there; what to tell the user.
fn provide(target: &Path, fill: impl FnOnce(&Path) -> Result<Manifest>) -> Result<String> {
    let _lock = install::lock(target)?;
    if let Some(manifest) = install::installed(target)? {
        return Ok(format!("{} is already complete: {}", target.display(), describe(&manifest)));
    }
    let manifest = install::install(target, fill)?;
    Ok(format!("{} is complete: {}", target.display(), describe(&manifest)))
}

fn describe(manifest: &Manifest) -> String {
    let n = manifest.pictures;
    let origin = if manifest.published { "the published data set" } else { "from your own files" };
    format!("{} training, {} validation and {} test pictures, {origin}", n.train, n.valid, n.test)
}

/// The files that a data set is made of, on disk.
enum Files {
    /// In the order of [`Format::Idx`].
    Idx([PathBuf; 4]),
    /// One archive.
    Cifar(PathBuf, cifar::Form),
    /// Class folders in zip archives.
    Zips([PathBuf; 3]),
}

/// The files of `set` on disk and where they are: in the folder that the user names, else in a package's.
fn find_local(set: &DataSet, from: Option<&Path>) -> Result<Option<(Files, String)>> {
    let found = |files, folder: &Path| (files, folder.display().to_string());
    if let Some(folder) = from {
        return Ok(Some(found(local::find(set, folder)?, folder)));
    }
    let installed = set.installed.map(Path::new);
    Ok(installed.and_then(|folder| Some(found(local::find(set, folder).ok()?, folder))))
}

/// Downloads what `set` is made of to `folder`.
fn download(set: &DataSet, folder: &Path) -> Result<Files> {
    let get = |original: Original| {
        let bar = progress(original.name, "{bytes}/{total_bytes} {bytes_per_sec} {eta}");
        let path = download::from_mirrors(set.mirrors, original.name, original.sha256, folder, &bar);
        bar.finish_and_clear();
        path
    };
    match set.format {
        Format::Idx([a, b, c, d]) => Ok(Files::Idx([get(a)?, get(b)?, get(c)?, get(d)?])),
        Format::Cifar10 { binary, .. } => Ok(Files::Cifar(get(binary)?, cifar::Form::Binary)),
    }
}

/// Makes the folders of `set` below `staging`.
fn unpack(set: &DataSet, files: &Files, source: &str, staging: &Path) -> Result<Manifest> {
    let bar = progress(set.name, "{pos}/{len} pictures {eta}");
    let (pictures, published) = match files {
        Files::Zips(archives) => (zips::unpack(archives, staging, &bar)?, false),
        _ => {
            let (parts, published) = read(set, files)?;
            (unpack::write_tree(&parts, &set.classes, set.train_per_valid, staging, &bar)?, published)
        }
    };
    bar.finish_and_clear();
    if !published {
        eprintln!(
            "warning: {source}: not the published files of {} by their SHA-256; taken as they are",
            set.name
        );
    }
    Ok(Manifest { data_set: set.name.into(), source: source.into(), published, pictures })
}

/// The pictures in `files`, and whether they are the published ones.
fn read(set: &DataSet, files: &Files) -> Result<(Parts, bool)> {
    match (files, set.format) {
        (Files::Idx(paths), Format::Idx(originals)) => read_idx(paths, &originals),
        (Files::Cifar(path, form), Format::Cifar10 { binary, python }) => {
            let original = if *form == cifar::Form::Binary { binary } else { python };
            let published = digest::of_file(path)? == original.sha256;
            Ok((cifar::read_archive(path, *form)?, published))
        }
        _ => unreachable!("local::find and download give files of the set's own format"),
    }
}

fn read_idx(paths: &[PathBuf; 4], originals: &[Original; 4]) -> Result<(Parts, bool)> {
    let mut published = true;
    let mut part = |images: usize| {
        let (pixels, labels) = (idx::read_file(&paths[images], 3)?, idx::read_file(&paths[images + 1], 1)?);
        published &= originals[images].payload_sha256 == Some(&*pixels.sha256)
            && originals[images + 1].payload_sha256 == Some(&*labels.sha256);
        let name = |i: usize| paths[i].display().to_string();
        idx::pair(pixels, labels, &name(images), &name(images + 1))
    };
    let parts = Parts { train: part(0)?, test: part(2)? };
    if (parts.train.height, parts.train.width) != (parts.test.height, parts.test.width) {
        bail!("{} and {} hold pictures of different sizes", paths[0].display(), paths[2].display());
    }
    Ok((parts, published))
}

/// A progress bar on standard error, invisible where that is no terminal.
fn progress(what: &str, numbers: &str) -> ProgressBar {
    let template = format!("{{msg}} [{{bar:30}}] {numbers}");
    let style = ProgressStyle::with_template(&template).expect("the template is one of two in this file");
    ProgressBar::new(0).with_style(style).with_message(what.to_owned())
}

#[cfg(test)]
mod tests;
