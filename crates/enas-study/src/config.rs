//! What a study compares, and the training recipe.

use enas_child::schedule::{Cosine, Schedule};
use enas_data::augment;
use enas_search::{
    ConfigBuilder, ConfigError, Keep, Metric, RefitConfig, Result, SearchConfig, Settings as _, TimeLimit,
    TrainConfig,
};
use serde::{Deserialize, Serialize};

/// Default number of epochs of a training.
const EPOCHS: u64 = 10;
/// Number of batches for the re-estimation of BN statistics before a network is measured.
const BN_BATCHES: u64 = 4;

/// Offset between the seeds of searches and those of trainings.
const SEARCHES: u64 = 1_000_000;

/// Everything that the results of a study depend on, except its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// Seed of everything random: splits, architectures, trainings and searches.
    pub seed: u64,
    /// Numbers of architectures, searches and trainings.
    pub counts: StudyCounts,
    /// Number of training images to use, a stratified sample; `None` for all.
    pub train_images: Option<usize>,
    /// Number of validation images to use, a stratified sample; `None` for all.
    pub valid_images: Option<usize>,
    /// The search that is tested.
    pub search: SearchConfig,
    /// The recipe by which every architecture is trained, whichever way it was found.
    pub train: TrainConfig,
}

/// How many architectures, searches and seeds a study has. They can be increased when it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyCounts {
    /// Number of uniformly drawn architectures.
    pub pool: usize,
    /// Number of uniformly drawn wide architectures.
    pub wide: usize,
    /// Number of searches, each with its own seed.
    pub searches: usize,
    /// Number of trainings of each random architecture.
    pub seeds: u64,
    /// Number of trainings of each architecture that a search found.
    pub pick_seeds: u64,
    /// Number of random architectures of equal size per found architecture; each is trained once.
    pub controls: usize,
}

impl Default for StudyCounts {
    fn default() -> Self {
        Self { pool: 40, wide: 12, searches: 5, seeds: 2, pick_seeds: 3, controls: 4 }
    }
}

impl StudyCounts {
    /// The maximum of each pair of numbers. The number of controls stays, because controls are numbered by it.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self {
            pool: self.pool.max(other.pool),
            wide: self.wide.max(other.wide),
            searches: self.searches.max(other.searches),
            seeds: self.seeds.max(other.seeds),
            pick_seeds: self.pick_seeds.max(other.pick_seeds),
            controls: self.controls,
        }
    }
}

impl StudyConfig {
    /// The study of a search with the default counts. Architectures are trained by [`recipe`], with changes by the
    /// assignments in `recipe_set`, such as `run.epochs=5`.
    ///
    /// # Errors
    /// [`enas_search::Error::Config`] names the assignment, the key and what is allowed.
    pub fn new(search: SearchConfig, recipe_set: &[String]) -> Result<Self> {
        let train = recipe(&search);
        let text = toml_of(&train)?;
        let layers = ConfigBuilder::text("the recipe of the study", text);
        let train = recipe_set.iter().fold(layers, |layers, assignment| layers.set(assignment)).load()?;
        let config = Self {
            seed: search.run.seed,
            counts: StudyCounts::default(),
            train_images: None,
            valid_images: None,
            search,
            train,
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses settings that cannot be compared.
    ///
    /// # Errors
    /// [`enas_search::Error::Config`], which names the key.
    pub fn check(&self) -> Result<()> {
        self.search.check()?;
        self.train.check()?;
        let wrong = |place: &str, problem: &str| -> Result<()> {
            Err(ConfigError { place: place.into(), problem: problem.into() }.into())
        };
        if self.counts.pool < 2 {
            return wrong("pool", "a study compares with at least 2 random architectures");
        }
        if self.counts.seeds == 0 || self.counts.pick_seeds == 0 {
            return wrong("seeds", "every architecture is trained at least once");
        }
        if self.search.child.nodes != self.train.child.nodes {
            return wrong(
                "train.child.nodes",
                "searched and trained architectures must have the same number of nodes",
            );
        }
        Ok(())
    }

    /// The seed of a training. It is the same for all architectures, so it does not cause differences between them.
    pub(crate) fn training_seed(&self, repeat: u64) -> u64 {
        self.seed.wrapping_add(1).wrapping_add(repeat)
    }

    /// The seed of a search. It differs from those of all trainings. An architecture may be found because it suits
    /// the random numbers of its search; it must not benefit from the same numbers again.
    pub(crate) fn search_seed(&self, index: usize) -> u64 {
        self.seed.wrapping_add(SEARCHES).wrapping_add(index as u64)
    }

    /// The number of epochs of a short training, and how many of them are left out at its beginning. The score of a
    /// ten-epoch training is the mean loss of its second and third epoch.
    pub(crate) fn early(&self) -> (usize, usize) {
        let epochs = ((self.train.run.epochs as f64 * 0.3).round() as usize).max(1);
        (epochs, epochs / 3)
    }
}

/// The recipe by which a study trains architectures. It uses the network of the search and 10 epochs without data
/// augmentation. The learning rate falls with every step, to 0, and the weights are those of the last epoch.
pub fn recipe(search: &SearchConfig) -> TrainConfig {
    let mut run = search.run.clone();
    (run.epochs, run.passes, run.fit_schedule, run.time) = (EPOCHS, 1, true, TimeLimit(None));
    // The moving statistics of short trainings lag behind the weights.
    run.bn_reestimate = BN_BATCHES;
    let plain = augment::Config::default();
    let data = enas_data::Config { augment: plain, ..search.data.clone() };
    let cosine = Cosine {
        lr_max: f64::from(search.schedule.lr(0)),
        lr_min: 0.0,
        t_0: EPOCHS,
        t_mul: 1,
        per_step: true,
        warmup_epochs: search.schedule.warmup_epochs().min(1.0),
    };
    let schedule = Schedule::Cosine(cosine);
    TrainConfig {
        keep: Keep::Last,
        metric: Metric::Accuracy,
        refit: RefitConfig::default(),
        run,
        data,
        child: search.child.clone(),
        macro_net: None,
        schedule,
    }
}

fn toml_of(config: &TrainConfig) -> Result<String> {
    toml::to_string(config).map_err(|error| {
        let problem = format!("the settings cannot be written as TOML: {error}");
        ConfigError { place: "the recipe of the study".into(), problem }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_follows_the_search_and_its_own_assignments() {
        let search: SearchConfig = ConfigBuilder::preset("quick").set("child.filters=8").load().unwrap();
        let config = StudyConfig::new(search.clone(), &[]).unwrap();
        assert_eq!(config.train.child, search.child);
        assert_eq!((config.train.run.epochs, config.train.keep), (10, Keep::Last));
        assert_eq!(config.train.data.augment, augment::Config::default());
        assert_eq!(config.early(), (3, 1));

        let set = ["run.epochs=4".to_owned(), "child.filters=16".to_owned()];
        let config = StudyConfig::new(search.clone(), &set).unwrap();
        assert_eq!((config.train.run.epochs, config.train.child.filters), (4, 16));
        assert_eq!((config.search.child.filters, config.early()), (8, (1, 0)));

        let error = StudyConfig::new(search, &["run.epoch=4".to_owned()]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("did you mean run.epochs?"), "{error}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let search: SearchConfig = ConfigBuilder::preset("quick").load().unwrap();
        let mut config = StudyConfig::new(search.clone(), &[]).unwrap();
        config.counts.pool = 1;
        assert!(config.check().unwrap_err().to_string().contains("at least 2 random"));
        let error = StudyConfig::new(search, &["child.nodes=3".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("the same number of nodes"), "{error}");
    }
}
