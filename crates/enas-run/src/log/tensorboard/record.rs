//! The bytes of an events file: TFRecords, each with an `Event` message of one scalar. Nothing else of TensorBoard's
//! format is needed.
//!
//! A record is the length of the message (u64), its checksum (u32), the message and its checksum, all little-endian.
//! The messages are protocol buffers; four wire types suffice.

/// The message at the start of every events file.
pub(super) fn version(wall_time: f64) -> Vec<u8> {
    let mut event = double(1, wall_time);
    event.extend(bytes(3, b"brain.Event:2"));
    framed(&event)
}

/// The message of one scalar: `Event { wall_time, step, summary { value { tag, simple_value } } }`.
pub(super) fn scalar(wall_time: f64, step: u64, tag: &str, value: f32) -> Vec<u8> {
    let mut summary_value = bytes(1, tag.as_bytes());
    summary_value.extend(float(2, value));
    let mut event = double(1, wall_time);
    event.extend(varint_field(2, step));
    event.extend(bytes(5, &bytes(1, &summary_value)));
    framed(&event)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(message);
    record.extend(masked_crc(message).to_le_bytes());
    record
}

/// The masked CRC-32C of TFRecord. The mask avoids a CRC over data that contain their own CRC, which would be weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

// Wire types of protocol buffers: the lower three bits of a field's key.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn key(field: u64, kind: u64) -> Vec<u8> {
    varint(field << 3 | kind)
}

fn varint_field(field: u64, value: u64) -> Vec<u8> {
    [key(field, VARINT), varint(value)].concat()
}

fn double(field: u64, value: f64) -> Vec<u8> {
    [key(field, FIXED64), value.to_le_bytes().to_vec()].concat()
}

fn float(field: u64, value: f32) -> Vec<u8> {
    [key(field, FIXED32), value.to_le_bytes().to_vec()].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [key(field, LENGTH_DELIMITED), varint(value.len() as u64), value.to_vec()].concat()
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
        let fields = fields(message);
        let summary = fields.iter().find(|f| f.0 == 5)?;
        let value = super::read::fields(&super::read::fields(&summary.1)[0].1);
        let step = u64::from_le_bytes(fields[1].1.clone().try_into().unwrap());
        let number = f32::from_le_bytes(value[1].1.clone().try_into().unwrap());
        Some((step, String::from_utf8(value[0].1.clone()).unwrap(), number))
    }

    /// The fields of a message by number; varints as eight bytes.
    fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        while !message.is_empty() {
            let key = take_varint(&mut message);
            let content = match key & 7 {
                VARINT => take_varint(&mut message).to_le_bytes().to_vec(),
                FIXED64 => take(&mut message, 8),
                FIXED32 => take(&mut message, 4),
                _ => {
                    let length = take_varint(&mut message) as usize;
                    take(&mut message, length)
                }
            };
            all.push((key >> 3, content));
        }
        all
    }

    fn take(message: &mut &[u8], n: usize) -> Vec<u8> {
        let (head, tail) = message.split_at(n);
        *message = tail;
        head.to_vec()
    }

    fn take_varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = take(message, 1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
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
    #[should_panic(expected = "checksum of a message")]
    fn a_changed_byte_is_noticed() {
        let mut record = scalar(1.5, 300, "ab", 0.25);
        record[13] ^= 1;
        read::scalars(&record);
    }
}
