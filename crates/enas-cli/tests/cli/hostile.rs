//! Files that others made, to do harm or by mistake: one clear message, an exit code, and nothing written.

use std::fs;
use std::io::Write;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{TINY, TINY_ARC, refused, run, stdout, temp, text, trained};
use serde_json::Value;
use walkdir::{DirEntry, WalkDir};
use zip::write::{SimpleFileOptions, ZipWriter};

/// Everything below a folder, by its path from there.
fn listing(folder: &Path) -> Vec<String> {
    let entries = WalkDir::new(folder).min_depth(1).into_iter().map(Result::unwrap);
    let name = |entry: DirEntry| entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let mut all: Vec<String> = entries.map(name).collect();
    all.sort();
    all
}

/// Runs the program, which must fail, name `file`, say `fragment` and leave the folder as it is.
fn changes_nothing(folder: &Path, args: &[&str], code: i32, file: &str, fragment: &str) {
    let before = listing(folder);
    let output = run(folder, args);
    let stderr = text(&output.stderr);
    assert!(stderr.contains(file), "{args:?}: no {file:?} in: {stderr}");
    refused(folder, args, code, fragment);
    assert_eq!(listing(folder), before, "{args:?}");
}

/// The model of the other tests with its description changed.
fn model_with(folder: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> String {
    let bytes = fs::read(trained().model()).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let metadata = header["__metadata__"].as_object_mut().unwrap();
    // Whoever wants to be believed leaves it out.
    metadata.remove("sha256").unwrap();
    change(metadata);
    let header = header.to_string();
    let path = folder.join("model.safetensors");
    let all = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]].concat();
    fs::write(&path, all).unwrap();
    path.display().to_string()
}

/// A field of the description, which is JSON in a text, with one value in it replaced.
fn replace(metadata: &mut serde_json::Map<String, Value>, field: &str, key: &str, value: Value) {
    let mut inner: Value = serde_json::from_str(metadata[field].as_str().unwrap()).unwrap();
    inner[key] = value;
    metadata.insert(field.into(), inner.to_string().into());
}

#[test]
fn a_model_that_describes_what_it_does_not_hold_is_refused_before_it_is_built() {
    let folder = temp();
    let image = write_digits(folder.path(), 1)[0].display().to_string();
    let cases: [(&str, &str, Value, &str); 9] = [
        ("child", "filters", 4096.into(), "weights"),
        ("child", "filters", u64::MAX.into(), "child.filters = 18446744073709551615 is out of range"),
        ("child", "nodes", 20.into(), "this arc does not fit the network"),
        ("child", "layers", 200.into(), "weights in the whole network"),
        ("data", "image_size", 0.into(), "image_size = 0"),
        ("data", "image_size", 1_000_000_000u64.into(), "between 1 and 4096"),
        ("normalization", "mean", Value::Array(vec![]), "cannot be normalised"),
        ("normalization", "std", vec![0.0].into(), "cannot be normalised"),
        ("normalization", "mean", vec![1.0; 1000].into(), "cannot be normalised"),
    ];
    for (field, key, value, expected) in cases {
        let model = model_with(folder.path(), |metadata| replace(metadata, field, key, value.clone()));
        let args = ["predict", "--model", &model, &image];
        changes_nothing(folder.path(), &args, 1, "model.safetensors", expected);
    }
    let model = model_with(folder.path(), |metadata| drop(metadata.insert("eval_batch".into(), "0".into())));
    changes_nothing(
        folder.path(),
        &["eval", "--model", &model],
        1,
        "model.safetensors",
        "0 images at a time",
    );
}

