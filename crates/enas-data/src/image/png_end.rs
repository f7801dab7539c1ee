//! PNG files that lack their last chunk, but none of their pixels.

/// The chunk that ends every PNG file.
const END: [u8; 12] = *b"\0\0\0\0IEND\xae\x42\x60\x82";

/// Where the last chunk of a PNG file has to be written, if the file ends before it or within it.
///
/// All chunks before are complete. Whether they hold all pixels is for the decoder to find.
pub(crate) fn missing_end(bytes: &[u8]) -> Option<usize> {
    bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let mut at = 8;
    let mut has_pixels = false;
    while let Some(head) = bytes.get(at..at + 8) {
        if &head[4..] == b"IEND" {
            break;
        }
        has_pixels |= &head[4..] == b"IDAT";
        let length = u32::from_be_bytes(head[..4].try_into().ok()?) as usize;
        at = at.checked_add(length)?.checked_add(12)?;
    }
    let rest = bytes.get(at..)?;
    (has_pixels && rest.len() < END.len() && END.starts_with(rest)).then_some(at)
}

/// The file with its last chunk, if only that is missing.
pub(crate) fn with_end(bytes: &[u8]) -> Option<Vec<u8>> {
    missing_end(bytes).map(|at| [&bytes[..at], &END].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_its_end_gets_it_back() {
        let mut whole = std::io::Cursor::new(Vec::new());
        image::GrayImage::from_fn(9, 7, |x, y| image::Luma([(x * 20 + y) as u8]))
            .write_to(&mut whole, image::ImageFormat::Png)
            .unwrap();
        let whole = whole.into_inner();
        assert_eq!(with_end(&whole), None);
        for missing in 1..=12 {
            assert_eq!(with_end(&whole[..whole.len() - missing]).as_ref(), Some(&whole), "{missing}");
        }
        for missing in 13..whole.len() {
            assert_eq!(with_end(&whole[..whole.len() - missing]), None, "{missing}");
        }
    }
}
