//! Folder layouts, splits, and what is said about folders that are wrong.

use std::collections::BTreeSet;
use std::fs;

use enas_data::{Config, Dataset, Error, LoadOptions, Part, SplitFile, load};
use enas_rng::Seed;

use crate::bundle::{Bundle, labelled, png, with_log, with_splits};

fn seed() -> Seed {
    Seed::new(1)
}

fn options() -> LoadOptions<'static> {
    LoadOptions::new(seed())
}

fn message(bundle: &Bundle) -> String {
    load(&bundle.config(), &options()).unwrap_err().to_string()
}

fn sizes(data: &Dataset) -> [usize; 3] {
    Part::ALL.map(|part| data.split(part).len())
}

fn paths(data: &Dataset, part: Part) -> BTreeSet<String> {
    let split = data.split(part);
    (0..split.len()).map(|i| split.path(i).to_owned()).collect()
}

#[test]
fn folders_with_splits_are_taken_as_they_are() {
    let bundle = with_splits();
    let data = load(&bundle.config(), &options()).unwrap();
    assert_eq!(data.classes, ["cat", "dog"]);
    assert_eq!(sizes(&data), [8, 4, 4]);
    assert_eq!(data.train.labels(), [0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(data.valid.path(2), "valid/dog/000.png");
    assert_eq!((data.channels, data.height, data.width), (1, 6, 6));
    assert!(data.skipped.is_empty());
    assert_eq!(data.fingerprint.files, 16);
}

#[test]
fn classes_are_in_the_byte_order_of_their_names() {
    let bundle = Bundle::new().with("b", 3).with("10", 3).with("B", 3).with("2", 3).with("é", 3);
    let data = load(&bundle.config(), &options()).unwrap();
    assert_eq!(data.classes, ["10", "2", "B", "b", "é"]);
}

#[test]
fn folders_without_splits_are_divided_by_class_and_seed() {
    let bundle = Bundle::new().with("cat", 20).with("dog", 40);
    let data = load(&bundle.config(), &options()).unwrap();
    assert_eq!(sizes(&data), [48, 6, 6]);
    let cats = |part| data.split(part).labels().iter().filter(|&&l| l == 0).count();
    assert_eq!(Part::ALL.map(cats), [16, 2, 2]);
    let again = load(&bundle.config(), &options()).unwrap();
    let other = load(&bundle.config(), &LoadOptions::new(Seed::new(2))).unwrap();
    assert_eq!(paths(&data, Part::Test), paths(&again, Part::Test));
    assert_ne!(paths(&data, Part::Test), paths(&other, Part::Test));
    let all: BTreeSet<_> = Part::ALL.into_iter().flat_map(|part| paths(&data, part)).collect();
    assert_eq!(all.len(), 60, "no image is in two parts");
}

#[test]
fn a_missing_valid_is_taken_from_train_and_a_missing_train_is_an_error() {
    let bundle = Bundle::new().with("train/a", 20).with("train/b", 10).with("test/a", 3).with("test/b", 3);
    let data = load(&bundle.config(), &options()).unwrap();
    // The same images are in both classes. Copies are in one part, so the share is not exact.
    let [train, valid, test] = sizes(&data);
    assert!(train + valid == 30 && (2..=4).contains(&valid) && test == 6, "{train} {valid} {test}");
    assert!(paths(&data, Part::Valid).iter().all(|p| p.starts_with("train/")));
    assert!(paths(&data, Part::Valid).is_disjoint(&paths(&data, Part::Train)));

    let bundle = Bundle::new().with("valid/a", 5).with("test/a", 5);
    let error = message(&bundle);
    assert!(error.contains("found the folders test, valid, but no train"), "{error}");
}

#[test]
fn hidden_and_unrelated_files_are_ignored() {
    let bundle = with_splits().folder(".git/objects");
    for name in ["train/cat/notes.txt", "train/cat/.hidden.png", ".DS_Store", "labels.csv", "train/readme.md"]
    {
        bundle.file(name, b"not an image");
    }
    bundle.file("train/cat/UPPER.PNG", &png(1, 99));
    bundle.file("train/cat/deeper/x.png", &png(1, 98));
    let data = load(&bundle.config(), &options()).unwrap();
    assert_eq!(sizes(&data), [10, 4, 4]);
    assert!(data.skipped.is_empty());

    let bundle = Bundle::new().with("a", 5).with("b", 5).with(".thumbnails", 5).folder(".git/objects");
    assert_eq!(load(&bundle.config(), &options()).unwrap().classes, ["a", "b"]);
}

#[test]
fn a_split_under_another_name_is_not_lost_and_another_folder_is_named() {
    let bundle = with_splits();
    fs::rename(bundle.root().join("valid"), bundle.root().join("val")).unwrap();
    let (data, log) = with_log(|| load(&bundle.config(), &options()).unwrap());
    assert_eq!((sizes(&data), data.valid.path(0), log.as_str()), ([8, 4, 4], "val/cat/000.png", ""));
    fs::rename(bundle.root().join("val"), bundle.root().join("drafts")).unwrap();
    let (data, log) = with_log(|| load(&bundle.config(), &options()).unwrap());
    assert!(log.contains("left out 1 folder next to the splits (drafts)"), "{log}");
    assert_eq!(data.train.len() + data.valid.len(), 8);
}

#[test]
fn what_is_not_a_data_set_is_named() {
    let bundle = Bundle::new();
    let nowhere = Config { path: bundle.root().join("nowhere"), ..bundle.config() };
    let error = load(&nowhere, &options()).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }));
    assert!(error.to_string().contains("nowhere: there is no such file"), "{error}");

    let text = bundle.file("notes.txt", b"hello");
    let error = load(&Config { path: text, ..bundle.config() }, &options()).unwrap_err();
    assert!(matches!(error, Error::NotFolderOrZip { .. }), "{error}");

    let error = message(&Bundle::new());
    assert!(error.contains("no class folders, and no images; expected train/<class>/"), "{error}");
    let loose = Bundle::new();
    loose.file("a.png", &png(0, 0));
    loose.file("b.png", &png(0, 1));
    assert!(message(&loose).contains("only 2 images without class folders"), "{}", message(&loose));
    let error = message(&Bundle::new().with("cat", 9));
    assert!(error.contains("at least 2 classes") && error.contains("found only cat"), "{error}");
    let error = message(&Bundle::new().with("train", 5).with("test", 5));
    assert!(error.contains("test, train hold no class folders"), "{error}");
    let error = message(&Bundle::new().with("train/a", 5).folder("test"));
    assert!(error.contains("at least 2 classes"), "{error}");
}

