//! The data check on real files: each finding where there is cause for it, and none where there is not.

use std::path::Path;

use enas_data::check::{
    Finding, FindingKind, Report, Severity, check_and_prepare, check_dataset, check_revised,
};
use enas_data::{Config, Error, LoadOptions, PreparedImages, Resize, Sampling, load};
use enas_rng::Seed;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};

use crate::bundle::{Bundle, encode};

/// A grey image of soft waves, another one for every number.
fn waves(number: u64, width: u32, height: u32) -> GrayImage {
    let mut stream = Seed::new(7).stream("waves", &[number]);
    let waves: Vec<[f32; 3]> =
        (0..5).map(|_| [stream.range(-9.0, 9.0), stream.range(-9.0, 9.0), stream.range(0.0, 6.3)]).collect();
    GrayImage::from_fn(width, height, |x, y| {
        let x = x as f32 / width as f32;
        let y = y as f32 / height as f32;
        let sum: f32 = waves.iter().map(|[u, v, phase]| (u * x + v * y + phase).cos()).sum();
        Luma([(128.0 + 25.0 * sum) as u8])
    })
}

fn wave_png(number: u64, width: u32, height: u32) -> Vec<u8> {
    encode(&waves(number, width, height).into())
}

fn written(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Two classes with 12 + 3 + 3 images each, all different and nothing to remark on.
fn sound() -> Bundle {
    let bundle = Bundle::new();
    let mut number = 0;
    for (part, n) in [("train", 12), ("valid", 3), ("test", 3)] {
        for class in ["ant", "bee"] {
            for i in 0..n {
                bundle.file(&format!("{part}/{class}/{i:02}.png"), &wave_png(number, 40, 40));
                number += 1;
            }
        }
    }
    bundle
}

fn config(bundle: &Bundle) -> Config {
    Config { image_size: 32, ..bundle.config() }
}

/// The report without the note about few images to measure with: all these data sets are small.
fn examined(config: &Config) -> Report {
    let mut report = check_dataset(config, Seed::new(1)).unwrap();
    report.findings.retain(|finding| finding.kind != FindingKind::SmallSplit);
    report
}

/// The only finding there is.
fn only(bundle: &Bundle) -> Finding {
    let mut report = examined(&config(bundle));
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    report.findings.remove(0)
}

fn finding(report: &Report, kind: FindingKind) -> &Finding {
    let found = report.findings.iter().find(|finding| finding.kind == kind);
    found.unwrap_or_else(|| panic!("no {kind:?} in {:#?}", report.findings))
}

fn paths(finding: &Finding) -> Vec<&str> {
    finding.cases.iter().flat_map(|case| &case.paths).map(String::as_str).collect()
}

fn stored(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)).unwrap()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let report = examined(&config(&sound()));
    assert_eq!(report.findings, []);
    assert!(report.can_start);
    assert_eq!((report.files, report.usable, report.drawn.len()), (36, 36, 0));
    assert_eq!(
        (report.classes[1].class.as_str(), report.classes[1].train, report.classes[1].test),
        ("bee", 12, 3)
    );
    assert_eq!(report.sizes.unwrap().distinct, 1);
}

