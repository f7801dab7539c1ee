//! Named tensors and a few lines of text in one file, in the safetensors format.
//!
//! The `safetensors` crate parses headers. Files are written here, because that crate stores the metadata in a hash
//! map: its random order would give different bytes for the same model.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
pub use enas_child::NamedTensor;
use enas_kernels::candle::Guards;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result};
use crate::files::atomic;
use crate::files::checksum::{self, Checksum};

/// The content of a file.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The metadata by key, without the checksum.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The tensors in stored order.
    pub tensors: Vec<NamedTensor>,
    /// Result of the checksum test. The caller decides what it means, because a newer format is not damage.
    pub(crate) checksum: Checksum,
}

/// Writes a file atomically, with a SHA-256 checksum over all of it. The tensors must be contiguous, of F32, on the
/// CPU.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn write(path: &Path, metadata: &BTreeMap<String, String>, tensors: &[NamedTensor]) -> Result<()> {
    let mut metadata = metadata.clone();
    metadata.insert(checksum::KEY.to_owned(), checksum::BLANK.to_owned());
    let mut header = header(&metadata, tensors);
    let length = (header.len() as u64).to_le_bytes();
    let guards = Guards::new(tensors.iter().map(|(_, tensor)| tensor));
    let slices = guards.slices()?;
    let mut data = Vec::with_capacity(slices.iter().map(|numbers| size_of_val(*numbers)).sum());
    for x in slices.into_iter().flatten() {
        data.extend_from_slice(&x.to_le_bytes());
    }
    drop(guards);
    let sum = checksum::of(&[&length, header.as_bytes(), &data]);
    let place = checksum::place(header.as_bytes()).expect("its line was just written");
    header.replace_range(place, &sum);
    atomic::write(path, &[&length, header.as_bytes(), &data])
}

