//! Every kind of image file, written by other programs (see `tests/images/make.py`).

use std::path::{Path, PathBuf};

use enas_data::{
    Config, Filter, ImageError, InputSpec, LoadOptions, Resize, WhiteLevels, load, prepare, prepare_file,
};
use enas_rng::Seed;

use crate::bundle::{Bundle, encode, with_log};

fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)
}

fn spec(channels: usize, height: usize, width: usize) -> InputSpec {
    let white = WhiteLevels::default();
    InputSpec { channels, height, width, resize: Resize::Stretch, filter: Filter::Smooth, white }
}

/// The middle of each quarter: above left and right, below left and right.
fn quarters(name: &str, channels: usize) -> [Vec<u8>; 4] {
    // Eight rows and sixteen columns put every sample well inside its quarter.
    let pixels = prepare_file(&image(name), &spec(channels, 8, 16)).unwrap_or_else(|e| panic!("{name}: {e}"));
    [(1, 3), (1, 12), (6, 3), (6, 12)]
        .map(|(y, x)| (0..channels).map(|c| pixels[c * 128 + y * 16 + x]).collect())
}

fn close(got: &[Vec<u8>; 4], expected: [&[u8]; 4], tolerance: u8) -> bool {
    got.iter().zip(expected).all(|(g, e)| g.iter().zip(e).all(|(a, b)| a.abs_diff(*b) <= tolerance))
}

const COLOURS: [&[u8]; 4] = [&[255, 0, 0], &[0, 255, 0], &[0, 0, 255], &[255, 255, 255]];
const GREYS: [&[u8]; 4] = [&[76], &[150], &[29], &[255]];

#[test]
fn every_lossless_kind_gives_the_same_colours() {
    for name in [
        "colour.png",
        "colour.bmp",
        "colour.gif",
        "colour.webp",
        "colour.tif",
        "palette.png",
        "palette.bmp",
        "palette.tif",
        "palette-lzw.tif",
        "colour16.png",
        "colour16.tiff",
        "animated.gif",
        "animated.webp",
    ] {
        let got = quarters(name, 3);
        assert!(close(&got, COLOURS, 0), "{name}: {got:?}");
    }
}

#[test]
fn every_lossy_kind_gives_nearly_the_same_colours() {
    for name in ["colour.jpg", "progressive.jpg", "lossy.webp", "cmyk.jpg"] {
        let got = quarters(name, 3);
        assert!(close(&got, COLOURS, 12), "{name}: {got:?}");
    }
}

#[test]
fn colour_becomes_grey_and_grey_becomes_three_equal_channels() {
    for name in ["colour.png", "colour16.png", "grey.png", "grey16.png", "grey.jpg"] {
        let got = quarters(name, 1);
        assert!(close(&got, GREYS, if name.ends_with("jpg") { 2 } else { 0 }), "{name}: {got:?}");
    }
    let got = quarters("grey16.png", 3);
    assert!(close(&got, [&[76; 3], &[150; 3], &[29; 3], &[255; 3]], 0), "{got:?}");
}

#[test]
fn tiff_of_all_kinds_of_samples_is_read() {
    for name in ["float.tif", "float255.tif", "integer32.tif"] {
        let got = quarters(name, 1);
        assert!(close(&got, GREYS, 0), "{name}: {got:?}");
    }
}

/// An image of waves whose samples go up to `most`, by each encoder of the library.
fn tiff_of<C: tiff::encoder::colortype::ColorType>(samples: &[C::Inner]) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    encoder.write_image::<C>(2, 2, samples).unwrap();
    bytes.into_inner()
}

#[test]
fn samples_of_every_type_are_scaled_by_their_white_level() {
    use tiff::encoder::colortype::{Gray32, Gray32Float, Gray64Float, GrayI8, GrayI16, GrayI32, RGB32Float};
    let pixels = |bytes: &[u8], white: WhiteLevels| {
        let spec = InputSpec { white, ..spec(1, 2, 2) };
        prepare(bytes, &spec).unwrap()
    };
    let open = WhiteLevels::default();
    let at = |integer, float| WhiteLevels { integer, float, wide: None };
    let whole = [0, 1000, 2048, 4095];
    let expected = [0, 62, 128, 255];
    assert_eq!(pixels(&tiff_of::<Gray32>(&whole.map(|v| v as u32)), open), expected);
    assert_eq!(pixels(&tiff_of::<Gray32>(&whole.map(|v| v as u32)), at(Some(8190), None)), [0, 31, 64, 128]);
    assert_eq!(pixels(&tiff_of::<GrayI16>(&whole.map(|v| v as i16)), at(Some(4095), None)), expected);
    assert_eq!(pixels(&tiff_of::<GrayI32>(&[-7, 1000, 2048, 4095]), open), expected);
    assert_eq!(pixels(&tiff_of::<GrayI8>(&[-7, 0, 64, 127]), open), [0, 0, 129, 255]);
    assert_eq!(pixels(&tiff_of::<Gray32Float>(&[0.0, 0.25, 0.5, 1.0]), open), [0, 64, 128, 255]);
    assert_eq!(pixels(&tiff_of::<Gray64Float>(&[f64::NAN, 63.0, 128.0, 255.0]), open), [0, 63, 128, 255]);
    assert_eq!(
        pixels(&tiff_of::<Gray32Float>(&[0.0, 64.0, 128.0, 254.0]), at(None, Some(510))),
        [0, 32, 64, 127]
    );
    let grey = |v: f32| [v; 3];
    let colour: Vec<f32> = [0.0, 63.0, 128.0, 255.0].into_iter().flat_map(grey).collect();
    assert_eq!(pixels(&tiff_of::<RGB32Float>(&colour), open), [0, 63, 128, 255]);
}

