//! The archives of CIFAR-10: gzip, tar, and both formats of batches.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use enas_datasets::formats::{CifarFormat, read_cifar10};

use crate::place;

/// The first byte selects the meaning of the rest: an archive, a tar file to compress, or a batch to pack and
/// compress.
pub fn cifar(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let archive = match kind % 4 {
        0 => rest.to_vec(),
        1 => gzip(rest),
        2 => gzip(&tar(rest, "")),
        _ => gzip(&tar(rest, ".bin")),
    };
    let path = place::file("cifar.tar.gz", &archive);
    for form in [CifarFormat::Binary, CifarFormat::Python] {
        let Ok(parts) = read_cifar10(&path, form) else { continue };
        for part in [parts.train, parts.test] {
            assert_eq!(part.pixels.len(), part.labels.len() * 3072);
            assert!(part.labels.iter().all(|&label| label < 10));
        }
    }
    assert!(place::listing(place::folder()).iter().all(|(path, _)| path.as_os_str() == "cifar.tar.gz"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

/// A tar file with all six members, each with the same contents.
fn tar(bytes: &[u8], ending: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let names = (1..=5).map(|i| format!("data_batch_{i}{ending}")).chain([format!("test_batch{ending}")]);
    for name in names {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).expect("memory can be written");
    }
    builder.into_inner().expect("memory can be written")
}
