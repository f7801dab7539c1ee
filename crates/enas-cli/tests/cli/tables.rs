//! `enas study --table`: strategies on tabular benchmarks.

use std::fs;
use std::path::Path;

use enas_testing::program::{json, keys, refused, run, stdout, temp};

/// 5⁴ architectures whose test value is their validation value.
fn write_table(folder: &Path) {
    let row = |i: u32| {
        let ops = [i / 125, i / 25 % 5, i / 5 % 5, i % 5];
        let value = ops[0] * ops[1] + 3 * ops[2] + (ops[3] + 4 * ops[0]) % 5;
        format!("{},{},{},{},{value},{value}\n", ops[0], ops[1], ops[2], ops[3])
    };
    let rows: String = (0..625).map(row).collect();
    fs::write(folder.join("t.csv"), format!("a,b,c,d,valid,test\n{rows}")).unwrap();
}

fn study<'a>(strategy: &'a str, rewards: &'a str) -> [&'a str; 9] {
    ["study", "--table", "t.csv", "--strategy", strategy, "--rewards", rewards, "--repeats", "4"]
}

#[test]
fn strategies_that_learn_are_better_than_chance_and_the_same_seed_repeats_itself() {
    let folder = temp();
    write_table(folder.path());
    let [chance, reinforce, evolution] = ["uniform", "reinforce", "evolution"].map(|strategy| {
        let found = json(folder.path(), &study(strategy, "150"));
        assert_eq!(found, json(folder.path(), &study(strategy, "150")));
        let repeats = found["repeats"].as_array().unwrap();
        assert_eq!((repeats.len(), found["architectures"].as_u64()), (4, Some(625)));
        for key in ["percentile", "regret"] {
            let mean = repeats.iter().map(|repeat| repeat[key].as_f64().unwrap()).sum::<f64>() / 4.0;
            assert!((found[key].as_f64().unwrap() - mean).abs() < 1e-9, "{key}");
            let ends = found[format!("{key}_interval")].as_array().unwrap();
            assert!(ends[0].as_f64().unwrap() <= mean && mean <= ends[1].as_f64().unwrap());
        }
        assert_eq!(keys(&repeats[0]["arch"]), ["a", "b", "c", "d"]);
        found["regret"].as_f64().unwrap()
    });
    assert!(reinforce <= chance && evolution <= chance, "{reinforce} {evolution} {chance}");
    let other = [&study("uniform", "20")[..], &["--seed", "7"]].concat();
    assert_ne!(
        json(folder.path(), &other)["repeats"],
        json(folder.path(), &study("uniform", "20"))["repeats"]
    );
}

#[test]
fn enough_rewards_find_the_best_and_one_search_has_no_interval() {
    let folder = temp();
    write_table(folder.path());
    let args = ["study", "--table", "t.csv", "--rewards", "625", "--repeats", "1"];
    let found = json(folder.path(), &args);
    assert_eq!((found["percentile"].as_f64(), found["regret"].as_f64()), (Some(100.0), Some(0.0)));
    assert!(found["percentile_sd"].is_null() && found["regret_interval"].is_null());
    // New ones are hard to draw when nearly all are known.
    assert!(found["repeats"][0]["distinct"].as_u64().is_some_and(|n| (600..=625).contains(&n)), "{found}");
    let text = stdout(folder.path(), &args);
    assert!(
        text.contains("625 architectures of 4 decisions") && text.contains("percentile 100.00"),
        "{text}"
    );
}

#[test]
fn unusable_tables_and_strategies_are_refused_with_the_remedy() {
    let folder = temp();
    let dir = folder.path();
    write_table(dir);
    refused(dir, &study("wide", "10"), 2, "use uniform, reinforce or evolution");
    refused(dir, &study("annealing", "10"), 2, "possible values: uniform, reinforce, evolution, wide");
    refused(dir, &study("uniform", "0"), 2, "whole number from 1 to");
    refused(dir, &["study", "--table", "none.csv"], 1, "none.csv");
    fs::write(dir.join("t.csv"), "a,valid,test\n0,good,1\n").unwrap();
    refused(dir, &study("uniform", "10"), 1, "t.csv: line 2, column valid: `good` is not a number");
}

#[test]
fn a_table_of_arcs_has_wide_ones() {
    let folder = temp();
    let rows: String = (0..10).map(|i| format!("{},{},1,2,0,0,1,4,{i},{i}\n", i % 2, i / 2)).collect();
    fs::write(folder.path().join("t.csv"), format!("i,o,j,p,k,q,l,r,valid,test\n{rows}")).unwrap();
    assert!(run(folder.path(), &study("wide", "10")).status.success());
}
