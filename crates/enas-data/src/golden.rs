//! Test data made with OpenCV by `goldens/opencv.py`. They share no code with the library.

/// The source image of all results: 8×8 pixels.
pub(crate) fn source() -> Vec<u8> {
    (0..64u32).map(|i| (i * 37 % 256) as u8).collect()
}

/// The two numbers after `kind` in the name of each line, and the resulting pixels.
pub(crate) fn results(kind: &str) -> Vec<([f64; 2], Vec<u8>)> {
    let parse = |line: &'static str| {
        let (name, pixels) = line.split_once(':')?;
        let mut numbers = name.strip_prefix(kind)?.split_whitespace().map(|n| n.parse().unwrap());
        let numbers = [numbers.next().unwrap(), numbers.next().unwrap()];
        Some((numbers, pixels.split_whitespace().map(|p| p.parse().unwrap()).collect()))
    };
    include_str!("../goldens/opencv.txt").lines().filter_map(parse).collect()
}
