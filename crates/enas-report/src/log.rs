//! `metrics.jsonl` as curves. Lines and keys that are missing or damaged are missing from the curves, nothing more.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// The events of a run, in the order they happened.
#[derive(Clone, Debug, Default)]
pub struct Log {
    events: Vec<Value>,
    /// How many events there must be before thinning is worth a look.
    next_thinning: usize,
}

impl Log {
    /// Reads a log; an empty one where there is none.
    pub fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut log = Self::default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|event| log.push(event));
        log
    }

    /// Adds an event that happened after all the others. A run that went back takes the steps of its epoch again; those
    /// that led astray are left out of the curves.
    pub fn push(&mut self, event: Value) {
        if event["kind"] == "rollback" {
            let led_astray = |e: &Value| {
                (e["kind"] == "step" || e["kind"] == "controller") && e["epoch"] == event["epoch"]
            };
            self.events.retain(|e| !led_astray(e));
        }
        self.events.push(event);
    }

    /// Thins the two kinds of events that happen at every step, each down to about `most`, once there are half as many
    /// again.
    pub fn thin_if_large(&mut self, most: usize) {
        if self.events.len() < self.next_thinning.max(most + most / 2) {
            return;
        }
        self.thin("step", "loss", most);
        self.thin("controller", "reward", most);
        // What is left may be many events of other kinds, which would be counted again after each new one.
        self.next_thinning = self.events.len() + most / 2;
    }

    /// Keeps about half of the events of `kind` if there are more than `most`: of each four the two between which
    /// the number `key` varies most, so that no peak is lost.
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
            // The first and the last say where the curve begins and ends.
            .chain([&places[0], &places[places.len() - 1]])
            .copied()
            .collect();
        let mut place = 0;
        self.events.retain(|event| {
            place += 1;
            event["kind"] != kind || kept.contains(&(place - 1))
        });
    }

    /// The events of a kind.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["kind"] == kind)
    }

    /// The last event of a kind.
    pub fn last<'a>(&'a self, kind: &'a str) -> Option<&'a Value> {
        self.of(kind).next_back()
    }

    /// Wall time at the last event, in seconds.
    pub fn seconds(&self) -> Option<f64> {
        self.events.iter().rev().find_map(|event| event["t"].as_f64())
    }

    /// The numbers at `pointer` (as in `/policy/entropy`) of all events of a kind, by epoch.
    ///
    /// Steps lie within their epochs: the last of `steps` at the end of it.
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

    /// The highest step that an epoch of this kind of events came to.
    pub fn steps(&self, kind: &str) -> u64 {
        self.of(kind).filter_map(|event| event["step"].as_u64()).max().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn curves_leave_out_what_is_damaged_or_missing() {
        let log = Log::parse(concat!(
            "{\"t\":0.5,\"kind\":\"step\",\"epoch\":1,\"step\":10,\"loss\":2.0}\n",
            "{\"t\":0.6,\"kind\":\"step\",\"epoch\":2,\"step\":5,\"loss\":null}\n",
            "torn {\n",
            "{\"t\":0.7,\"kind\":\"step\",\"epoch\":2,\"step\":20,\"loss\":1.0}\n",
            "{\"t\":0.9,\"kind\":\"epoch\",\"epoch\":2,\"policy\":{\"entropy\":3.5}}\n",
        ));
        assert_eq!(log.steps("step"), 20);
        assert_eq!(log.curve("step", "/loss", 20), [[0.5, 2.0], [2.0, 1.0]]);
        assert_eq!(log.curve("epoch", "/policy/entropy", 1), [[2.0, 3.5]]);
        assert_eq!(log.seconds(), Some(0.9));
        assert!(log.last("result").is_none());
    }

    #[test]
    fn steps_that_led_astray_are_no_part_of_a_curve() {
        let log = Log::parse(concat!(
            "{\"kind\":\"step\",\"epoch\":1,\"step\":10,\"loss\":2.0}\n",
            "{\"kind\":\"step\",\"epoch\":2,\"step\":1,\"loss\":9e30}\n",
            "{\"kind\":\"rollback\",\"epoch\":2,\"step\":2}\n",
            "{\"kind\":\"step\",\"epoch\":2,\"step\":1,\"loss\":1.5}\n",
        ));
        assert_eq!(log.curve("step", "/loss", 10), [[1.0, 2.0], [1.1, 1.5]]);
        assert_eq!(log.of("rollback").count(), 1);
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
