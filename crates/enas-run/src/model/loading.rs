//! The images that a model is measured on: those of its training, wherever they are now, and others.

use std::path::{Path, PathBuf};

use enas_child::Footprint;
use enas_data::{
    ImageFile, LabelledImages, LabelledOptions, LoadOptions, NormalizationMode, Part, Skipped, Split,
    Storage, visible,
};
use enas_rng::Seed;

use super::file::Model;
use super::metadata::ModelMetadata;
use crate::directory::files::{MEASURED, MODEL, SPLIT, stored_split};
use crate::directory::known_images::KnownImages;
use crate::error::{Error, Result};
use crate::memory::{MemoryLimit, MemoryPlan};

/// Number of parent folders of a model in which its data are searched for.
const ABOVE: usize = 3;

impl Model {
    /// Loads images for evaluation: prepared as in training, with the model's labels.
    ///
    /// If `path` is the data the model was trained on, `part` is exactly that part of the training's split. Elsewhere
    /// it is the split folder of that name, or all images if there are no split folders. Images that the training
    /// knows by their content count only as the part they had there. Also returns the files that could not be used.
    ///
    /// # Errors
    /// Errors of [`enas_data`]; [`Error::Mismatch`] if the classes differ from the model's or no image is left.
    pub fn load_split(&self, path: &Path, part: Part) -> Result<(Split, Vec<Skipped>)> {
        let storage = self.storage.unwrap_or_else(|| MemoryPlan::holding(&self.data_at(path)));
        self.load_stored(path, part, storage)
    }

    /// Sets the memory plan that loading and evaluations follow. Without one, images are stored as the machine's memory
    /// allows.
    pub fn set_memory(&mut self, plan: &MemoryPlan) {
        plan.begin();
        self.eval_batch = MemoryPlan::infer_batch(Some(plan), self.eval_batch);
        self.storage = Some(plan.holding);
    }

