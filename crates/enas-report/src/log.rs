//! The log `metrics.jsonl` as curves. Damaged lines and missing keys are left out.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

/// The events of a run, in the order they happened.
#[derive(Clone, Debug, Default)]
pub struct Log {
    events: Vec<Value>,
    /// Number of events below which thinning is not tried.
    next_thinning: usize,
    /// Total weight of the events; see [`weight`].
    weight: usize,
}

/// Maximum number of values that are kept; later ones are dropped. With their keys they take some hundred megabytes.
/// Logs of real runs are far smaller.
const MOST_VALUES: usize = 1 << 22;
/// Number of per-step events above which a report thins them.
const MOST_EVENTS: usize = 1 << 17;
/// Maximum length of a line in bytes. The program writes no longer ones.
const LONGEST_LINE: u64 = 1 << 16;

impl Log {
    /// Reads a log; returns an empty one if there is none.
    pub fn read(path: &Path) -> Self {
        // Only regular files: a pipe may never end.
        match File::open(path) {
            Ok(file) if path.is_file() => Self::parse(BufReader::new(file)),
            _ => Self::default(),
        }
    }

    fn parse(mut text: impl BufRead) -> Self {
        let mut log = Self::default();
        let mut line = Vec::new();
        while text.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let is_whole = line.ends_with(b"\n") || (line.len() as u64) < LONGEST_LINE;
            if is_whole {
                if let Ok(event) = serde_json::from_slice(&line) {
                    log.push(event);
                    log.thin_if_large(MOST_EVENTS);
                }
            } else if text.skip_until(b'\n').is_err() {
                break;
            }
            line.clear();
        }
        log
    }

    /// Appends an event, unless the log is full.
    ///
    /// A rollback makes a run repeat the steps of an epoch. So an event `rollback` removes the steps of that epoch
    /// logged before it.
    pub fn push(&mut self, event: Value) {
        if event["kind"] == "rollback" {
            self.forget(&event["epoch"]);
        }
        let weight = weight(&event);
        if self.weight + weight <= MOST_VALUES {
            self.weight += weight;
            self.events.push(event);
        }
    }

    /// Removes the steps of an epoch.
    fn forget(&mut self, epoch: &Value) {
        let is_step = |e: &Value| (e["kind"] == "step" || e["kind"] == "controller") && e["epoch"] == *epoch;
        self.events.retain(|e| !is_step(e));
        self.weight = self.events.iter().map(weight).sum();
    }

    /// Thins the two kinds of per-step events to about `most` each.
    ///
    /// Does nothing while there are fewer than `1.5 · most` events in total.
    pub fn thin_if_large(&mut self, most: usize) {
        if self.events.len() < self.next_thinning.max(most + most / 2) {
            return;
        }
        self.thin("step", "loss", most);
        self.thin("controller", "reward", most);
        // Without this, many events of other kinds would cause a useless count after each new event.
        self.next_thinning = self.events.len() + most / 2;
    }

    /// Keeps about half of the events of `kind` if there are more than `most` (min-max decimation).
    ///
    /// Of each four consecutive events, those with the smallest and the largest number `key` stay. So no peak is
    /// lost.
    fn thin(&mut self, kind: &str, key: &str, most: usize) {
        let places: Vec<usize> = (0..self.events.len()).filter(|&i| self.events[i]["kind"] == kind).collect();
        if places.len() <= most {
            return;
        }
        let value = |&i: &usize| self.events[i][key].as_f64().unwrap_or(f64::NAN);
        let by_value = |a: &usize, b: &usize| value(a).total_cmp(&value(b));
        let kept: BTreeSet<usize> = places
            .chunks(4)
            .flat_map(|four| {
                [four.iter().min_by(|a, b| by_value(a, b)), four.iter().max_by(|a, b| by_value(a, b))]
            })
            .flatten()
            // The first and the last event mark the ends of the curve.
            .chain([&places[0], &places[places.len() - 1]])
            .copied()
            .collect();
        let mut place = 0;
        let weight_left = &mut self.weight;
        self.events.retain(|event| {
            place += 1;
            let stays = event["kind"] != kind || kept.contains(&(place - 1));
            *weight_left -= if stays { 0 } else { weight(event) };
            stays
        });
    }

    /// The events of a kind, in order.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["kind"] == kind)
    }

    /// The last event of a kind.
    pub fn last<'a>(&'a self, kind: &'a str) -> Option<&'a Value> {
        self.of(kind).next_back()
    }

    /// Wall time at the last event that has one, in seconds.
    pub fn seconds(&self) -> Option<f64> {
        self.events.iter().rev().find_map(|event| event["t"].as_f64())
    }

    /// The numbers at the JSON pointer `pointer` (such as `/policy/entropy`) in all events of a kind, as `[epoch,
    /// value]`.
    ///
    /// A step within an epoch has a fractional epoch; step number `steps` lies at the end of the epoch.
    pub fn curve(&self, kind: &str, pointer: &str, steps: u64) -> Vec<[f64; 2]> {
        let at = |event: &Value| {
            let epoch = event["epoch"].as_f64()?;
            Some(match event["step"].as_f64() {
                Some(step) => epoch - 1.0 + (step / steps.max(1) as f64).min(1.0),
                None => epoch,
            })
        };
        let point = |event: &Value| Some([at(event)?, event.pointer(pointer)?.as_f64()?]);
        self.of(kind).filter_map(point).collect()
    }

    /// The highest step number in the events of this kind; 1 if there is none.
    pub fn steps(&self, kind: &str) -> u64 {
        self.of(kind).filter_map(|event| event["step"].as_u64()).max().unwrap_or(1)
    }
}

