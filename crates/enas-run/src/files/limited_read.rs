//! Reading of text files from other sources, with a size limit.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Size limit in bytes for files that people write or that describe a single run: settings, manifests, an arc.
pub const SMALL_FILE: u64 = 4 << 20;

/// Reads a text file of at most `most` bytes.
///
/// # Errors
/// Errors of the system; [`ErrorKind::InvalidData`] if the file is longer or not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let problem = format!("it has more than {most} bytes, too many for such a file");
        return Err(io::Error::new(ErrorKind::InvalidData, problem));
    }
    String::from_utf8(bytes)
        .map_err(|e| io::Error::new(ErrorKind::InvalidData, format!("it is not text: {e}")))
}

/// [`read_text`] for a file of a run. Refuses anything but a regular file before opening it: reading a pipe could
/// block forever.
///
/// # Errors
/// As [`read_text`]; [`ErrorKind::InvalidInput`] if it is not a regular file.
pub fn read_plain_text(path: &Path, most: u64) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    read_text(path, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_plain_text(&path, 5).unwrap(), "12345");
        let error = read_text(&path, 4).unwrap_err().to_string();
        assert_eq!(error, "it has more than 4 bytes, too many for such a file");
        fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 4).unwrap_err().to_string().starts_with("it is not text: "));
    }

    #[test]
    fn what_has_no_end_is_not_waited_for() {
        assert!(
            read_text(Path::new("/dev/zero"), 1000).unwrap_err().to_string().starts_with("it has more than")
        );
        for path in ["/dev/zero", "/"] {
            assert_eq!(read_plain_text(Path::new(path), 1000).unwrap_err().to_string(), "it is not a file");
        }
    }
}