#[test]
fn the_built_in_digits_have_no_near_duplicates() {
    let report = check_dataset(&Config { image_size: 8, ..Config::default() }, Seed::new(1)).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn the_built_in_clothes_leak_no_image_into_another_split() {
    let path = "fashion-small".into();
    let report = check_dataset(&Config { path, image_size: 28, ..Config::default() }, Seed::new(1)).unwrap();
    assert_eq!((report.usable, report.can_start), (6000, true));
    assert_eq!(report.findings, []);
}

#[test]
fn unreadable_files_are_named_with_the_reason() {
    let bundle = sound();
    let whole = wave_png(900, 40, 40);
    bundle.file("train/ant/half.png", &whole[..whole.len() / 2]);
    bundle.file("train/ant/nothing.png", b"");
    bundle.file("test/bee/page.jpg", b"<html>not found</html>");
    let found = only(&bundle);
    assert_eq!((found.kind, found.severity), (FindingKind::Unreadable, Severity::Warning));
    assert_eq!(paths(&found), ["test/bee/page.jpg", "train/ant/half.png", "train/ant/nothing.png"]);
    assert_eq!(found.cases[2].detail, "the file is empty");
    assert!(found.consequence.starts_with("skipped"), "{}", found.consequence);

    let strict = Config { strict: true, ..config(&bundle) };
    let report = examined(&strict);
    assert!(!report.can_start && report.findings[0].severity == Severity::Error, "{:#?}", report.findings);
    assert!(matches!(load(&strict, &LoadOptions::new(Seed::new(1))), Err(Error::Strict { .. })));
}

#[test]
fn pngs_without_their_last_chunk_are_cut_off_and_kept() {
    let bundle = sound();
    let whole = wave_png(901, 40, 40);
    bundle.file("train/ant/cut.png", &whole[..whole.len() - 12]);
    let found = only(&bundle);
    assert_eq!((found.kind, paths(&found)), (FindingKind::CutOff, vec!["train/ant/cut.png"]));
    let data = load(&config(&bundle), &LoadOptions::new(Seed::new(1))).unwrap();
    assert!(data.skipped.is_empty(), "{:?}", data.skipped);
}

#[test]
fn jpegs_without_their_end_are_cut_off_and_kept() {
    let bundle = sound();
    let whole = written(&waves(900, 40, 40).into(), ImageFormat::Jpeg);
    bundle.file("train/ant/cut.jpg", &whole[..whole.len() - whole.len() / 5]);
    bundle.file("train/ant/whole.jpg", &written(&waves(901, 40, 40).into(), ImageFormat::Jpeg));
    let found = only(&bundle);
    assert_eq!((found.kind, paths(&found)), (FindingKind::CutOff, vec!["train/ant/cut.jpg"]));
    assert_eq!(examined(&config(&bundle)).usable, 38);
}

#[test]
fn content_that_belies_the_name_is_named() {
    let bundle = sound();
    bundle.file("train/ant/photo.png", &written(&waves(900, 40, 40).into(), ImageFormat::Jpeg));
    bundle.file("train/ant/scan.JPEG", &written(&waves(901, 40, 40).into(), ImageFormat::Jpeg));
    bundle.file("train/ant/plan.tif", &written(&waves(902, 40, 40).into(), ImageFormat::Tiff));
    let found = only(&bundle);
    assert_eq!((found.kind, paths(&found)), (FindingKind::WrongExtension, vec!["train/ant/photo.png"]));
    assert_eq!(found.cases[0].detail, "its content is JPEG");
}

#[test]
fn images_that_are_not_plain_are_kept_and_it_is_said_how() {
    for (file, kind, what) in [
        ("colour16.png", FindingKind::Deep, "scaled to 8 bits"),
        ("grey16.png", FindingKind::Deep, "scaled to 8 bits"),
        ("cmyk.jpg", FindingKind::Cmyk, "converted to grey"),
        ("transparent.png", FindingKind::Alpha, "blended with white"),
        ("transparent-grey.png", FindingKind::Alpha, "blended with white"),
        ("transparent.webp", FindingKind::Alpha, "blended with white"),
        ("palette.png", FindingKind::Palette, "converted to grey"),
        ("palette.bmp", FindingKind::Palette, "converted to grey"),
        ("exif-6.jpg", FindingKind::Rotated, "turned upright"),
        ("exif-2.jpg", FindingKind::Rotated, "turned upright"),
        ("animated.gif", FindingKind::Animated, "the first is used"),
        ("animated.webp", FindingKind::Animated, "the first is used"),
    ] {
        let bundle = sound();
        let extension = file.rsplit('.').next().unwrap();
        bundle.file(&format!("train/ant/odd.{extension}"), &stored(file));
        let report = examined(&config(&bundle));
        let found = finding(&report, kind);
        assert_eq!((found.severity, found.cases.len()), (Severity::Note, 1), "{file}");
        assert!(
            found.consequence.starts_with("kept") && found.consequence.contains(what),
            "{file}: {found:?}"
        );
        assert!(report.can_start);
    }
}

#[test]
fn plain_images_of_every_kind_are_not_remarked_on() {
    for file in
        ["colour.png", "colour.jpg", "colour.bmp", "colour.gif", "colour.webp", "colour.tif", "exif-1.jpg"]
    {
        let bundle = sound();
        bundle.file(&format!("train/ant/plain-{file}"), &stored(file));
        let report = examined(&config(&bundle));
        let of_sizes = [FindingKind::MixedSizes, FindingKind::MixedProportions];
        let others: Vec<_> = report.findings.iter().filter(|f| !of_sizes.contains(&f.kind)).collect();
        assert!(others.is_empty(), "{file}: {others:#?}");
    }
}

#[test]
fn an_alpha_channel_that_hides_nothing_says_so() {
    let bundle = sound();
    let opaque = DynamicImage::from(waves(900, 40, 40)).into_rgba8();
    bundle.file("train/ant/opaque.png", &encode(&opaque.into()));
    let found = only(&bundle);
    assert_eq!(
        (found.kind, found.cases[0].detail.as_str()),
        (FindingKind::Alpha, "opaque throughout, so nothing changes")
    );
}

#[test]
fn equal_files_are_told_apart_by_what_they_spoil() {
    let bundle = sound();
    bundle.file("train/ant/90.png", &wave_png(900, 40, 40));
    bundle.file("train/ant/91.png", &wave_png(900, 40, 40));
    let found = only(&bundle);
    assert_eq!((found.kind, found.severity), (FindingKind::Duplicate, Severity::Note));
    assert_eq!(paths(&found), ["train/ant/90.png", "train/ant/91.png"]);

    bundle.file("test/ant/92.png", &wave_png(900, 40, 40));
    let found = only(&bundle);
    assert_eq!((found.kind, found.severity), (FindingKind::Leakage, Severity::Warning));
    assert_eq!((found.cases.len(), found.cases[0].paths.len()), (1, 3));
    assert_eq!(found.cases[0].detail, "splits train, test");

    bundle.file("train/bee/93.png", &wave_png(5, 40, 40));
    let report = examined(&config(&bundle));
    let found = finding(&report, FindingKind::ConflictingLabels);
    assert_eq!(paths(found), ["train/ant/05.png", "train/bee/93.png"]);
    assert_eq!(found.cases[0].detail, "labels ant, bee");
    assert_eq!(report.findings[0].kind, FindingKind::ConflictingLabels, "the most serious comes first");
}

#[test]
fn an_image_that_was_saved_again_is_found_in_other_splits_and_classes() {
    let image = |n| waves(n, 40, 40);
    let half = |n| DynamicImage::from(image(n)).resize_exact(20, 20, image::imageops::FilterType::Triangle);
    let jpeg = |n| {
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 60);
        image(n).write_with_encoder(encoder).unwrap();
        bytes
    };
    let bundle = sound();
    bundle.file("test/ant/again.jpg", &jpeg(3));
    let found = only(&bundle);
    assert_eq!(
        (found.kind, paths(&found)),
        (FindingKind::NearLeakage, vec!["test/ant/again.jpg", "train/ant/03.png"])
    );

    let bundle = sound();
    bundle.file("train/bee/again.jpg", &jpeg(3));
    let found = only(&bundle);
    assert_eq!((found.kind, found.severity), (FindingKind::NearConflictingLabels, Severity::Warning));

    let bundle = sound();
    bundle.file("train/ant/again.png", &encode(&half(3)));
    let report = examined(&config(&bundle));
    assert_eq!(
        paths(finding(&report, FindingKind::NearDuplicate)),
        ["train/ant/03.png", "train/ant/again.png"]
    );
}

