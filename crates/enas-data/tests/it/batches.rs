//! Batches: complete, in a reproducible order, and the same whatever the threads do.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use enas_data::{Config, Dataset, EpochPlan, ImageBatch, Last, LoadOptions, Sampling, augment, load};
use enas_rng::Seed;
use proptest::prelude::*;

fn digits(augment: augment::Config) -> Dataset {
    load(&Config { image_size: 8, augment, ..Config::default() }, &LoadOptions::new(Seed::new(4))).unwrap()
}

fn corrected() -> augment::Config {
    augment::Config { mode: augment::AugmentMode::Corrected, flip: true, ..Default::default() }
}

fn indices(batches: &[ImageBatch]) -> Vec<usize> {
    batches.iter().flat_map(|b| b.indices.clone()).collect()
}

#[test]
fn batches_hold_normalised_images_with_their_labels() {
    let data = digits(augment::Config::default());
    let batch = data.train.epoch(&EpochPlan::new(0, 10)).unwrap().nth(3).unwrap().unwrap();
    assert_eq!((batch.len(), batch.images.len()), (10, 640));
    for (k, &i) in batch.indices.iter().enumerate() {
        assert_eq!(batch.labels[k], data.train.labels()[i]);
        assert_eq!(batch.images[k * 64..][..64], data.train.normalized(i).unwrap());
    }
    let mean = data.normalization.mean[0];
    let std = data.normalization.std[0];
    assert_eq!(batch.images[5], (f32::from(data.train.image(batch.indices[0]).unwrap()[5]) - mean) / std);
}

#[test]
fn waiting_for_batches_is_counted() {
    let data = digits(corrected());
    // One batch of the whole split, which cannot be ready at once.
    let mut batches = data.train.epoch(&EpochPlan::new(0, data.train.len())).unwrap();
    assert_eq!(batches.waited(), Duration::ZERO);
    batches.next().unwrap().unwrap();
    assert!(batches.waited() > Duration::ZERO);
}

#[test]
fn ordered_batches_are_the_split_from_first_to_last() {
    let data = digits(corrected());
    let batches: Vec<ImageBatch> = data.test.ordered(100).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(ImageBatch::len).collect::<Vec<_>>(), [100, 79]);
    assert_eq!(indices(&batches), (0..179).collect::<Vec<_>>());
    let train = data.train.ordered(50).unwrap().next().unwrap().unwrap();
    assert_eq!(train.images[..64], data.train.normalized(0).unwrap(), "evaluation never varies images");
}

#[test]
fn the_number_of_workers_and_of_decoding_threads_changes_no_bit() {
    let run = |threads: usize, workers: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let data = pool.install(|| digits(corrected()));
        let plan = EpochPlan { workers, ..EpochPlan::new(2, 50) };
        (data.fingerprint.clone(), data.train.epoch(&plan).unwrap().map(Result::unwrap).collect::<Vec<_>>())
    };
    let (fingerprint, batches) = run(1, 1);
    assert!(batches.len() == 29);
    for (threads, workers) in [(2, 2), (2, 3), (1, 64)] {
        let other = run(threads, workers);
        assert_eq!(other.0, fingerprint);
        assert!(other.1 == batches, "{threads} threads, {workers} workers");
    }
}

#[test]
fn an_epoch_can_be_entered_in_the_middle() {
    let data = digits(corrected());
    let all: Vec<ImageBatch> =
        data.train.epoch(&EpochPlan::new(5, 64)).unwrap().map(Result::unwrap).collect();
    let rest: Vec<ImageBatch> = data
        .train
        .epoch(&EpochPlan { skip: 20, ..EpochPlan::new(5, 64) })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(all.len(), 23);
    assert!(rest == all[20..]);
    let beyond = data.train.epoch(&EpochPlan { skip: 99, ..EpochPlan::new(5, 64) }).unwrap();
    assert_eq!(beyond.len(), 0);
    assert_eq!(beyond.count(), 0);
}

#[test]
fn epochs_differ_in_order_and_in_variations() {
    let data = digits(corrected());
    let order = |epoch| {
        indices(
            &data.train.epoch(&EpochPlan::new(epoch, 64)).unwrap().map(Result::unwrap).collect::<Vec<_>>(),
        )
    };
    assert_ne!(order(0), order(1));
    assert_eq!(order(1), order(1));
    let different = (0..50)
        .filter(|&i| data.train.augmented(i, 0).unwrap() != data.train.augmented(i, 1).unwrap())
        .count();
    assert!(different > 40, "{different} of 50");
}

