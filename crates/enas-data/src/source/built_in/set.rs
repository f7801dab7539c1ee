//! What the built-in data sets have in common: grey images of one size, presented as folders.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use image::GrayImage;
use image::codecs::png::PngEncoder;

use crate::error::Error;
use crate::image::resize::Plane;
use crate::source::item::Part;

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
    pub(crate) images: &'static LazyLock<UnpackedImages>,
}

/// Unpacked images with their classes and parts.
pub(crate) struct UnpackedImages {
    /// Grey pixels, `[n, side, side]`.
    pub(crate) pixels: Vec<u8>,
    /// Labels, `[n]`.
    pub(crate) labels: Vec<u8>,
    /// The split folder of each image, `[n]`.
    pub(crate) parts: Vec<Part>,
}

impl BuiltIn {
    /// Names such as `train/3/0042.png` in byte order, each with the index of its image.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let UnpackedImages { labels, parts, .. } = &**self.images;
        let name = |n: usize| {
            let part = parts[n].name();
            let class = self.classes[usize::from(labels[n])];
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