#[test]
fn nearly_every_saved_again_image_is_found() {
    let bundle = sound();
    for n in 1000..1060 {
        bundle.file(&format!("train/ant/{n}.png"), &wave_png(n, 64, 64));
        let again = written(&waves(n, 64, 64).into(), ImageFormat::Jpeg);
        bundle.file(&format!("train/ant/{n}.jpg"), &again);
    }
    let report = examined(&config(&bundle));
    let found = finding(&report, FindingKind::NearDuplicate).cases.len();
    assert!(found >= 59, "{found} of 60");
}

#[test]
fn small_and_unequal_classes_are_counted() {
    let bundle = sound();
    for i in 0..4 {
        bundle.file(&format!("train/cat/{i}.png"), &wave_png(800 + i, 40, 40));
    }
    bundle.file("valid/cat/0.png", &wave_png(810, 40, 40));
    let report = examined(&config(&bundle));
    let tiny = finding(&report, FindingKind::TinyClass);
    assert_eq!((paths(tiny), tiny.cases[0].detail.as_str()), (vec!["cat"], "4 training images"));
    let missing = finding(&report, FindingKind::MissingClass);
    assert_eq!((paths(missing), missing.cases[0].detail.as_str()), (vec!["cat"], "not in test"));
    assert_eq!(report.findings.len(), 2, "12 to 4 is no bad imbalance: {:#?}", report.findings);

    for i in 0..30 {
        bundle.file(&format!("train/ant/more-{i}.png"), &wave_png(820 + i, 40, 40));
    }
    let report = examined(&config(&bundle));
    let imbalance = finding(&report, FindingKind::Imbalance);
    assert!(
        imbalance.summary.contains("ant, has 10 times") && imbalance.summary.contains("cat (42 to 4)"),
        "{imbalance:?}"
    );
    assert_eq!((paths(imbalance), imbalance.severity), (vec!["cat"], Severity::Warning));
    let balanced = examined(&Config { sampling: Sampling::Balanced, ..config(&bundle) });
    let imbalance = finding(&balanced, FindingKind::Imbalance);
    assert_eq!((paths(imbalance), imbalance.severity), (vec!["cat"], Severity::Note));
}

