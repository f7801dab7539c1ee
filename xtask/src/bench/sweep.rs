//! The time of one search step as one dimension grows while the others stay constant.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

use super::chart;
use super::configurations::{positions, sampled};
use super::point::{Ideal, Point};
use super::program::{Measurement, Program};

/// The base of all axes: the published search, with a batch that keeps a sweep short.
const BASE: &str = "--mode search-step --batch 64";

/// A dimension that grows.
#[derive(Debug)]
pub(crate) struct Axis {
    /// The flag of `enas bench` without dashes.
    name: &'static str,
    /// The label of the chart's axis.
    label: &'static str,
    values: &'static [u32],
    pub(crate) ideal: Ideal,
}

const AXES: &[Axis] = &[
    Axis {
        name: "batch",
        label: "images per step",
        values: &[16, 32, 64, 96, 128, 192, 256],
        ideal: Ideal::Proportional,
    },
    Axis {
        name: "filters",
        label: "filters of the first cells",
        values: &[8, 12, 16, 20, 24, 32, 40],
        ideal: Ideal::Proportional,
    },
    Axis {
        name: "layers",
        label: "normal cells",
        values: &[2, 4, 6, 8, 10, 12, 15],
        ideal: Ideal::Proportional,
    },
    Axis {
        name: "size",
        label: "height and width of the images",
        values: &[16, 24, 32, 40, 48, 64],
        ideal: Ideal::Quadratic,
    },
    Axis {
        name: "threads",
        label: "threads",
        values: &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64],
        ideal: Ideal::Shared,
    },
];

/// The axes that `--only` names; all if it is empty.
pub(crate) fn chosen(only: &[String]) -> Result<Vec<&'static Axis>> {
    let names: Vec<&str> = AXES.iter().map(|axis| axis.name).collect();
    Ok(positions(&names, only)?.into_iter().map(|i| &AXES[i]).collect())
}

/// Measures every value of an axis. Writes `NAME.csv` and `NAME.svg` to `folder`.
pub(crate) fn run(axis: &Axis, enas: &Program, common: &[String], folder: &Path) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    let mut points = Vec::new();
    for value in axis.values_on(cores) {
        let measured = enas.bench(&arguments(axis, value, common))?;
        eprintln!("{:<8} {value:>4} {:>9.1} ms", axis.name, measured.median_ms);
        points.push(Point { value, measured });
    }
    let write = |ending: &str, text: &str| {
        let file = folder.join(axis.name).with_extension(ending);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{}", file.display());
        anyhow::Ok(())
    };
    write("csv", &csv(axis, &points))?;
    write("svg", &chart::svg(axis.label, axis.ideal, &points)?)
}

impl Axis {
    /// The values to measure. More threads than cores are left out.
    fn values_on(&self, cores: u32) -> Vec<u32> {
        let is_possible = |value: &u32| self.name != "threads" || *value <= cores;
        self.values.iter().copied().filter(is_possible).collect()
    }
}

/// The arguments for one value. The flag of the axis replaces the one in the base.
fn arguments(axis: &Axis, value: u32, common: &[String]) -> Vec<String> {
    let flag = format!("--{}", axis.name);
    let base: Vec<String> =
        BASE.split(' ').map(str::to_owned).chain(sampled()).chain(common.to_vec()).collect();
    let others = base.chunks(2).filter(|pair| pair[0] != flag).flatten().cloned();
    others.chain([flag.clone(), value.to_string()]).collect()
}

fn csv(axis: &Axis, points: &[Point]) -> String {
    let mut text = format!("{},median_ms,min_ms,images_per_second,peak_rss_mb\n", axis.name);
    for Point { value, measured } in points {
        let Measurement { median_ms, min_ms, images_per_second, peak_rss_mb } = measured;
        let or_empty = |number: &Option<f64>| number.map_or(String::new(), |number| number.to_string());
        let rate = or_empty(images_per_second);
        let memory = or_empty(peak_rss_mb);
        writeln!(text, "{value},{median_ms},{min_ms},{rate},{memory}").expect("a string takes everything");
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::point::tests::point;
    use super::*;

    fn axis(name: &str) -> &'static Axis {
        chosen(&[name.to_owned()]).unwrap()[0]
    }

    #[test]
    fn an_axis_sets_its_own_flag_once() {
        let common = ["--threads", "2", "--iters", "5"].map(str::to_owned);
        let threads = arguments(axis("threads"), 1, &common);
        assert_eq!(threads.iter().filter(|word| *word == "--threads").count(), 1);
        assert!(threads.ends_with(&["--threads".to_owned(), "1".to_owned()]), "{threads:?}");
        let batch = arguments(axis("batch"), 256, &common);
        assert!(
            batch.ends_with(&["--batch".to_owned(), "256".to_owned()]) && !batch.contains(&"64".to_owned())
        );
        assert!(batch.contains(&"--threads".to_owned()));
    }

    #[test]
    fn threads_end_where_the_cores_do() {
        assert_eq!(axis("threads").values_on(3), [1, 2, 3]);
        assert_eq!(axis("batch").values_on(3).last(), Some(&256));
    }

    #[test]
    fn a_csv_file_has_a_line_per_value() {
        let text = csv(axis("batch"), &[point(16, 10.0), point(32, 20.5)]);
        assert_eq!(
            text,
            "batch,median_ms,min_ms,images_per_second,peak_rss_mb\n16,10,9.5,80,\n32,20.5,20,80,\n"
        );
    }

    #[test]
    fn an_unknown_axis_is_an_error() {
        assert!(chosen(&["colour".to_owned()]).unwrap_err().to_string().contains("batch, filters, layers"));
    }
}
