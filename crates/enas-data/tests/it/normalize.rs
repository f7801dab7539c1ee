//! Whose statistics normalise which split.

use enas_data::{Config, LoadOptions, Normalization, NormalizationMode, Part, augment, load};
use enas_rng::Seed;

use crate::bundle::{Bundle, encode};

/// Colour images of one value per channel each.
fn flat(bundle: &Bundle, name: &str, rgb: [u8; 3]) {
    let image =
        image::RgbImage::from_fn(6, 6, |x, _| if x < 3 { image::Rgb(rgb) } else { image::Rgb([0, 0, 0]) });
    bundle.file(name, &encode(&image::DynamicImage::ImageRgb8(image)));
}

fn bundle() -> Bundle {
    let bundle = Bundle::new();
    for class in ["a", "b"] {
        flat(&bundle, &format!("train/{class}/0.png"), [20, 40, 60]);
        flat(&bundle, &format!("valid/{class}/0.png"), [200, 200, 200]);
        flat(&bundle, &format!("test/{class}/0.png"), [100, 0, 0]);
    }
    bundle
}

#[test]
fn the_default_is_each_channel_of_the_training_split_for_all_splits() {
    let bundle = bundle();
    let data = load(&Config { channels: 3, ..bundle.config() }, &LoadOptions::new(Seed::new(1))).unwrap();
    // Half of the pixels are v and half are 0: mean v/2, deviation v/2.
    let expected = Normalization { mean: vec![10.0, 20.0, 30.0], std: vec![10.0, 20.0, 30.0] };
    assert_eq!(data.normalization, expected);
    assert!(Part::ALL.iter().all(|&part| data.split(part).normalization() == &expected));
    assert_eq!(data.valid.normalized(0).unwrap()[0], 19.0);
}

#[test]
fn reference_normalises_each_split_by_its_own_two_numbers() {
    let bundle = bundle();
    let normalization = NormalizationMode::Reference;
    let data =
        load(&Config { channels: 3, normalization, ..bundle.config() }, &LoadOptions::new(Seed::new(1)))
            .unwrap();
    assert_eq!(data.valid.normalization(), &Normalization { mean: vec![100.0; 3], std: vec![100.0; 3] });
    assert_eq!(data.normalization.mean, [20.0; 3]);
    // Values 20, 40, 60 and three times 0, equally often: variance 5600/6 - 400.
    let std = (5600f32 / 6.0 - 400.0).sqrt();
    assert!(data.normalization.std.iter().all(|s| (s - std).abs() < 1e-4));
    assert_ne!(data.test.normalization(), data.valid.normalization());
}

#[test]
fn copies_that_are_made_once_count_in_the_training_statistics() {
    let bundle = bundle();
    let augment = augment::Config {
        mode: augment::AugmentMode::Reference,
        when: augment::When::Once,
        n_aug: 5,
        ..augment::Config::default()
    };
    let plain = load(&Config { channels: 3, ..bundle.config() }, &LoadOptions::new(Seed::new(1))).unwrap();
    let copied =
        load(&Config { channels: 3, augment, ..bundle.config() }, &LoadOptions::new(Seed::new(1))).unwrap();
    assert_eq!((plain.train.len(), copied.train.len()), (2, 10));
    assert_ne!(plain.normalization, copied.normalization);
    assert_eq!(plain.valid.len(), copied.valid.len());
}

#[test]
fn a_model_file_can_store_the_normalisation_and_put_it_back() {
    let bundle = bundle();
    let data = load(&Config { channels: 3, ..bundle.config() }, &LoadOptions::new(Seed::new(1))).unwrap();
    let text = serde_json::to_string(&data.normalization).unwrap();
    let stored: Normalization = serde_json::from_str(&text).unwrap();
    assert_eq!(stored, data.normalization);
    let other = Normalization { mean: vec![0.0; 3], std: vec![1.0; 3] };
    assert_eq!(data.test.with_normalization(other).normalized(0).unwrap()[0], 100.0);
}
