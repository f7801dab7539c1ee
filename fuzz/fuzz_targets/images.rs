#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enas_fuzz::images(data));
