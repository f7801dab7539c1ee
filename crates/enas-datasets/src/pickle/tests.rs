//! Pickles as both versions of Python write them, and hostile ones.

use proptest::prelude::*;

use super::*;

fn message(bytes: &[u8]) -> String {
    format!("{:#}", load(bytes).unwrap_err())
}

/// `{'labels': [..], 'data': array}` as Python 2 wrote the published files.
pub(crate) fn python2(labels: &[u8], data: &[u8], shape: (u16, u16)) -> Vec<u8> {
    let mut p = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(".to_vec();
    labels.iter().for_each(|&label| p.extend([b'K', label]));
    p.extend(b"eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01");
    p.extend([b'M', shape.0 as u8, (shape.0 >> 8) as u8, b'M', shape.1 as u8, (shape.1 >> 8) as u8]);
    p.extend(b"\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    p.extend((data.len() as u32).to_le_bytes());
    p.extend(data);
    p.extend(b"tbu.");
    p
}

/// `{b'data': array}` as Python 3 writes protocol 2: byte strings are texts with a call to encode them.
pub(crate) fn python3(labels: &[u8], data: &[u8], shape: (u16, u16)) -> Vec<u8> {
    let encoded = |text: String| {
        let mut p = b"c_codecs\nencode\nX".to_vec();
        p.extend((text.len() as u32).to_le_bytes());
        p.extend(text.bytes());
        p.extend(b"X\x06\x00\x00\x00latin1\x86R");
        p
    };
    let mut p = b"\x80\x02}(".to_vec();
    p.extend(encoded("labels".into()));
    p.extend(b"](");
    labels.iter().for_each(|&label| p.extend([b'K', label]));
    p.push(b'e');
    p.extend(encoded("data".into()));
    p.extend(b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85");
    p.extend(encoded("b".into()));
    p.extend(b"\x87R(K\x01");
    p.extend([b'M', shape.0 as u8, (shape.0 >> 8) as u8, b'M', shape.1 as u8, (shape.1 >> 8) as u8]);
    p.extend(b"\x86cnumpy\ndtype\nX\x02\x00\x00\x00u1\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89");
    p.extend(encoded(data.iter().map(|&byte| char::from(byte)).collect()));
    p.extend(b"tbu.");
    p
}

#[test]
fn both_pythons_batches_read_the_same() {
    let data = [0, 127, 128, 255, 1, 2];
    for file in [python2(&[7, 3], &data, (2, 3)), python3(&[7, 3], &data, (2, 3))] {
        let batch = load(&file).unwrap();
        assert_eq!(batch.get("labels"), Some(&Value::List(vec![Value::Int(7), Value::Int(3)])));
        assert_eq!(batch.get("data"), Some(&Value::Array { shape: vec![2, 3], data: data.into() }));
    }
}

#[test]
fn a_pickle_that_would_run_a_command_is_refused() {
    let text = message(b"\x80\x02cos\nsystem\nU\x02ls\x85R.");
    assert_eq!(text, "byte 18: a call of \"os system\"; a data file has nothing to call, so it is refused");
}

#[test]
fn truncation_is_an_error_that_names_the_byte() {
    let file = python2(&[1], &[0; 6], (2, 3));
    for n in 0..file.len() {
        assert!(message(&file[..n]).starts_with("byte "), "cut at {n}");
    }
}

#[test]
fn an_array_whose_shape_is_not_its_size_is_refused() {
    assert!(message(&python2(&[1], &[0; 5], (2, 3))).contains("shape [2, 3] with 5 elements"));
}

#[test]
fn trailing_bytes_are_refused() {
    assert_eq!(message(b"\x80\x02N.x"), "byte 4: bytes after the end of the pickle");
}

#[test]
fn nesting_without_end_is_refused_and_does_not_overflow_the_stack() {
    let mut file = b"\x80\x02)".to_vec();
    file.extend([0x85].repeat(3_000_000));
    assert!(message(&file).contains("more than 1000 lists, tuples and dictionaries"));
}

#[test]
fn a_claimed_length_takes_no_memory() {
    assert!(message(b"\x80\x02T\xff\xff\xff\xff").contains("4294967295 bytes expected"));
}

/// A text of a megabyte that is encoded repeatedly would take any amount of memory.
#[test]
fn content_that_multiplies_is_refused() {
    let mut file = b"\x80\x02c_codecs\nencode\nq\x01X\x00\x00\x10\x00".to_vec();
    file.extend(vec![b'a'; 1 << 20]);
    file.extend(b"q\x02X\x06\x00\x00\x00latin1q\x03");
    file.extend(b"h\x01h\x02h\x03\x86R".repeat(1000));
    assert!(message(&file).contains("more content than the file has bytes"), "{}", message(&file));
}

#[test]
fn names_that_multiply_are_refused() {
    let text = |n: u32| [&b"X"[..], &n.to_le_bytes(), &vec![b'n'; n as usize]].concat();
    let stack_global = [&b"\x80\x04"[..], &text(300), &text(3), b"\x93."].concat();
    assert!(message(&stack_global).ends_with("a name without an end"), "{}", message(&stack_global));
    let dtype = [&b"\x80\x02cnumpy\ndtype\n"[..], &text(300), b"\x85R."].concat();
    assert!(message(&dtype).ends_with("a name without an end"), "{}", message(&dtype));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_changed_byte_is_read_or_refused_without_panic(at in 0usize..200, byte: u8) {
        for mut file in [python2(&[1, 2], &[9; 6], (2, 3)), python3(&[1, 2], &[9; 6], (2, 3))] {
            let at = at % file.len();
            file[at] = byte;
            let _ = load(&file);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = load(&bytes);
    }
}
