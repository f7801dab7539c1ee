//! Layouts that people have: other names for splits, folders around everything and inside classes, names of archivers.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use enas_data::{Config, Dataset, Error, LoadOptions, Part, load};
use enas_rng::Seed;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::bundle::{Bundle, labelled, loaded, message, png, warning};
use crate::zip::pack;

fn sizes(data: &Dataset) -> [usize; 3] {
    Part::ALL.map(|part| data.split(part).len())
}

fn names(data: &Dataset) -> BTreeSet<String> {
    let of = |part| {
        let split = data.split(part);
        (0..split.len()).map(|i| split.path(i).to_owned()).collect::<Vec<_>>()
    };
    Part::ALL.into_iter().flat_map(of).collect()
}

fn animals(bundle: Bundle, folder: &str, n: usize) -> Bundle {
    bundle.with(&format!("{folder}/cat"), n).with(&format!("{folder}/dog"), n)
}

#[test]
fn train_and_valid_without_test_take_the_test_split_from_train() {
    for valid in ["valid", "val", "validation", "Val", "dev"] {
        let bundle = animals(animals(Bundle::new(), "train", 10), valid, 4);
        let (data, log) = loaded(&bundle);
        assert_eq!(sizes(&data), [18, 8, 2], "{valid}");
        assert!((0..2).all(|i| data.test.path(i).starts_with("train/")));
        assert!((0..8).all(|i| data.valid.path(i).starts_with(valid)));
        assert!(warning(&log, "no test folder").contains("the test split is drawn from train"), "{log}");
    }
}

#[test]
fn train_alone_gives_all_three_parts() {
    let (data, log) = loaded(&animals(Bundle::new(), "train", 10).folder("annotations"));
    assert_eq!(sizes(&data), [16, 2, 2]);
    assert!(log.contains("neither a valid nor a test folder with classes: both splits are drawn"), "{log}");
}

#[test]
fn a_test_folder_without_classes_is_named_and_drawn_instead() {
    let bundle = animals(Bundle::new(), "train", 10).with("test", 7);
    bundle.file("sample_submission.csv", b"id,label\n");
    let (data, log) = loaded(&bundle);
    assert_eq!(sizes(&data), [16, 2, 2]);
    let line = warning(&log, "outside of the class folders");
    assert!(line.contains("7 images outside of the class folders (test/000.png, "), "{line}");
}

#[test]
fn an_empty_split_folder_is_an_error_and_not_drawn() {
    for part in ["test", "valid"] {
        let bundle = animals(animals(Bundle::new(), "train", 10), "test", if part == "test" { 0 } else { 4 });
        let error = message(&bundle.folder(part));
        assert!(error.contains(&format!("the {part} split of")) && error.contains("has no image"), "{error}");
    }
}

#[test]
fn splits_are_known_by_all_their_usual_names() {
    for [train, test] in [
        ["Training", "Testing"],
        ["Train", "Test"],
        ["TRAIN", "test"],
        ["training_set", "test_set"],
        ["seg_train", "seg_test"],
        ["training-data", "testing data"],
    ] {
        let bundle = animals(animals(Bundle::new(), train, 10), test, 4);
        let (data, log) = loaded(&bundle);
        assert_eq!((data.classes.len(), sizes(&data)), (2, [18, 2, 8]), "{train}");
        assert!(data.test.path(0).starts_with(test) && !log.contains("WARN"), "{log}");
    }
}

#[test]
fn a_folder_in_a_split_folder_may_hold_the_classes() {
    let bundle = animals(animals(Bundle::new(), "seg_train/seg_train", 10), "seg_test/seg_test", 4);
    assert_eq!(sizes(&loaded(&bundle).0), [18, 2, 8]);
    let bundle = animals(animals(Bundle::new(), "train/images", 10), "test/images", 4);
    assert_eq!(sizes(&loaded(&bundle).0), [18, 2, 8]);
}

#[test]
fn classes_that_are_called_like_splits_stay_classes() {
    let bundle = Bundle::new().with("Training", 10).with("Match", 10);
    assert_eq!(loaded(&bundle).0.classes, ["Match", "Training"]);
    let bundle = Bundle::new().with("crash test", 10).with("train station", 10);
    assert_eq!(loaded(&bundle).0.classes, ["crash test", "train station"]);
}