#[test]
fn a_class_that_ends_up_empty_is_an_error_with_the_reason() {
    let bundle = Bundle::new().with("cat", 5).folder("dog");
    bundle.file("dog/readme.txt", b"soon");
    let error = message(&bundle);
    assert!(
        error.contains("\"dog\" has no usable image in") && error.contains("no file there ends in"),
        "{error}"
    );
    bundle.file("dog/a.png", b"\x89PNG\r\n\x1a\nbroken");
    bundle.file("dog/b.png", b"");
    let error = message(&bundle);
    assert!(
        error.contains("all 2 files there were skipped, such as dog/a.png (cannot be decoded"),
        "{error}"
    );

    let bundle = with_splits().with("valid/cow", 2).with("test/cow", 1).folder("train/cow");
    let error = message(&bundle);
    assert!(error.contains("\"cow\" has no usable image") && error.contains("train/cow"), "{error}");
}

#[test]
fn classes_that_train_lacks_are_listed() {
    let bundle = with_splits().with("test/cow", 1).with("test/yak", 1).folder("test/empty");
    let error = message(&bundle);
    assert!(
        error.starts_with("test of ") && error.ends_with("has classes that train lacks: cow, yak"),
        "{error}"
    );
}

#[test]
fn a_split_without_an_image_is_an_error() {
    let bundle = Bundle::new().with("train/a", 5).with("train/b", 5).with("valid/a", 2).folder("test/a");
    let error = message(&bundle);
    assert!(error.contains("the test split of") && error.contains("has no image"), "{error}");
    bundle.file("test/a/x.png", b"junk");
    let error = message(&bundle);
    assert!(error.contains("all 1 files there were skipped as unreadable"), "{error}");
    let bundle = Bundle::new().with("train/a", 1).with("train/b", 1).with("test/a", 9);
    let error = message(&bundle);
    assert!(error.contains("the valid split of") && error.contains("no class has enough images"), "{error}");
    let error = message(&Bundle::new().with("a", 2).with("b", 2));
    assert!(error.contains("no class has enough images"), "{error}");
}