#[test]
fn leaving_early_stops_the_threads() {
    let data = digits(corrected());
    for _ in 0..20 {
        let mut batches = data.train.epoch(&EpochPlan { workers: 3, ..EpochPlan::new(0, 1) }).unwrap();
        batches.next();
        // Dropping waits for the threads; a thread that kept sending would hang here for ever.
    }
}

#[test]
fn impossible_batch_sizes_are_errors_that_help() {
    let data = digits(augment::Config::default());
    for error in [
        data.train.epoch(&EpochPlan::new(0, 0)).unwrap_err(),
        data.train.ordered(0).unwrap_err(),
        data.train.draw(&[0], 0).unwrap_err(),
    ] {
        assert!(error.is_usage() && error.to_string().contains("at least 1"), "{error}");
    }
    let plan = EpochPlan { last: Last::Drop, ..EpochPlan::new(0, 2000) };
    let error = data.train.epoch(&plan).unwrap_err().to_string();
    assert!(error.contains("batches of 2000 from the 1439 images of the train split"), "{error}");
}

#[test]
fn reward_batches_are_full_without_repeats_and_depend_on_their_position() {
    let data = digits(corrected());
    let batch = data.valid.draw(&[3, 14], 160).unwrap();
    let unique: BTreeSet<_> = batch.indices.iter().collect();
    assert_eq!((batch.len(), unique.len()), (160, 160));
    assert_eq!(batch, data.valid.draw(&[3, 14], 160).unwrap());
    assert_ne!(batch.indices, data.valid.draw(&[3, 15], 160).unwrap().indices);
    assert_eq!(batch.images[..64], data.valid.normalized(batch.indices[0]).unwrap());

    let large = data.valid.draw(&[0], 400).unwrap();
    let count = |i| large.indices.iter().filter(|&&j| j == i).count();
    assert_eq!(large.len(), 400);
    assert!((0..179).all(|i| (2..=3).contains(&count(i))));
}

#[test]
fn every_image_is_drawn_about_equally_often() {
    let data = digits(augment::Config::default());
    let mut counts = vec![0; data.valid.len()];
    for step in 0..2000 {
        data.valid.draw(&[step], 9).unwrap().indices.iter().for_each(|&i| counts[i] += 1);
    }
    // 100 expected, standard deviation about 10.
    assert!(counts.iter().all(|c| (50..=150).contains(c)), "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn an_epoch_is_an_exact_permutation(epoch in any::<u64>(), batch_size in 1usize..2000, workers in 1usize..4) {
        static DATA: LazyLock<Dataset> = LazyLock::new(|| digits(augment::Config::default()));
        let data = &*DATA;
        let n = data.train.len();
        let plan = EpochPlan { workers, ..EpochPlan::new(epoch, batch_size) };
        let kept: Vec<ImageBatch> = data.train.epoch(&plan).unwrap().map(Result::unwrap).collect();
        let mut order = indices(&kept);
        order.sort_unstable();
        prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
        prop_assert!(kept.iter().rev().skip(1).all(|b| b.len() == batch_size));
        if batch_size <= n {
            let plan = EpochPlan { last: Last::Drop, ..plan };
            let dropped: Vec<ImageBatch> = data.train.epoch(&plan).unwrap().map(Result::unwrap).collect();
            prop_assert!(dropped.iter().all(|b| b.len() == batch_size));
            prop_assert!(dropped[..] == kept[..n / batch_size]);
        }
    }
}

/// Ten times as many images of one class as of the other, in balanced epochs.
fn unequal(augment: augment::Config) -> Dataset {
    let bundle = crate::bundle::Bundle::new();
    for (class, n) in [("common", 40), ("rare", 4)] {
        for part in ["train", "valid", "test"] {
            for i in 0..n {
                bundle.file(&format!("{part}/{class}/{i:02}.png"), &crate::bundle::png(class.len() as u8, i));
            }
        }
    }
    let sampling = Sampling::Balanced;
    load(&Config { sampling, augment, ..bundle.config() }, &LoadOptions::new(Seed::new(4))).unwrap()
}