#[test]
fn blank_images_are_found_and_not_taken_for_near_duplicates() {
    let bundle = sound();
    for (i, grey) in [30, 31, 32].iter().enumerate() {
        bundle.file(
            &format!("train/ant/blank-{i}.png"),
            &encode(&GrayImage::from_pixel(40, 40, Luma([*grey])).into()),
        );
    }
    let found = only(&bundle);
    assert_eq!((found.kind, found.cases.len()), (FindingKind::Constant, 3));
}

#[test]
fn sizes_and_proportions_come_with_their_distribution() {
    let bundle = sound();
    bundle.file("train/ant/wide.png", &wave_png(900, 80, 40));
    bundle.file("train/ant/tiny.png", &wave_png(901, 16, 16));
    bundle.file("train/ant/huge.png", &wave_png(902, 640, 512));
    let report = examined(&config(&bundle));
    let of = |kind| finding(&report, kind);
    assert_eq!(
        (paths(of(FindingKind::Small)), of(FindingKind::Small).cases[0].detail.as_str()),
        (vec!["train/ant/tiny.png"], "16 x 16")
    );
    assert_eq!(paths(of(FindingKind::Large)), ["train/ant/huge.png"]);
    assert_eq!(of(FindingKind::MixedSizes).summary, "4 sizes, 16 to 640 pixels wide and 16 to 512 high");
    assert_eq!(of(FindingKind::MixedSizes).cases[0].detail, "40 x 40: 36 images");
    let proportions = of(FindingKind::MixedProportions);
    assert_eq!(proportions.cases[2].detail, "wider than high: 2 images");
    assert!(proportions.consequence.contains("distorted"), "{proportions:?}");
    let padded = examined(&Config { resize: Resize::Pad, ..config(&bundle) });
    assert!(finding(&padded, FindingKind::MixedProportions).consequence.contains("black bars"));
    assert_eq!(report.sizes.as_ref().unwrap().widths, [16, 40, 640]);
}