#[test]
fn a_class_missing_from_valid_is_a_warning() {
    let bundle = Bundle::new()
        .with("train/a", 5)
        .with("train/b", 5)
        .with("valid/a", 2)
        .with("test/a", 2)
        .with("test/b", 2);
    let (data, log) = with_log(|| load(&bundle.config(), &options()).unwrap());
    assert!(log.contains("the valid split has no image of b"), "{log}");
    assert_eq!(data.valid.labels(), [0, 0]);
}

#[test]
fn bad_files_are_skipped_with_reasons_and_strict_makes_them_errors() {
    let bundle = with_splits();
    let good = png(5, 5);
    bundle.file("train/cat/broken.png", &good[..good.len() / 2]);
    bundle.file("train/cat/empty.jpg", b"");
    bundle.file("train/dog/page.gif", b"<html>404</html>");
    let (data, log) = with_log(|| load(&bundle.config(), &options()).unwrap());
    assert_eq!(sizes(&data), [8, 4, 4]);
    let skipped: Vec<&str> = data.skipped.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(skipped, ["train/cat/broken.png", "train/cat/empty.jpg", "train/dog/page.gif"]);
    assert!(data.skipped[0].reason.contains("cannot be decoded"), "{:?}", data.skipped[0]);
    assert_eq!(data.skipped[1].reason, "the file is empty");
    assert_eq!(data.skipped[2].reason, "not a PNG, JPEG, BMP, GIF, WebP or TIFF image");
    assert_eq!(data.fingerprint.files, 19, "skipped files count: repairing one changes the data");
    assert!(log.contains("train/cat/broken.png: cannot be decoded"), "{log}");

    let error = load(&Config { strict: true, ..bundle.config() }, &options()).unwrap_err().to_string();
    assert!(error.contains("train/cat/broken.png: cannot be decoded"), "{error}");
    assert!(error.contains("data.strict = false"), "{error}");
}

