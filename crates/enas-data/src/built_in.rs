//! What the built-in data sets have in common: grey images of one size, presented as folders.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use image::GrayImage;
use image::codecs::png::PngEncoder;

use crate::config::{DIGITS, FASHION_SMALL};
use crate::error::Error;
use crate::layout::Part;
use crate::resize::Plane;
use crate::{digits, fashion_small};

/// All built-in data sets.
static ALL: [&BuiltIn; 2] = [&digits::SET, &fashion_small::SET];

/// Their names, which can be used in place of a path.
pub const BUILT_IN: [&str; 2] = [DIGITS, FASHION_SMALL];

/// A built-in data set.
pub(crate) struct BuiltIn {
    /// Its name.
    pub(crate) name: &'static str,
    /// Height and width of an image in pixels.
    pub(crate) side: usize,
    /// Folder names by label, in byte order.
    pub(crate) classes: &'static [&'static str],
    /// Number of digits in the file name of an image.
    pub(crate) number_width: usize,
    /// Parts that are independent of seed and settings.
    pub(crate) fixed: &'static [Part],
    /// The images, unpacked on first use.
    pub(crate) images: &'static LazyLock<Images>,
}

/// Unpacked images with their classes and parts.
pub(crate) struct Images {
    /// Grey pixels, `[n, side, side]`.
    pub(crate) pixels: Vec<u8>,
    /// Labels, `[n]`.
    pub(crate) labels: Vec<u8>,
    /// The split folder of each image, `[n]`.
    pub(crate) parts: Vec<Part>,
}

/// The data set with this name.
pub(crate) fn find(path: &Path) -> Option<&'static BuiltIn> {
    ALL.into_iter().find(|set| path.as_os_str() == set.name)
}

impl BuiltIn {
    /// Names such as `train/3/0042.png` in byte order, each with the index of its image.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let Images { labels, parts, .. } = &**self.images;
        let name = |n: usize| {
            let (part, class) = (parts[n].name(), self.classes[usize::from(labels[n])]);
            format!("{part}/{class}/{n:0width$}.png", width = self.number_width)
        };
        let mut files: Vec<_> = (0..labels.len()).map(|n| (name(n), n)).collect();
        files.sort_unstable();
        files
    }

    /// Names of all folders of [`files`](Self::files), in byte order.
    pub(crate) fn folders(&self) -> Vec<String> {
        let mut folders: Vec<String> = Vec::new();
        for part in Part::ALL.into_iter().filter(|part| self.images.parts.contains(part)) {
            folders.push(part.name().into());
            folders.extend(self.classes.iter().map(|class| format!("{}/{class}", part.name())));
        }
        folders.sort_unstable();
        folders
    }

    /// One image.
    pub(crate) fn plane(&self, number: usize) -> Plane {
        let size = self.side * self.side;
        let pixels = self.images.pixels[number * size..][..size].to_vec();
        Plane { width: self.side, height: self.side, pixels }
    }

    /// Writes the images as `dir/<part>/<class>/<number>.png`; returns their number.
    pub(crate) fn write_png_tree(&self, dir: &Path) -> Result<usize, Error> {
        let write_error = |path: &Path, e: String| Error::Write { path: path.into(), reason: e };
        for folder in self.folders() {
            let path = dir.join(folder);
            fs::create_dir_all(&path).map_err(|e| write_error(&path, e.to_string()))?;
        }
        let files = self.files();
        for (name, number) in &files {
            let path = dir.join(name);
            let side = self.side as u32;
            let image = GrayImage::from_raw(side, side, self.plane(*number).pixels)
                .expect("a plane holds side × side pixels");
            let mut png = Vec::new();
            image.write_with_encoder(PngEncoder::new(&mut png)).expect("memory can be written");
            fs::write(&path, png).map_err(|e| write_error(&path, e.to_string()))?;
        }
        Ok(files.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_nothing_else_is() {
        for (set, name) in ALL.iter().zip(BUILT_IN) {
            assert_eq!(find(Path::new(name)).unwrap().name, name);
            assert_eq!(set.name, name);
        }
        for other in ["", "Digits", "./digits", "fashion", "fashion-small/", "data/fashion-small"] {
            let found = find(Path::new(other)).map(|set| set.name);
            assert_eq!(found, None, "{other}");
        }
    }

    #[test]
    fn files_lie_in_the_folders_and_class_names_are_in_byte_order() {
        for set in ALL {
            assert!(set.classes.is_sorted(), "{}", set.name);
            let folders = set.folders();
            assert!(folders.is_sorted());
            let files = set.files();
            assert!(
                files.iter().all(|(name, _)| folders.contains(&name[..name.rfind('/').unwrap()].to_owned()))
            );
            assert_eq!(files.len() * set.side * set.side, set.images.pixels.len(), "{}", set.name);
        }
    }
}
