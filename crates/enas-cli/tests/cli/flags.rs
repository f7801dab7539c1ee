//! Every way to misuse the program, and its one message for each.

use enas_testing::program::{TINY_ARC, json, refused, run, stdout, temp, text};

const COMMANDS: [&[&str]; 16] = [
    &["search"],
    &["train"],
    &["eval"],
    &["predict"],
    &["arc"],
    &["arc", "check"],
    &["arc", "show"],
    &["arc", "random"],
    &["arc", "convert"],
    &["augment"],
    &["data"],
    &["data", "check"],
    &["config"],
    &["config", "show"],
    &["config", "check"],
    &["bench"],
];

#[test]
fn every_help_has_examples_that_name_the_command() {
    let folder = temp();
    for command in COMMANDS {
        let help = stdout(folder.path(), &[command, &["--help"]].concat());
        let examples = help.split_once("Examples:").unwrap_or_else(|| panic!("{command:?}: {help}")).1;
        assert!(examples.contains(&format!("enas {}", command.join(" "))), "{command:?}: {examples}");
    }
}

#[test]
fn nothing_to_do_shows_the_help_and_fails() {
    let folder = temp();
    for args in [&[][..], &["arc"], &["config"], &["data"]] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains("Usage:"), "{args:?}");
    }
}