#[test]
fn what_is_left_out_is_listed() {
    let bundle = sound().folder("train/empty").folder("valid/empty");
    bundle.file("train/ant/notes.txt", b"no image");
    bundle.file("train/ant/camera.dat", &wave_png(900, 40, 40));
    bundle.file("loose.png", &wave_png(901, 40, 40));
    bundle.file("train/ant/deep/lost.png", &wave_png(902, 40, 40));
    bundle.file("train/ant/X.png", &wave_png(903, 40, 40));
    bundle.file("train/ant/x.png", &wave_png(904, 40, 40));
    let report = examined(&config(&bundle));
    let of = |kind| paths(finding(&report, kind));
    assert_eq!(of(FindingKind::NotAnImage), ["train/ant/camera.dat", "train/ant/notes.txt"]);
    let details: Vec<&str> =
        finding(&report, FindingKind::NotAnImage).cases.iter().map(|case| case.detail.as_str()).collect();
    assert_eq!(details, ["its content is a PNG image: rename it to use it", ""]);
    assert_eq!(of(FindingKind::Unlabelled), ["loose.png"]);
    let summaries: Vec<&str> = report.findings.iter().map(|finding| finding.summary.as_str()).collect();
    let nested = "1 image is in a folder inside a class folder (train/ant/deep)";
    assert!(summaries.contains(&nested), "{summaries:?}");
    assert_eq!(of(FindingKind::EmptyFolder), ["train/empty", "valid/empty"]);
    assert_eq!(of(FindingKind::SameButForCase), ["train/ant/X.png", "train/ant/x.png"]);
    assert!(!report.can_start, "the class without an image cannot be learnt");
}

/// Whatever stops a run is an error here, in the same words, and nothing else is.
#[test]
fn the_verdict_is_that_of_loading() {
    let cases: [(Bundle, &str); 6] = [
        (Bundle::new(), "no class folders"),
        (Bundle::new().with("cat", 3), "at least 2 classes"),
        (sound().with("val/ant", 2), "val and valid would both be valid"),
        (sound().with("test/wasp", 2), "wasp"),
        (sound().folder("train/wasp"), "class \"wasp\" has no usable image"),
        (Bundle::new().with("a", 1).with("b", 2), "has no image"),
    ];
    for (bundle, expected) in cases {
        let report = examined(&config(&bundle));
        let error = load(&config(&bundle), &LoadOptions::new(Seed::new(1))).unwrap_err().to_string();
        let first = &report.findings[0];
        assert_eq!(
            (first.severity, first.kind, &first.summary),
            (Severity::Error, FindingKind::Layout, &error)
        );
        assert!(!report.can_start && error.contains(expected), "{error}");
    }
    for bundle in [sound(), crate::bundle::with_splits()] {
        assert_eq!(
            examined(&config(&bundle)).can_start,
            load(&config(&bundle), &LoadOptions::new(Seed::new(1))).is_ok()
        );
    }
}

#[test]
fn an_error_of_the_layout_is_the_only_finding() {
    let flat = Bundle::new().with("train", 20).with("test", 20).folder("empty");
    flat.file("train.csv", b"id,label\n");
    flat.file("loose.png", &wave_png(1, 40, 40));
    let loose = Bundle::new();
    (0..5).for_each(|i| drop(loose.file(&format!("{i}.png"), &wave_png(i, 40, 40))));
    let one_class = Bundle::new().with("cat", 3);
    one_class.file("loose.png", &wave_png(1, 40, 40));
    for bundle in [flat, loose, one_class, sound().with("test/wasp", 2), Bundle::new()] {
        let report = check_dataset(&config(&bundle), Seed::new(1)).unwrap();
        assert!(!report.can_start && report.findings.len() == 1, "{:#?}", report.findings);
        assert_eq!((report.files, report.classes.len(), &report.sizes), (0, 0, &None));
    }
    // With a layout, the classes that are missing because of the error are not found again.
    let bundle = Bundle::new().with("ant", 1).with("bee", 2);
    let report = check_dataset(&config(&bundle), Seed::new(1)).unwrap();
    let kinds: Vec<FindingKind> = report.findings.iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&FindingKind::Layout) && !kinds.contains(&FindingKind::MissingClass), "{kinds:?}");
}

