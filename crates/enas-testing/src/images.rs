//! Folders of small images.

use std::path::{Path, PathBuf};

use enas_data::Split;

/// Writes image `i` of a split of grey square images as a PNG file; makes its folder.
pub fn write_image(split: &Split, i: usize, path: &Path) {
    let pixels = split.image(i).unwrap().into_owned();
    let side = pixels.len().isqrt() as u32;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_raw(side, side, pixels).unwrap().save(path).unwrap();
}

/// Writes `n` of the built-in test digits as PNG files into `folder/<class>/`; returns their paths.
pub fn write_digits(folder: &Path, n: usize) -> Vec<PathBuf> {
    let data = enas_data::digits().unwrap();
    let write = |i: usize| {
        let class = &data.classes[data.test.labels()[i] as usize];
        let path = folder.join(class).join(format!("{i:04}.png"));
        write_image(&data.test, i, &path);
        path
    };
    (0..n).map(write).collect()
}