#[test]
fn the_version_is_the_package_version() {
    assert_eq!(stdout(temp().path(), &["--version"]), format!("enas {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn flags_of_computing_commands_are_checked_one_by_one() {
    let cases: [(&[&str], &str); 20] = [
        (&["--threads", "0"], "'--threads <N>': write a whole number from 1 to 1024"),
        (&["--threads", "two"], "write a whole number from 1 to 1024"),
        (&["--device", "tpu"], "write cpu, cuda or cuda:N"),
        (&["--epochs", "0"], "'--epochs <N>': write a whole number"),
        (&["--time", "5 minutes"], "write a whole number with a unit, as in 90s, 30m or 2h"),
        (&["--time", "0s"], "as in 90s, 30m or 2h"),
        (&["--threads", "-1"], "'-1' for '--threads <N>'"),
        (&["--seed", "-1"], "'-1' for '--seed <N>'"),
        (&["--seed", "x"], "'--seed <N>'"),
        (&["--set", "epochs"], "--set epochs: write key.path=value"),
        (&["--set", "run.epoch=3"], "did you mean run.epochs?"),
        (&["--set", "child.filters=3"], "child.filters = 3 is out of range; allowed: even numbers"),
        (&["--set", "data.channels=2"], "data.channels = 2"),
        (&["--set", "run.epochs=many"], "--set run.epochs=many"),
        (&["--preset", "quik"], "preset quik: there is no such preset; presets: quick,"),
        (&["--config", "missing.toml"], "missing.toml"),
        (&["--config", "a.toml", "--preset", "quick"], "cannot be used with"),
        (&["--resume", "nowhere"], "nowhere: this is not a run directory"),
        (&["--quiet", "--verbose"], "cannot be used with"),
        (&["--colour", "red"], "unexpected argument '--colour'"),
    ];
    let folder = temp();
    for (flags, fragment) in cases {
        refused(folder.path(), &[&["search"], flags].concat(), 2, fragment);
        let resumes = flags[0] == "--resume";
        let which: &[&str] = if resumes { &["train"] } else { &["train", "--arc", TINY_ARC] };
        refused(folder.path(), &[which, flags].concat(), 2, fragment);
    }
}

/// With it built in, `cargo xtask cuda-check` looks at what a machine without a GPU answers.
#[cfg(not(feature = "cuda"))]
#[test]
fn cuda_is_refused_where_it_is_not_built_in() {
    let folder = temp();
    let remedy = "build it with `--features cuda`, or use --device cpu";
    for device in ["cuda", "cuda:1"] {
        refused(folder.path(), &["search", "--device", device], 2, remedy);
    }
}

#[test]
fn activations_in_bfloat16_are_refused_on_the_cpu_before_anything_is_written() {
    let folder = temp();
    let flags = ["--set", "run.activations=bf16", "--device", "cpu"];
    let commands: [&[&str]; 2] = [&["search"], &["train", "--arc", TINY_ARC]];
    for command in commands {
        let line = "error: run.activations: \"bf16\" is for GPUs: use --device cuda, or \"f32\" on the CPU";
        refused(folder.path(), &[command, &flags].concat(), 2, line);
    }
    refused(folder.path(), &["search", "--set", "run.activations=f16"], 2, "run.activations=f16");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "a run folder was made");
}

#[test]
fn a_resumed_run_stays_where_it_is() {
    let folder = temp();
    for command in ["search", "train", "auto"] {
        refused(folder.path(), &[command, "--resume", "runs/x", "--out=y"], 2, "cannot be used with");
    }
}

#[test]
fn training_needs_exactly_one_architecture() {
    let folder = temp();
    let folder = folder.path();
    std::fs::write(folder.join("two.txt"), format!("{TINY_ARC}\n{TINY_ARC}\n")).unwrap();
    std::fs::write(folder.join("bad.txt"), "0 1 2\n").unwrap();
    let cases: [(&[&str], &str); 12] = [
        (&[], "required arguments were not provided"),
        (&["--arc", TINY_ARC, "--run", "x"], "cannot be used with"),
        (&["--arc", "0 1 2"], "--arc: 3 integers do not make an arc"),
        (
            &["--arc", "0 0 1 9 0 3 1 4"],
            "position 3 (normal cell, node 2, second operation): 9 is out of range",
        ),
        (&["--arc-file", "none.txt"], "--arc-file: cannot read none.txt"),
        (&["--arc-file", "two.txt"], "two.txt: holds 2 architectures; exactly one is wanted"),
        (&["--arc-file", "bad.txt"], "bad.txt: 3 integers do not make an arc"),
        (&["--cell", "narrow"], "[possible values: wide, wide-light, enas-cifar10]"),
        (&["--cell", "wide", "--arc", TINY_ARC], "cannot be used with"),
        (&["--cell", "wide", "--seeds", "0"], "write a whole number from 1 to 1000"),
        (&["--cell", "wide", "--find-lr", "--out", "x"], "cannot be used with"),
        (&["--run", "nowhere"], "--run: nowhere: this is not a run directory"),
    ];
    for (flags, fragment) in cases {
        refused(folder, &[&["train"], flags].concat(), 2, fragment);
    }
}

/// An error in the command is reported before the images are read: here they do not exist.
#[test]
fn a_wrong_architecture_or_setting_is_said_before_the_images_are_read() {
    let folder = temp();
    let folder = folder.path();
    let layers = "1 = conv-3x3(0); 2 = sep-conv-5x5(1) + 0; 3 = max-pool-3x3(2) + 0 + 1";
    let cases: [(&[&str], &str); 10] = [
        (&["auto", "nowhere", "--cell", "wyde"], "--cell wyde: there is no such cell; cells: wide,"),
        (&["auto", "nowhere", "--cell", "0 1 2"], "--cell: 3 integers do not make an arc"),
        (&["auto", "nowhere", "--cell", "my.arc"], "--cell: cannot read my.arc"),
        (&["auto", "nowhere", "--set", "space=macro"], "finals train cells only"),
        (
            &["auto", "nowhere", "--set", "space=macro", "--set", "finals.steps=0"],
            "enas auto works with cells only",
        ),
        (&["auto", "nowhere", "--set", "keep=some"], "keep"),
        (&["train", "nowhere", "--arc", "0 1 2"], "--arc: 3 integers do not make an arc"),
        (&["train", "nowhere", "--arc", "my.arc"], "--arc: cannot read my.arc"),
        (&["train", "nowhere", "--find-lr", "--arc", layers], "--find-lr works with cells only"),
        (&["train", "nowhere", "--folds", "3", "--arc", layers], "--seeds and --folds works with cells only"),
    ];
    for (args, fragment) in cases {
        refused(folder, args, 2, fragment);
    }
}

#[test]
fn flags_of_models_and_images_are_checked() {
    let folder = temp();
    let cases: [(&[&str], &str); 7] = [
        (&["eval"], "no model given: --model <FILE> or --run <DIR>"),
        (&["eval", "--model", "m", "--split", "dev"], "invalid value 'dev' for '--split"),
        (&["predict", "--model", "m"], "<PATH>..."),
        (&["predict", "--model", "m", "--top", "0", "a.png"], "write a whole number from 1"),
        (&["predict", "--model", "m", "--csv", "--json", "a.png"], "cannot be used with"),
        (&["augment", "--out", "."], "--out .: this is a folder"),
        (&["augment", "--out", "a.png", "--copies", "0"], "write a whole number from 1 to 100"),
    ];
    for (args, fragment) in cases {
        refused(folder.path(), args, 2, fragment);
    }
}

#[test]
fn work_that_fails_ends_with_one() {
    let folder = temp();
    let folder = folder.path();
    std::fs::write(folder.join("text.safetensors"), "no model").unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["search", "--data", "nowhere"], "no data at nowhere"),
        (&["search", "--data", "text.safetensors"], "neither a folder nor a .zip"),
        (&["train", "--arc", TINY_ARC, "--data", "nowhere"], "no data at nowhere"),
        (&["eval", "--model", "none.safetensors"], "none.safetensors"),
        (&["eval", "--model", "text.safetensors"], "text.safetensors"),
        (&["predict", "--model", "text.safetensors", "a.png"], "text.safetensors"),
        (&["augment", "--out", "nowhere/sheet.png"], "cannot write nowhere/sheet.png"),
    ];
    for (args, fragment) in cases {
        refused(folder, args, 1, fragment);
    }
}

#[test]
fn a_directory_that_holds_something_is_never_a_new_run() {
    let folder = temp();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    std::fs::write(folder.path().join("mine/letter.txt"), "dear").unwrap();
    refused(folder.path(), &["search", "--out", "mine"], 2, "mine: the directory is not empty");
    assert_eq!(std::fs::read_to_string(folder.path().join("mine/letter.txt")).unwrap(), "dear");
}

#[test]
fn an_augmentation_sheet_is_an_image() {
    let folder = temp();
    let args = [
        "augment",
        "--out",
        "sheet.png",
        "--images",
        "3",
        "--copies",
        "2",
        "--set",
        "data.augment.mode=corrected",
    ];
    let printed = json(folder.path(), &args);
    assert_eq!(printed, serde_json::json!({"path": "sheet.png", "images": 9}));
    assert!(image::open(folder.path().join("sheet.png")).unwrap().width() > 64);
}