#[test]
fn one_image_of_32_bits_does_not_darken_those_of_16() {
    let bundle = Bundle::new();
    let ramp = |seed: u32| {
        let pixel = |x: u32, y: u32| image::Luma([((x + 8 * y + 5 * seed) % 64 * 1040) as u16]);
        encode(&image::DynamicImage::ImageLuma16(image::ImageBuffer::from_fn(8, 8, pixel)))
    };
    for i in 0..16 {
        bundle.file(&format!("{}/{i}.png", ["a", "b"][i % 2]), &ramp(i as u32));
    }
    bundle.file("a/wide.tif", &tiff_of::<tiff::encoder::colortype::GrayI32>(&[0, 48_750, 90_000, 97_500]));
    let config = Config { image_size: 8, ..bundle.config() };
    let (data, log) = with_log(|| load(&config, &LoadOptions::new(Seed::new(1))).unwrap());
    assert_eq!(data.white, WhiteLevels { integer: Some(65_535), wide: Some(131_071), float: None });
    assert!(log.contains("131071 for more than 16 bits (data.wide_white_level sets it)"), "{log}");
    assert!(data.warnings.is_empty(), "{:?}", data.warnings);
    let spec = config.clone().with_white(data.white).input();
    for split in [&data.train, &data.valid, &data.test] {
        for i in 0..split.len() {
            let alone = prepare_file(&bundle.root().join(split.path(i)), &spec).unwrap();
            assert_eq!(split.image(i).unwrap(), alone, "{}", split.path(i));
            assert!(alone.iter().max().is_some_and(|most| *most > 180), "{}", split.path(i));
        }
    }
}

#[test]
fn twelve_bits_in_sixteen_keep_their_greys_in_data_sets_and_in_prediction() {
    let bundle = Bundle::new();
    let ramp = |most: u32, seed: u32| {
        let pixel = |x: u32, y: u32| image::Luma([((x + 8 * y + 5 * seed) % 64 * most / 63) as u16]);
        encode(&image::DynamicImage::ImageLuma16(image::ImageBuffer::from_fn(8, 8, pixel)))
    };
    for i in 0..8 {
        bundle.file(&format!("dark/{i}.png"), &ramp(2000, i));
        bundle.file(&format!("light/{i}.png"), &ramp(4095, i));
    }
    let config = Config { image_size: 8, ..bundle.config() };
    for storage in [enas_data::Storage::Decoded, enas_data::Storage::Encoded, enas_data::Storage::OnDisk] {
        let (data, log) =
            with_log(|| load(&config, &LoadOptions { storage, ..LoadOptions::new(Seed::new(1)) }).unwrap());
        assert_eq!(data.white, WhiteLevels { integer: Some(4095), ..WhiteLevels::default() });
        assert!(log.contains("16 images have more than 8 bits per sample"), "{log}");
        assert!(log.contains("white is 4095 (data.white_level sets it)"), "{log}");
        // A model keeps the levels, so that an image alone, however dark, gives the same pixels.
        let spec = config.clone().with_white(data.white).input();
        for split in [&data.train, &data.valid, &data.test] {
            for i in 0..split.len() {
                let alone = prepare_file(&bundle.root().join(split.path(i)), &spec).unwrap();
                assert_eq!(split.image(i).unwrap(), alone, "{}", split.path(i));
                assert!(
                    alone.iter().collect::<std::collections::BTreeSet<_>>().len() == 64,
                    "{}",
                    split.path(i)
                );
            }
        }
    }
    let asked = Config { white_level: Some(65_535), ..config.clone() };
    let (data, log) = with_log(|| load(&asked, &LoadOptions::new(Seed::new(1))).unwrap());
    assert_eq!(data.warnings[0].kind, enas_data::check::FindingKind::FewLevels, "{:?}", data.warnings);
    assert!(data.warnings[0].consequence.contains("data.white_level"), "{:?}", data.warnings);
    assert!(log.is_empty() && data.train.image(0).unwrap().iter().all(|p| *p < 17), "{log}");
    let plain = prepare(&ramp(4095, 1), &config.input()).unwrap();
    assert!(plain.iter().all(|p| *p < 17), "nothing says that there are but 12 bits");

    bundle.file("light/full.png", &ramp(65_535, 3));
    let (data, log) = with_log(|| load(&config, &LoadOptions::new(Seed::new(1))).unwrap());
    assert_eq!((data.white.integer, log.as_str()), (Some(65_535), ""));
}