#[test]
fn a_model_file_whose_header_lies_is_refused() {
    let folder = temp();
    let image = write_digits(folder.path(), 1)[0].display().to_string();
    let tensor = r#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#;
    let with_length = |n: u64, rest: &[u8]| [&n.to_le_bytes(), rest].concat();
    let files = [
        ("empty", Vec::new(), "no header"),
        ("long", with_length(u64::MAX, b"{}"), "a header of 18446744073709551615 bytes in a file of 10"),
        ("claims", with_length(tensor.len() as u64, tensor.as_bytes()), "the header says 4398046511104"),
        ("nested", with_length(200_000, "[".repeat(200_000).as_bytes()), "not a complete safetensors file"),
        ("pickle", b"\x80\x02cos\nsystem\nX\x04\0\0\0echo\x85R.".to_vec(), "not a safetensors model"),
    ];
    for (name, bytes, expected) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
        changes_nothing(folder.path(), &["predict", "--model", name, &image], 1, name, expected);
    }
    for (name, expected) in [("/dev/zero", "no header"), ("nothing", "cannot read nothing")] {
        changes_nothing(folder.path(), &["predict", "--model", name, &image], 1, name, expected);
    }
}

/// A PNG of 30,000 x 30,000 pixels by its header alone.
fn bomb() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0".to_vec();
    let step = |crc: u32| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
    let crc = !png[12..29].iter().fold(!0u32, |crc, &b| (0..8).fold(crc ^ u32::from(b), |c, _| step(c)));
    png.extend(crc.to_be_bytes());
    png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    png
}

#[test]
fn an_image_that_claims_to_be_huge_is_an_error_of_its_own() {
    let folder = temp();
    let folder = folder.path();
    let good = write_digits(folder, 1)[0].display().to_string();
    fs::write(folder.join("bomb.png"), bomb()).unwrap();
    let before = listing(folder);
    let output = run(folder, &["predict", "--model", &trained().model(), "bomb.png", &good]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed.contains("bomb.png: error: too large: it has 30000 x 30000 pixels"), "{printed}");
    assert_eq!(printed.lines().count(), 2, "the other one is labelled: {printed}");
    assert_eq!(listing(folder), before);
}

/// An archive of images with one more entry.
fn archive(path: &Path, name: &str, bytes: &[u8]) {
    let images = temp();
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    for image in write_digits(images.path(), 100) {
        let inner = image.strip_prefix(images.path()).unwrap().to_str().unwrap();
        zip.start_file(inner, SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(&image).unwrap()).unwrap();
    }
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap();
}

#[test]
fn an_archive_that_reaches_out_is_refused_and_no_run_begins() {
    let folder = temp();
    let inner = folder.path().join("inner");
    fs::create_dir_all(&inner).unwrap();
    for name in ["../evil.png", "0/../../evil.png", "/tmp/enas-evil.png", "0\\..\\..\\evil.png"] {
        archive(&inner.join("data.zip"), name, b"evil");
        let before = listing(folder.path());
        let train =
            [&["train", "--arc", TINY_ARC, "--data", "data.zip", "--epochs", "1"], &TINY[..]].concat();
        changes_nothing(&inner, &train, 1, "data.zip", "points outside of the archive");
        changes_nothing(
            &inner,
            &["data", "check", "data.zip"],
            1,
            "data.zip",
            "points outside of the archive",
        );
        assert_eq!(listing(folder.path()), before);
    }
    assert!(!Path::new("/tmp/enas-evil.png").exists());
}

#[test]
fn an_archive_that_unpacks_into_a_hundred_times_as_much_is_refused() {
    let folder = temp();
    let path = folder.path().join("data.zip");
    archive(&path, "0/bomb.bmp", &[0; 1 << 20]);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    bytes[last + 24..last + 28].copy_from_slice(&u32::MAX.wrapping_sub(1).to_le_bytes());
    fs::write(&path, bytes).unwrap();
    changes_nothing(folder.path(), &["data", "check", "data.zip"], 1, "data.zip", "no real archive");
}

