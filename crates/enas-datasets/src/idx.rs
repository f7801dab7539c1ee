//! The IDX format of MNIST: a magic number, the dimensions, then unsigned bytes; plain or gzipped.
//!
//! Only unsigned bytes are supported (`00 00 08 rank`); these data sets use nothing else. Sizes in a header are
//! compared with the size of the file before memory is allocated.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use enas_data::visible;
use flate2::read::MultiGzDecoder;

use crate::digest::HashingReader;
use crate::images::RawImages;

/// Maximum height or width of an image.
const MAX_SIDE: usize = 1024;

/// Limit of the content in bytes; the published files have 47 MB.
const MAX_CONTENT: u64 = 1 << 30;

/// Maximum compression ratio of deflate.
const MAX_GZIP_RATIO: u64 = 1032;

/// The content of one IDX file.
#[derive(Debug)]
pub struct Idx {
    /// Sizes of the dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Elements in row-major order.
    pub data: Vec<u8>,
    /// SHA-256 of the decompressed file.
    pub sha256: String,
}

/// Reads the IDX file at `path`, gzipped or not, with `rank` dimensions.
pub(crate) fn read_file(path: &Path, rank: u8) -> Result<Idx> {
    open(path).and_then(|(input, size)| read(input, size, rank)).with_context(|| visible(&path).into_owned())
}

/// Pairs `images` (`[n, h, w]`) with `labels` (`[n]`); the names are for messages.
pub(crate) fn pair(images: Idx, labels: Idx, images_name: &str, labels_name: &str) -> Result<RawImages> {
    let [n, height, width] = images.dims[..] else { bail!("{images_name}: expected 3 dimensions") };
    if labels.data.len() != n {
        bail!("{images_name} holds {n} images, but {labels_name} holds {} labels", labels.data.len());
    }
    ensure!(n > 0, "{images_name}: holds no images");
    for side in [height, width] {
        ensure!((1..=MAX_SIDE).contains(&side), "{images_name}: images of {height}×{width} pixels");
    }
    if let Some(at) = labels.data.iter().position(|&label| label > 9) {
        bail!("{labels_name}: byte {}: label {}, expected 0 to 9", 8 + at, labels.data[at]);
    }
    Ok(RawImages { channels: 1, height, width, pixels: images.data, labels: labels.data })
}

/// A reader of the decompressed content, and its expected size in bytes.
fn open(path: &Path) -> Result<(Box<dyn Read>, u64)> {
    let mut file = File::open(path).context("cannot open")?;
    let len = file.metadata()?.len();
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    if magic != [0x1f, 0x8b] {
        file.rewind()?;
        return Ok((Box::new(BufReader::new(file)), len));
    }
    ensure!(len >= 18, "byte {len}: the gzip file ends within its header");
    // The last four bytes of a gzip file are the size of its content.
    let mut content = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut content)?;
    file.rewind()?;
    let size = u64::from(u32::from_le_bytes(content));
    ensure!(
        size <= len.saturating_mul(MAX_GZIP_RATIO),
        "byte {}: the gzip trailer claims {size} bytes, which {len} cannot hold; the file is cut short or damaged",
        len - 4
    );
    Ok((Box::new(MultiGzDecoder::new(BufReader::new(file))), size))
}

/// Reads one IDX file of `size` bytes from `input`.
fn read(input: impl Read, size: u64, rank: u8) -> Result<Idx> {
    ensure!(size <= MAX_CONTENT, "{size} bytes of content, at most {MAX_CONTENT} are read");
    let mut input = HashingReader::new(input);
    let magic = read_u32(&mut input, 0)?;
    let expected = 0x0800 + u32::from(rank);
    ensure!(
        magic == expected,
        "byte 0: magic number {magic:#010x}, expected {expected:#010x} (IDX, unsigned bytes, {rank} dimensions)"
    );
    let dims = (0..u64::from(rank))
        .map(|i| Ok(read_u32(&mut input, 4 + 4 * i)? as usize))
        .collect::<Result<Vec<_>>>()?;
    let header = 4 + 4 * u64::from(rank);
    let body = dims.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim as u64));
    if body.and_then(|body| body.checked_add(header)) != Some(size) {
        let claim = body.map_or("more bytes than can be counted".into(), |body| format!("{body} bytes"));
        bail!(
            "byte 4: dimensions {dims:?} need {claim} after the {header}-byte header, but {} follow",
            size.saturating_sub(header)
        );
    }
    let mut data = vec![0; (size - header) as usize];
    input
        .read_exact(&mut data)
        .with_context(|| format!("byte {header}: the file ends before byte {size}"))?;
    let trailing = input.read(&mut [0]).context("cannot read to the end")?;
    ensure!(trailing == 0, "byte {size}: bytes after the end of the data");
    Ok(Idx { dims, data, sha256: input.hex() })
}

