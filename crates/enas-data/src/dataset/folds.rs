//! Stratified k-fold cross-validation: every fold of the images is the test split once.

use std::collections::{BTreeMap, BTreeSet};

use enas_rng::Seed;

use crate::dataset::Dataset;
use crate::dataset::contents::ContentDivision;
use crate::dataset::split_file::SplitFile;
use crate::error::Error;
use crate::source::item::Part;

/// Number of different images of a class that `k` folds need: one each for training, validation and test in every fold.
fn needed_images(k: usize) -> usize {
    if k == 2 { 4 } else { k }
}

/// An image in a class: its name and its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NamedContent {
    name: String,
    content: u64,
}

impl Dataset {
    /// The splits of a cross-validation with `k` folds. In split `i`, fold `i` is for testing, a share
    /// `valid_fraction` of each class of the rest is for validation, and the remaining images are for training.
    ///
    /// Every image is a test image exactly once. All folds have the same class proportions (stratified). The folds
    /// depend only on the names and contents of the images, the seed and `k`, not on the present splits. Copies of an
    /// image are in one split, unless a class has too few different images.
    ///
    /// # Errors
    /// [`Error::Folds`] if the folders give splits, which folds would mix; if `k` is below 2; or if a class has too few
    /// different images.
    pub fn folds(&self, k: usize, valid_fraction: f64, seed: Seed) -> Result<Vec<SplitFile>, Error> {
        let problem = |problem: String| Err(Error::Folds { folds: k, problem });
        if self.has_own_splits() {
            return problem(format!(
                "{} has splits of its own, which folds would mix; give a folder DIR/<class>/*, or leave --folds out",
                self.name
            ));
        }
        if k < 2 {
            return problem("at least 2 folds are needed".into());
        }
        let by_class = self.contents_by_class();
        let needed = needed_images(k);
        for (class, images) in self.classes.iter().zip(&by_class) {
            let distinct = images.iter().map(|image| image.content).collect::<BTreeSet<u64>>().len();
            if distinct < needed {
                let copies = if distinct < images.len() { " that differ" } else { "" };
                return problem(format!(
                    "class {class} has {distinct} images{copies}, and {needed} are needed; take fewer folds, or add \
                     images"
                ));
            }
        }
        let empty = || SplitFile {
            classes: self.classes.clone(),
            train: Vec::new(),
            valid: Vec::new(),
            test: Vec::new(),
        };
        let mut folds: Vec<SplitFile> = (0..k).map(|_| empty()).collect();
        let mut fold_of_content = BTreeMap::new();
        let mut divisions = vec![ContentDivision::default(); k];
        for (class, mut images) in by_class.into_iter().enumerate() {
            seed.stream("folds", &[class as u64]).shuffle(&mut images);
            // Each class starts with another fold, so that the remainders spread over all folds.
            let mut rank = class;
            for image in &images {
                fold_of_content.entry(image.content).or_insert_with(|| {
                    rank += 1;
                    (rank - 1) % k
                });
            }
            for (i, (fold, division)) in folds.iter_mut().zip(&mut divisions).enumerate() {
                let is_test = |image: &&NamedContent| fold_of_content[&image.content] == i;
                let (test, mut rest): (Vec<_>, Vec<_>) = images.iter().partition(is_test);
                seed.stream("folds/valid", &[class as u64, i as u64]).shuffle(&mut rest);
                let most = rest.len().saturating_sub(1).max(1);
                let valid = ((rest.len() as f64 * valid_fraction).round() as usize).clamp(1, most);
                let contents: Vec<u64> = rest.iter().map(|image| image.content).collect();
                for (image, share) in rest.into_iter().zip(division.divide(&contents, &[valid])) {
                    if share == 0 { &mut fold.valid } else { &mut fold.train }.push(image.name.clone());
                }
                fold.test.extend(test.into_iter().map(|image| image.name.clone()));
            }
        }
        for fold in &mut folds {
            [&mut fold.train, &mut fold.valid, &mut fold.test].into_iter().for_each(|part| part.sort());
        }
        Ok(folds)
    }

    /// Whether the folders assign images to splits.
    pub fn has_own_splits(&self) -> bool {
        ![Part::Valid, Part::Test].iter().all(|part| self.drawn.contains(part))
    }

