//! `cargo xtask fashion-small`: draws the built-in subset of Fashion-MNIST again from the published files.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use enas_data::Seed;
use enas_data::fashion_small::{self, PER_CLASS, SIDE, STORED};
use enas_data::lossless;
use enas_datasets::formats::RawImages;
use enas_datasets::{DataSet, read_published_images};

use crate::fetch::Bars;
use crate::repo;

/// Draw the built-in data set fashion-small from the published files of Fashion-MNIST, and compare.
///
/// The files are taken from the Debian package dataset-fashion-mnist where it is installed, else downloaded.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take the published files, original *-ubyte.gz or *-ubyte, from this folder
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Replace the file in the repository instead of comparing
    #[arg(long)]
    write: bool,
}

/// The path of the images in the repository.
const PLACE: &str = "data/zalando-fashion/fashion-small.bin";

/// Draws the images and compares them with the built-in ones, or replaces those.
pub(crate) fn run(args: &Args) -> Result<()> {
    let parts = read_published_images(DataSet::FashionMnist, args.from.as_deref(), &Bars::default())?;
    let pixels = pixels(&parts.train)?;
    let bytes = lossless::encode(&pixels, SIDE);
    if args.write {
        let path = repo::root().join(PLACE);
        fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{PLACE} is written: {} images, {} bytes", 10 * PER_CLASS, bytes.len());
        return Ok(());
    }
    compare(&pixels, &bytes)?;
    println!("fashion-small: {PLACE} is what the published files give, byte by byte");
    Ok(())
}

/// Compares images and encoded bytes with the built-in ones.
///
/// # Errors
/// If they differ.
fn compare(pixels: &[u8], bytes: &[u8]) -> Result<()> {
    if fashion_small::pixels() != pixels {
        bail!("fashion-small: the built-in images are others; --write replaces {PLACE}");
    }
    if bytes != STORED {
        bail!("fashion-small: the images are the same, but stored otherwise; --write replaces {PLACE}");
    }
    Ok(())
}

/// The indices of the drawn images, class by class: the first [`PER_CLASS`] of a random permutation of each class.
fn draw(labels: &[u8]) -> Result<Vec<usize>> {
    let mut drawn = Vec::new();
    for class in 0..10u8 {
        let mut members: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).collect();
        ensure!(members.len() >= PER_CLASS, "class {class} has {} images only", members.len());
        Seed::new(0).stream("fashion-small", &[class.into()]).shuffle(&mut members);
        drawn.extend(&members[..PER_CLASS]);
    }
    Ok(drawn)
}

/// The pixels of the drawn images, `[n, SIDE, SIDE]`.
fn pixels(images: &RawImages) -> Result<Vec<u8>> {
    ensure!((images.height, images.width) == (SIDE, SIDE), "the images have {} rows", images.height);
    let size = SIDE * SIDE;
    let of = |image: usize| &images.pixels[image * size..][..size];
    Ok(draw(&images.labels)?.into_iter().flat_map(of).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_gives_as_many_and_none_twice() {
        let labels: Vec<u8> = (0..7000).map(|i| (i * 7 % 10) as u8).collect();
        let drawn = draw(&labels).unwrap();
        for (class, members) in drawn.chunks_exact(PER_CLASS).enumerate() {
            assert!(members.iter().all(|&i| usize::from(labels[i]) == class));
            let mut sorted = members.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), PER_CLASS);
            assert_ne!(sorted, members, "not simply the first ones");
        }
        assert_eq!(drawn.len(), 10 * PER_CLASS);
        assert!(draw(&labels[..5990]).unwrap_err().to_string().contains("has 599 images only"));
    }

    #[test]
    fn the_drawn_images_are_stored_in_their_order_and_differences_are_told_apart() {
        let mut all: Vec<u8> = (0..6000 * SIDE * SIDE).map(|i| (i / (SIDE * SIDE) % 251) as u8).collect();
        let labels: Vec<u8> = (0..6000).map(|i| (i % 10) as u8).collect();
        let images = RawImages { channels: 1, height: SIDE, width: SIDE, pixels: all.clone(), labels };
        let drawn = draw(&images.labels).unwrap();
        let pixels = pixels(&images).unwrap();
        assert!((0..6000).all(|i| usize::from(pixels[i * SIDE * SIDE]) == drawn[i] % 251));
        all.truncate(1);
        let error = compare(&all, STORED).unwrap_err().to_string();
        assert!(error.contains("the built-in images are others"), "{error}");
        assert!(compare(fashion_small::pixels(), STORED).is_ok());
        let error = compare(fashion_small::pixels(), &STORED[1..]).unwrap_err().to_string();
        assert!(error.contains("stored otherwise"), "{error}");
        assert_eq!(lossless::encode(fashion_small::pixels(), SIDE), STORED);
    }
}
