//! Images that are held as their files or not at all give the batches of decoded ones, to the bit.

use std::fs;
use std::path::Path;

use enas_data::augment::{self, AugmentMode, When};
use enas_data::{
    Config, Dataset, EpochPlan, ImageBatch, LoadOptions, NormalizationMode, Part, Sampling, Storage, survey,
};
use enas_rng::Seed;

use crate::bundle::{Bundle, png, with_splits};
use crate::zip::pack;

const OTHERS: [Storage; 2] = [Storage::Encoded, Storage::OnDisk];

fn load(config: &Config, storage: Storage) -> Dataset {
    enas_data::load(config, &LoadOptions { storage, ..LoadOptions::new(Seed::new(3)) }).unwrap()
}

/// All that a run could see of a data set.
#[derive(Debug, PartialEq)]
struct Seen {
    fingerprint: enas_data::Fingerprint,
    normalizations: Vec<enas_data::Normalization>,
    epochs: Vec<Vec<ImageBatch>>,
    ordered: Vec<ImageBatch>,
    drawn: ImageBatch,
    images: Vec<Vec<u8>>,
}

fn seen(data: &Dataset) -> Seen {
    let epoch = |epoch| {
        let plan = EpochPlan { workers: 2, ..EpochPlan::new(epoch, 5) };
        data.train.epoch(&plan).unwrap().map(Result::unwrap).collect()
    };
    Seen {
        fingerprint: data.fingerprint.clone(),
        normalizations: Part::ALL.map(|part| data.split(part).normalization().clone()).into(),
        epochs: (0..3).map(epoch).collect(),
        ordered: data.test.ordered(3).unwrap().map(Result::unwrap).collect(),
        drawn: data.valid.draw(&[1, 2], 3).unwrap(),
        images: (0..data.train.len()).map(|i| data.train.image(i).unwrap().into_owned()).collect(),
    }
}

fn same(config: &Config) {
    let decoded = load(config, Storage::Decoded);
    assert!(decoded.train.decoded(0).is_some());
    let expected = seen(&decoded);
    for storage in OTHERS {
        let data = load(config, storage);
        assert!(data.train.decoded(0).is_none(), "{storage:?}");
        assert!(seen(&data) == expected, "{storage:?} of {config:?} differs");
    }
}

fn mode(mode: AugmentMode, when: When, n_aug: usize) -> augment::Config {
    augment::Config { mode, when, n_aug, ..augment::Config::default() }
}

#[test]
fn batches_do_not_depend_on_how_images_are_held() {
    let bundle = Bundle::new().with("cat", 11).with("dog", 14).with("eel", 5);
    bundle.file("dog/broken.png", b"no image");
    let plain = bundle.config();
    same(&plain);
    for augment in [
        mode(AugmentMode::Corrected, When::EachEpoch, 1),
        mode(AugmentMode::CropFlip, When::EachEpoch, 1),
        mode(AugmentMode::Corrected, When::Once, 3),
        mode(AugmentMode::Reference, When::Once, 2),
    ] {
        same(&Config { augment, channels: 3, ..plain.clone() });
    }
    same(&Config { normalization: NormalizationMode::Reference, ..plain.clone() });
    same(&Config {
        normalization: NormalizationMode::Reference,
        augment: mode(AugmentMode::Corrected, When::Once, 3),
        ..plain.clone()
    });
    same(&Config { sampling: Sampling::Balanced, ..plain });
}

#[test]
fn splits_on_disk_and_the_built_in_digits_are_no_exception() {
    same(&with_splits().config());
    let digits = Config { image_size: 12, ..Config::default() };
    let expected: Vec<ImageBatch> = batches(&load(&digits, Storage::Decoded));
    for storage in OTHERS {
        assert!(batches(&load(&digits, storage)) == expected, "{storage:?}");
    }
}

fn batches(data: &Dataset) -> Vec<ImageBatch> {
    data.train.epoch(&EpochPlan::new(0, 400)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn archives_are_no_exception() {
    let bundle = Bundle::new().with("cat", 9).with("dog", 7);
    let archive = Bundle::new();
    let path = archive.root().join("pictures.zip");
    pack(bundle.root(), &path, "");
    same(&Config { path, ..bundle.config() });
}

/// Loads streamed images, lets `happen` happen to one of them, and gives the error of the next epoch.
fn lost(happen: impl FnOnce(&Path)) -> String {
    let bundle = Bundle::new().with("cat", 8).with("dog", 8);
    let data = load(&bundle.config(), Storage::OnDisk);
    let name = data.train.path(3).to_owned();
    happen(&bundle.root().join(&name));
    let mut batches = data.train.epoch(&EpochPlan::new(0, 4)).unwrap();
    let error = batches.find_map(Result::err).unwrap().to_string();
    assert!(batches.next().is_none(), "an epoch ends with its first error");
    assert!(error.contains(&name) && error.contains("--memory"), "{error}");
    error
}

#[test]
fn an_image_that_vanishes_is_named() {
    let error = lost(|path| fs::remove_file(path).unwrap());
    assert!(error.contains("No such file"), "{error}");
}

#[test]
fn an_image_that_changes_is_named_even_if_it_can_be_decoded() {
    let error = lost(|path| fs::write(path, png(77, 7)).unwrap());
    assert!(error.contains("its content has changed"), "{error}");
}

#[test]
fn an_image_that_is_damaged_later_is_named() {
    let error = lost(|path| fs::write(path, b"torn").unwrap());
    assert!(error.contains("its content has changed"), "{error}");
}

#[test]
fn images_held_as_their_files_need_the_files_no_more() {
    let bundle = Bundle::new().with("cat", 8).with("dog", 8);
    let data = load(&bundle.config(), Storage::Encoded);
    let before: Vec<ImageBatch> = batches(&data);
    fs::remove_dir_all(bundle.root().join("cat")).unwrap();
    assert_eq!(batches(&data), before);
}

#[test]
fn a_survey_counts_what_loading_finds() {
    let bundle = Bundle::new().with("cat", 8).with("dog", 9);
    let survey = survey(&bundle.config()).unwrap();
    let bytes: u64 = ["cat", "dog"]
        .iter()
        .flat_map(|class| fs::read_dir(bundle.root().join(class)).unwrap())
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!((survey.classes, survey.images, survey.image_bytes, survey.files), (2, 17, 36, bytes));
}