#[test]
fn few_images_to_measure_with_are_noted() {
    let report = check_dataset(&config(&sound()), Seed::new(1)).unwrap();
    let note = finding(&report, FindingKind::SmallSplit);
    assert_eq!(note.severity, Severity::Note);
    assert_eq!(note.summary, "few images to measure with: valid 6 images, test 6 images");
    let digits = check_dataset(&Config { image_size: 8, ..Config::default() }, Seed::new(1)).unwrap();
    assert!(digits.findings.iter().all(|finding| finding.kind != FindingKind::SmallSplit));
}

#[test]
fn a_report_can_be_that_of_revised_settings() {
    let bundle = Bundle::new();
    for n in 0..60 {
        let class = if n % 2 == 0 { "ant" } else { "bee" };
        bundle.file(&format!("{class}/{n:02}.png"), &wave_png(n, 40, 40));
    }
    // The same image in two files: which parts they are in depends on the shares.
    bundle.file("ant/again.png", &wave_png(0, 40, 40));
    let first = config(&bundle);
    let second = Config { valid_fraction: 0.2, test_fraction: 0.3, image_size: 8, ..first.clone() };
    let mut seen = None;
    let revised = check_revised(&first, Seed::new(1), |report| {
        seen = Some(report.clone());
        Some(second.clone())
    });
    assert_eq!(revised.unwrap(), check_dataset(&second, Seed::new(1)).unwrap());
    assert_eq!(seen.unwrap(), check_dataset(&first, Seed::new(1)).unwrap());
    assert_eq!(
        check_revised(&first, Seed::new(1), |_| None).unwrap(),
        check_dataset(&first, Seed::new(1)).unwrap()
    );
    let stopped = Bundle::new().with("cat", 3);
    let revised = check_revised(&config(&stopped), Seed::new(1), |_| unreachable!("no run can start"));
    assert!(!revised.unwrap().can_start);
}

#[test]
fn where_nothing_can_be_looked_at_there_is_an_error() {
    let nowhere = Config { path: "nowhere/at/all".into(), ..Config::default() };
    assert!(matches!(check_dataset(&nowhere, Seed::new(1)), Err(Error::Missing { .. })));
    let wrong = Config { channels: 2, ..Config::default() };
    assert!(matches!(check_dataset(&wrong, Seed::new(1)), Err(Error::Config { .. })));
}

/// A data set with a bit of everything.
fn mixed() -> Bundle {
    let bundle = sound().folder("test/none");
    bundle.file("train/ant/90.png", &wave_png(1, 40, 40));
    bundle.file("test/bee/again.jpg", &written(&waves(2, 40, 40).into(), ImageFormat::Jpeg));
    bundle.file("train/ant/broken.png", b"\x89PNG\r\n\x1a\nrubbish");
    bundle.file("train/ant/notes.txt", b"no image");
    bundle.file("train/bee/wide.png", &wave_png(900, 80, 40));
    bundle
}

#[test]
fn the_number_of_threads_changes_nothing_and_reports_survive_json() {
    let bundle = mixed();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| examined(&config(&bundle)))
    };
    let one = with(1);
    let four = with(4);
    assert!(one.findings.len() >= 5, "{:#?}", one.findings);
    let json = serde_json::to_string(&one).unwrap();
    assert_eq!(json, serde_json::to_string(&four).unwrap());
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), one);
}

