//! What a study compares, and by which trainings.

use enas_child::schedule::{Cosine, Schedule};
use enas_data::augment;
use enas_search::{
    ConfigError, Keep, Layers, Metric, RefitConfig, Result, SearchConfig, Settings as _, TimeLimit,
    TrainConfig,
};
use serde::{Deserialize, Serialize};

/// Epochs of a training unless others are asked for.
const EPOCHS: u64 = 10;
/// Batches that a network's statistics are made from before it is measured.
const BN_BATCHES: u64 = 4;

/// How far the seeds of searches are from those of trainings.
const SEARCHES: u64 = 1_000_000;

/// Everything that the results of a study depend on, beside its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// Root of all that is drawn: splits, architectures, seeds of trainings and searches.
    pub seed: u64,
    /// How many of what.
    pub counts: Counts,
    /// Training images to use, of all classes in proportion; all of them if none are named.
    pub train_images: Option<usize>,
    /// Validation images to use, as the training images.
    pub valid_images: Option<usize>,
    /// The search that is put to the test.
    pub search: SearchConfig,
    /// The recipe by which every architecture is trained, whoever found it.
    pub train: TrainConfig,
}

/// How many architectures, searches and seeds a study has. More of them may be asked for when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Architectures drawn uniformly.
    pub pool: usize,
    /// Architectures drawn uniformly from the wide ones.
    pub wide: usize,
    /// Searches, each with a seed of its own.
    pub searches: usize,
    /// Trainings of each of the random architectures.
    pub seeds: u64,
    /// Trainings of each architecture that a search found.
    pub pick_seeds: u64,
    /// Random architectures of its size for each that a search found; they are trained once.
    pub controls: usize,
}

impl Default for Counts {
    fn default() -> Self {
        Self { pool: 40, wide: 12, searches: 5, seeds: 2, pick_seeds: 3, controls: 4 }
    }
}

impl Counts {
    /// The larger of each number. That of the controls stays: they are numbered by it.
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
    /// The study of a search with the usual counts. Architectures are trained by [`recipe`], changed by the assignments
    /// `recipe_set`, such as `run.epochs=5`.
    ///
    /// # Errors
    /// [`enas_search::Error::Config`] names the assignment, the key and what is allowed.
    pub fn new(search: SearchConfig, recipe_set: &[String]) -> Result<Self> {
        let train = recipe(&search);
        let text = toml_of(&train)?;
        let layers = Layers::text("the recipe of the study", text);
        let train = recipe_set.iter().fold(layers, |layers, assignment| layers.set(assignment)).load()?;
        let config = Self {
            seed: search.run.seed,
            counts: Counts::default(),
            train_images: None,
            valid_images: None,
            search,
            train,
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses what cannot be compared.
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
                "architectures that are searched and those that are trained have equally many nodes",
            );
        }
        Ok(())
    }

    /// The seed of a training, the same for all architectures: what differs between them is not chance then.
    pub(crate) fn training_seed(&self, repeat: u64) -> u64 {
        self.seed.wrapping_add(1).wrapping_add(repeat)
    }

    /// The seed of a search. It is none of the trainings': what a search finds may be good by the luck of its own seed, and
    /// must not have the same luck again.
    pub(crate) fn search_seed(&self, index: usize) -> u64 {
        self.seed.wrapping_add(SEARCHES).wrapping_add(index as u64)
    }

    /// Epochs at whose end a training counts as a short one, and how many of them are left out at its beginning: of ten,
    /// the mean loss of the second and the third ranks architectures best.
    pub(crate) fn early(&self) -> (usize, usize) {
        let epochs = ((self.train.run.epochs as f64 * 0.3).round() as usize).max(1);
        (epochs, epochs / 3)
    }
}

/// The recipe by which a study trains architectures: the network of the search, 10 epochs without variations of the images,
/// a learning rate that falls to 0 with every step, and the weights of the last epoch.
pub fn recipe(search: &SearchConfig) -> TrainConfig {
    let mut run = search.run.clone();
    (run.epochs, run.passes, run.fit_schedule, run.time) = (EPOCHS, 1, true, TimeLimit(None));
    // Moving statistics of short trainings lag behind the weights.
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
        let search: SearchConfig = Layers::preset("quick").set("child.filters=8").load().unwrap();
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
        let search: SearchConfig = Layers::preset("quick").load().unwrap();
        let mut config = StudyConfig::new(search.clone(), &[]).unwrap();
        config.counts.pool = 1;
        assert!(config.check().unwrap_err().to_string().contains("at least 2 random"));
        let error = StudyConfig::new(search, &["child.nodes=3".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("equally many nodes"), "{error}");
    }
}
