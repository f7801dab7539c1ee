//! `cargo xtask quality`: whether the search finds better architectures than random sampling, measured with the
//! program.
//!
//! `enas study` does the work and saves every finished training, so an interrupted study continues where it stopped.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{fetch, repo};

/// The file that identifies the directory of a study.
const STUDY: &str = "study.config.json";

/// Minimum percentile among random architectures that a search must reach in the small study.
const LEAST_PERCENTILE: f64 = 60.0;
/// Minimum percentage of random architectures that must have fewer multiply-adds than the one found. Below it, the
/// search has collapsed to operations without computation.
const LEAST_COST: f64 = 10.0;

/// Measure the search: compare its architectures with random ones on Fashion-MNIST, which takes hours.
///
/// Every finished training is kept in DEST; the same command goes on where it was stopped.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A study of minutes instead: the built-in digits, 15 % for training and 70 % for testing. Fails if the
    /// architecture found is not among the better random ones, or is cheaper than nearly all of them
    #[arg(long)]
    small: bool,
    /// The folder of Fashion-MNIST, as `enas data fetch fashion-mnist` makes it
    #[arg(long, value_name = "DIR", default_value = "data/fashion-mnist", conflicts_with = "small")]
    data: PathBuf,
    /// The folder of the studies [default: quality in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    dest: Option<PathBuf>,
    /// End after this time with the results so far, as in 90s, 30m or 2h
    #[arg(long, value_name = "DURATION")]
    time: Option<String>,
    /// Further arguments of `enas study` for a study that begins, after --
    #[arg(last = true, value_name = "ARGUMENT")]
    further: Vec<OsString>,
}

/// Runs or resumes the study. Checks the result of the small one.
pub(crate) fn run(args: &Args) -> Result<()> {
    let dest = match &args.dest {
        Some(dest) => dest.clone(),
        None => repo::target()?.join("quality"),
    };
    fs::create_dir_all(&dest).with_context(|| format!("cannot create {}", dest.display()))?;
    let enas = repo::release_binary(&[])?;
    let (name, begin) = if args.small {
        ("small", small(&reversed_digits(&dest)?))
    } else {
        ensure!(
            args.data.is_dir(),
            "{} is not there; get it with: enas data fetch fashion-mnist",
            args.data.display()
        );
        ("fashion-mnist", whole(&args.data))
    };
    let out = dest.join(name);
    let mut command = Command::new(&enas);
    command.arg("study");
    if out.join(STUDY).is_file() {
        command.arg("--resume").arg(&out);
    } else {
        command.args(begin).arg("--out").arg(&out).args(&args.further);
    }
    if let Some(time) = &args.time {
        command.args(["--time", time]);
    }
    let status = command.status().with_context(|| format!("cannot start {}", enas.display()))?;
    ensure!(status.success(), "enas study ended with {status}");
    if args.small { check(&out) } else { Ok(()) }
}

/// The arguments of the full study: 12,000 training images and a small network.
fn whole(data: &Path) -> Vec<OsString> {
    let sizes =
        ["--preset", "fashion-mnist", "--seed", "7", "--train-images", "12000", "--valid-images", "5000"];
    let settings =
        ["data.image_size=28", "child.filters=8", "child.layers=2", "run.batch_size=64", "run.epochs=30"];
    arguments(data, &sizes, &settings)
}

/// The arguments of a study that takes minutes.
fn small(data: &Path) -> Vec<OsString> {
    let sizes = [
        "--preset",
        "quick",
        "--seed",
        "7",
        "--pool",
        "24",
        "--wide",
        "0",
        "--searches",
        "1",
        "--seeds",
        "1",
    ];
    let settings = [
        "data.test_fraction=0.7",
        "data.valid_fraction=0.15",
        "child.filters=8",
        "child.layers=2",
        "run.batch_size=32",
        "run.epochs=40",
        "train.run.epochs=20",
    ];
    arguments(data, &sizes, &settings)
}

fn arguments(data: &Path, sizes: &[&str], settings: &[&str]) -> Vec<OsString> {
    let sizes = sizes.iter().map(OsString::from);
    let settings = settings.iter().flat_map(|set| ["--set".into(), OsString::from(set)]);
    std::iter::once(data.as_os_str().to_owned()).chain(sizes).chain(settings).collect()
}