#[test]
fn thousands_of_bad_files_do_not_make_thousands_of_lines() {
    let bundle = with_splits();
    (0..40).for_each(|i| drop(bundle.file(&format!("train/cat/bad{i:02}.png"), b"junk")));
    let (data, log) = with_log(|| load(&bundle.config(), &options()).unwrap());
    assert_eq!(data.skipped.len(), 40);
    assert_eq!(log.lines().count(), 11, "{log}");
    assert!(log.contains("skipped 30 more: 40 files"), "{log}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_broken_ones_skipped() {
    let bundle = with_splits();
    let cat = bundle.root().join("train/cat");
    let dog = bundle.root().join("train/dog");
    std::os::unix::fs::symlink(dog.join("000.png"), cat.join("linked.png")).unwrap();
    std::os::unix::fs::symlink(dog.join("gone.png"), cat.join("lost.png")).unwrap();
    std::os::unix::fs::symlink(bundle.root(), cat.join("cycle")).unwrap();
    let data = load(&bundle.config(), &options()).unwrap();
    assert_eq!(data.train.len(), 9);
    assert_eq!(data.skipped.len(), 1);
    assert!(data.skipped[0].reason.contains("cannot be read"), "{:?}", data.skipped);
}

#[test]
fn a_stored_split_survives_new_images_another_seed_and_other_fractions() {
    let bundle = Bundle::new().with("a", 20).with("b", 20);
    let first = load(&bundle.config(), &options()).unwrap();
    let text = serde_json::to_string(&first.split_file()).unwrap();
    let stored: SplitFile = serde_json::from_str(&text).unwrap();

    bundle.file("a/new.png", &png(9, 9));
    let config = Config { valid_fraction: 0.3, ..bundle.config() };
    let (again, log) = with_log(|| {
        load(&config, &LoadOptions { split: Some(&stored), ..LoadOptions::new(Seed::new(77)) }).unwrap()
    });
    assert_eq!(again.split_file(), stored);
    assert_eq!(again.train.image(5).unwrap(), first.train.image(5).unwrap());
    assert!(log.contains("1 image in the data set is") && log.contains("not in the stored split"), "{log}");
    assert_ne!(again.fingerprint, first.fingerprint);
}

#[test]
fn a_stored_split_that_no_longer_fits_says_why() {
    let bundle = Bundle::new().with("a", 5).with("b", 5);
    let stored = load(&bundle.config(), &options()).unwrap().split_file();
    let fails = |stored: &SplitFile| {
        load(&bundle.config(), &LoadOptions { split: Some(stored), ..options() }).unwrap_err().to_string()
    };

    let mut doubled = stored.clone();
    doubled.test.push(stored.train[0].clone());
    assert!(fails(&doubled).contains("is in two parts"), "{}", fails(&doubled));
    fs::remove_file(bundle.root().join("a/002.png")).unwrap();
    let error = fails(&stored);
    assert!(
        error.contains("1 of its images is gone or unreadable, a/002.png; restore what is missing"),
        "{error}"
    );
    let bundle = bundle.with("c", 5);
    let error =
        load(&bundle.config(), &LoadOptions { split: Some(&stored), ..options() }).unwrap_err().to_string();
    assert!(error.contains("made for the classes a, b, but the folders are a, b, c"), "{error}");
}

#[test]
fn the_fingerprint_follows_names_and_contents_only() {
    let of = |bundle: &Bundle| load(&bundle.config(), &options()).unwrap().fingerprint;
    let one = with_splits();
    let two = with_splits();
    assert_eq!(of(&one), of(&two), "another folder with the same files");
    assert_eq!(of(&one).sha256.len(), 64);
    one.file("labels.csv", b"ignored");
    assert_eq!(of(&one), of(&two));
    two.file("train/cat/000.png", &png(200, 201));
    assert_ne!(of(&one).sha256, of(&two).sha256, "changed content");
    fs::rename(one.root().join("train/cat/003.png"), one.root().join("train/cat/004.png")).unwrap();
    assert_ne!(of(&one).sha256, of(&with_splits()).sha256, "changed name, same order");
}

fn classes(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn a_folder_of_known_classes_is_one_split_with_the_models_labels() {
    let bundle = Bundle::new().with("dog", 3).with("cow", 2).folder("notes");
    let model = load(&with_splits().config(), &options()).unwrap().normalization;
    let input = bundle.config().input();
    let measure = |names: &[&str]| labelled(bundle.root(), Part::Test, &classes(names), &input, &model);
    let (split, skipped) = measure(&["ape", "cow", "dog"]).unwrap();
    assert_eq!((split.labels(), split.part()), ([1, 1, 2, 2, 2].as_slice(), Part::Test));
    assert_eq!(split.normalization(), &model);
    assert!(skipped.is_empty());
    let error = measure(&["cow"]).unwrap_err().to_string();
    assert!(error.ends_with("has classes that the model lacks: dog"), "{error}");
}

#[test]
fn measuring_one_split_needs_no_other() {
    let bundle = Bundle::new().with("test/dog", 3).with("valid/cat", 2).folder("train/fox");
    let input = bundle.config().input();
    let model = load(&with_splits().config(), &options()).unwrap().normalization;
    let names = classes(&["cat", "dog"]);
    let measure = |part| labelled(bundle.root(), part, &names, &input, &model);
    assert_eq!(measure(Part::Test).unwrap().0.labels(), [1; 3]);
    assert_eq!(measure(Part::Valid).unwrap().0.path(0), "valid/cat/000.png");
    let error = measure(Part::Train).unwrap_err().to_string();
    assert!(error.contains("train split of") && error.contains("no class folder holds one"), "{error}");
    fs::remove_dir_all(bundle.root().join("train")).unwrap();
    let error = measure(Part::Train).unwrap_err().to_string();
    assert!(error.contains("found the folders test, valid, but no train"), "{error}");

    let digits = enas_data::digits().unwrap();
    let spec = Config { image_size: 8, ..Config::default() }.input();
    let (test, _) =
        labelled("digits".as_ref(), Part::Test, &digits.classes, &spec, &digits.normalization).unwrap();
    assert!((0..179).all(|i| test.image(i).unwrap() == digits.test.image(i).unwrap()));
}

#[test]
fn digits_are_one_fixed_data_set_and_their_png_tree_is_the_same() {
    let data = enas_data::digits().unwrap();
    assert_eq!(data.name, "digits");
    assert_eq!(sizes(&data), [1439, 179, 179]);
    let config = Config { image_size: 8, valid_fraction: 0.3, ..Config::default() };
    assert_eq!(
        load(&config, &LoadOptions::new(Seed::new(9))).unwrap().split_file(),
        data.split_file(),
        "no seed changes the split"
    );

    let bundle = Bundle::new();
    assert_eq!(enas_data::digits::write_png_tree(bundle.root()).unwrap(), 1797);
    let tree =
        load(&Config { path: bundle.root().into(), image_size: 8, ..Config::default() }, &options()).unwrap();
    assert_eq!(tree.split_file(), data.split_file());
    for part in Part::ALL {
        let a = data.split(part);
        let b = tree.split(part);
        assert!((0..a.len()).all(|i| a.image(i).unwrap() == b.image(i).unwrap()));
    }
    let blocked = bundle.file("file", b"");
    let error = enas_data::digits::write_png_tree(&blocked).unwrap_err().to_string();
    assert!(error.contains("cannot write"), "{error}");
}

#[test]
fn fashion_small_has_fixed_test_images_and_draws_its_validation_images() {
    let config = Config { path: "fashion-small".into(), image_size: 28, ..Config::default() };
    let data = load(&config, &LoadOptions::new(Seed::new(1))).unwrap();
    assert_eq!((data.name.as_str(), data.classes.len()), ("fashion-small", 10));
    assert_eq!(sizes(&data), [4500, 500, 1000]);
    assert_eq!(data.drawn, [Part::Valid]);
    let other =
        load(&Config { valid_fraction: 0.3, ..config.clone() }, &LoadOptions::new(Seed::new(2))).unwrap();
    assert_eq!(sizes(&other), [3500, 1500, 1000]);
    assert_eq!(
        other.split_file().test,
        data.split_file().test,
        "no seed and no share changes the test split"
    );
    let another = load(&config, &LoadOptions::new(Seed::new(2))).unwrap();
    assert_ne!(another.split_file().valid, data.split_file().valid);
    for split in [&data.train, &data.valid, &data.test] {
        let of_class = |class| split.labels().iter().filter(|&&label| label == class).count();
        assert!((0..10).all(|class| of_class(class) == split.len() / 10));
    }

    let bundle = Bundle::new();
    assert_eq!(enas_data::fashion_small::write_png_tree(bundle.root()).unwrap(), 6000);
    let tree =
        load(&Config { path: bundle.root().into(), ..config }, &LoadOptions::new(Seed::new(1))).unwrap();
    assert_eq!(tree.split_file(), data.split_file());
    let a = &data.test;
    let b = &tree.test;
    assert!((0..a.len()).all(|i| a.image(i).unwrap() == b.image(i).unwrap()));
}
