//! Arrays of `f32` in NumPy's `.npy` format, which many programs can read.

use std::fmt::Write;

/// Encodes a `.npy` file, version 1.0: a text header, then the numbers in row-major order, little-endian.
pub(crate) fn encode(shape: &[usize], numbers: &[f32]) -> Vec<u8> {
    /// Length of signature, version and header length.
    const START: usize = 10;
    let mut header = "{'descr': '<f4', 'fortran_order': False, 'shape': (".to_owned();
    for size in shape {
        write!(header, "{size}, ").expect("a string takes any text");
    }
    header.push_str("), }");
    // The numbers start at a multiple of 64 bytes, after a line break.
    while !(START + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let length = u16::try_from(header.len()).expect("a header of a few sizes is short");
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_a_padded_header_and_its_numbers() {
        let bytes = encode(&[2, 1], &[1.0, -2.0]);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let header = std::str::from_utf8(&bytes[10..128]).unwrap();
        assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, ), }");
        assert!(header.ends_with('\n'));
        assert_eq!(bytes[128..], [0, 0, 128, 63, 0, 0, 0, 192]);
    }
}
