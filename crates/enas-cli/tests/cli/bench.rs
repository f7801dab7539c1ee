//! `enas bench`: the line that comparisons read.

use enas_testing::program::{TINY_ARC, json, refused, run, temp, text};
use serde_json::Value;

const SMALL: [&str; 17] = [
    "bench",
    "--batch",
    "4",
    "--size",
    "8",
    "--filters",
    "4",
    "--layers",
    "3",
    "--cells",
    "1",
    "--pools",
    "2",
    "--warmup",
    "1",
    "--iters",
    "3",
];

fn line(more: &[&str]) -> Value {
    json(temp().path(), &[&SMALL[..], more].concat())
}

#[test]
fn every_mode_prints_the_promised_line() {
    let fixed: &[&str] = &["--arc", TINY_ARC];
    let modes: [(&str, &[&str]); 5] = [
        ("search-step", &[]),
        ("reward-step", &["--aux", "0"]),
        ("controller-step", &["--aggregate", "3"]),
        ("fixed-step", fixed),
        ("fixed-infer", fixed),
    ];
    for (mode, flags) in modes {
        let line = line(&[&["--mode", mode], flags].concat());
        assert_eq!(line["mode"], mode);
        assert_eq!((line["batch"].as_u64(), line["iters"].as_u64()), (Some(4), Some(3)), "{mode}");
        assert!(line["median_ms"].as_f64() >= line["min_ms"].as_f64(), "{mode}: {line}");
        assert_eq!(line["images_per_second"].is_null(), mode == "controller-step", "{mode}: {line}");
        assert_eq!(line["threads"], 2, "{mode}");
        if cfg!(target_os = "linux") {
            assert!(line["peak_rss_mb"].as_f64() > Some(1.0), "{mode}: {line}");
        }
    }
}

#[test]
fn arcs_come_from_a_file_and_single_times_on_request() {
    let folder = temp();
    let file = folder.path().join("arcs.txt");
    std::fs::write(&file, format!("{TINY_ARC}\n{TINY_ARC}\n")).unwrap();
    let file = file.display().to_string();
    let line = line(&["--mode", "search-step", "--arcs", &file, "--raw", "1", "--threads", "1"]);
    assert_eq!(line["ms"].as_array().unwrap().len(), 3);
    assert_eq!(line["threads"], 1);
}

#[test]
fn a_profile_goes_to_stderr() {
    let args = [&SMALL[..], &["--mode", "fixed-step", "--arc", TINY_ARC, "--profile"]].concat();
    let output = run(temp().path(), &args);
    assert!(text(&output.stderr).contains("ms/step"), "{}", text(&output.stderr));
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok());
}

#[test]
fn misuse_is_named() {
    let cases: [(&[&str], &str); 14] = [
        (&[], "--mode <MODE>"),
        (&["--mode", "nap"], "invalid value 'nap' for '--mode <MODE>'"),
        (&["--mode", "search-step", "--pools", "4"], "write a whole number from 2 to 3"),
        (&["--mode", "search-step", "--aux", "2"], "write 0 or 1"),
        (&["--mode", "search-step", "--keep-prob", "0"], "write a number above 0, up to 1"),
        (&["--mode", "search-step", "--iters", "0"], "write a whole number from 1"),
        (&["--mode", "search-step", "--threads", "0"], "write a whole number from 1"),
        (&["--mode", "search-step", "--filters", "5"], "even numbers"),
        (&["--mode", "search-step", "--arcs", "none"], "--arcs: cannot read none"),
        (&["--mode", "search-step", "--activations", "f16"], "write f32 or bf16"),
        (&["--mode", "search-step", "--activations", "bf16", "--device", "cpu"], "bf16 is for GPUs"),
        (&["--mode", "controller-step", "--activations", "bf16"], "bf16 is for modes with batch statistics"),
        (&["--mode", "fixed-step"], "--arc <ARC>"),
        (
            &["--mode", "fixed-step", "--arc", TINY_ARC],
            "has 1 nodes per cell but --cells is 5; give --cells 1",
        ),
    ];
    for (flags, fragment) in cases {
        refused(temp().path(), &[&["bench"], flags].concat(), 2, fragment);
    }
}
