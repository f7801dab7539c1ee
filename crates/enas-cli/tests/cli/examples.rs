//! Every example of every `--help` is typed, in a folder that has what the examples speak of.

use std::fs;
use std::io::Write;
use std::path::Path;

use enas_testing::program::{stdout, temp};
use zip::write::SimpleFileOptions;

use crate::documents::{smaller, type_one, write_images};
/// An architecture of five nodes, in place of one that an example only begins.
const ARC: &str = "0 1 0 3 2 3 0 1 1 4 0 0 4 1 2 0 1 1 1 2 1 1 0 3 0 3 0 0 2 1 1 1 4 1 3 1 1 2 1 1";

/// Examples that cannot be typed here, with why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("ssh ", "needs another machine"),
    ("enas data fetch fashion-mnist", "needs the network; fetch.rs does it from archives on disk"),
    ("enas data fetch cifar10", "needs archives of 160 MB; enas-datasets has a test with small ones"),
    ("enas search --preset fashion-mnist", "needs those images"),
];

/// Programs that an example pipes into, and that need not be there: what comes before them is typed.
const OTHERS: [&str; 2] = [" | jq ", " && dot "];

/// All commands with all that are below them, as the help lists them.
fn commands(dir: &Path) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut next = 0;
    while next < all.len() {
        let command = all[next].clone();
        let help = help(dir, &command);
        let listed = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        let names =
            listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("    "));
        let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        all.extend(names.map(|name| [command.clone(), vec![name.to_owned()]].concat()));
        next += 1;
    }
    all
}

fn help(dir: &Path, command: &[String]) -> String {
    let args: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    stdout(dir, &args)
}

/// The examples of a help text, without the remarks after them.
fn examples(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("Examples:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| !line.is_empty());
    lines.map(|line| line.trim().split("  ").next().unwrap_or_default().to_owned()).collect()
}

/// What the examples speak of.
fn furnish(dir: &Path) {
    write_images(dir);
    for folder in
        ["app", "holiday", ".zfunc", ".config/fish/completions", ".local/share/bash-completion/completions"]
    {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    for copy in ["photo.png", "holiday/a.png", "holiday/b.png"] {
        fs::copy(dir.join("new/a.png"), dir.join(copy)).unwrap();
    }
    let mut archive = zip::ZipWriter::new(fs::File::create(dir.join("photos.zip")).unwrap());
    for class in fs::read_dir(dir.join("photos")).unwrap() {
        for file in fs::read_dir(class.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap();
            archive.start_file(name, SimpleFileOptions::default()).unwrap();
            archive.write_all(&fs::read(&path).unwrap()).unwrap();
        }
    }
    archive.finish().unwrap();
    fs::write(dir.join("my.arc"), ARC).unwrap();
    fs::write(dir.join("arcs.txt"), format!("{ARC}\n{ARC}\n")).unwrap();
    for command in [
        "enas search",
        "enas search photos",
        "enas train --run runs/digits-search-1",
        "enas train --run runs/photos-search-1",
        "enas auto photos",
    ] {
        type_one(dir, command, &typed(command));
    }
    fs::copy(dir.join("runs/photos-train-1/model.safetensors"), dir.join("model.safetensors")).unwrap();
}

/// What is typed for an example: small work, and whole architectures.
fn typed(example: &str) -> String {
    let without_others = OTHERS.iter().fold(example, |text, other| text.split(other).next().unwrap());
    let whole = without_others.replace("0 1 0 3 2 3 0 1 …", ARC).replace("0 1 0 3 …", ARC);
    let short = ["--epochs 50", "--layers 15", "--filters 16"]
        .iter()
        .fold(whole, |text, flag| text.replace(flag, ""));
    let run = short.split(' ').nth(1).unwrap_or_default().to_owned();
    match run.as_str() {
        "auto" => {
            let short = short.replace("--time 2h", "--time 20s").replace("--time 3m", "--time 20s");
            smaller(&format!("{short} --set run.epochs=1"))
        }
        "bench" if short.contains("--mode") => {
            format!("{short} --batch 16 --size 16 --layers 1 --filters 4 --warmup 0 --iters 1")
        }
        // The claim of so small a search may fail; the exit code is then 1.
        "prove" => format!("{} | grep -i claim", smaller(&short)),
        _ => smaller(&short),
    }
}

#[test]
fn every_example_of_the_help_works() {
    let folder = temp();
    let dir = folder.path();
    furnish(dir);
    let mut typed_in_all = 0;
    for command in commands(dir) {
        let examples = examples(&help(dir, &command));
        for example in &examples {
            if ELSEWHERE.iter().any(|(start, _)| example.starts_with(start)) {
                continue;
            }
            assert!(example.contains("enas "), "{command:?}: this is not an example of enas: {example}");
            // Some examples write it, for either kind of run.
            let settings = stdout(dir, &["config", "show", "--for", "train", "--preset", "folder"]);
            fs::write(dir.join("my.toml"), settings).unwrap();
            type_one(dir, &format!("{command:?}: {example}"), &typed(example));
            typed_in_all += 1;
        }
    }
    assert!(typed_in_all > 50, "only {typed_in_all} examples were found");
}

#[test]
fn commands_and_examples_are_found() {
    let folder = temp();
    let all = commands(folder.path());
    for wanted in ["search", "arc draw", "config check", "data check", "bench"] {
        assert!(all.iter().any(|command| command.join(" ") == wanted), "{wanted} is not among {all:?}");
    }
    let help = "Usage\n\nExamples:\n  enas arc draw --out a.png      a remark\n  enas arc\n\nMore";
    assert_eq!(examples(help), ["enas arc draw --out a.png", "enas arc"]);
}
