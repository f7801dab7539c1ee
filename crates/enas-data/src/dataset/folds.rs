//! Stratified k-fold cross-validation: every fold of the images is the test split once.

use std::collections::BTreeMap;

use enas_rng::Seed;

use crate::dataset::Dataset;
use crate::dataset::split_file::SplitFile;
use crate::error::Error;
use crate::source::item::Part;

/// Minimum number of images per class in a fold, on average: one each for training, validation and test.
const FEWEST: usize = 3;

impl Dataset {
    /// The splits of a cross-validation with `k` folds. In split `i`, fold `i` is for testing, a share
    /// `valid_fraction` of each class of the rest is for validation, and the remaining images are for training.
    ///
    /// Every image is a test image exactly once. All folds have the same class proportions (stratified). The folds
    /// depend only on the names of the images, the seed and `k`, not on the present splits.
    ///
    /// # Errors
    /// [`Error::Folds`] if the folders give splits, which folds would mix; if `k` is below 2; or if a class has fewer
    /// images than folds.
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
        let by_class = self.names_by_class();
        let needed = k.max(FEWEST);
        if let Some((class, names)) = by_class.iter().enumerate().find(|(_, names)| names.len() < needed) {
            let class = &self.classes[class];
            return problem(format!(
                "class {class} has {} images, and {needed} are needed; take fewer folds, or add images",
                names.len()
            ));
        }
        let empty = || SplitFile {
            classes: self.classes.clone(),
            train: Vec::new(),
            valid: Vec::new(),
            test: Vec::new(),
        };
        let mut folds: Vec<SplitFile> = (0..k).map(|_| empty()).collect();
        for (class, mut names) in by_class.into_iter().enumerate() {
            seed.stream("folds", &[class as u64]).shuffle(&mut names);
            for (i, fold) in folds.iter_mut().enumerate() {
                // Each class starts with another fold, so that the remainders spread over all folds.
                let is_test = |rank: usize| (rank + class) % k == i;
                let (test, mut rest): (Vec<_>, Vec<_>) =
                    names.iter().enumerate().partition(|(rank, _)| is_test(*rank));
                seed.stream("folds/valid", &[class as u64, i as u64]).shuffle(&mut rest);
                let valid = ((rest.len() as f64 * valid_fraction).round() as usize).clamp(1, rest.len() - 1);
                let owned = |(_, name): (usize, &String)| name.clone();
                fold.valid.extend(rest.drain(..valid).map(owned));
                fold.train.extend(rest.into_iter().map(owned));
                fold.test.extend(test.into_iter().map(owned));
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

    /// The names of all images by class, in byte order.
    fn names_by_class(&self) -> Vec<Vec<String>> {
        let mut by_class: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for split in [&self.train, &self.valid, &self.test] {
            for i in (0..split.len()).step_by(split.copies()) {
                by_class.entry(split.labels()[i]).or_default().push(split.path(i).to_owned());
            }
        }
        let class = |class: usize| by_class.remove(&(class as u32)).unwrap_or_default();
        let mut names: Vec<Vec<String>> = (0..self.classes.len()).map(class).collect();
        names.iter_mut().for_each(|names| names.sort());
        names
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
        for (class, n) in ["a", "b", "c"].into_iter().zip(sizes) {
            fs::create_dir_all(dir.join(class)).unwrap();
            for i in 0..n {
                let image =
                    image::GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * 9 + y * 5 + i as u32) as u8]));
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
