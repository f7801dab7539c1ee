//! `enas data fetch`: built-in images, archives on disk, and what it refuses.

use std::fs;
use std::path::Path;

use enas_testing::program::{json, keys, refused, stdout, temp};

/// An IDX file of bytes, of these dimensions.
fn idx(dims: &[u32], bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let magic = [0, 0, 8, dims.len() as u8];
    let dims = dims.iter().flat_map(|dim| dim.to_be_bytes());
    magic.into_iter().chain(dims).chain(bytes).collect()
}

/// The four files of MNIST, with 40 and 10 images of 4×4 pixels.
fn write_archives(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, n) in [("train", 40), ("t10k", 10)] {
        let images = idx(&[n, 4, 4], (0..n * 16).map(|i| (i * 7) as u8));
        let labels = idx(&[n], (0..n).map(|i| (i % 10) as u8));
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
}

#[test]
fn built_in_images_become_a_folder_that_can_be_searched() {
    let folder = temp();
    let folder = folder.path();
    let said = stdout(folder, &["data", "fetch", "digits"]);
    assert!(
        said.starts_with("data/digits is complete: 1439 training, 179 validation and 179 test images"),
        "{said}"
    );
    assert!(said.ends_with("\nnext: enas search data/digits\n"), "{said}");
    assert!(folder.join("data/digits/train/7").is_dir());

    let again = json(folder, &["data", "fetch", "digits"]);
    assert_eq!(keys(&again), ["folder", "name", "published", "test", "train", "valid", "was_there"]);
    assert_eq!(again["was_there"], true);
}

#[test]
fn archives_on_disk_are_unpacked_and_can_be_trained_on() {
    let folder = temp();
    let folder = folder.path();
    write_archives(&folder.join("archives"));
    let fetch = ["data", "fetch", "mnist", "--from", "archives", "--dest", "sets"];
    let document = json(folder, &fetch);
    assert_eq!((&document["train"], &document["valid"]), (&30.into(), &10.into()));
    assert_eq!(document["published"], false);
    let table = stdout(folder, &["data", "check", "sets/mnist"]);
    assert!(table.contains("50 usable, 10 classes"), "{table}");
}

#[test]
fn what_cannot_be_had_is_refused_with_the_way_out() {
    let folder = temp();
    let folder = folder.path();
    fs::create_dir(folder.join("empty")).unwrap();
    refused(
        folder,
        &["data", "fetch", "mnist", "--from", "empty"],
        1,
        "empty: expected train-images-idx3-ubyte.gz",
    );
    assert!(!folder.join("data/mnist").exists());
    refused(folder, &["data", "fetch", "digits", "--from", "empty"], 2, "built in: leave --from out");
    refused(folder, &["data", "fetch", "imagenet"], 2, "fashion-mnist");
    fs::create_dir_all(folder.join("data/cifar10")).unwrap();
    refused(
        folder,
        &["data", "fetch", "cifar10", "--from", "empty"],
        1,
        "data/cifar10 exists, but was not made by enas data fetch",
    );
}
