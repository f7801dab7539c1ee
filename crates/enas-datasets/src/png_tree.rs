//! Writing of images as PNG files, `{train,valid,test}/<class>/NNNNN.png`.
//!
//! `NNNNN` is the index of the image in the original file, so that a wrong label can be traced back.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use enas_data::visible;
use rayon::prelude::*;

use crate::images::{RawImages, TrainTest};
use crate::install::ImageCounts;
use crate::progress::Progress;

/// Writes `parts` below `folder`, in parallel.
///
/// The last `n / train_per_valid` training images of each class become `valid`: at least one, at most half of the
/// class, always the same ones.
pub(crate) fn write_tree(
    parts: &TrainTest,
    classes: &[&str],
    train_per_valid: usize,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<ImageCounts> {
    let (train, valid) = divide(&parts.train.labels, train_per_valid);
    let test: Vec<usize> = (0..parts.test.labels.len()).collect();
    let counts = ImageCounts { train: train.len(), valid: valid.len(), test: test.len() };
    ensure!(counts.valid > 0, "{} training images are too few to set some aside for validation", train.len());
    progress.set_length((train.len() + valid.len() + test.len()) as u64);
    let splits =
        [("train", &parts.train, train), ("valid", &parts.train, valid), ("test", &parts.test, test)];
    for (split, images, indices) in splits {
        write_split(images, &indices, classes, &folder.join(split), progress)?;
    }
    Ok(counts)
}

/// Indices of the images for training and of those for validation, both ascending.
fn divide(labels: &[u8], train_per_valid: usize) -> (Vec<usize>, Vec<usize>) {
    let wanted = (labels.len() / train_per_valid).max(1);
    let mut valid = Vec::new();
    for class in 0..10 {
        let members: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).collect();
        let n = wanted.min(members.len() / 2);
        valid.extend(&members[members.len() - n..]);
    }
    valid.sort_unstable();
    let train = (0..labels.len()).filter(|i| valid.binary_search(i).is_err()).collect();
    (train, valid)
}

fn write_split(
    images: &RawImages,
    indices: &[usize],
    classes: &[&str],
    folder: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let class_of = |i: usize| usize::from(images.labels[i]);
    for (class, name) in classes.iter().enumerate() {
        if indices.iter().any(|&i| class_of(i) == class) {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", visible(&folder)))?;
        }
    }
    indices.par_iter().try_for_each(|&i| {
        let path = folder.join(classes[class_of(i)]).join(format!("{i:05}.png"));
        fs::write(&path, images.png(i)?).with_context(|| format!("cannot write {}", visible(&path)))?;
        progress.inc(1);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_images_of_each_class_are_set_aside() {
        let labels = [0, 1, 0, 1, 0, 1, 1, 1];
        let (train, valid) = divide(&labels, 4);
        assert_eq!(valid, [4, 6, 7], "of three zeros one at most, of five ones two");
        assert_eq!(train, [0, 1, 2, 3, 5]);
    }

    #[test]
    fn sixty_thousand_divide_into_55000_and_5000() {
        let labels: Vec<u8> = (0..60_000).map(|i| (i % 10) as u8).collect();
        let (train, valid) = divide(&labels, 120);
        assert_eq!((train.len(), valid.len()), (55_000, 5_000));
    }

    #[test]
    fn every_pixel_comes_back_from_the_files() {
        let images = |n: usize| RawImages {
            channels: 1,
            height: 2,
            width: 3,
            pixels: (0..n * 6).map(|i| (i * 37 % 256) as u8).collect(),
            labels: (0..n).map(|i| (i % 2) as u8).collect(),
        };
        let parts = TrainTest { train: images(8), test: images(3) };
        let folder = tempfile::tempdir().unwrap();

        let counts = write_tree(&parts, &["a", "b"], 8, folder.path(), &()).unwrap();

        assert_eq!(counts, ImageCounts { train: 6, valid: 2, test: 3 });
        for (place, i, of) in [
            ("train/a/00000", 0, &parts.train),
            ("valid/b/00007", 7, &parts.train),
            ("test/a/00002", 2, &parts.test),
        ] {
            let file = image::open(folder.path().join(place).with_extension("png")).unwrap();
            assert_eq!(file.as_luma8().unwrap().as_raw()[..], of.pixels[i * 6..][..6], "{place}");
        }
    }
}