/// Number of JSON values in an event, including itself. Every 64 bytes of text count as one more.
fn weight(event: &Value) -> usize {
    1 + match event {
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() / 64 + weight(value)).sum(),
        Value::String(text) => text.len() / 64,
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn curves_leave_out_what_is_damaged_or_missing() {
        let log = Log::parse(
            concat!(
                "{\"t\":0.5,\"kind\":\"step\",\"epoch\":1,\"step\":10,\"loss\":2.0}\n",
                "{\"t\":0.6,\"kind\":\"step\",\"epoch\":2,\"step\":5,\"loss\":null}\n",
                "torn {\n",
                "{\"t\":0.7,\"kind\":\"step\",\"epoch\":2,\"step\":20,\"loss\":1.0}\n",
                "{\"t\":0.9,\"kind\":\"epoch\",\"epoch\":2,\"policy\":{\"entropy\":3.5}}\n",
            )
            .as_bytes(),
        );
        assert_eq!(log.steps("step"), 20);
        assert_eq!(log.curve("step", "/loss", 20), [[0.5, 2.0], [2.0, 1.0]]);
        assert_eq!(log.curve("epoch", "/policy/entropy", 1), [[2.0, 3.5]]);
        assert_eq!(log.seconds(), Some(0.9));
        assert!(log.last("result").is_none());
    }

    #[test]
    fn steps_that_led_astray_are_no_part_of_a_curve() {
        let log = Log::parse(
            concat!(
                "{\"kind\":\"step\",\"epoch\":1,\"step\":10,\"loss\":2.0}\n",
                "{\"kind\":\"step\",\"epoch\":2,\"step\":1,\"loss\":9e30}\n",
                "{\"kind\":\"rollback\",\"epoch\":2,\"step\":2}\n",
                "{\"kind\":\"step\",\"epoch\":2,\"step\":1,\"loss\":1.5}\n",
            )
            .as_bytes(),
        );
        assert_eq!(log.curve("step", "/loss", 10), [[1.0, 2.0], [1.1, 1.5]]);
        assert_eq!(log.of("rollback").count(), 1);
    }

    #[test]
    fn a_line_without_end_is_left_out_and_those_after_it_are_read() {
        let long = format!("{{\"kind\":\"step\",\"x\":\"{}\"}}\n", "x".repeat(3 << 20));
        let text = format!("{{\"kind\":\"a\"}}\n{long}{{\"kind\":\"b\"}}");
        let log = Log::parse(text.as_bytes());
        assert_eq!((log.events.len(), log.of("b").count()), (2, 1));
    }

    #[test]
    fn no_log_takes_more_than_so_much_memory() {
        let line = format!("{{\"kind\":\"epoch\",\"x\":[{}0]}}\n", "0,".repeat(30_000));
        let log = Log::parse(line.repeat(160).as_bytes());
        assert_eq!(log.events.len(), 139);
        assert!(log.weight <= MOST_VALUES);
        let mut log = Log::default();
        for step in 0..3000 {
            log.push(json!({"kind": "step", "step": step, "loss": 1.0}));
            log.thin_if_large(1000);
        }
        assert_eq!(log.weight, log.events.iter().map(weight).sum::<usize>());
    }

    #[test]
    fn thinning_halves_one_kind_and_keeps_its_ends_and_peaks() {
        let mut log = Log::default();
        for step in 1..=1000 {
            let loss = if step == 777 { 99.0 } else { f64::from(step % 10) };
            log.push(json!({"kind": "step", "epoch": 1, "step": step, "loss": loss}));
            log.push(json!({"kind": "epoch", "epoch": step, "loss": 1.0}));
        }
        log.thin("step", "loss", 1000);
        assert_eq!(log.of("step").count(), 1000, "few enough");
        log.thin("step", "loss", 999);
        assert!((500..=502).contains(&log.of("step").count()), "{}", log.of("step").count());
        assert_eq!(log.of("epoch").count(), 1000);
        let steps: Vec<u64> = log.of("step").map(|e| e["step"].as_u64().unwrap()).collect();
        assert!(steps.is_sorted() && steps.contains(&777));
        assert_eq!((steps[0], steps[steps.len() - 1]), (1, 1000));
    }
}
