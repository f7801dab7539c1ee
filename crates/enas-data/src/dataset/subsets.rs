//! Subsets of a data set, and the same data set in another order, for comparisons of many trainings.

use std::collections::BTreeMap;
use std::sync::Arc as SyncArc;

use enas_rng::Seed;

use crate::dataset::Dataset;
use crate::dataset::contents::ContentDivision;
use crate::dataset::split::{Split, SplitData};
use crate::dataset::split_file::SplitFile;
use crate::error::Error;
use crate::source::item::Part;

impl Dataset {
    /// The same images and splits with another order of batches, other augmentation and other draws. `None` if the
    /// images have to be loaded again, because copies were made in advance.
    #[must_use]
    pub fn reseeded(&self, seed: Seed) -> Option<Self> {
        let again = |split: &Split| {
            (split.data.copies == 1).then(|| {
                let data = SplitData { seed, ..SplitData::clone(&split.data) };
                Split { data: SyncArc::new(data) }
            })
        };
        let train = again(&self.train)?;
        let valid = again(&self.valid)?;
        let test = again(&self.test)?;
        Some(Self { train, valid, test, ..self.clone() })
    }

    /// The splits reduced to a number of training and validation images, with the same class proportions. `seed`
    /// determines the choice. The test images stay. Load the result with [`crate::load`].
    ///
    /// # Errors
    /// [`Error::Config`] if there are not enough images, or if a class would have none.
    pub fn reduced(
        &self,
        train: Option<usize>,
        valid: Option<usize>,
        seed: Seed,
    ) -> Result<SplitFile, Error> {
        let mut class_of = BTreeMap::new();
        for split in [&self.train, &self.valid] {
            let first_of_each = (0..split.len()).step_by(split.copies());
            class_of.extend(first_of_each.map(|i| (split.path(i), split.labels()[i])));
        }
        self.split_file().reduced(train, valid, &class_of, seed)
    }
}

impl Split {
    /// Two disjoint halves of this split with the same class proportions, as indices. `seed` determines the choice.
    /// If a class has an odd number of images, the first half gets one more. Copies of an image are in one half.
    #[must_use]
    pub fn halves(&self, seed: Seed) -> (Vec<usize>, Vec<usize>) {
        let (mut first, mut second) = self.divided("halves", seed, |n| n.div_ceil(2));
        first.sort_unstable();
        second.sort_unstable();
        (first, second)
    }

    /// Two disjoint parts of this split, as indices: of the `n` images of each class, `share(n)` are in the first one.
    /// `seed` and `stream`, the name of the random numbers, determine the choice.
    #[must_use]
    pub fn divided(
        &self,
        stream: &str,
        seed: Seed,
        share: impl Fn(usize) -> usize,
    ) -> (Vec<usize>, Vec<usize>) {
        let mut first = Vec::new();
        let mut second = Vec::new();
        let n_classes = self.labels().iter().max().map_or(0, |most| *most + 1);
        let mut division = ContentDivision::default();
        for class in 0..n_classes {
            let mut members: Vec<usize> = (0..self.len()).filter(|&i| self.labels()[i] == class).collect();
            seed.stream(stream, &[u64::from(class)]).shuffle(&mut members);
            let contents: Vec<u64> = members.iter().map(|&i| self.content(i)).collect();
            let shares = division.divide(&contents, &[share(members.len())]);
            for (member, share) in members.into_iter().zip(shares) {
                if share == 0 { &mut first } else { &mut second }.push(member);
            }
        }
        (first, second)
    }
}

impl SplitFile {
    /// See [`Dataset::reduced`]; `class_of` gives the class of each name.
    fn reduced(
        &self,
        train: Option<usize>,
        valid: Option<usize>,
        class_of: &BTreeMap<&str, u32>,
        seed: Seed,
    ) -> Result<Self, Error> {
        let part = |names: &[String], wanted: Option<usize>, part: Part| match wanted {
            Some(n) => proportional(names, n, class_of, part, seed),
            None => Ok(names.to_vec()),
        };
        Ok(Self {
            train: part(&self.train, train, Part::Train)?,
            valid: part(&self.valid, valid, Part::Valid)?,
            ..self.clone()
        })
    }
}