#[test]
fn transparency_is_laid_over_white() {
    for name in ["transparent.png", "transparent.webp", "transparent-palette.png"] {
        let got = quarters(name, 3);
        assert!(close(&got, COLOURS, 0), "{name}: {got:?}");
    }
    let got = quarters("transparent-grey.png", 1);
    assert!(close(&got, GREYS, 0), "{got:?}");
}

#[test]
fn all_eight_exif_orientations_come_out_upright() {
    for orientation in 1..=8 {
        let got = quarters(&format!("exif-{orientation}.jpg"), 3);
        assert!(close(&got, COLOURS, 12), "{orientation}: {got:?}");
    }
}

#[test]
fn the_kind_is_told_by_content_and_not_by_name() {
    let bundle = Bundle::new();
    let path = bundle.file("really-a-jpeg.png", &std::fs::read(image("colour.jpg")).unwrap());
    assert!(prepare_file(&path, &spec(3, 8, 16)).is_ok());
}

#[test]
fn truncated_files_of_every_kind_never_panic_and_lossless_ones_are_refused() {
    for name in [
        "colour.png",
        "colour.gif",
        "colour.webp",
        "colour.tif",
        "palette.tif",
        "float.tif",
        "colour16.png",
        "colour.bmp",
        "colour.jpg",
    ] {
        let bytes = std::fs::read(image(name)).unwrap();
        for length in 0..bytes.len() {
            let result = prepare(&bytes[..length], &spec(3, 4, 4));
            if length < bytes.len() / 2 && !name.ends_with("jpg") {
                assert!(result.is_err(), "{name} cut to {length} of {} bytes", bytes.len());
            }
        }
    }
}

#[test]
fn damaged_png_data_is_refused_by_its_checksum() {
    let mut bytes = std::fs::read(image("colour.png")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    assert!(matches!(prepare(&bytes, &spec(3, 4, 4)), Err(ImageError::Decode(_))));
}

/// The route of training and the route of prediction, with every resize rule.
#[test]
fn an_image_of_the_data_set_gives_identical_pixels_through_prepare() {
    let bundle = Bundle::new();
    for (i, name) in
        ["colour.png", "exif-6.jpg", "transparent.png", "grey16.png", "cmyk.jpg"].iter().enumerate()
    {
        let bytes = std::fs::read(image(name)).unwrap();
        let (stem, extension) = name.split_once('.').unwrap();
        for class in ["a", "b"] {
            bundle.file(&format!("{class}/{i}-{stem}.{extension}"), &bytes);
        }
    }
    for resize in [Resize::Stretch, Resize::Pad, Resize::Crop] {
        for (channels, resize_filter) in [(1, Filter::Smooth), (3, Filter::OpenCv)] {
            let config = Config { channels, resize, resize_filter, image_size: 11, ..bundle.config() };
            let data = load(&config, &LoadOptions::new(Seed::new(3))).unwrap();
            for split in [&data.train, &data.valid, &data.test] {
                for i in 0..split.len() {
                    let alone = prepare_file(&bundle.root().join(split.path(i)), &config.input()).unwrap();
                    assert_eq!(split.image(i).unwrap(), alone, "{} {resize:?}", split.path(i));
                }
            }
        }
    }
}

#[test]
fn extreme_shapes_are_read() {
    for (width, height) in [(1, 1), (1, 500), (500, 1)] {
        let bytes = encode(&image::DynamicImage::ImageLuma8(image::GrayImage::from_pixel(
            width,
            height,
            image::Luma([90]),
        )));
        for resize in [Resize::Stretch, Resize::Pad, Resize::Crop] {
            let pixels = prepare(&bytes, &InputSpec { resize, ..spec(1, 8, 8) }).unwrap();
            assert_eq!(pixels.len(), 64);
            assert!(pixels.contains(&90));
        }
    }
}