/// The built-in digits without splits, so that settings can split them.
fn reversed_digits(dest: &Path) -> Result<PathBuf> {
    let target = dest.join("digits-by-class");
    if target.is_dir() {
        return Ok(target);
    }
    let staging =
        tempfile::tempdir_in(dest).with_context(|| format!("cannot write to {}", dest.display()))?;
    let digits = fetch::digits(staging.path())?;
    let together = staging.path().join("by-class");
    for part in ["train", "valid", "test"] {
        for class in folders(&digits.join(part))? {
            let to = together.join(class.file_name().context("a class without a name")?);
            fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
            for entry in fs::read_dir(&class).with_context(|| format!("cannot read {}", class.display()))? {
                let from = entry?.path();
                let name = from.file_name().context("a file without a name")?;
                fs::rename(&from, to.join(name))
                    .with_context(|| format!("cannot move {}", from.display()))?;
            }
        }
    }
    fs::rename(&together, &target).with_context(|| format!("cannot create {}", target.display()))?;
    Ok(target)
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

/// A training of a study.
#[derive(Debug)]
struct Trained {
    group: String,
    late_loss: f64,
    macs: f64,
}

/// Checks that the architecture found is among the better random ones and about as expensive.
///
/// It compares the training loss, which after so few epochs is more informative than the accuracy.
fn check(study: &Path) -> Result<()> {
    let path = study.join("trials.jsonl");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = judged(&trained(&text).with_context(|| format!("{}", path.display()))?)?;
    println!(
        "quality: percentile {:.0} among random architectures by training loss, {:.0} by multiply-adds",
        found.by_loss, found.by_cost
    );
    if found.by_loss < LEAST_PERCENTILE {
        bail!(
            "the search found nothing better than chance: percentile {:.0} of {LEAST_PERCENTILE}",
            found.by_loss
        );
    }
    if found.by_cost < LEAST_COST {
        bail!("the search has collapsed: {:.0} % of random architectures are cheaper", found.by_cost);
    }
    Ok(())
}

/// The percentiles of the architecture found among the random ones.
#[derive(Debug, PartialEq)]
struct Judged {
    by_loss: f64,
    by_cost: f64,
}

fn judged(trained: &[Trained]) -> Result<Judged> {
    let of = |group: &str, value: fn(&Trained) -> f64| -> Vec<f64> {
        trained.iter().filter(|one| one.group == group).map(value).collect()
    };
    let share = |value: fn(&Trained) -> f64| -> Result<f64> {
        let pool = of("pool", value);
        let found = of("pick", value);
        ensure!(!pool.is_empty() && !found.is_empty(), "the study is not complete");
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        Ok(100.0 * pool.iter().filter(|other| **other < mean).count() as f64 / pool.len() as f64)
    };
    Ok(Judged { by_loss: share(|one| -one.late_loss)?, by_cost: share(|one| one.macs)? })
}

fn trained(text: &str) -> Result<Vec<Trained>> {
    let lines = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let number = |line: &Value, key: &str| line[key].as_f64().with_context(|| format!("no {key} in {line}"));
    let one = |line: &Value| {
        let group = line["group"].as_str().with_context(|| format!("no group in {line}"))?.to_owned();
        Ok(Trained { group, late_loss: number(line, "late_loss")?, macs: number(line, "macs")? })
    };
    lines.iter().filter(|line| line["kind"] == "training").map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(group: &str, late_loss: f64, macs: u64) -> String {
        format!("{{\"kind\":\"training\",\"group\":\"{group}\",\"late_loss\":{late_loss},\"macs\":{macs}}}\n")
    }

    #[test]
    fn what_was_found_is_judged_beside_random_ones() {
        let pool: String = (0..10).map(|i| line("pool", f64::from(i) / 10.0, 100 + 10 * i as u64)).collect();
        let search = "{\"kind\":\"search\",\"arc\":\"0\"}\n";
        let text = [&pool, search, &line("pick", 0.15, 145), &line("pick", 0.25, 145)].concat();
        assert_eq!(judged(&trained(&text).unwrap()).unwrap(), Judged { by_loss: 70.0, by_cost: 50.0 });
        assert!(judged(&trained(&pool).unwrap()).unwrap_err().to_string().contains("not complete"));
    }

    #[test]
    fn digits_are_put_together_by_class() {
        let dir = tempfile::tempdir().unwrap();
        let digits = reversed_digits(dir.path()).unwrap();
        let classes = folders(&digits).unwrap();
        assert_eq!(classes.len(), 10);
        let images: usize = classes.iter().map(|class| fs::read_dir(class).unwrap().count()).sum();
        assert_eq!(images, 1797);
        assert_eq!(reversed_digits(dir.path()).unwrap(), digits);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }
}