/// `n` of the names, drawn at random in proportion to the classes.
fn proportional(
    names: &[String],
    n: usize,
    class_of: &BTreeMap<&str, u32>,
    part: Part,
    seed: Seed,
) -> Result<Vec<String>, Error> {
    let refused = |allowed: String| Err(Error::config(&format!("{}_images", part.name()), n, &allowed));
    if n > names.len() {
        return refused(format!("at most {}, as many as there are", names.len()));
    }
    let mut by_class: BTreeMap<u32, Vec<&String>> = BTreeMap::new();
    names.iter().for_each(|name| by_class.entry(class_of[name.as_str()]).or_default().push(name));
    let mut chosen = Vec::with_capacity(n);
    let mut seen = 0;
    for (class, members) in &mut by_class {
        seed.stream("reduced", &[part as u64, u64::from(*class)]).shuffle(members);
        // Running totals, so that the counts of all classes sum to exactly n.
        let upto = |seen: usize| (seen * n + names.len() / 2) / names.len();
        let take = upto(seen + members.len()) - upto(seen);
        if take == 0 {
            return refused("enough that every class keeps an image".into());
        }
        seen += members.len();
        chosen.extend(members.iter().take(take).map(|name| (*name).clone()));
    }
    chosen.sort();
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Config, EpochPlan, LoadOptions};

    fn classes(split: &Split, images: &[usize]) -> Vec<usize> {
        (0..10).map(|class| images.iter().filter(|&&i| split.labels()[i] == class).count()).collect()
    }

    #[test]
    fn halves_share_no_image_and_have_the_classes_alike() {
        let valid = crate::digits().unwrap().valid;
        let (first, second) = valid.halves(Seed::new(3));
        let all: BTreeSet<usize> = first.iter().chain(&second).copied().collect();
        assert_eq!((all.len(), first.len() + second.len()), (valid.len(), valid.len()));
        for (a, b) in classes(&valid, &first).into_iter().zip(classes(&valid, &second)) {
            assert!(a == b || a == b + 1, "{a} and {b}");
        }
        assert_eq!((first, second), valid.halves(Seed::new(3)));
        assert_ne!(valid.halves(Seed::new(3)), valid.halves(Seed::new(4)));
    }

    #[test]
    fn another_seed_is_another_order_of_the_same_images() {
        let data = crate::digits().unwrap();
        let other = data.reseeded(Seed::new(9)).unwrap();
        assert_eq!(data.split_file(), other.split_file());
        let order = |data: &Dataset| data.train.epoch_indices(&EpochPlan::new(0, 32)).unwrap();
        assert_ne!(order(&data), order(&other));
        let loaded = crate::load(
            &Config { image_size: 8, ..Config::default() },
            &LoadOptions { split: Some(&data.split_file()), ..LoadOptions::new(Seed::new(9)) },
        );
        assert_eq!(order(&loaded.unwrap()), order(&other));
    }

    #[test]
    fn fewer_images_keep_the_proportions_of_the_classes() {
        let data = crate::digits().unwrap();
        let reduced = data.reduced(Some(300), Some(60), Seed::new(1)).unwrap();
        assert_eq!((reduced.train.len(), reduced.valid.len()), (300, 60));
        assert_eq!(reduced.test, data.split_file().test);
        let config = Config { image_size: 8, ..Config::default() };
        let loaded =
            crate::load(&config, &LoadOptions { split: Some(&reduced), ..LoadOptions::new(Seed::new(0)) })
                .unwrap();
        let all: Vec<usize> = (0..300).collect();
        let of_classes = classes(&loaded.train, &all);
        assert!(of_classes.iter().all(|n| (27..=33).contains(n)), "{of_classes:?}");
        assert_eq!(data.reduced(None, None, Seed::new(1)).unwrap(), data.split_file());
        let said = data.reduced(Some(1_000_000), None, Seed::new(1)).unwrap_err().to_string();
        assert!(said.contains("train_images") && said.contains("at most"), "{said}");
        let said = data.reduced(Some(4), None, Seed::new(1)).unwrap_err().to_string();
        assert!(said.contains("every class keeps an image"), "{said}");
    }
}