#[test]
fn splits_made_by_chance_are_those_of_a_run() {
    let bundle = Bundle::new();
    for n in 0..30 {
        let class = if n % 2 == 0 { "ant" } else { "bee" };
        bundle.file(&format!("{class}/{n:02}.png"), &wave_png(n, 40, 40));
    }
    let report = examined(&config(&bundle));
    assert_eq!(report.drawn.len(), 3);
    let data = load(&config(&bundle), &LoadOptions::new(Seed::new(1))).unwrap();
    let ants = data.train.labels().iter().filter(|&&label| label == 0).count();
    assert_eq!((report.classes[0].train, report.classes[0].valid), (ants, 2));
}

#[test]
fn loading_finds_the_serious_things_in_passing() {
    let quiet = load(&config(&sound()), &LoadOptions::new(Seed::new(1))).unwrap();
    assert_eq!(quiet.warnings, []);

    let bundle = sound();
    bundle.file("test/ant/90.png", &wave_png(1, 40, 40));
    bundle.file("train/bee/91.png", &wave_png(2, 40, 40));
    bundle.file("train/ant/92.png", &wave_png(3, 40, 40));
    for i in 0..2 {
        bundle.file(&format!("train/rare/{i}.png"), &wave_png(800 + i, 40, 40));
    }
    for i in 0..20 {
        bundle.file(&format!("train/ant/more-{i}.png"), &wave_png(820 + i, 40, 40));
    }
    let data = load(&config(&bundle), &LoadOptions::new(Seed::new(1))).unwrap();
    let kinds: Vec<FindingKind> = data.warnings.iter().map(|concern| concern.kind).collect();
    assert_eq!(kinds, [FindingKind::ConflictingLabels, FindingKind::Leakage, FindingKind::Imbalance]);
    let line = data.warnings[1].line();
    assert!(line.contains("(such as test/ant/90.png and train/ant/01.png)"), "{line}");
    let report = examined(&config(&bundle));
    for concern in &data.warnings {
        assert!(report.findings.contains(concern), "the report says the same: {concern:?}");
    }
}

#[test]
fn a_zip_gets_the_report_of_its_folder() {
    let bundle = mixed();
    let packed = tempfile::tempdir().unwrap();
    let path = packed.path().join("mixed.zip");
    crate::zip::pack(bundle.root(), &path, "wrapped/");
    let of_zip = examined(&Config { path, ..config(&bundle) });
    let of_folder = examined(&config(&bundle));
    assert_eq!(Report { path: of_folder.path.clone(), ..of_zip }, of_folder);
}

/// The large images, in grey and in colour, are kept; small ones and those of 16 bits are not.
#[test]
fn images_that_the_check_has_converted_are_not_decoded_again_and_give_the_same_data() {
    let bundle = sound();
    for i in 0..5 {
        let grey = waves(100 + i, 90, 80);
        let colour = DynamicImage::ImageLuma8(waves(200 + i, 80, 90)).to_rgb8();
        let deep = DynamicImage::ImageLuma8(waves(300 + i, 80, 80)).to_luma16();
        bundle.file(&format!("train/ant/grey{i}.png"), &encode(&grey.into()));
        bundle.file(&format!("train/ant/colour{i}.png"), &encode(&colour.into()));
        bundle.file(&format!("train/ant/deep{i}.png"), &encode(&deep.into()));
    }
    let in_colour = Config { channels: 3, ..config(&bundle) };
    let in_grey = Config { channels: 1, ..config(&bundle) };
    let mut prepared = PreparedImages::new(in_colour.input());
    let report = check_and_prepare(&in_colour, Seed::new(1), &mut prepared, |_| None).unwrap();
    assert_eq!(prepared.len(), 10);
    assert_eq!(report.usable, check_dataset(&in_colour, Seed::new(1)).unwrap().usable);
    for config in [in_colour, in_grey] {
        let options = LoadOptions::new(Seed::new(1));
        let plain = load(&config, &options).unwrap();
        let with = load(&config, &LoadOptions { prepared: Some(&prepared), ..options }).unwrap();
        assert_eq!(with.normalization, plain.normalization);
        assert_eq!(with.fingerprint, plain.fingerprint);
        assert_eq!(with.split_file(), plain.split_file());
    }
}
