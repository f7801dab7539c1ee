//! `enas arc draw`.

use std::fs;
use std::path::Path;

use enas_testing::program::{enas, json, refused, stdout, temp, text, trained};
use serde_json::json;

const ARC: &str = "0 1 0 3 2 3 0 1 1 4 0 0 4 1 2 0 1 1 1 2 1 1 0 3 0 3 0 0 2 1 1 1 4 1 3 1 1 2 1 1";
const OTHER: &str = "0 0 1 2 0 3 1 4";

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The names of all files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn without_flags_both_cells_and_the_network_are_drawn_here() {
    let folder = temp();
    let folder = folder.path();
    assert_eq!(stdout(folder, &["arc", "draw", ARC]), "cells.svg\nnetwork.svg\n");
    assert_eq!(files(folder), ["cells.svg", "network.svg"]);
    let cells = read(folder, "cells.svg");
    assert!(cells.starts_with("<svg ") && cells.ends_with("</svg>\n"));
    for word in
        ["Normal cell", "Reduction cell", "h[i-1]", "h[i]", "sep-conv-5x5", "concat", "prefers-color-scheme"]
    {
        assert!(cells.contains(word), "{word}");
    }
    assert!(read(folder, "network.svg").contains("multiply-adds"));
}

#[test]
fn a_file_name_chooses_the_format() {
    let folder = temp();
    let folder = folder.path();
    stdout(
        folder,
        &["arc", "draw", ARC, "--out", "a/b.png", "--part", "normal", "--theme", "dark", "--scale", "0.5"],
    );
    let png = fs::read(folder.join("a/b.png")).unwrap();
    let image = image::load_from_memory(&png).unwrap().to_rgb8();
    assert!(image.get_pixel(image.width() / 2, 3).0.iter().all(|c| *c < 40), "the paper is dark");

    stdout(folder, &["arc", "draw", ARC, "--out", "both.dot"]);
    assert!(read(folder, "both.dot").starts_with("digraph cells {"));
    assert_eq!(files(folder), ["a", "both.dot"]);
    assert_eq!(files(&folder.join("a")), ["b.png"]);
}

#[test]
fn json_lists_the_paths() {
    let folder = temp();
    let folder = folder.path();
    let written =
        json(folder, &["arc", "draw", ARC, "--part", "reduction,network", "--format", "dot", "--out", "d"]);
    assert_eq!(written, json!({"paths": ["d/reduction.dot", "d/network.dot"]}));
    assert!(read(folder, "d/network.dot").contains("multiply-adds"));
}

#[test]
fn several_architectures_are_numbered() {
    let folder = temp();
    let folder = folder.path();
    fs::write(folder.join("arcs.txt"), format!("{ARC}\n{OTHER}\n")).unwrap();
    let printed = stdout(folder, &["arc", "draw", "--arc-file", "arcs.txt", "--part", "normal"]);
    assert_eq!(printed, "normal-1.svg\nnormal-2.svg\n");
    let piped = format!("{OTHER}\n{OTHER}");
    let output = enas(folder).args(["arc", "draw", "--out", "x.svg"]).write_stdin(piped).output().unwrap();
    assert_eq!(text(&output.stdout), "x-1.svg\nx-2.svg\n");
    assert_eq!(read(folder, "x-1.svg"), read(folder, "x-2.svg"));
    assert_ne!(read(folder, "normal-1.svg"), read(folder, "normal-2.svg"));
}

#[test]
fn a_run_is_drawn_with_its_own_architecture_and_settings() {
    let trained = trained();
    let out = temp();
    let out = out.path();
    let run = trained.folder().join(trained.printed["run"].as_str().unwrap()).display().to_string();
    stdout(out, &["arc", "draw", "--run", &run]);
    let arc = trained.printed["arc"].as_str().unwrap();
    stdout(out, &["arc", "draw", arc, "--part", "cells", "--out", "alone.svg"]);
    assert_eq!(read(out, "cells.svg"), read(out, "alone.svg"));
    let params = trained.printed["params"].as_u64().unwrap().to_string();
    let network = read(out, "network.svg");
    let digits = network.replace(' ', "");
    assert!(digits.contains(&format!(">{params}<")), "{params} in {network}");
    assert!(network.contains(">10 classes<"));
}

#[test]
fn settings_change_the_network() {
    let folder = temp();
    let folder = folder.path();
    let args = ["arc", "draw", OTHER, "--part", "network", "--set", "child.filters=6", "--classes", "7"];
    stdout(folder, &args);
    let network = read(folder, "network.svg");
    assert!(network.contains(">7 classes<") && network.contains(">18 × "), "{network}");
}

#[test]
fn what_cannot_be_drawn_is_refused_and_leaves_no_file() {
    let folder = temp();
    let path = folder.path();
    for (args, message) in [
        (&["0 0 1 2 0 3 2 4"][..], "2 is out of range, allowed 0..=1"),
        (&[OTHER, "--out", "a.jpg"], "--out a.jpg: drawings are svg, png or dot, not jpg"),
        (&[OTHER, "--out", "a.svg", "--format", "png"], "--out a.svg: does not end as --format says"),
        (
            &[OTHER, "--out", "a.svg", "--part", "cells,network"],
            "--out a.svg: is one file; ask for one --part",
        ),
        (&[OTHER, "--scale", "2"], "--scale is for PNG; this would be svg"),
        (
            &[OTHER, "--format", "png", "--scale", "-1"],
            "--scale: scale -1 is out of range; allowed: 0.1 to 10",
        ),
        (&[OTHER, "--format", "dot", "--theme", "dark"], "--theme is for SVG and PNG"),
        (&[OTHER, "--part", "stem"], "invalid value 'stem'"),
        (&[OTHER, "--set", "child.filters=3"], "child.filters"),
        (&[OTHER, "--run", "x"], "cannot be used with"),
        (&["--run", "x", "--classes", "3"], "--run: x: this is not a run directory"),
    ] {
        refused(path, &[&["arc", "draw"], args].concat(), 2, message);
    }
    refused(path, &["arc", "draw", "--run", "none"], 2, "--run");
    assert_eq!(files(path), [""; 0]);
    fs::write(path.join("taken"), "").unwrap();
    refused(path, &["arc", "draw", OTHER, "--out", "taken/x.svg"], 1, "cannot create taken");
    assert_eq!(files(path), ["taken"]);
}
