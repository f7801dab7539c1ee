//! The pictures that a model is measured on: those of its training wherever they lie now, and others.

use std::path::{Path, PathBuf};

use enas_data::{Choice, Chosen, Holding, NormalizationMode, Part, PictureFile, Skipped, Split};
use enas_rng::Seed;

use super::{About, Model};
use crate::error::{Error, Result};
use crate::memory::MemoryPlan;
use crate::run::{MEASURED, MODEL, SPLIT, stored_split};
use crate::seen::Seen;

/// Folders above a model in which its data are looked for.
const ABOVE: usize = 3;

impl Model {
    /// Loads pictures to evaluate: prepared as in training, with the model's labels.
    ///
    /// Where `path` is the data the model was trained on, `part` is exactly what training called so. Elsewhere it is
    /// the split folder of that name, or all pictures where there are no split folders; but what training knows, by its
    /// content, is only what it was there, wherever it lies. Also returns the files that could not be used.
    ///
    /// # Errors
    /// Those of [`enas_data`], and [`Error::Mismatch`] for other classes than the model's, or if nothing is left.
    pub fn load_split(&self, path: &Path, part: Part) -> Result<(Split, Vec<Skipped>)> {
        let holding = MemoryPlan::holding(&self.data_at(path));
        self.load_held(path, part, holding)
    }

    /// [`load_split`](Self::load_split) with the pictures held as planned. From now on evaluations keep to the plan.
    ///
    /// # Errors
    /// As there.
    pub fn load_planned(
        &mut self,
        path: &Path,
        part: Part,
        plan: &MemoryPlan,
    ) -> Result<(Split, Vec<Skipped>)> {
        plan.begin();
        self.eval_batch = MemoryPlan::infer_batch(Some(plan), self.eval_batch);
        self.load_held(path, part, plan.holding)
    }

    /// The network to measure on a part of the images at `path`: this one, or what it was before it learned from these
    /// images, which lies beside it.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn as_measured(self, path: &Path, part: Part) -> Result<Self> {
        let learned = self.about.refit.is_some_and(|refit| refit.images.parts().contains(&part));
        if !learned || !same_place(path, &self.data_path()) {
            return Ok(self);
        }
        let before = self.folder.join(MEASURED);
        if before.is_file() {
            return Self::load(&before);
        }
        tracing::warn!(
            "the model learned from the {} images once it had been measured, and {MEASURED}, the network of before, is not \
             beside it: this accuracy says nothing about other images",
            part.name()
        );
        Ok(self)
    }

    fn load_held(&self, path: &Path, part: Part, holding: Holding) -> Result<(Split, Vec<Skipped>)> {
        let About { classes, data, normalization, .. } = &self.about;
        if same_place(path, &data.path) {
            return self.load_own(part, holding);
        }
        let learned = self.about.refit.map_or(&[][..], |refit| refit.images.parts());
        let seen = Seen::of_run(&self.folder).map(|seen| seen.with_learned(learned));
        let wanted = |file: &PictureFile| seen.as_ref().is_none_or(|seen| seen.admits(part, file));
        let choice = Choice { strict: data.strict, holding, wanted: &wanted };
        let Chosen { split, skipped, left_out } =
            enas_data::load_chosen(path, part, classes, &data.input(), normalization, &choice)?;
        self.tell_what_was_chosen(path, part, (seen.is_some(), split.len(), left_out))?;
        Ok((split, skipped))
    }

    /// Says which of the pictures at another place than the training's are measured.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where none of them is of that part.
    fn tell_what_was_chosen(
        &self,
        path: &Path,
        part: Part,
        (is_known, chosen, left_out): (bool, usize, usize),
    ) -> Result<()> {
        let (path, part) = (path.display(), part.name());
        if chosen == 0 {
            let all = format!("{path}: none of the {left_out} images there is of the {part} split");
            let how =
                "the training's images are known by their content, and are measured only as what they were";
            return Err(Error::Mismatch(format!("{all} ({how}); choose another --split, or other images")));
        }
        if left_out > 0 {
            tracing::warn!(
                "{path}: {chosen} images are measured as {part}; {left_out} are left out, which the model's training \
                 knows from another split, or which are of none"
            );
        } else if !is_known {
            tracing::warn!(
                "{path}: whether the model was trained on images there cannot be told: the files of its run are not \
                 beside {MODEL}"
            );
        }
        Ok(())
    }

    /// Where the training's pictures are: at the path that was given then or, seen from another folder, at that path from
    /// a folder above the model.
    pub fn data_path(&self) -> PathBuf {
        let given = &self.about.data.path;
        if self.about.data.is_built_in() || given.exists() || given.is_absolute() {
            return given.clone();
        }
        let Ok(folder) = std::path::absolute(Path::new(".").join(&self.folder)) else { return given.clone() };
        // A run lies in the folder that it was started in, or in its `runs`; phases lie one deeper.
        let above = folder.ancestors().skip(1).take(ABOVE).map(|folder| folder.join(given));
        above.into_iter().find(|path| path.exists()).unwrap_or_else(|| given.clone())
    }

    /// How pictures at another place are read.
    pub fn data_at(&self, path: &Path) -> enas_data::Config {
        // Varied copies of training pictures are not what anyone wants to be measured on.
        let augment = enas_data::augment::Config::default();
        enas_data::Config { augment, path: path.to_owned(), ..self.about.data.clone() }
    }

    /// A part of the data the model was trained on.
    fn load_own(&self, part: Part, holding: Holding) -> Result<(Split, Vec<Skipped>)> {
        let config = self.data_at(&self.about.data.path);
        let seed = Seed::new(self.about.seed);
        // A run that took over the split of a search keeps it beside the model; its own seed would draw another.
        let stored = self.folder.join(SPLIT).is_file().then(|| stored_split(&self.folder)).transpose()?;
        if stored.is_none() && !config.is_fixed(part) {
            tracing::warn!(
                "the files of the model's run are not beside {MODEL}: if {} has no split folders, its {} split is the one \
                 that the seed of the training draws, which is another if the training took over that of a search",
                config.path.display(),
                part.name()
            );
        }
        let data = enas_data::load_held(&config, seed, stored.as_ref(), holding)?;
        if data.classes != self.about.classes {
            return Err(Error::Mismatch(format!(
                "{} has the classes {}; the model knows {}",
                config.path.display(),
                data.classes.join(", "),
                self.about.classes.join(", ")
            )));
        }
        let split = data.split(part);
        // In reference mode each part has moments of its own, of which a model file holds only training's.
        let split = match config.normalization {
            NormalizationMode::PerChannel => split.with_normalization(self.about.normalization.clone()),
            NormalizationMode::Reference => split.clone(),
        };
        Ok((split, data.skipped))
    }
}

/// Whether two paths are written alike or lead to the same place.
fn same_place(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