    /// The network to measure on a part of the images at `path`. If this one learned from that part in a refit, it is
    /// the network before the refit, stored in the same folder.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn as_measured(self, path: &Path, part: Part) -> Result<Self> {
        let learned = self.metadata.refit.is_some_and(|refit| refit.images.parts().contains(&part));
        if !learned || !same_place(path, &self.data_path()) {
            return Ok(self);
        }
        if let Some(before) = self.before_refit(part)? {
            return Ok(before);
        }
        tracing::warn!(
            "after its measurement the model also learned from the {} images, and {MEASURED}, the network from before, \
             is missing: this accuracy says nothing about other images",
            part.name()
        );
        Ok(self)
    }

    /// The network before the refit, stored in the same folder, if this one learned from that part.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn before_refit(&self, part: Part) -> Result<Option<Self>> {
        let learned = self.metadata.refit.is_some_and(|refit| refit.images.parts().contains(&part));
        let before = self.folder.join(MEASURED);
        (learned && before.is_file()).then(|| Self::load(&before)).transpose()
    }

    fn load_stored(&self, path: &Path, part: Part, holding: Storage) -> Result<(Split, Vec<Skipped>)> {
        let ModelMetadata { classes, data, normalization, .. } = &self.metadata;
        if same_place(path, &data.path) {
            return self.load_own(part, holding);
        }
        let learned = self.metadata.refit.map_or(&[][..], |refit| refit.images.parts());
        let seen = KnownImages::of_run(&self.folder).map(|seen| seen.with_learned(learned));
        let wanted = |file: &ImageFile| seen.as_ref().is_none_or(|seen| seen.admits(part, file));
        let options = LabelledOptions {
            part,
            classes,
            input: &data.input(),
            normalization,
            strict: data.strict,
            storage: holding,
            wanted: &wanted,
        };
        let LabelledImages { split, skipped, left_out } = enas_data::load_labelled(path, &options)?;
        self.tell_what_was_chosen(path, part, seen.is_some(), split.len(), left_out)?;
        Ok((split, skipped))
    }

    /// Reports which images at another place than the training's are measured.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if none of them belongs to that part.
    fn tell_what_was_chosen(
        &self,
        path: &Path,
        part: Part,
        is_known: bool,
        chosen: usize,
        left_out: usize,
    ) -> Result<()> {
        let path = visible(&path);
        let part = part.name();
        if chosen == 0 {
            let all = format!("{path}: none of the {left_out} images is from the {part} split");
            let how = "images of the training are recognised by their content, and are measured only in their own \
                       split";
            return Err(Error::Mismatch(format!("{all} ({how}); choose another --split, or other images")));
        }
        if left_out > 0 {
            tracing::warn!(
                "{path}: {chosen} images are measured as {part}; {left_out} are left out: the model's training had them in another split or in none (images are recognised by the bytes of their files)"
            );
        } else if is_known {
            tracing::info!(
                "{path}: images of the training are recognised by the bytes of their files; copies in another format or \
                 size count as unseen"
            );
        } else {
            tracing::warn!(
                "{path}: the model may have been trained on these images; it is unknown, because the files of its run \
                 are not next to {MODEL}"
            );
        }
        Ok(())
    }

    /// Place of the training's images: the path given then, or that path relative to a parent folder of the model.
    pub fn data_path(&self) -> PathBuf {
        let given = &self.metadata.data.path;
        if self.metadata.data.is_built_in() || given.exists() || given.is_absolute() {
            return given.clone();
        }
        let Ok(folder) = std::path::absolute(Path::new(".").join(&self.folder)) else { return given.clone() };
        // A run is stored in the folder it was started from, or in its `runs`; a phase is one level deeper.
        let above = folder.ancestors().skip(1).take(ABOVE).map(|folder| folder.join(given));
        above.into_iter().find(|path| path.exists()).unwrap_or_else(|| given.clone())
    }

    /// Settings for reading images at another place.
    pub fn data_at(&self, path: &Path) -> enas_data::Config {
        // Augmented copies of training images are not used for measurements.
        let augment = enas_data::augment::Config::default();
        enas_data::Config { augment, path: path.to_owned(), ..self.metadata.data.clone() }
    }

    /// A part of the data the model was trained on.
    fn load_own(&self, part: Part, holding: Storage) -> Result<(Split, Vec<Skipped>)> {
        let config = self.data_at(&self.metadata.data.path);
        let seed = Seed::new(self.metadata.seed);
        // A run that reuses the split of a search stores it in its folder. The seed of the run would draw another
        // split.
        let stored = self.folder.join(SPLIT).is_file().then(|| stored_split(&self.folder)).transpose()?;
        if stored.is_none() && !config.is_fixed(part) {
            tracing::warn!(
                "the files of the model's run are not next to {MODEL}: if {} has no split folders, its {} split is drawn from the seed of the training. It differs if the training used the split of a search",
                visible(&config.path),
                part.name()
            );
        }
        let data = enas_data::load(
            &config,
            &LoadOptions { split: stored.as_ref(), storage: holding, ..LoadOptions::new(seed) },
        )?;
        if data.classes != self.metadata.classes {
            return Err(Error::Mismatch(format!(
                "{} has the classes {}; the model knows {}",
                visible(&config.path),
                visible(&data.classes.join(", ")),
                visible(&self.metadata.classes.join(", "))
            )));
        }
        let split = data.split(part);
        // In reference mode every part has its own mean and deviation; a model file holds only the training's.
        let split = match config.normalization {
            NormalizationMode::PerChannel => split.with_normalization(self.metadata.normalization.clone()),
            NormalizationMode::Reference => split.clone(),
        };
        Ok((split, data.skipped))
    }
}

impl MemoryPlan {
    /// A plan for measuring a model on the images at `path`.
    ///
    /// # Errors
    /// As [`for_search`](Self::for_search).
    pub fn for_evaluation(model: &Model, path: &Path, memory: MemoryLimit, on_gpu: bool) -> Result<Self> {
        // Unreadable images are reported by loading, which knows what they are needed for.
        let Ok(survey) = enas_data::survey(&model.data_at(path)) else { return Ok(Self::plenty()) };
        let footprint = match (model.child(), model.arc()) {
            (Ok(child), Ok(arc)) if !on_gpu => {
                let threads = rayon::current_num_threads();
                let input = child.input();
                let classes = child.n_classes();
                Some(Footprint::fixed(child.config(), arc, input, classes, threads)?)
            }
            _ => None,
        };
        Self::evaluating(survey, footprint, model.eval_batch(), memory)
    }
}

/// Whether two paths are equal or lead to the same place.
fn same_place(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
