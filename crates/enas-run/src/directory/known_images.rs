//! The images that a model's training used, recognised by their content at any place.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use enas_data::{ImageFile, Part};

use crate::directory::files::{IMAGE_DIGESTS, SPLIT, stored_split};

/// The part that each image belonged to, by the digest of its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KnownImages {
    part_of: BTreeMap<String, Part>,
}

impl KnownImages {
    /// The images of the run in `folder`; `None` if the model file was moved away from its run.
    pub(crate) fn of_run(folder: &Path) -> Option<Self> {
        folder.join(SPLIT).is_file().then_some(())?;
        let split = stored_split(folder).ok()?;
        let text = fs::read_to_string(folder.join(IMAGE_DIGESTS)).ok()?;
        let digests: BTreeMap<String, String> = serde_json::from_str(&text).ok()?;
        let mut part_of = BTreeMap::new();
        // Training is inserted last: an image that is in several parts counts as a training image.
        for (part, names) in
            [(Part::Test, &split.test), (Part::Valid, &split.valid), (Part::Train, &split.train)]
        {
            for digest in names.iter().filter_map(|name| digests.get(name)) {
                part_of.insert(digest.clone(), part);
            }
        }
        Some(Self { part_of })
    }

    /// Marks whole parts as training images, because a refit learned from them.
    pub(crate) fn with_learned(mut self, parts: &[Part]) -> Self {
        self.part_of.values_mut().filter(|part| parts.contains(part)).for_each(|part| *part = Part::Train);
        self
    }

    /// Whether the training learned from the image with this digest.
    pub(crate) fn is_training_image(&self, digest: &str) -> bool {
        self.part_of.get(digest) == Some(&Part::Train)
    }

    /// Whether an image of other data may be measured as `part`.
    ///
    /// An image that the training knows counts only as the part it had there. An unknown image is as good as a test
    /// image; split folders of the data may assign it to another part.
    pub(crate) fn admits(&self, part: Part, file: &ImageFile) -> bool {
        match self.part_of.get(&file.digest) {
            Some(known) => *known == part,
            None => part == Part::Test || is_below_a_split_folder(&file.name),
        }
    }
}

/// Whether a name has a folder above that of its class.
fn is_below_a_split_folder(name: &str) -> bool {
    name.split('/').count() > 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, digest: &str) -> ImageFile {
        ImageFile { name: name.into(), digest: digest.into() }
    }

    #[test]
    fn a_training_image_is_measured_as_nothing_else() {
        let part_of = [("a", Part::Train), ("b", Part::Valid), ("c", Part::Test)];
        let seen = KnownImages { part_of: part_of.map(|(digest, part)| (digest.to_owned(), part)).into() };
        for (digest, own) in part_of {
            for part in Part::ALL {
                assert_eq!(seen.admits(part, &file("x/y.png", digest)), part == own, "{digest}");
                assert_eq!(seen.admits(part, &file("test/x/y.png", digest)), part == own, "{digest}");
            }
        }
        assert!(seen.admits(Part::Test, &file("x/y.png", "new")));
        assert!(!seen.admits(Part::Valid, &file("x/y.png", "new")));
        assert!(seen.admits(Part::Valid, &file("valid/x/y.png", "new")));
        let after = seen.with_learned(&[Part::Valid, Part::Test]);
        assert!(
            !after.admits(Part::Test, &file("x/y.png", "c"))
                && after.admits(Part::Train, &file("x/y.png", "c"))
        );
    }
}
