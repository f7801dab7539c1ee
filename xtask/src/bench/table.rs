//! The table of a comparison, in Markdown.

use super::configurations::Configuration;
use super::program::Measurement;

/// The measurements of one configuration, one per round.
pub(crate) struct Row {
    name: &'static str,
    what: &'static str,
    pub(crate) ours: Vec<Measurement>,
    /// As many as `ours`, or none.
    pub(crate) peer: Vec<Measurement>,
}

/// The conditions of all rows.
pub(crate) struct Setting {
    pub(crate) iters: u32,
    pub(crate) warmup: u32,
    pub(crate) rounds: u32,
    pub(crate) threads: u32,
    /// The device, with the name that both programs use.
    pub(crate) device: String,
    pub(crate) processor: Option<String>,
    pub(crate) peer: Option<String>,
}

impl Row {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        Self { name: configuration.name, what: configuration.what, ours: Vec::new(), peer: Vec::new() }
    }

    /// The time of PyTorch divided by ours: the median over the rounds' ratios, because a temporarily slow machine
    /// slows both.
    fn ratio(&self) -> Option<f64> {
        let pairs = self.ours.iter().zip(&self.peer);
        median(pairs.map(|(ours, peer)| peer.median_ms / ours.median_ms).collect())
    }

    fn line(&self) -> String {
        let cells = [
            format!("{}: {}", self.name, self.what),
            shown(time(&self.ours), significant),
            shown(time(&self.peer), significant),
            shown(self.ratio(), |ratio| format!("{ratio:.2}")),
            shown(memory(&self.ours), thousands),
            shown(memory(&self.peer), thousands),
        ];
        format!("| {} |\n", cells.join(" | "))
    }
}

/// The table, followed by a note on how it was made.
pub(crate) fn markdown(rows: &[Row], setting: &Setting) -> String {
    let mut text = "| configuration | ours, ms | peer, ms | ratio | ours, MB | peer, MB |\n".to_owned();
    text += "|---|---|---|---|---|---|\n";
    text.extend(rows.iter().map(Row::line));
    text + "\n" + &footnote(setting)
}

fn footnote(setting: &Setting) -> String {
    let Setting { iters, warmup, rounds, threads, device, processor, peer } = setting;
    let peer = match peer {
        Some(peer) => format!("The peer is {peer}; ratios are peer over ours."),
        None => "The peer was not timed.".to_owned(),
    };
    let on = processor.as_ref().map_or(String::new(), |name| format!(" on {name}"));
    let on = if device == "cpu" { on } else { format!("{on} and {device}") };
    format!(
        "Medians of {} after {} of warm-up, {}, {}{on}. Memory is the peak of the process. {peer}\n",
        counted(*iters, "step"),
        counted(*warmup, "step"),
        counted(*rounds, "round"),
        counted(*threads, "thread"),
    )
}

fn counted(n: u32, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn time(measurements: &[Measurement]) -> Option<f64> {
    median(measurements.iter().map(|measurement| measurement.median_ms).collect())
}

fn memory(measurements: &[Measurement]) -> Option<f64> {
    measurements.iter().filter_map(|measurement| measurement.peak_rss_mb).reduce(f64::max)
}

/// The median; of an even number of values the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

fn shown(value: Option<f64>, as_text: impl Fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), as_text)
}

/// Three significant digits, or all digits of larger numbers.
fn significant(ms: f64) -> String {
    let decimals = if ms < 10.0 { 2 } else { usize::from(ms < 100.0) };
    if decimals == 0 { thousands(ms) } else { format!("{ms:.decimals$}") }
}

/// An integer with commas as thousands separators.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(median_ms: f64, peak_rss_mb: Option<f64>) -> Measurement {
        Measurement { median_ms, min_ms: median_ms, images_per_second: None, peak_rss_mb }
    }

    fn row(ours: &[f64], peer: &[f64]) -> Row {
        let all = |ms: &[f64]| ms.iter().map(|&ms| measured(ms, Some(10.0 * ms))).collect();
        Row { name: "S1-search", what: "search step", ours: all(ours), peer: all(peer) }
    }

    fn setting(peer: Option<&str>) -> Setting {
        let processor = Some("Abacus 3".to_owned());
        let peer = peer.map(str::to_owned);
        Setting { iters: 10, warmup: 1, rounds: 2, threads: 2, device: "cpu".to_owned(), processor, peer }
    }

    #[test]
    fn a_table_with_a_peer_reads_as_this() {
        let text = markdown(&[row(&[572.0], &[1205.2])], &setting(Some("PyTorch 9")));
        assert_eq!(
            text,
            "| configuration | ours, ms | peer, ms | ratio | ours, MB | peer, MB |\n\
             |---|---|---|---|---|---|\n\
             | S1-search: search step | 572 | 1,205 | 2.11 | 5,720 | 12,052 |\n\
             \n\
             Medians of 10 steps after 1 step of warm-up, 2 rounds, 2 threads on Abacus 3. Memory is the peak of the \
             process. The peer is PyTorch 9; ratios are peer over ours.\n"
        );
    }

    #[test]
    fn a_gpu_is_named() {
        let text = footnote(&Setting { device: "cuda:1".to_owned(), ..setting(None) });
        assert!(text.contains("2 threads on Abacus 3 and cuda:1."), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let text = markdown(&[row(&[7.25], &[])], &setting(None));
        assert!(text.contains("| 7.25 | – | – | 72 | – |"), "{text}");
        assert!(text.ends_with("The peer was not timed.\n"), "{text}");
    }

    #[test]
    fn the_ratio_is_the_median_of_the_ratios_of_the_rounds() {
        // In the second round the machine was ten times slower for both.
        assert_eq!(row(&[1.0, 10.0, 1.0], &[2.0, 22.0, 2.1]).ratio(), Some(2.1));
        assert_eq!(row(&[1.0], &[]).ratio(), None);
    }

    #[test]
    fn times_are_medians_and_memory_is_the_largest() {
        let row = row(&[3.0, 1.0, 2.0, 9.0], &[]);
        assert_eq!(time(&row.ours), Some(2.5));
        assert_eq!(memory(&row.ours), Some(90.0));
        assert_eq!(memory(&[measured(1.0, None)]), None);
    }

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        let texts = [2.346, 30.04, 572.4, 1204.6, 1_234_567.0].map(significant);
        assert_eq!(texts, ["2.35", "30.0", "572", "1,205", "1,234,567"]);
    }
}