#[test]
fn two_folders_for_one_part_are_an_error_that_names_both() {
    let bundle = ["train", "val", "valid", "test"].iter().fold(Bundle::new(), |b, part| animals(b, part, 3));
    assert!(message(&bundle).contains("val and valid would both be valid"), "{}", message(&bundle));
}

#[test]
fn splits_inside_the_class_folders_are_splits() {
    let bundle = ["cat", "dog"].iter().fold(Bundle::new(), |bundle, class| {
        bundle.with(&format!("{class}/train"), 10).with(&format!("{class}/test"), 4)
    });
    let (data, _) = loaded(&bundle);
    assert_eq!((data.classes.len(), sizes(&data)), (2, [18, 2, 8]));
    assert!((0..8).all(|i| data.test.path(i).contains("/test/")));
}

#[test]
fn folders_around_everything_are_dropped_in_folders_and_zips() {
    let plain = loaded(&Bundle::new().with("cat", 10).with("dog", 10)).0;
    for around in ["photos", "a/b/c"] {
        let bundle = animals(Bundle::new(), around, 10);
        bundle.file("README.md", b"about");
        let (data, log) = loaded(&bundle);
        assert_eq!((data.classes.clone(), sizes(&data)), (plain.classes.clone(), sizes(&plain)), "{around}");
        assert_eq!(names(&data), names(&plain));
        assert!(warning(&log, "all images are in").contains(around), "{log}");
        let elsewhere = Bundle::new();
        let path = elsewhere.root().join("packed.zip");
        pack(bundle.root(), &path, "");
        let packed = load(&Config { path, ..bundle.config() }, &LoadOptions::new(Seed::new(1))).unwrap();
        assert_eq!((&packed.fingerprint, names(&packed)), (&data.fingerprint, names(&data)));
    }
    let bundle = animals(animals(Bundle::new(), "w/train", 10), "w/test", 4);
    assert_eq!(sizes(&loaded(&bundle).0), [18, 2, 8]);
    // A single class is not taken for a folder around its parts.
    let error = message(&Bundle::new().with("cat", 9));
    assert!(error.contains("found only cat"), "{error}");
}

#[test]
fn images_below_class_folders_belong_to_the_class() {
    let bundle = Bundle::new().with("cat", 4).with("dog", 4).with("cat/2023", 30).with("dog/2023/may", 30);
    let (data, log) = loaded(&bundle);
    assert_eq!(sizes(&data).iter().sum::<usize>(), 68);
    assert_eq!(data.classes, ["cat", "dog"]);
    let line = warning(&log, "inside class folders");
    assert!(
        line.contains("60 images are in folders inside class folders (cat/2023, dog/2023/may)"),
        "{line}"
    );
    assert!(line.contains("counted for the class"), "{line}");
    let bundle = animals(Bundle::new(), "test", 4).with("train/cat/a", 10).with("train/dog/b", 10);
    let (data, log) = loaded(&bundle);
    assert_eq!(sizes(&data), [18, 2, 8]);
    assert!(warning(&log, "inside class folders").contains("if those folders are the classes"), "{log}");
}

#[test]
fn what_is_there_instead_of_class_folders_is_said() {
    let bundle = Bundle::new();
    bundle.file("cat.zip", b"PK");
    bundle.file("dog.zip", b"PK");
    assert!(message(&bundle).contains("only archives (cat.zip, dog.zip); unpack them first"));
    let bundle = Bundle::new();
    bundle.file("a.heic", b"x");
    assert!(message(&bundle).contains("kinds that are not read (a.heic); convert them"));
    let bundle = Bundle::new().with("images", 5);
    bundle.file("labels.csv", b"image,label\n");
    let error = message(&bundle);
    assert!(error.contains("labels.csv are not read") && error.contains("<label>/<image>"), "{error}");
    let bundle = Bundle::new().with("train", 5).with("test", 5);
    bundle.file("train.csv", b"id,label\n");
    let error = message(&bundle);
    assert!(error.contains("test, train hold no class folders") && error.contains("train.csv"), "{error}");
}