/// The big-endian number at byte `at`.
fn read_u32(input: &mut impl Read, at: u64) -> Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes).with_context(|| format!("byte {at}: the header is cut short"))?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::digest;

    pub(crate) fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|dim| file.extend(dim.to_be_bytes()));
        file.extend(data);
        file
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_bytes(bytes: &[u8], rank: u8) -> Result<Idx> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some-idx");
        std::fs::write(&path, bytes).unwrap();
        read_file(&path, rank)
    }

    fn message(bytes: &[u8], rank: u8) -> String {
        format!("{:#}", read_bytes(bytes, rank).unwrap_err())
    }

    #[test]
    fn plain_and_gzipped_files_read_the_same() {
        let file = idx(&[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        for bytes in [file.clone(), gzip(&file)] {
            let read = read_bytes(&bytes, 3).unwrap();
            assert_eq!(read.dims, [2, 2, 3]);
            assert_eq!(read.data, &file[16..]);
            assert_eq!(read.sha256, digest::of_bytes(&file));
        }
    }

    #[test]
    fn a_wrong_magic_number_is_refused_with_the_expected_one() {
        let mut file = idx(&[1], &[3]);
        file[2] = 0x0d;
        let text = message(&file, 1);
        assert!(text.contains("some-idx: byte 0: magic number 0x00000d01, expected 0x00000801"), "{text}");
    }

    #[test]
    fn labels_where_images_are_expected_are_refused() {
        assert!(message(&idx(&[1], &[3]), 3).contains("expected 0x00000803"));
    }

    #[test]
    fn truncated_and_overlong_files_are_refused() {
        let file = idx(&[2, 1, 2], &[1, 2, 3, 4]);
        assert!(message(&file[..19], 3).contains("need 4 bytes after the 16-byte header, but 3 follow"));
        assert!(message(&file[..9], 3).contains("byte 8: the header is cut short"));
        assert!(message(&[&file[..], &[0]].concat(), 3).contains("but 5 follow"));
        assert!(message(&gzip(&file)[..20], 3).contains("some-idx"));
    }

    #[test]
    fn a_header_that_overflows_is_refused_before_memory_is_taken() {
        let file = idx(&[u32::MAX, u32::MAX, u32::MAX], &[0]);
        assert!(message(&file, 3).contains("more bytes than can be counted"));
        assert!(message(&idx(&[u32::MAX, 1000, 1000], &[0]), 3).contains("but 1 follow"));
    }

    #[test]
    fn a_gzip_trailer_that_lies_is_refused() {
        let file = idx(&[2], &[1, 2]);
        let lying = |size: u32| {
            let mut gz = gzip(&file);
            let at = gz.len() - 4;
            gz[at..].copy_from_slice(&size.to_le_bytes());
            gz
        };
        assert!(message(&lying(u32::MAX), 1).contains("gzip trailer claims 4294967295 bytes"));
        assert!(message(&lying(9), 1).contains("but 1 follow"));
    }

    #[test]
    fn content_behind_what_the_gzip_trailer_claims_is_refused() {
        let mut gz = gzip(&idx(&[1], &[1, 2]));
        let at = gz.len() - 4;
        gz[at..].copy_from_slice(&9u32.to_le_bytes());
        assert!(message(&gz, 1).contains("byte 9: bytes after the end of the data"));
    }

    #[test]
    fn more_content_than_any_such_file_has_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_CONTENT + 1).unwrap();
        let text = format!("{:#}", read_file(&path, 1).unwrap_err());
        assert!(text.ends_with("huge: 1073741825 bytes of content, at most 1073741824 are read"), "{text}");
    }

    fn some(dims: Vec<usize>, data: Vec<u8>) -> Idx {
        Idx { dims, data, sha256: String::new() }
    }

    #[test]
    fn images_and_labels_must_agree_in_number() {
        let error = pair(some(vec![2, 1, 1], vec![0, 0]), some(vec![1], vec![0]), "images", "labels");
        assert_eq!(error.unwrap_err().to_string(), "images holds 2 images, but labels holds 1 labels");
    }

    #[test]
    fn a_label_over_9_is_refused_with_its_place() {
        let error = pair(some(vec![2, 1, 1], vec![0, 0]), some(vec![2], vec![9, 10]), "images", "labels");
        assert_eq!(error.unwrap_err().to_string(), "labels: byte 9: label 10, expected 0 to 9");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_file_written_is_read_back(n in 0usize..5, h in 0usize..5, w in 0usize..5, fill: u8) {
            let data = vec![fill; n * h * w];
            let read = read_bytes(&gzip(&idx(&[n as u32, h as u32, w as u32], &data)), 3).unwrap();
            prop_assert_eq!(read.dims, vec![n, h, w]);
            prop_assert_eq!(read.data, data);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), rank in 1u8..4) {
            let _ = read_bytes(&bytes, rank);
            let _ = read_bytes(&[&[0, 0, 8, rank], &bytes[..]].concat(), rank);
            let _ = read_bytes(&[&[0x1f, 0x8b], &bytes[..]].concat(), rank);
        }
    }
}
