//! The network that a warm start begins with: one that has not learned from the images that the run measures on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use enas_data::visible;

use super::file::Model;
use crate::directory::files::{IMAGE_DIGESTS, MEASURED, stored_split};
use crate::directory::known_images::KnownImages;
use crate::error::Result;

/// Loads the network of `model` for trainings in `dir`, a run or a series. With `folds`, every image of the directory
/// is measured on at some time; otherwise the validation and test images are.
///
/// A network that learned from such images would report accuracies that are too high. If it learned from them in a
/// refit, the network before the refit is taken in its place. Otherwise a warning tells how many images it knows. A
/// model file that was moved away from its run cannot be checked.
///
/// # Errors
/// As [`Model::load`].
pub fn network(model: &Path, dir: &Path, folds: bool) -> Result<Model> {
    let loaded = Model::load(model)?;
    let folder = model.parent().unwrap_or(Path::new(""));
    let (Some(seen), Some(measured_on)) = (KnownImages::of_run(folder), measured_on(dir, folds)) else {
        return Ok(loaded);
    };
    let learned = loaded.refit().map_or(&[][..], |refit| refit.images.parts());
    let known =
        |seen: &KnownImages| measured_on.iter().filter(|digest| seen.is_training_image(digest)).count();
    let n_known = known(&seen.clone().with_learned(learned));
    if n_known == 0 {
        return Ok(loaded);
    }
    let model = visible(&model);
    let all = measured_on.len();
    let before = folder.join(MEASURED);
    if !learned.is_empty() && known(&seen) == 0 && before.is_file() {
        tracing::warn!(
            "in its refit, {model} learned from {n_known} of the {all} images used for measuring; the training begins \
             with {MEASURED}, the network from before"
        );
        return Model::load(&before);
    }
    tracing::warn!(
        "{model} learned from {n_known} of the {all} images used for measuring: accuracies will be too high. Begin \
         with a network of the same split (the same data, --seed and data settings), or use your own test images"
    );
    Ok(loaded)
}

/// Digests of the images that trainings in `dir` are measured on; `None` if the directory does not know them.
fn measured_on(dir: &Path, folds: bool) -> Option<Vec<String>> {
    let split = stored_split(dir).ok()?;
    let digests: BTreeMap<String, String> =
        serde_json::from_str(&fs::read_to_string(dir.join(IMAGE_DIGESTS)).ok()?).ok()?;
    let train = if folds { split.train.as_slice() } else { &[] };
    let names = split.valid.iter().chain(&split.test).chain(train);
    Some(names.filter_map(|name| digests.get(name).cloned()).collect())
}