/// The JSON header, padded with spaces to a multiple of 8 bytes so that the data are aligned.
fn header(metadata: &BTreeMap<String, String>, tensors: &[NamedTensor]) -> String {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let text: Vec<String> = metadata.iter().map(|(k, v)| format!("{}:{}", quote(k), quote(v))).collect();
    let mut header = format!("{{\"__metadata__\":{{{}}}", text.join(","));
    let mut start = 0;
    for (name, tensor) in tensors {
        let end = start + 4 * tensor.elem_count();
        let name = quote(name);
        let shape = tensor.dims();
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

/// Size limit of a header in bytes, enough for about a hundred thousand tensors.
const MAX_HEADER: u64 = 32 << 20;

/// A file whose header has been read and fits its length. The tensors are still on disk.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// The metadata by key, without the checksum.
    pub(crate) metadata: BTreeMap<String, String>,
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Checksum of the bytes read so far.
    checksum: checksum::Check,
}

/// Reads a file made by [`write`].
///
/// # Errors
/// [`Error::File`] if it is truncated, of another format, or has tensors of another type than F32.
pub(crate) fn read(path: &Path) -> Result<Contents> {
    open(path)?.read()
}

/// Reads the header of a file made by [`write`]. Compares its claims with the length of the file before allocating
/// memory.
///
/// # Errors
/// As [`read`].
pub(crate) fn open(path: &Path) -> Result<OpenFile> {
    let refuse = |problem: String| damaged(path, &problem);
    let io = |source| Error::Io { action: "cannot read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let file_info = file.metadata().map_err(io)?;
    let mut length = [0; 8];
    // Pipes and devices have no length to compare with.
    if !file_info.is_file() || file_info.len() < 8 {
        return Err(refuse("no header".into()));
    }
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER.min(file_info.len() - 8) {
        let claim = format!("a header of {length} bytes in a file of {}", file_info.len());
        let problem = format!("this is not a safetensors model, or it is damaged or truncated ({claim})");
        return Err(Error::File { path: path.to_owned(), problem });
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(io)?;
    let header: Metadata = serde_json::from_slice(&text).map_err(|e| refuse(e.to_string()))?;
    // The `safetensors` parser checks that the tensors are contiguous and as long as their shapes say.
    if file_info.len() - 8 - length != header.data_len() as u64 {
        return Err(refuse(format!(
            "{} bytes of numbers, the header says {}",
            file_info.len() - 8 - length,
            header.data_len()
        )));
    }
    for name in header.offset_keys() {
        let info = header.info(&name).expect("the name comes from the header");
        if info.dtype != Dtype::F32 {
            return Err(Error::File {
                path: path.to_owned(),
                problem: format!("tensor {name} holds {:?}; this program writes and reads F32", info.dtype),
            });
        }
    }
    let mut metadata: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
    metadata.remove(checksum::KEY);
    let checksum = checksum::Check::begin(length, &text);
    Ok(OpenFile { metadata, path: path.to_owned(), file, header, checksum })
}

fn damaged(path: &Path, problem: &str) -> Error {
    let problem =
        format!("not a complete safetensors file ({problem}); it is damaged, truncated or of another kind");
    Error::File { path: path.to_owned(), problem }
}

impl OpenFile {
    /// Number of F32 values in the file.
    pub(crate) fn numbers(&self) -> usize {
        self.header.data_len() / 4
    }

    /// Tests the checksum without keeping the values.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub(crate) fn checksum(mut self) -> Result<Checksum> {
        let mut bytes = vec![0; 1 << 20];
        loop {
            match self.file.read(&mut bytes) {
                Ok(0) => return Ok(self.checksum.end()),
                Ok(n) => self.checksum.add(&bytes[..n]),
                Err(source) => return Err(Error::Io { action: "cannot read", path: self.path, source }),
            }
        }
    }

    /// Reads the tensors one after the other.
    ///
    /// # Errors
    /// As [`read`].
    pub(crate) fn read(mut self) -> Result<Contents> {
        let mut tensors = Vec::new();
        let mut bytes = Vec::new();
        for name in self.header.offset_keys() {
            let info = self.header.info(&name).expect("the name comes from the header");
            bytes.resize(info.data_offsets.1 - info.data_offsets.0, 0);
            // A file that was truncated after opening is reported as a damaged one.
            self.file.read_exact(&mut bytes).map_err(|e| damaged(&self.path, &e.to_string()))?;
            self.checksum.add(&bytes);
            let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            let data: Vec<f32> = bytes.chunks_exact(4).map(number).collect();
            let tensor = Tensor::from_vec(data, info.shape.as_slice(), &Device::Cpu);
            tensors.push((name, tensor.map_err(|e| damaged(&self.path, &e.to_string()))?));
        }
        Ok(Contents { metadata: self.metadata, tensors, checksum: self.checksum.end() })
    }
}

/// Adds a prefix to every name, so that several owners can share a file.
pub fn prefixed(prefix: &str, tensors: Vec<NamedTensor>) -> impl Iterator<Item = NamedTensor> {
    tensors.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
}

/// The tensors with this prefix, which is removed from their names.
pub fn of_prefix(prefix: &str, tensors: &[NamedTensor]) -> Vec<NamedTensor> {
    let own = |(name, tensor): &NamedTensor| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
    tensors.iter().filter_map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (BTreeMap<String, String>, Vec<NamedTensor>) {
        let metadata = [("b", "two\n\"quoted\""), ("a", "ä")].map(|(k, v)| (k.into(), v.into())).into();
        let named = |name: &str, shape: &[usize], data: &[f32]| {
            (name.into(), Tensor::from_slice(data, shape, &Device::Cpu).unwrap())
        };
        let tensors = vec![named("z", &[2, 1], &[1.5, -0.0]), named("a/x", &[], &[f32::MIN_POSITIVE])];
        (metadata, tensors)
    }

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn what_is_written_comes_back_in_order_and_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        write(&path, &metadata, &tensors).unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back.metadata, metadata);
        let bits = |t: &Tensor| -> Vec<u32> { flat(t).into_iter().map(f32::to_bits).collect() };
        let all = |ts: &[NamedTensor]| -> Vec<_> {
            ts.iter().map(|(name, t)| (name.clone(), t.dims().to_vec(), bits(t))).collect()
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

    /// A file with this header, which is declared to be `length` bytes long, and four bytes of data.
    fn made(length: u64, header: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        std::fs::write(&path, [&length.to_le_bytes(), header.as_bytes(), &[0; 4]].concat()).unwrap();
        read(&path).unwrap_err().to_string()
    }

    #[test]
    fn what_a_header_claims_is_compared_with_the_file_before_memory_is_taken() {
        let tensor = |shape: &str, end: u64| {
            format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
        };
        let cases = [
            (1 << 62, "{}".to_owned(), "a header of 4611686018427387904 bytes in a file of 14"),
            (33 << 20, "{}".to_owned(), "a header of 34603008 bytes"),
            (1, tensor("[1]", 8), "not a complete safetensors file"),
            (1, tensor("[274877906944]", 1 << 40), "4 bytes of numbers, the header says 1099511627776"),
            (1, tensor("[4294967296,4294967296,1]", 0), "not a complete safetensors file"),
            (1, tensor("[1]", 3), "not a complete safetensors file"),
            (1, tensor("[2]", 4).replace("F32", "F16"), "holds F16; this program writes and reads F32"),
            (1, "[".repeat(100_000), "not a complete safetensors file"),
        ];
        for (length, header, expected) in cases {
            // 1 stands for the real length.
            let length = if length == 1 { header.len() as u64 } else { length };
            let error = made(length, &header);
            assert!(error.contains("t.safetensors") && error.contains(expected), "{header:.80}: {error}");
        }
    }

    #[test]
    fn a_folder_and_a_device_are_no_models() {
        for path in ["/", "/dev/zero"] {
            let error = read(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains("not a complete safetensors file"), "{path}: {error}");
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        write(&path, &metadata, &tensors).unwrap();
        assert_eq!(read(&path).unwrap().checksum, Checksum::Intact);
        let whole = std::fs::read(&path).unwrap();
        for (at, mask) in (0..whole.len()).flat_map(|at| [(at, 0x01), (at, 0x20), (at, 0xff)]) {
            let mut flipped = whole.clone();
            flipped[at] ^= mask;
            std::fs::write(&path, &flipped).unwrap();
            let checksum = read(&path).map_or(Checksum::Broken, |contents| contents.checksum);
            // If the damage hits the checksum's own key, the checksum counts as missing.
            assert_ne!(checksum, Checksum::Intact, "byte {at} changed by {mask:#x}");
        }
    }

    #[test]
    fn files_without_a_checksum_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        let header = header(&metadata, &tensors);
        let data: Vec<u8> = tensors.iter().flat_map(|(_, t)| flat(t)).flat_map(|x| x.to_le_bytes()).collect();
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(&path, [&length, header.as_bytes(), &data].concat()).unwrap();
        let back = read(&path).unwrap();
        assert_eq!((back.checksum, back.metadata), (Checksum::Missing, metadata));
    }

    #[test]
    fn prefixes_keep_owners_apart() {
        let (_, tensors) = sample();
        let both: Vec<NamedTensor> = prefixed("p/", tensors.clone()).chain(prefixed("q/", tensors)).collect();
        let names: Vec<String> = of_prefix("q/", &both).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["z", "a/x"]);
    }

    /// Other programs that use candle read the same tensors.
    #[test]
    fn candle_reads_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        write(&path, &metadata, &tensors).unwrap();
        let read = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        assert_eq!(read.len(), 2);
        for (name, tensor) in tensors {
            assert_eq!((read[&name].dims(), flat(&read[&name])), (tensor.dims(), flat(&tensor)), "{name}");
        }
    }
}
