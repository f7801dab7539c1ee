//! `metrics.jsonl` as curves. Lines and keys that are missing or damaged are missing from the curves, nothing more.

use std::path::Path;

use serde_json::Value;

/// The events of a run, in the order they happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    events: Vec<Value>,
}

impl Log {
    /// Reads a log; an empty one where there is none.
    pub(crate) fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        Self { events: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() }
    }

    /// The events of a kind.
    pub(crate) fn of<'a>(&'a self, kind: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["kind"] == kind)
    }

    /// The last event of a kind.
    pub(crate) fn last<'a>(&'a self, kind: &'a str) -> Option<&'a Value> {
        self.of(kind).next_back()
    }

    /// Wall time at the last event, in seconds.
    pub(crate) fn seconds(&self) -> Option<f64> {
        self.events.iter().rev().find_map(|event| event["t"].as_f64())
    }

    /// The numbers at `pointer` (as in `/policy/entropy`) of all events of a kind, by epoch.
    ///
    /// Steps lie within their epochs: the last of `steps` at the end of it.
    pub(crate) fn curve(&self, kind: &str, pointer: &str, steps: u64) -> Vec<[f64; 2]> {
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
    pub(crate) fn steps(&self, kind: &str) -> u64 {
        self.of(kind).filter_map(|event| event["step"].as_u64()).max().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
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
}
