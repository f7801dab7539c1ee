//! Complete data sets from every kind of source, at a small size.

use std::fs;
use std::path::Path;

use super::*;
use crate::cifar::tests::small_archive;
use crate::download::tests::{Server, ServerReply};
use crate::idx::tests::{gzip, idx};
use crate::sources::{CIFAR10, FASHION_MNIST, MNIST};
use crate::zips::tests::write_zip;

/// The four files of a small data set, 40 training and 10 test images of 2×3 pixels.
fn idx_files() -> [(&'static str, Vec<u8>); 4] {
    let images = |n: u32| idx(&[n, 2, 3], &(0..n * 6).map(|i| (i * 5) as u8).collect::<Vec<_>>());
    let labels = |n: u32| idx(&[n], &(0..n).map(|i| (i % 10) as u8).collect::<Vec<_>>());
    [
        ("train-images-idx3-ubyte", images(40)),
        ("train-labels-idx1-ubyte", labels(40)),
        ("t10k-images-idx3-ubyte", images(10)),
        ("t10k-labels-idx1-ubyte", labels(10)),
    ]
}

/// Every file below `folder` with its content, sorted by path.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let mut files: Vec<(String, Vec<u8>)> = entries
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(folder).unwrap();
            (path.to_str().unwrap().to_owned(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn images(folder: &Path) -> Vec<(String, Vec<u8>)> {
    tree(folder).into_iter().filter(|(path, _)| path.ends_with(".png")).collect()
}

#[test]
fn plain_and_gzipped_originals_give_the_same_folders() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    let zipped = folder.path().join("zipped");
    fs::create_dir_all(&plain).unwrap();
    fs::create_dir_all(&zipped).unwrap();
    for (name, bytes) in idx_files() {
        fs::write(plain.join(name), &bytes).unwrap();
        fs::write(zipped.join(format!("{name}.gz")), gzip(&bytes)).unwrap();
    }
    let a = folder.path().join("a");
    let b = folder.path().join("b");

    fetch(&MNIST, Some(&plain), &a, &()).unwrap();
    fetch(&MNIST, Some(&zipped), &b, &()).unwrap();

    let files = images(&a.join("mnist"));
    assert_eq!(files, images(&b.join("mnist")));
    assert_eq!(files.len(), 50);
    assert_eq!(files[0].0, "test/0/00000.png");
    assert!(files.iter().any(|(path, _)| path == "valid/9/00039.png"), "the last nine is set aside");
}

#[test]
fn a_second_run_changes_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in idx_files() {
        fs::write(folder.path().join(name), &bytes).unwrap();
    }
    let dest = folder.path().join("data");
    fetch(&FASHION_MNIST, Some(folder.path()), &dest, &()).unwrap();
    let before = tree(&dest);
    let fetched = fetch(&FASHION_MNIST, Some(Path::new("/nowhere")), &dest, &()).unwrap();
    assert!(
        fetched.to_string().contains("is already complete: 30 training, 10 validation and 10 test images"),
        "{fetched}"
    );
    assert_eq!(tree(&dest), before);
}

#[test]
fn a_bad_file_among_the_originals_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mut bytes) in idx_files() {
        if name.starts_with("t10k-labels") {
            bytes[8] = 77;
        }
        fs::write(folder.path().join(name), &bytes).unwrap();
    }
    let dest = folder.path().join("data");
    let error = fetch(&MNIST, Some(folder.path()), &dest, &()).unwrap_err();
    assert!(
        format!("{error:#}").ends_with("t10k-labels-idx1-ubyte: byte 8: label 77, expected 0 to 9"),
        "{error:#}"
    );
    assert!(images(&dest).is_empty());
    assert!(!dest.join("mnist").exists());
}

#[test]
fn missing_originals_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&MNIST, Some(folder.path()), &folder.path().join("data"), &()).unwrap_err();
    assert!(error.to_string().contains("expected train-images-idx3-ubyte.gz, "), "{error}");
    let error = fetch(&CIFAR10, Some(folder.path()), &folder.path().join("data"), &()).unwrap_err();
    assert!(error.to_string().contains("cifar-10-binary.tar.gz or cifar-10-python.tar.gz"), "{error}");
}

#[test]
fn originals_under_names_with_a_dot_are_found_and_a_missing_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("raw");
    fs::create_dir_all(&from).unwrap();
    for (name, bytes) in idx_files() {
        let dotted = name.replace("-idx", ".idx");
        fs::write(from.join(dotted), bytes).unwrap();
    }
    // The parent folder works as well.
    fetch(&MNIST, Some(folder.path()), &folder.path().join("a"), &()).unwrap();
    assert_eq!(images(&folder.path().join("a/mnist")).len(), 50);

    fs::remove_file(from.join("t10k-labels.idx1-ubyte")).unwrap();
    let error = fetch(&MNIST, Some(&from), &folder.path().join("b"), &()).unwrap_err().to_string();
    assert!(error.contains("t10k-labels-idx1-ubyte.gz is missing (gzipped or not)"), "{error}");
    assert!(!error.contains("train-images"), "{error}");
    let file = from.join("train-images.idx3-ubyte");
    let error = fetch(&MNIST, Some(&file), &folder.path().join("b"), &()).unwrap_err().to_string();
    assert!(error.contains("give the folder that holds all four files"), "{error}");
}

