//! Every command that the README and the guide tell people to type is typed, in order, in an empty folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use image::{Rgb, RgbImage};

const README: &str = include_str!("../../../../README.md");
const GUIDE: &str = include_str!("../../../../docs/guide.md");

/// Commands that other tests run, with where.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo run --release -p enas-cli -- search", "`enas search` itself, below"),
    ("cargo xtask ci", "this is what runs this test"),
    ("cargo install --locked --path crates/enas-cli", "the build of this test"),
    ("cargo install --locked --path crates/enas-cli --features cuda", "cargo xtask cuda-check"),
    ("docker build -t enas .", "cargo xtask tidy compares its build command with the README's"),
    (
        r#"docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" enas auto photos --time 2h"#,
        "the same command of the README, below",
    ),
    ("cargo build --release --target x86_64-unknown-linux-musl -p enas-cli", "cargo xtask static-build"),
    ("enas search --device cuda", "flags.rs: needs that build"),
    ("enas data fetch fashion-mnist", "fetch.rs, from archives on disk"),
    ("enas search --preset fashion-mnist", "enas-search's tests of presets: needs those data"),
];

/// What makes the work of a command small; its meaning stays.
pub(crate) fn smaller(command: &str) -> String {
    let common = "--set child.filters=4 --set child.layers=1 --set data.image_size=16";
    let search = "--set child.nodes=2 --set controller.steps=1 --set controller.aggregate=2 --set select.samples=2 \
                  --set warmup.updates=0 --set finals.steps=2 --set finals.policy=1 --set finals.wide=1 \
                  --set finals.random=2 --set finals.mutants=1 --set finals.controls=1";
    match command.split(' ').nth(1) {
        Some("auto") => format!("{command} {common} {search}").replace("--time 2h", "--time 20s"),
        Some("search") if command.contains("--space macro") => {
            let layers = "--set macro.layers=3 --set macro.filters=4 --set data.image_size=16";
            let (without_finals, _) = search.split_once("--set finals").unwrap();
            format!("{command} --epochs 1 {layers} {without_finals}")
        }
        Some("search") => format!("{command} --epochs 1 {common} {search}"),
        Some("train") => format!("{command} --epochs 1 {common}"),
        Some("study") if !command.contains("--table") => smaller_study(command, common, search),
        Some("watch") => format!("timeout --preserve-status --signal INT 2 {command}"),
        _ => command.to_owned(),
    }
}

/// A study of a few architectures, each trained for an epoch.
fn smaller_study(command: &str, common: &str, search: &str) -> String {
    let mut words = command.split(' ');
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if ["--pool", "--wide", "--searches", "--seeds"].contains(&word) {
            words.next();
        } else {
            kept.push(word);
        }
    }
    let kept = kept.join(" ");
    if kept.contains("--resume") {
        return format!("{kept} --pool 3");
    }
    let few = "--pool 2 --wide 1 --searches 1 --seeds 1 --set run.epochs=1 --set train.run.epochs=1";
    format!("{kept} {few} {common} {search}")
}

/// The lines of a document that are typed into a shell, without comments: fenced as `sh`, or indented outside fences.
fn commands(document: &str) -> Vec<String> {
    let mut fence = None;
    let typed = document.lines().filter(|line| {
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_none() { Some(language.to_owned()) } else { None };
            return false;
        }
        fence.as_ref().map_or(line.starts_with("    "), |language| language == "sh")
    });
    let bare = |line: &str| line.split(" #").next().unwrap_or(line).trim().to_owned();
    typed.map(bare).filter(|command| !command.is_empty()).collect()
}

/// Small images of three classes that differ in colour.
pub(crate) fn write_images(dir: &Path) {
    for (class, name) in ["bolt", "nut", "washer"].into_iter().enumerate() {
        fs::create_dir_all(dir.join("photos").join(name)).unwrap();
        for i in 0..30u32 {
            let image = RgbImage::from_fn(20, 20, |x, y| {
                let mut channels = [60; 3];
                channels[class] = 150 + ((x * 7 + y * 13 + i * 31) % 90) as u8;
                Rgb(channels)
            });
            image.save(dir.join(format!("photos/{name}/{i}.png"))).unwrap();
        }
    }
    fs::write(dir.join("table.csv"), table()).unwrap();
    fs::create_dir_all(dir.join("new")).unwrap();
    fs::copy(dir.join("photos/nut/0.png"), dir.join("new/a.png")).unwrap();
    image::open(dir.join("new/a.png")).unwrap().to_rgb8().save(dir.join("new/a.jpg")).unwrap();
}

/// A tabular benchmark of four decisions.
fn table() -> String {
    let rows = (0..256u32).map(|i| {
        let [a, b, c, d] = [i / 64, i / 16 % 4, i / 4 % 4, i % 4];
        format!("{a},{b},{c},{d},{},{}\n", a * b + 2 * c + d, a * b + 2 * c + d + i % 3)
    });
    format!("op1,op2,op3,op4,valid,test\n{}", rows.collect::<String>())
}

fn type_all(document: &str) {
    let dir = tempfile::tempdir().unwrap();
    write_images(dir.path());
    for command in commands(document) {
        if ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == command) {
            continue;
        }
        assert!(command.starts_with("enas "), "nobody runs this command: {command}");
        type_one(dir.path(), &command, &smaller(&command));
    }
}

/// Types a command, which must succeed, into a shell that finds the program.
pub(crate) fn type_one(dir: &Path, command: &str, typed: &str) {
    let bin = assert_cmd::cargo::cargo_bin("enas");
    let path = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", typed]).current_dir(dir).env("PATH", &path).env("HOME", dir);
    let output = shell.output().unwrap();
    let code = output.status.code();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code, Some(0), "{command}\ntyped as: {typed}\n{stderr}");
}

#[test]
fn the_readme_works() {
    type_all(README);
}

#[test]
fn the_guide_works() {
    type_all(GUIDE);
}

#[test]
fn what_is_run_elsewhere_is_still_written_somewhere() {
    let all = [commands(README), commands(GUIDE)].concat();
    for (command, _) in ELSEWHERE {
        assert!(all.iter().any(|c| c == command), "no document tells people to type: {command}");
    }
}