    /// All images by class, in byte order of the names.
    fn contents_by_class(&self) -> Vec<Vec<NamedContent>> {
        let mut by_class = vec![Vec::new(); self.classes.len()];
        for split in [&self.train, &self.valid, &self.test] {
            for i in (0..split.len()).step_by(split.copies()) {
                let image = NamedContent { name: split.path(i).to_owned(), content: split.content(i) };
                by_class[split.labels()[i] as usize].push(image);
            }
        }
        by_class.iter_mut().for_each(|images| images.sort());
        by_class
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::{Config, LoadOptions, load};

    /// Images of three classes, with these numbers of images.
    fn photos(dir: &Path, sizes: [usize; 3]) -> Config {
        for (shade, (class, n)) in (0u32..).step_by(40).zip(["a", "b", "c"].into_iter().zip(sizes)) {
            fs::create_dir_all(dir.join(class)).unwrap();
            for i in 0..n {
                let pixel = |x: u32, y: u32| image::Luma([(x * 9 + y * 5 + shade + i as u32) as u8]);
                let image = image::GrayImage::from_fn(8, 8, pixel);
                image.save(dir.join(class).join(format!("{i:02}.png"))).unwrap();
            }
        }
        Config { path: dir.to_owned(), image_size: 8, ..Config::default() }
    }

    #[test]
    fn every_image_is_tested_once_and_folds_have_the_class_proportions() {
        let dir = tempfile::tempdir().unwrap();
        let data = load(&photos(dir.path(), [12, 9, 7]), &LoadOptions::new(Seed::new(1))).unwrap();
        let folds = data.folds(4, 0.1, Seed::new(3)).unwrap();
        let all: Vec<&String> = folds.iter().flat_map(|fold| &fold.test).collect();
        assert_eq!(all.len(), 28);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 28, "each once");
        for fold in &folds {
            let of =
                |names: &[String], class: &str| names.iter().filter(|name| name.starts_with(class)).count();
            assert_eq!(of(&fold.test, "a"), 3);
            assert!([1, 2].contains(&of(&fold.test, "c")) && [2, 3].contains(&of(&fold.test, "b")));
            assert!(["a", "b", "c"].iter().all(|class| of(&fold.valid, class) == 1));
            let parts = [&fold.train, &fold.valid, &fold.test].map(Vec::len);
            assert_eq!(parts.iter().sum::<usize>(), 28);
            let once: BTreeSet<&String> =
                [&fold.train, &fold.valid, &fold.test].into_iter().flatten().collect();
            assert_eq!(once.len(), 28, "no image is in two parts");
        }
        let sizes: Vec<usize> = folds.iter().map(|fold| fold.test.len()).collect();
        assert_eq!(sizes, [7, 7, 7, 7], "what is left over is spread");
    }

    #[test]
    fn folds_follow_from_the_seed_and_not_from_the_splits_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let config = photos(dir.path(), [12, 9, 7]);
        let [one, other] = [1, 2].map(|seed| load(&config, &LoadOptions::new(Seed::new(seed))).unwrap());
        assert_ne!(one.split_file(), other.split_file());
        let folds = one.folds(3, 0.2, Seed::new(5)).unwrap();
        assert_eq!(folds, other.folds(3, 0.2, Seed::new(5)).unwrap());
        assert_ne!(folds, one.folds(3, 0.2, Seed::new(6)).unwrap());
        // A run can load them.
        let loaded = load(&config, &LoadOptions { split: Some(&folds[1]), ..LoadOptions::new(Seed::new(9)) })
            .unwrap()
            .split_file();
        assert_eq!(loaded, folds[1]);
    }

    #[test]
    fn copies_are_in_one_split_of_every_fold() {
        let dir = tempfile::tempdir().unwrap();
        let config = photos(dir.path(), [12, 9, 7]);
        for i in 0..5 {
            fs::copy(dir.path().join(format!("a/{i:02}.png")), dir.path().join(format!("a/copy-{i}.png")))
                .unwrap();
        }
        let data = load(&config, &LoadOptions::new(Seed::new(1))).unwrap();
        assert!(data.warnings.iter().all(|found| found.kind != crate::check::FindingKind::Leakage));
        for fold in data.folds(3, 0.2, Seed::new(3)).unwrap() {
            for i in 0..5 {
                let together = |part: &[String]| {
                    let has = |name: String| part.contains(&name);
                    has(format!("a/{i:02}.png")) == has(format!("a/copy-{i}.png"))
                };
                assert!(
                    [&fold.train, &fold.valid, &fold.test].into_iter().all(|part| together(part)),
                    "{fold:?}"
                );
            }
        }
        let (first, second) = data.train.halves(Seed::new(2));
        let contents =
            |half: &[usize]| half.iter().map(|i| data.train.content(*i)).collect::<BTreeSet<u64>>();
        assert!(contents(&first).is_disjoint(&contents(&second)));
    }

    #[test]
    fn two_folds_of_few_images_are_refused_and_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let data = load(&photos(dir.path(), [12, 9, 3]), &LoadOptions::new(Seed::new(1))).unwrap();
        let said = data.folds(2, 0.1, Seed::new(1)).unwrap_err().to_string();
        assert!(said.contains("class c has 3 images") && said.contains("4 are needed"), "{said}");
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = load(&photos(dir.path(), [12, 9, 4]), &LoadOptions::new(Seed::new(1))).unwrap();
        let said = data.folds(5, 0.1, Seed::new(1)).unwrap_err().to_string();
        assert!(said.contains("class c has 4 images") && said.contains("5 are needed"), "{said}");
        assert!(data.folds(1, 0.1, Seed::new(1)).unwrap_err().to_string().contains("2 folds"));
        let said = crate::digits().unwrap().folds(5, 0.1, Seed::new(1)).unwrap_err().to_string();
        assert!(said.contains("splits of its own"), "{said}");
    }
}