#[test]
fn split_folders_without_classes_are_not_taken_for_classes() {
    for [train, test] in [
        ["train", "test1"],
        ["train_images", "test_images"],
        ["Training", "Testing"],
        ["Train", "Test"],
        ["TRAIN", "TEST"],
        ["TrainImages", "TestImages"],
        ["train2017", "val2017"],
        ["seg_train", "seg_test"],
        ["train", "testA"],
    ] {
        let bundle = Bundle::new().with(train, 8).with(test, 8).folder("notes");
        bundle.file("sample_submission.csv", b"id,label\n");
        bundle.file("train.csv", b"id,label\n");
        let error = message(&bundle);
        for part in
            [train, test, "hold no class folders", "train.csv", "train/<class>/", "rename the folders"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(error.contains(&format!("{train}/000.png")), "{error}");
    }
    // Next to other classes, such a name is a class.
    let bundle = Bundle::new().with("bus", 6).with("car", 6).with("train", 6);
    assert_eq!(loaded(&bundle).0.classes, ["bus", "car", "train"]);
    let bundle = Bundle::new().with("bus", 6).with("train", 6);
    assert_eq!(loaded(&bundle).0.classes, ["bus", "train"]);
}

#[test]
fn numbered_splits_with_classes_say_what_they_are_to_be_called() {
    let error = message(&animals(animals(Bundle::new(), "train1", 6), "test1", 3));
    assert!(error.contains("the folders test1, train1 hold class folders"), "{error}");
    assert!(error.contains("rename them") && !error.contains("hold no class"), "{error}");
    let error = message(&Bundle::new().with("train", 6));
    assert!(error.contains("train holds no class folders"), "{error}");
}

#[test]
fn other_names_of_splits_beside_train_are_left_out_with_the_remedy() {
    for other in ["eval", "evaluation", "holdout", "hold-out", "validate"] {
        let (_, log) = loaded(&animals(animals(Bundle::new(), "train", 10), other, 3));
        let line = warning(&log, "next to the splits");
        assert!(line.contains(other) && line.contains("rename it to valid or test"), "{line}");
    }
}

#[test]
fn folders_with_equal_folders_are_probably_not_the_classes() {
    for [one, other] in [["images", "masks"], ["fold1", "fold2"]] {
        let (data, log) = loaded(&animals(animals(Bundle::new(), one, 10), other, 10));
        assert_eq!(data.classes, [one, other]);
        let line = warning(&log, "folders of the same names");
        assert!(line.contains("(cat, dog)") && line.contains("give one of the folders alone"), "{line}");
    }
}

#[test]
fn the_files_of_mnist_are_fetched_and_not_unpacked() {
    let bundle = Bundle::new();
    bundle.file("train-images-idx3-ubyte.gz", b"x");
    bundle.file("train-labels-idx1-ubyte.gz", b"x");
    let error = message(&bundle);
    assert!(error.contains("enas data fetch mnist --from ") && !error.contains("unpack"), "{error}");
}

#[test]
fn a_class_of_the_model_in_another_spelling_is_named() {
    let model = loaded(&Bundle::new().with("nut", 10).with("bolt", 10)).0;
    let bundle = Bundle::new().with("Nut", 3).with("bolt", 3);
    let input = bundle.config().input();
    let refused = labelled(bundle.root(), Part::Test, &model.classes, &input, &model.normalization);
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("Nut (the model has nut: rename one of them)"), "{error}");
}