#[test]
fn an_archive_is_told_by_its_content_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let mut trees = Vec::new();
    for (i, (form, name)) in [
        (cifar::CifarFormat::Python, "cifar-10-python.tar (1).gz"),
        (cifar::CifarFormat::Binary, "data.tgz"),
        (cifar::CifarFormat::Python, "download"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(name);
        fs::write(&path, small_archive(form)).unwrap();
        let dest = folder.path().join(i.to_string());
        fetch(&CIFAR10, Some(&path), &dest, &()).unwrap();
        trees.push(images(&dest.join("cifar10")));
    }
    let mut plain = Vec::new();
    let packed = small_archive(cifar::CifarFormat::Binary);
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&packed[..]), &mut plain).unwrap();
    let tar = folder.path().join("sub/cifar10.tar");
    fs::create_dir_all(tar.parent().unwrap()).unwrap();
    fs::write(&tar, plain).unwrap();
    fetch(&CIFAR10, Some(tar.parent().unwrap()), &folder.path().join("tar"), &()).unwrap();
    trees.push(images(&folder.path().join("tar/cifar10")));
    assert_eq!(trees[0].len(), 72);
    assert!(trees.iter().all(|tree| *tree == trees[0]));

    let other = folder.path().join("other.tar.gz");
    fs::write(&other, cifar::tests::archive(&[("readme.txt", b"hello".to_vec())])).unwrap();
    let error = fetch(&CIFAR10, Some(&other), &folder.path().join("no"), &()).unwrap_err();
    assert!(format!("{error:#}").contains("is not an archive of CIFAR-10"), "{error:#}");
}

#[test]
fn both_cifar_archives_give_the_same_folders() {
    let folder = tempfile::tempdir().unwrap();
    let mut trees = Vec::new();
    for (name, form) in [
        ("cifar-10-binary.tar.gz", cifar::CifarFormat::Binary),
        ("cifar-10-python.tar.gz", cifar::CifarFormat::Python),
    ] {
        let from = folder.path().join(name).with_extension("dir");
        fs::create_dir_all(&from).unwrap();
        fs::write(from.join(name), small_archive(form)).unwrap();
        let dest = from.join("data");
        fetch(&CIFAR10, Some(&from), &dest, &()).unwrap();
        trees.push(images(&dest.join("cifar10")));
    }
    assert_eq!(trees[0], trees[1]);
    assert_eq!(trees[0].len(), 72);
    assert!(trees[0][0].0.starts_with("test/0-airplane/"));
}

#[test]
fn the_built_in_digits_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let digits = Fetch::new(DataSet::Digits, folder.path());
    let fetched = digits.run(&()).unwrap();
    assert_eq!(images(&fetched.folder).len(), 1797);
    assert!(digits.run(&()).unwrap().to_string().contains("is already complete"));
    let error = digits.from(Some("here".into())).run(&()).unwrap_err();
    assert_eq!(error.to_string(), "these images are built in: leave --from out");
}

#[test]
fn fashion_small_is_written_as_it_is_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let said = Fetch::new(DataSet::FashionSmall, folder.path()).run(&()).unwrap().to_string();
    assert!(said.contains("5000 training, 0 validation and 1000 test images"), "{said}");
    assert_eq!(images(&folder.path().join("fashion-small")).len(), 6000);
}

#[test]
fn zips_of_class_folders_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    write_zip(&folder.path().join("train.zip"), &[("7/a.png", b"A"), ("8/b.png", b"B")]);
    write_zip(&folder.path().join("valid.zip"), &[("7/c.png", b"C")]);
    write_zip(&folder.path().join("test.zip"), &[("8/d.png", b"D")]);
    let dest = folder.path().join("data");
    fetch(&MNIST, Some(folder.path()), &dest, &()).unwrap();
    let paths: Vec<_> = images(&dest.join("mnist")).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["test/8/d.png", "train/7/a.png", "train/8/b.png", "valid/7/c.png"]);
}

/// `MNIST` with the files of `idx_files`, gzipped, on `server`.
fn on(server: &Server) -> DataSetSource {
    let leak = |text: String| -> &'static str { text.leak() };
    let originals = idx_files().map(|(name, bytes)| PublishedFile {
        name: leak(format!("{name}.gz")),
        sha256: leak(digest::of_bytes(&gzip(&bytes))),
        payload_sha256: Some(leak(digest::of_bytes(&bytes))),
    });
    DataSetSource { format: Format::Idx(originals), mirrors: vec![leak(server.url.clone())].leak(), ..MNIST }
}

fn content(path: &str) -> Vec<u8> {
    idx_files().iter().find(|(name, _)| path == format!("{name}.gz")).map(|(_, bytes)| gzip(bytes)).unwrap()
}

#[test]
fn a_data_set_is_downloaded_over_a_bad_line_and_the_archives_are_tidied_away() {
    let server = Server::start(content, &[ServerReply::CutAfter(30), ServerReply::Serve]);
    let folder = tempfile::tempdir().unwrap();

    let fetched = fetch(&on(&server), None, folder.path(), &()).unwrap();

    assert!(
        fetched
            .to_string()
            .ends_with("30 training, 10 validation and 10 test images, the published data set"),
        "{fetched}"
    );
    assert_eq!(images(folder.path()).len(), 50);
    assert!(!folder.path().join(".downloads/mnist").exists());
    assert_eq!(server.requests()[1], "train-images-idx3-ubyte.gz 30-");
}

#[test]
fn a_download_that_fails_leaves_its_complete_files_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Server::start(content, &[ServerReply::Serve, ServerReply::Serve, ServerReply::Status(404)]);
    let error = fetch(&on(&broken), None, folder.path(), &()).unwrap_err();
    assert!(format!("{error:#}").ends_with("t10k-images-idx3-ubyte.gz: the server answered 404 Not Found"));

    let whole = Server::start(content, &[ServerReply::Serve]);
    fetch(&on(&whole), None, folder.path(), &()).unwrap();
    assert_eq!(whole.requests(), ["t10k-images-idx3-ubyte.gz whole", "t10k-labels-idx1-ubyte.gz whole"]);
}