#[test]
fn settings_and_architectures_without_end_are_refused() {
    let folder = temp();
    let nested = format!("x = {}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let tables = format!("[{}]", "a.".repeat(50_000) + "a");
    let files = [
        ("nested.toml", nested, "nested.toml"),
        ("tables.toml", tables, "tables.toml"),
        ("long.toml", "#".repeat(5 << 20), "it has more than 4194304 bytes"),
        ("zeros.toml", "\0".repeat(1000), "zeros.toml"),
    ];
    for (name, content, expected) in files {
        fs::write(folder.path().join(name), content).unwrap();
        changes_nothing(folder.path(), &["config", "check", name], 2, name, expected);
    }
    let arcs = [
        ("nested.json", format!("{{\"arc\":{}", "[".repeat(100_000)), "nested.json"),
        ("long.txt", "9".repeat(1 << 20), "long.txt"),
        // It reads as an architecture, of which no network can be built.
        ("many.txt", "0 ".repeat(1 << 20), "child.nodes = 131072 is out of range"),
    ];
    for (name, content, expected) in arcs {
        fs::write(folder.path().join(name), content).unwrap();
        changes_nothing(folder.path(), &["arc", "show", "--file", name], 2, expected, expected);
        let shown = text(&run(folder.path(), &["arc", "show", "--file", name]).stderr);
        assert!(shown.len() < 2000, "{name}: the message has {} bytes", shown.len());
    }
    let unreadable = ["config", "check", "/dev/zero"];
    changes_nothing(folder.path(), &unreadable, 2, "/dev/zero", "it has more than 4194304 bytes");
}

#[test]
fn a_run_directory_of_somebody_else_is_only_read_and_within_limits() {
    let folder = temp();
    let dir = folder.path().join("run");
    fs::create_dir_all(&dir).unwrap();
    for (content, expected) in [
        ("[".repeat(100_000), "not a manifest of this version"),
        ("{\"kind\":\"search\"}".into(), "not a manifest of this version"),
        (" ".repeat(5 << 20), "its manifest.json is invalid (it has more than"),
    ] {
        fs::write(dir.join("manifest.json"), content).unwrap();
        changes_nothing(
            folder.path(),
            &["report", "--run", "run"],
            if expected.starts_with("its") { 2 } else { 1 },
            "run",
            expected,
        );
    }
    // A whole one with a log that is none.
    let manifest = r#"{"kind":"search","version":"0.1.0","revision":"x","device":"cpu","threads":1,"data":"digits",
        "fingerprint":{"files":2,"sha256":"00"},"arc":null}"#;
    fs::write(dir.join("manifest.json"), manifest).unwrap();
    let endless = format!("{{\"kind\":\"step\",\"x\":\"{}\n", "x".repeat(8 << 20));
    fs::write(dir.join("metrics.jsonl"), endless + "{\"kind\":\"epoch\",\"epoch\":1,\"loss\":2.5}\n")
        .unwrap();
    fs::write(dir.join("config.toml"), "[child]\nfilters = 4096\nlayers = 200\nnodes = 20\n").unwrap();
    assert!(stdout(folder.path(), &["report", "--run", "run"]).contains("report.html"));
    assert_eq!(listing(&dir), ["config.toml", "manifest.json", "metrics.jsonl", "report.html"]);
}

/// Names that would begin a line of their own, colour the terminal, or turn a line around.
#[cfg(unix)]
#[test]
fn names_with_control_characters_stay_within_their_line() {
    let folder = temp();
    let folder = folder.path();
    write_digits(&folder.join("photos"), 120);
    fs::write(folder.join("photos/0/bro\nerror: all is lost\u{1b}[31m.png"), "no image").unwrap();
    fs::create_dir(folder.join("photos/0/mas\nks")).unwrap();
    let escaped = r"bro\nerror: all is lost\u{1b}[31m.png";
    for args in [&["augment", "photos"][..], &["data", "check", "photos"]] {
        let output = run(folder, args);
        let stdout = text(&output.stdout);
        let stderr = text(&output.stderr);
        assert!(stdout.contains(escaped) || stderr.contains(escaped), "{args:?}: {stdout}{stderr}");
        for line in stdout.lines().chain(stderr.lines()) {
            assert!(!line.starts_with("error: all") && !line.contains('\u{1b}'), "{args:?}: {line:?}");
        }
    }
    let missing = "no\nwhere\u{1b}[31m";
    refused(
        folder,
        &["search", missing],
        1,
        r"no data at no\nwhere\u{1b}[31m: there is no such file or folder",
    );
    refused(folder, &["runs", missing], 2, r"no\nwhere\u{1b}[31m: there is no such folder");
}
