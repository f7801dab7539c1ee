//! `--memory`: the plan is kept to, its estimate is near the truth, and no result depends on it.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use enas_testing::program::{enas, refused, run, temp, text};
use serde_json::Value;
use tempfile::TempDir;

const MB: u64 = 1 << 20;

/// An arc that uses every operation.
const ARC: &str = "0 0 1 1 2 0 0 3 1 1 2 4  0 1 1 0 2 2 1 3 0 1 2 0";

/// What a run came to.
struct Done {
    /// Most bytes that the process ever took.
    peak: u64,
    plan: Value,
    /// The bytes of what does not depend on time or memory.
    results: Vec<(String, Vec<u8>)>,
}

impl Done {
    fn estimate(&self) -> u64 {
        let part = |name: &str| self.plan["parts"][name].as_u64().unwrap();
        let later = part("loading") + part("weights") + part("work");
        part("base") + part("pictures") + part("reading").max(later)
    }

    /// The estimate over what was measured.
    fn ratio(&self) -> f64 {
        self.estimate() as f64 / self.peak as f64
    }
}

/// Runs the program to its end in `folder`/`out` and reads how much memory it took: of a process that has ended but was
/// not waited for, the system still knows.
fn measure(folder: &Path, out: &str, args: &[&str]) -> Done {
    let all = [args, &["--out", out, "--threads", "2"]].concat();
    let mut command = std::process::Command::new(enas(folder).get_program());
    command.current_dir(folder).args(&all).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (peak, output) = watched(child);
    assert!(output.status.success(), "{all:?}: {}", text(&output.stderr));
    let dir = folder.join(out);
    let manifest: Value = serde_json::from_slice(&fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let read = |name: &str| fs::read(dir.join(name)).ok().map(|bytes| (name.to_owned(), bytes));
    let results = ["best.arc.json", "model.safetensors", "split.json"].into_iter().filter_map(read).collect();
    Done { peak, plan: manifest["memory"].clone(), results }
}

/// Looks at the process again and again; the high-water mark only ever rises.
fn watched(child: Child) -> (u64, std::process::Output) {
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while let Some(now) = fs::read_to_string(&status).ok().and_then(|text| high_water(&text)) {
            peak = peak.max(now);
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        peak
    });
    let output = child.wait_with_output().unwrap();
    (watch.join().unwrap(), output)
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| 1024 * kib)
}

/// Coloured noise with a hint of the class, `n` images of each of two classes, in the format `ending`.
fn noise_images(n: usize, side: u32, ending: &str) -> TempDir {
    let folder = temp();
    let mut state = 1u32;
    for class in ["dim", "lit"] {
        let dir = folder.path().join("data").join(class);
        fs::create_dir_all(&dir).unwrap();
        for i in 0..n {
            let bright = u8::from(class == "lit") * 90;
            let image = image::RgbImage::from_fn(side, side, |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let value = (state >> 24) as u8 / 3 * 2;
                image::Rgb([value / 2 + bright, value, value / 3 + bright / 2])
            });
            image.save(dir.join(format!("{i:05}.{ending}"))).unwrap();
        }
    }
    folder
}

/// A training that is short, but not without weight.
const TRAIN: [&str; 20] = [
    "train",
    "--arc",
    ARC,
    "--preset",
    "quick",
    "--epochs",
    "1",
    "--set",
    "child.nodes=3",
    "--set",
    "child.layers=3",
    "--set",
    "child.filters=12",
    "--set",
    "run.batch_size=96",
    "--set",
    "data.augment.mode=corrected",
    "--data",
    "data",
    "--quiet",
];

fn train<'a>(extra: &[&'a str]) -> Vec<&'a str> {
    [&TRAIN[..], extra].concat()
}

const COLOUR: [&str; 4] = ["--set", "data.channels=3", "--set", "data.image_size=32"];