#[test]
fn a_split_whose_only_folder_is_not_a_class_holds_images_without_labels() {
    let bundle = animals(Bundle::new(), "train", 10).with("test/unknown", 7);
    let error = message(&bundle);
    for part in [
        "test/unknown holds the only images of its split, and its name is not a class of train",
        "Sort these images into test/<class>/",
        "or move test away, and the test split is drawn from train",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // Tiny ImageNet: both splits, and a table of the classes.
    let bundle = animals(Bundle::new(), "train", 10).with("val/images", 7).with("test/images", 7);
    bundle.file("val/val_annotations.txt", b"val_0.JPEG\tn03444034\n");
    let error = message(&bundle);
    for part in [
        "val/images and test/images hold the only images of their splits",
        "val/val_annotations.txt, which is not read",
        "move val and test away, and the valid and test splits are drawn from train",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // A class in another spelling is still named as that.
    let bundle = animals(Bundle::new(), "train", 4).with("test/Cat", 2);
    assert!(message(&bundle).contains("Cat (train has cat: rename one of them)"), "{}", message(&bundle));

    let model = loaded(&Bundle::new().with("cat", 10).with("dog", 10)).0;
    let bundle = animals(Bundle::new(), "train", 10).with("test/images", 7);
    let input = bundle.config().input();
    let error =
        labelled(bundle.root(), Part::Test, &model.classes, &input, &model.normalization).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("not a class of the model") && error.contains("enas predict"), "{error}");
}

#[test]
fn class_names_that_are_equal_in_unicode_are_one_class() {
    let composed = "caf\u{e9}";
    let decomposed = "cafe\u{301}";
    let bundle = Bundle::new().with(&format!("train/{composed}"), 10).with("train/dog", 10);
    let bundle = bundle.with(&format!("test/{decomposed}"), 4).with("test/dog", 4);
    let (data, _) = loaded(&bundle);
    assert_eq!((data.classes.clone(), sizes(&data)), (vec![composed.to_owned(), "dog".into()], [18, 2, 8]));

    let bundle = Bundle::new().with(composed, 10).with(decomposed, 10).with("dog", 10);
    let (both, log) = loaded(&bundle);
    assert_eq!((both.classes.len(), sizes(&both).iter().sum::<usize>()), (2, 30));
    assert!(warning(&log, "two Unicode spellings").contains("taken as one class"), "{log}");

    let bundle = Bundle::new().with(decomposed, 3).with("dog", 3);
    let input = bundle.config().input();
    let measured = labelled(bundle.root(), Part::Test, &data.classes, &input, &data.normalization);
    assert_eq!(measured.unwrap().0.len(), 6);
}

#[test]
fn classes_that_differ_in_case_between_splits_are_named_together() {
    let bundle = animals(Bundle::new(), "train", 4).with("test/Cat", 2).with("test/dog", 2);
    assert!(message(&bundle).contains("Cat (train has cat: rename one of them)"), "{}", message(&bundle));
}

#[test]
fn a_file_that_is_not_a_data_set_is_refused_with_what_to_do() {
    let bundle = Bundle::new();
    for (name, expected) in [
        ("photos.tar.gz", "neither a folder nor a .zip archive; unpack it first"),
        ("cat.png", "; give the folder that holds the class folders"),
    ] {
        let path = bundle.file(name, b"something");
        let error = load(&Config { path, ..bundle.config() }, &LoadOptions::new(Seed::new(1)))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn zip_of(path: &Path, names: &[String]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (i, name) in names.iter().enumerate() {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(&png(1, i as u8)).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn names_of_all_archivers_are_read() {
    let bundle = Bundle::new();
    let plain: Vec<String> = (0..20).map(|i| format!("{}/{i:02}.png", ["cat", "dog"][i % 2])).collect();
    let path = bundle.root().join("plain.zip");
    zip_of(&path, &plain);
    let config = Config { path, ..bundle.config() };
    let expected = load(&config, &LoadOptions::new(Seed::new(1))).unwrap().fingerprint;
    for (i, before) in ["./", "/", "./w/", "./a/./b/", "w//"].iter().enumerate() {
        let path = bundle.root().join(format!("{i}.zip"));
        zip_of(&path, &plain.iter().map(|name| format!("{before}{name}")).collect::<Vec<_>>());
        let data = load(&Config { path, ..bundle.config() }, &LoadOptions::new(Seed::new(1))).unwrap();
        assert_eq!(data.fingerprint, expected, "{before}");
    }
}

#[test]
fn measuring_understands_the_same_layouts() {
    let model = loaded(&Bundle::new().with("cat", 10).with("dog", 10)).0;
    let measured = |bundle: &Bundle, part| {
        let input = bundle.config().input();
        labelled(bundle.root(), part, &model.classes, &input, &model.normalization)
            .map(|(split, _)| split.len())
    };
    let bundle = animals(animals(Bundle::new(), "Training", 3), "Testing", 2);
    assert_eq!(measured(&bundle, Part::Test).unwrap(), 4);
    assert_eq!(measured(&bundle, Part::Train).unwrap(), 6);
    assert!(matches!(measured(&bundle, Part::Valid), Err(Error::Layout { .. })));
    assert_eq!(measured(&animals(Bundle::new(), "w", 3), Part::Test).unwrap(), 6);
    // A folder of a class is not taken for one around the classes.
    assert_eq!(measured(&Bundle::new().with("cat", 2).with("cat/more", 3), Part::Test).unwrap(), 5);
}