#[test]
fn balanced_epochs_hold_every_class_equally_often() {
    let data = unequal(augment::Config::default());
    let plan = EpochPlan::new(0, 10);
    let batches: Vec<ImageBatch> = data.train.epoch(&plan).unwrap().map(Result::unwrap).collect();
    assert_eq!(
        batches.iter().map(ImageBatch::len).collect::<Vec<_>>(),
        [10, 10, 10, 10, 4],
        "as many as otherwise"
    );
    let rare = batches.iter().flat_map(|b| &b.labels).filter(|&&label| label == 1).count();
    assert_eq!(rare, 22);
    let of_valid: Vec<ImageBatch> = data.valid.epoch(&plan).unwrap().map(Result::unwrap).collect();
    assert_eq!(
        indices(&of_valid).into_iter().collect::<BTreeSet<_>>().len(),
        44,
        "other splits stay as they are"
    );
}

#[test]
fn an_image_that_comes_again_in_an_epoch_is_varied_anew() {
    let data = unequal(corrected());
    let batch = data.train.epoch(&EpochPlan::new(0, 44)).unwrap().next().unwrap().unwrap();
    let size = batch.images.len() / 44;
    let rare = *batch.indices.iter().find(|&&i| data.train.labels()[i] == 1).unwrap();
    let copies: BTreeSet<Vec<u32>> = (0..44)
        .filter(|&k| batch.indices[k] == rare)
        .map(|k| batch.images[k * size..][..size].iter().map(|x| x.to_bits()).collect())
        .collect();
    assert!(copies.len() >= 5, "{} of 5 or 6 copies differ", copies.len());
}

#[test]
fn balanced_epochs_go_on_in_the_middle_where_they_were_left() {
    let data = unequal(corrected());
    let whole: Vec<ImageBatch> =
        data.train.epoch(&EpochPlan::new(3, 5)).unwrap().map(Result::unwrap).collect();
    let plan = EpochPlan { skip: 4, workers: 3, ..EpochPlan::new(3, 5) };
    let rest: Vec<ImageBatch> = data.train.epoch(&plan).unwrap().map(Result::unwrap).collect();
    assert_eq!(rest, whole[4..]);
    let of_plan: Vec<usize> = data.train.epoch_indices(&plan).unwrap().concat();
    assert_eq!(indices(&rest), of_plan);
}

fn mixed() -> augment::Config {
    augment::Config {
        mode: augment::AugmentMode::RandAugment,
        erasing: 0.3,
        mixup: 0.4,
        cutmix: 1.0,
        ..Default::default()
    }
}

#[test]
fn mixed_batches_depend_on_their_place_alone() {
    let data = digits(mixed());
    let epoch = |epoch: u64, skip: usize, workers: usize| -> Vec<ImageBatch> {
        let plan = EpochPlan { skip, workers, ..EpochPlan::new(epoch, 100) };
        data.train.epoch(&plan).unwrap().map(Result::unwrap).collect()
    };
    let all = epoch(0, 0, 1);
    assert_eq!(epoch(0, 0, 3), all);
    assert_eq!(epoch(0, 5, 2), all[5..], "going on in the middle of an epoch");
    let shares: BTreeSet<u32> = all.iter().map(|b| b.mix.as_ref().unwrap().shares[0].to_bits()).collect();
    assert!(shares.len() > 5, "every batch has a share of its own");
    assert_ne!(epoch(1, 0, 1)[0].mix, all[0].mix);
    for batch in &all {
        let mix = batch.mix.as_ref().unwrap();
        assert_eq!((mix.others.len(), mix.shares.len()), (batch.len(), batch.len()));
    }
}

#[test]
fn evaluation_sees_neither_mixed_nor_varied_images() {
    let data = digits(mixed());
    assert!(data.train.is_augmented() && !data.test.is_augmented());
    for batch in [
        data.train.ordered(50).unwrap().next().unwrap().unwrap(),
        data.train.gather((0..50).collect()).unwrap(),
        data.train.draw(&[1], 50).unwrap(),
    ] {
        assert_eq!(batch.mix, None);
        let plain = batch.indices.iter().flat_map(|&i| data.train.normalized(i).unwrap());
        assert_eq!(batch.images, plain.collect::<Vec<_>>());
    }
}