#[test]
fn less_memory_changes_no_byte_of_a_training_and_is_kept_to() {
    let folder = noise_images(150, 32, "png");
    let plenty = measure(folder.path(), "plenty", &train(&COLOUR));
    assert_eq!(plenty.plan["recompute"], "nothing");
    let mut ways = Vec::new();
    for limit in ["250M", "150M", "110M"] {
        let args = train(&[&COLOUR[..], &["--memory", limit]].concat());
        let tight = measure(folder.path(), limit, &args);
        assert!(tight.results == plenty.results, "{limit}: {}", tight.plan);
        let allowed = limit.trim_end_matches('M').parse::<u64>().unwrap() * MB;
        assert!(tight.peak <= allowed, "{} of {allowed}: {}", tight.peak, tight.plan);
        ways.push(tight.plan["recompute"].clone());
    }
    assert!(ways.iter().any(|way| way["groups"].is_u64()), "{ways:?}");
    assert_eq!(plenty.results.len(), 3);
}

#[test]
fn the_estimate_is_within_a_fifth_of_what_is_measured() {
    let folder = noise_images(150, 32, "png");
    // Long enough to meet arcs of all kinds: what a search may take is what all arcs in a row would.
    let settings = [
        "child.nodes=3",
        "select.samples=8",
        "select.random=30",
        "controller.steps=5",
        "run.batch_size=48",
        "warmup.updates=0",
        "finals.steps=0",
    ];
    let settings = settings.into_iter().flat_map(|setting| ["--set", setting]);
    let start = ["search", "--preset", "quick", "--epochs", "2", "--data", "data", "--quiet"];
    let search: Vec<&str> = start.into_iter().chain(settings).collect();
    let cases: [(&str, Vec<&str>); 5] = [
        ("train", train(&COLOUR)),
        ("train-200M", train(&[&COLOUR[..], &["--memory", "200M"]].concat())),
        ("train-110M", train(&[&COLOUR[..], &["--memory", "110M"]].concat())),
        ("search", [&search[..], &COLOUR].concat()),
        ("search-150M", [&search[..], &COLOUR, &["--memory", "150M"]].concat()),
    ];
    for (name, args) in cases {
        let done = measure(folder.path(), name, &args);
        let ratio = done.ratio();
        eprintln!(
            "{name}: estimate {} MB, measured {} MB, ratio {ratio:.2}",
            done.estimate() / MB,
            done.peak / MB
        );
        assert!((0.8..=1.2).contains(&ratio), "{name}: {ratio:.2}; measured {} of {}", done.peak, done.plan);
    }
}

/// 62 MB decoded, under a limit that is too low for them.
#[test]
fn a_data_set_larger_than_the_memory_trains_to_the_same_bytes() {
    let folder = noise_images(2550, 64, "bmp");
    // Most images are for measuring, which is quicker than training on them.
    let small: Vec<&str> = [
        "data.channels=3",
        "data.image_size=64",
        "data.valid_fraction=0.45",
        "data.test_fraction=0.45",
        "child.filters=2",
        "child.layers=1",
        "run.batch_size=16",
        "run.eval_batch=16",
    ]
    .into_iter()
    .flat_map(|setting| ["--set", setting])
    .collect();
    let plenty = measure(folder.path(), "plenty", &train(&small));
    assert_eq!(plenty.plan["holding"], "decoded");
    let decoded = 2 * 2550 * 3 * 64 * 64;
    let tight = measure(folder.path(), "tight", &train(&[&small[..], &["--memory", "56M"]].concat()));
    assert_eq!(tight.plan["holding"], "streamed", "{}", tight.plan);
    assert!(tight.peak <= 56 * MB && 56 * MB < decoded, "{} of {decoded}: {}", tight.peak, tight.plan);
    assert!(plenty.peak > decoded && tight.results == plenty.results);
}

#[test]
fn too_little_is_refused_with_the_number_that_would_do() {
    let folder = noise_images(10, 8, "png");
    let args = train(&["--memory", "8M"]);
    let output = run(folder.path(), &args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("run.memory: 8M are too few") && stderr.contains("are needed"), "{stderr}");
    let needed = stderr.split(" are needed").next().unwrap().rsplit(' ').next().unwrap().to_owned();
    let out = run(folder.path(), &[&TRAIN[..], &["--memory", &needed]].concat());
    assert!(out.status.success(), "{needed}: {}", text(&out.stderr));
}

#[test]
fn what_is_no_size_is_refused() {
    let folder = temp();
    refused(folder.path(), &["search", "--memory", "much"], 2, "512M");
    refused(folder.path(), &["search", "--set", "run.memory=4X"], 2, "512M");
}
