//! The bytes of an events file: TFRecords, each with an `Event` message of one scalar. Nothing else of TensorBoard's
//! format is needed.
//!
//! A record is the length of the message (u64), its checksum (u32), the message and its checksum, all little-endian.
//! Field numbers and names of the messages are those of `event.proto` and `summary.proto`. All fields are optional, so
//! that zeros are written, too.

use prost::Message;

/// `Event`: one entry of the log.
#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, optional, tag = "1")]
    wall_time: Option<f64>,
    #[prost(int64, optional, tag = "2")]
    step: Option<i64>,
    /// The version of the format, in the first entry of every file.
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `Summary`: the values of an event.
#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

/// `Summary.Value`: a scalar and its name.
#[derive(Clone, PartialEq, prost::Message)]
struct SummaryValue {
    #[prost(string, optional, tag = "1")]
    tag: Option<String>,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The record at the start of every events file.
pub(super) fn version(wall_time: f64) -> Vec<u8> {
    let file_version = Some("brain.Event:2".to_owned());
    framed(&Event { wall_time: Some(wall_time), file_version, ..Event::default() })
}

/// The record of one scalar.
pub(super) fn scalar(wall_time: f64, step: u64, tag: &str, value: f32) -> Vec<u8> {
    let value = SummaryValue { tag: Some(tag.to_owned()), simple_value: Some(value) };
    framed(&Event {
        wall_time: Some(wall_time),
        step: Some(step as i64),
        summary: Some(Summary { value: vec![value] }),
        ..Event::default()
    })
}

fn framed(event: &Event) -> Vec<u8> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(&message);
    record.extend(masked_crc(&message).to_le_bytes());
    record
}

/// The masked CRC-32C of TFRecord. The mask avoids a CRC over data that contain their own CRC, which would be weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A parser of events files, for tests.
#[cfg(test)]
pub(super) mod read {
    use super::*;

    /// The scalars of a file as `(step, tag, value)`. Panics on a wrong checksum or a truncated file.
    pub(crate) fn scalars(mut file: &[u8]) -> Vec<(u64, String, f32)> {
        let mut all = Vec::new();
        while !file.is_empty() {
            let (message, rest) = record(file);
            file = rest;
            all.extend(event(message));
        }
        all
    }

    fn record(file: &[u8]) -> (&[u8], &[u8]) {
        let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        assert_eq!(u32_at(8), masked_crc(&file[..8]), "checksum of a length");
        let message = &file[12..12 + length];
        assert_eq!(u32_at(12 + length), masked_crc(message), "checksum of a message");
        (message, &file[16 + length..])
    }

    fn event(message: &[u8]) -> Option<(u64, String, f32)> {
        let event = Event::decode(message).unwrap();
        let value = event.summary?.value.remove(0);
        Some((event.step.unwrap() as u64, value.tag.unwrap(), value.simple_value.unwrap()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_published_ones() {
        // "123456789" is the check value of CRC-32C; the mask is that of TFRecord files.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn a_scalar_is_the_message_that_the_format_describes() {
        // Event: wall_time 1.5 (field 1, fixed64), step 300 (field 2, varint), summary (field 5).
        let expected: Vec<u8> = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f][..],
            &[0x10, 0xac, 0x02],
            &[0x2a, 0x0b, 0x0a, 0x09, 0x0a, 0x02, b'a', b'b', 0x15, 0, 0, 0x80, 0x3e],
        ]
        .concat();
        let record = scalar(1.5, 300, "ab", 0.25);
        assert_eq!(record[12..record.len() - 4], expected);
        assert_eq!(read::scalars(&record), [(300, "ab".to_owned(), 0.25)]);
    }

    #[test]
    fn zeros_are_written_and_the_version_has_no_step() {
        let record = scalar(0.0, 0, "a", 0.0);
        let expected: Vec<u8> = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[0x10, 0],
            &[0x2a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, b'a', 0x15, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(record[12..record.len() - 4], expected);
        let record = version(1.5);
        let expected = [&[0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x1a, 13][..], b"brain.Event:2"].concat();
        assert_eq!(record[12..record.len() - 4], expected);
    }

    #[test]
    #[should_panic(expected = "checksum of a message")]
    fn a_changed_byte_is_noticed() {
        let mut record = scalar(1.5, 300, "ab", 0.25);
        record[13] ^= 1;
        read::scalars(&record);
    }
}
