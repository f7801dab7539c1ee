//! Named tensors and a few lines of text in one file, in the safetensors format.
//!
//! Reading is the `safetensors` crate's. Writing is done here because that crate keeps the text in a hash map, in
//! whose random order it would be written: the same model would not give the same bytes twice.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use enas_child::Named;
use safetensors::{Dtype, SafeTensors};

use crate::atomic;
use crate::error::{Error, Result};
use crate::seal::{self, Seal};

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The lines of text by their names, without the checksum.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The tensors in the order they were written.
    pub(crate) tensors: Vec<Named>,
    /// What the checksum says. The caller decides what follows: a newer format is to be called that, not damage.
    pub(crate) seal: Seal,
}

/// Writes a file with a checksum over all of it, complete or not at all.
///
/// # Errors
/// [`Error::Io`] with the path.
pub(crate) fn write(path: &Path, metadata: &BTreeMap<String, String>, tensors: &[Named]) -> Result<()> {
    let mut metadata = metadata.clone();
    metadata.insert(seal::KEY.to_owned(), seal::BLANK.to_owned());
    let mut header = header(&metadata, tensors);
    let length = (header.len() as u64).to_le_bytes();
    let numbers = tensors.iter().map(|t| t.data.len()).sum::<usize>();
    let mut data = Vec::with_capacity(4 * numbers);
    for x in tensors.iter().flat_map(|t| &t.data) {
        data.extend_from_slice(&x.to_le_bytes());
    }
    let sum = seal::of(&[&length, header.as_bytes(), &data]);
    let place = seal::place(header.as_bytes()).expect("its line was just written");
    header.replace_range(place, &sum);
    atomic::write(path, &[&length, header.as_bytes(), &data])
}

/// The JSON header, padded with spaces to a multiple of 8 bytes so that the data are aligned.
fn header(metadata: &BTreeMap<String, String>, tensors: &[Named]) -> String {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let text: Vec<String> = metadata.iter().map(|(k, v)| format!("{}:{}", quote(k), quote(v))).collect();
    let mut header = format!("{{\"__metadata__\":{{{}}}", text.join(","));
    let mut start = 0;
    for tensor in tensors {
        let end = start + 4 * tensor.data.len();
        let (name, shape) = (quote(&tensor.name), &tensor.shape);
        write!(header, ",{name}:{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}")
            .expect("a string grows");
        start = end;
    }
    header.push('}');
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    header
}

/// Reads a file that [`write`] made.
///
/// # Errors
/// [`Error::File`] when it is truncated, or of another format, or holds other numbers than `f32`.
pub(crate) fn read(path: &Path) -> Result<Contents> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        action: "cannot read",
        path: path.to_owned(),
        source,
    })?;
    let broken = |problem: String| Error::File { path: path.to_owned(), problem };
    let refuse = |e: safetensors::SafeTensorError| {
        broken(format!("not a complete safetensors file ({e}); it is damaged, truncated or of another kind"))
    };
    let (header_len, header) = SafeTensors::read_metadata(&bytes).map_err(refuse)?;
    let file = SafeTensors::deserialize(&bytes).map_err(refuse)?;
    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let view = file.tensor(&name).map_err(refuse)?;
        if view.dtype() != Dtype::F32 {
            return Err(broken(format!(
                "tensor {name} holds {:?}; this program writes and reads F32",
                view.dtype()
            )));
        }
        let data =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.push(Named { name, shape: view.shape().to_vec(), data });
    }
    let mut metadata: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
    metadata.remove(seal::KEY);
    Ok(Contents { metadata, tensors, seal: seal::check(&bytes, header_len) })
}

/// Gives every name a prefix, so that several owners can share a file.
pub(crate) fn prefixed(prefix: &str, tensors: Vec<Named>) -> impl Iterator<Item = Named> {
    tensors.into_iter().map(move |t| Named { name: format!("{prefix}{}", t.name), ..t })
}

/// The tensors of one owner, with their own names again.
pub(crate) fn of_prefix(prefix: &str, tensors: &[Named]) -> Vec<Named> {
    let own = |t: &Named| Some(Named { name: t.name.strip_prefix(prefix)?.to_owned(), ..t.clone() });
    tensors.iter().filter_map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (BTreeMap<String, String>, Vec<Named>) {
        let metadata = [("b", "two\n\"quoted\""), ("a", "ä")].map(|(k, v)| (k.into(), v.into())).into();
        let named = |name: &str, shape: &[usize], data: &[f32]| Named {
            name: name.into(),
            shape: shape.into(),
            data: data.into(),
        };
        let tensors = vec![named("z", &[2, 1], &[1.5, -0.0]), named("a/x", &[], &[f32::MIN_POSITIVE])];
        (metadata, tensors)
    }

    #[test]
    fn what_is_written_comes_back_in_order_and_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        write(&path, &metadata, &tensors).unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back.metadata, metadata);
        let all = |ts: &[Named]| -> Vec<_> {
            ts.iter()
                .map(|t| {
                    (t.name.clone(), t.shape.clone(), t.data.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                })
                .collect()
        };
        assert_eq!(all(&back.tensors), all(&tensors));
    }

    #[test]
    fn every_truncation_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        write(&path, &metadata, &tensors).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for n in 0..whole.len() {
            std::fs::write(&path, &whole[..n]).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("t.safetensors") && error.contains("truncated"), "{n} bytes: {error}");
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        write(&path, &metadata, &tensors).unwrap();
        assert_eq!(read(&path).unwrap().seal, Seal::Intact);
        let whole = std::fs::read(&path).unwrap();
        for (at, mask) in (0..whole.len()).flat_map(|at| [(at, 0x01), (at, 0x20), (at, 0xff)]) {
            let mut flipped = whole.clone();
            flipped[at] ^= mask;
            std::fs::write(&path, &flipped).unwrap();
            let seal = read(&path).map_or(Seal::Broken, |contents| contents.seal);
            // Where the checksum's own name is what changed, whoever asks for one finds none.
            assert_ne!(seal, Seal::Intact, "byte {at} changed by {mask:#x}");
        }
    }

    #[test]
    fn files_without_a_checksum_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        let header = header(&metadata, &tensors);
        let data: Vec<u8> = tensors.iter().flat_map(|t| &t.data).flat_map(|x| x.to_le_bytes()).collect();
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(&path, [&length, header.as_bytes(), &data].concat()).unwrap();
        let back = read(&path).unwrap();
        assert_eq!((back.seal, back.metadata), (Seal::Missing, metadata));
    }

    #[test]
    fn prefixes_keep_owners_apart() {
        let (_, tensors) = sample();
        let both: Vec<Named> = prefixed("p/", tensors.clone()).chain(prefixed("q/", tensors)).collect();
        let names: Vec<String> = of_prefix("q/", &both).into_iter().map(|t| t.name).collect();
        assert_eq!(names, ["z", "a/x"]);
    }
}
