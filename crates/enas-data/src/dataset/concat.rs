//! Joined splits: the images of a refit.

use std::sync::Arc as SyncArc;

use crate::dataset::Dataset;
use crate::dataset::split::{Split, SplitData};
use crate::dataset::store::ImageStore;
use crate::source::item::Part;

impl Dataset {
    /// The training images followed by those of `others`, augmented and mixed like training images. `None` if
    /// augmented copies were made in advance, because the other parts have none.
    ///
    /// Training images keep their indices. The images are shared, not copied.
    #[must_use]
    pub fn train_with(&self, others: &[Part]) -> Option<Split> {
        let parts = others.iter().map(|part| self.split(*part));
        let parts: Vec<&Split> = std::iter::once(&self.train).chain(parts).collect();
        if parts.iter().any(|split| split.copies() != 1) {
            return None;
        }
        let stores = parts.iter().map(|split| (split.len(), split.data.store.clone())).collect();
        let data = SplitData {
            store: ImageStore::Concat(stores),
            labels: parts.iter().flat_map(|split| split.labels().to_vec()).collect(),
            paths: parts.iter().flat_map(|split| split.data.paths.clone()).collect(),
            contents: parts.iter().flat_map(|split| split.data.contents.clone()).collect(),
            ..SplitData::clone(&self.train.data)
        };
        Some(Split { data: SyncArc::new(data) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, EpochPlan, LoadOptions};

    #[test]
    fn parts_together_have_all_their_images_the_training_images_first() {
        let data = crate::digits().unwrap();
        let joined = data.train_with(&[Part::Valid, Part::Test]).unwrap();
        let [train, valid, test] = [&data.train, &data.valid, &data.test].map(Split::len);
        assert_eq!(joined.len(), train + valid + test);
        for (i, split, of) in
            [(0, &data.train, 0), (train, &data.valid, 0), (train + valid + 3, &data.test, 3)]
        {
            assert_eq!(joined.image(i).unwrap(), split.image(of).unwrap());
            assert_eq!((joined.labels()[i], joined.path(i)), (split.labels()[of], split.path(of)));
        }
        assert_eq!(joined.decoded(train).unwrap(), data.valid.decoded(0).unwrap());
    }

    #[test]
    fn all_of_them_are_varied_as_training_images_are() {
        let varied = config("augment.mode = 'rand-augment'");
        let data = crate::digits().unwrap().with_augmentation(&varied).unwrap();
        let joined = data.train_with(&[Part::Valid]).unwrap();
        let last = joined.len() - 1;
        assert_ne!(joined.augmented(last, 0).unwrap(), joined.normalized(last).unwrap());
        assert_eq!(joined.augmented(5, 2).unwrap(), data.train.augmented(5, 2).unwrap(), "as before");
        let mut seen = vec![0; joined.len()];
        for batch in joined.epoch(&EpochPlan::new(3, 64)).unwrap() {
            batch.unwrap().indices.iter().for_each(|&i| seen[i] += 1);
        }
        assert!(seen.iter().all(|times| *times == 1), "each once");
    }

    #[test]
    fn copies_that_were_made_once_are_not_joined_with_images_that_have_none() {
        let config = config("augment = { mode = 'corrected', when = 'once', n_aug = 2 }");
        let data = crate::load(&config, &LoadOptions::new(enas_rng::Seed::new(1))).unwrap();
        assert!(data.train_with(&[Part::Valid]).is_none());
    }

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }
}
