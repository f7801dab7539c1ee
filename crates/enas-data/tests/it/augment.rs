//! Augmentation as the trainer sees it, and the contact sheet.

use std::collections::BTreeSet;

use enas_data::augment::{self, AugmentMode, When};
use enas_data::{Config, Dataset, EpochPlan, LoadOptions, contact_tiles, load};
use enas_rng::Seed;

use crate::bundle::{Bundle, png};

/// At their own size, which spares the tests the resizing.
fn digits(channels: usize, augment: augment::Config) -> Dataset {
    load(&Config { image_size: 8, channels, augment, ..Config::default() }, &LoadOptions::new(Seed::new(4)))
        .unwrap()
}

fn mode(mode: AugmentMode) -> augment::Config {
    augment::Config { mode, ..augment::Config::default() }
}

#[test]
fn copies_come_before_their_original_as_in_the_reference() {
    let plain = digits(1, augment::Config::default());
    let once = augment::Config { when: When::Once, n_aug: 3, ..mode(AugmentMode::Reference) };
    let data = digits(1, once);
    assert_eq!((data.train.copies(), data.train.len()), (3, 3 * plain.train.len()));
    assert_eq!((data.valid.len(), data.test.len()), (plain.valid.len(), plain.test.len()));
    for file in 0..100 {
        assert_eq!(data.train.image(3 * file + 2).unwrap(), plain.train.image(file).unwrap());
        assert_eq!(data.train.labels()[3 * file..][..3], [plain.train.labels()[file]; 3]);
        assert_eq!(data.train.path(3 * file), plain.train.path(file));
    }
    let changed = (0..300)
        .filter(|i| i % 3 != 2 && data.train.image(*i).unwrap() != data.train.image(i / 3 * 3 + 2).unwrap())
        .count();
    // One in sixteen copies is left alone.
    assert!((170..200).contains(&changed), "{changed} of 200");
    assert_eq!(data.split_file(), plain.split_file(), "copies are no files");
    let epoch: Vec<_> = data.train.epoch(&EpochPlan::new(0, 512)).unwrap().map(Result::unwrap).collect();
    assert_eq!(epoch.iter().map(|b| b.len()).sum::<usize>(), data.train.len());
    assert_eq!(data.train.augmented(0, 0).unwrap(), data.train.augmented(0, 1).unwrap(), "made once");
}

#[test]
fn variations_depend_on_seed_epoch_and_image_alone() {
    for m in [AugmentMode::Reference, AugmentMode::Corrected, AugmentMode::CropFlip] {
        let a = digits(3, mode(m));
        let b = digits(3, mode(m));
        assert_eq!(a.train.augmented(7, 3).unwrap(), b.train.augmented(7, 3).unwrap(), "{m:?}");
        let same = (0..40)
            .filter(|&epoch| a.train.augmented(7, epoch).unwrap() == a.train.normalized(7).unwrap())
            .count();
        assert!(same < 12, "{m:?} left the image alone in {same} of 40 epochs");
        assert!(
            !a.valid.is_augmented() && a.valid.augmented(0, 0).unwrap() == a.valid.normalized(0).unwrap()
        );
    }
}

#[test]
fn equal_images_are_varied_differently_in_one_epoch() {
    let bundle = Bundle::new();
    for class in ["a", "b"] {
        (0..12).for_each(|i| drop(bundle.file(&format!("{class}/{i:02}.png"), &png(1, 1))));
    }
    for augment in [
        mode(AugmentMode::Corrected),
        augment::Config { when: When::Once, n_aug: 2, ..mode(AugmentMode::Corrected) },
    ] {
        let data = load(&Config { augment, ..bundle.config() }, &LoadOptions::new(Seed::new(4))).unwrap();
        let copies = data.train.copies();
        let views: BTreeSet<Vec<u32>> = (0..20)
            .map(|file| data.train.augmented(file * copies, 0).unwrap().iter().map(|v| v.to_bits()).collect())
            .collect();
        assert!(views.len() > 10, "{} different ones of 20", views.len());
    }
}

#[test]
fn the_contact_sheet_shows_originals_beside_their_variations() {
    let data = digits(1, mode(AugmentMode::Corrected));
    let groups = contact_tiles(&data, 10, 5).unwrap();
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [6; 10]);
    // The first tile is the first zero.
    let zero = data.train.labels().iter().position(|&l| l == 0).unwrap();
    let tile = &groups[0][0];
    assert_eq!((tile.image.dimensions(), tile.label.as_str(), tile.original), ((8, 8), "0", true));
    let expected = data.train.image(zero).unwrap();
    assert!(tile.image.pixels().zip(expected.iter()).all(|(pixel, value)| pixel.0 == [*value; 3]));
    assert!(groups[0][1..].iter().all(|varied| !varied.original && varied.label == "0"));
    assert!(groups[0][1..].iter().any(|varied| varied.image != tile.image));
    let labels: Vec<&str> = groups.iter().map(|group| group[0].label.as_str()).collect();
    assert_eq!(labels, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[test]
fn the_contact_sheet_follows_what_the_trainer_gets() {
    let shown = |data: &Dataset, images, variations| {
        contact_tiles(data, images, variations).unwrap().iter().map(Vec::len).sum::<usize>()
    };
    assert_eq!(shown(&digits(1, mode(AugmentMode::None)), 30, 5), 30);
    let once = augment::Config { when: When::Once, n_aug: 3, ..mode(AugmentMode::Reference) };
    assert_eq!(shown(&digits(1, once), 10, 5), 30);
    assert_eq!(shown(&digits(3, mode(AugmentMode::CropFlip)), 1, 2), 3);
    assert_eq!(shown(&digits(1, mode(AugmentMode::None)), 0, 0), 0);
}
