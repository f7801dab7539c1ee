//! Settings for classes of very different sizes: class weights in the loss, and the metric.

use std::fmt;

use candle_core::{Device, Tensor};
use enas_data::visible;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ConfigError, Result};
use crate::evaluation::Evaluation;

/// The quality of a network as one number from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Accuracy: the share of images classified correctly. Large classes dominate it.
    #[default]
    Accuracy,
    /// Macro-F1: the mean F1 over the classes, all with equal weight.
    MacroF1,
}

impl Metric {
    /// The value of this metric.
    pub fn of(self, evaluation: &Evaluation) -> f64 {
        match self {
            Self::Accuracy => evaluation.accuracy(),
            Self::MacroF1 => evaluation.macro_f1(),
        }
    }

    /// Macro-F1, if it is the metric.
    pub fn macro_f1(self, evaluation: &Evaluation) -> Option<f64> {
        (self == Self::MacroF1).then(|| evaluation.macro_f1())
    }
}

/// Weights of the classes in the training loss: `"none"`, `"balanced"`, or one number per class in the order of their
/// names.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// Every image has the same weight.
    #[default]
    None,
    /// Every class has the same weight: `n / (k · n_c)` for class `c` with `n_c` of the `n` training images of `k`
    /// classes (`class_weight="balanced"` of scikit-learn).
    Balanced,
    /// The given weights, scaled so that their mean over the training images is 1.
    Given(Vec<f64>),
}

impl ClassWeights {
    /// One weight per class, `[classes]`, with mean 1 over the training images that have these `labels`; `None` if
    /// all images have the same weight.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the number of given weights is not the number of classes.
    pub fn of(&self, labels: &[u32], classes: &[String]) -> Result<Option<Tensor>> {
        let mut counts = vec![0u64; classes.len()];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        let weights: Vec<f64> = match self {
            Self::None => return Ok(None),
            Self::Balanced => counts.iter().map(|&n| 1.0 / n.max(1) as f64).collect(),
            Self::Given(weights) if weights.len() == classes.len() => weights.clone(),
            Self::Given(weights) => return Err(wrong_number(weights.len(), classes).into()),
        };
        let sum: f64 = weights.iter().zip(&counts).map(|(w, &n)| w * n as f64).sum();
        let mean = sum / labels.len().max(1) as f64;
        let weights: Vec<f32> = weights.iter().map(|w| (w / mean) as f32).collect();
        Ok(Some(Tensor::from_vec(weights, classes.len(), &Device::Cpu)?))
    }

    /// Refuses weights that are not finite or not positive.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self::Given(weights) = self else { return Ok(()) };
        if weights.len() < 2 {
            return Err("give one number for each of at least 2 classes".into());
        }
        match weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            Some(wrong) => Err(format!("{wrong} is out of range; allowed: numbers above 0")),
            None => Ok(()),
        }
    }
}

fn wrong_number(given: usize, classes: &[String]) -> ConfigError {
    const SHOWN: usize = 20;
    let more = if classes.len() > SHOWN { ", …" } else { "" };
    let names: Vec<&str> = classes.iter().take(SHOWN).map(String::as_str).collect();
    let problem = format!(
        "{given} weights, but the data have {} classes: give one for each of {}{more}, in that order",
        classes.len(),
        visible(&names.join(", "))
    );
    ConfigError { place: "run.class_weights".into(), problem }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Balanced => serializer.serialize_str("balanced"),
            Self::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = ClassWeights;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"none\", \"balanced\" or a list of one number per class")
    }

    /// A list may also be written as text: that is how `--set` passes a value that replaces a string.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<ClassWeights, E> {
        let unknown = || E::invalid_value(de::Unexpected::Str(text), &self);
        match text {
            "none" => Ok(ClassWeights::None),
            "balanced" => Ok(ClassWeights::Balanced),
            _ => {
                let list = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or_else(unknown)?;
                let numbers = list.split(',').map(|n| n.trim().parse().ok());
                numbers.collect::<Option<_>>().map(ClassWeights::Given).ok_or_else(unknown)
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ClassWeights, A::Error> {
        let mut weights = Vec::new();
        while let Some(Number(weight)) = list.next_element()? {
            weights.push(weight);
        }
        Ok(ClassWeights::Given(weights))
    }
}

/// A number with or without a decimal point.
#[derive(Deserialize)]
#[serde(from = "IntOrFloat")]
struct Number(f64);

#[derive(Deserialize)]
#[serde(untagged)]
enum IntOrFloat {
    Whole(i64),
    Real(f64),
}

impl From<IntOrFloat> for Number {
    fn from(either: IntOrFloat) -> Self {
        match either {
            IntOrFloat::Whole(n) => Self(n as f64),
            IntOrFloat::Real(x) => Self(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Table {
        w: ClassWeights,
    }

    fn read(value: &str) -> Result<ClassWeights, String> {
        toml::from_str::<Table>(&format!("w = {value}")).map(|t| t.w).map_err(|e| e.message().to_owned())
    }

    fn classes(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("c{i}")).collect()
    }

    #[test]
    fn words_and_lists_are_read_and_written_back() {
        let given = ClassWeights::Given(vec![1.0, 2.5]);
        for (text, expected) in [
            ("'none'", ClassWeights::None),
            ("'balanced'", ClassWeights::Balanced),
            ("[1, 2.5]", given.clone()),
            ("'[1, 2.5]'", given),
        ] {
            let read = read(text).unwrap();
            assert_eq!(read, expected, "{text}");
            let table = Table { w: read };
            assert_eq!(toml::from_str::<Table>(&toml::to_string(&table).unwrap()).unwrap(), table);
        }
        for wrong in ["'equal'", "'[1, x]'", "3", "['a']"] {
            assert!(read(wrong).is_err(), "{wrong} was accepted");
        }
        assert!(read("'equal'").unwrap_err().contains("\"balanced\" or a list"), "{:?}", read("'equal'"));
    }

    #[test]
    fn balanced_weights_are_n_over_k_times_the_images_of_the_class() {
        let labels = [0, 0, 0, 0, 0, 0, 1, 1, 2, 2];
        let weights = ClassWeights::Balanced.of(&labels, &classes(3)).unwrap().unwrap();
        let expected = [10.0 / 18.0, 10.0 / 6.0, 10.0 / 6.0];
        let weights = weights.to_vec1::<f32>().unwrap();
        assert!(weights.iter().zip(expected).all(|(w, e)| (w - e).abs() < 1e-6), "{weights:?}");
    }

    #[test]
    fn given_weights_have_mean_one_over_the_training_images() {
        let weights = ClassWeights::Given(vec![2.0, 6.0]).of(&[0, 0, 0, 1], &classes(2)).unwrap().unwrap();
        assert_eq!(weights.to_vec1::<f32>().unwrap(), [2.0 / 3.0, 2.0]);
        assert!(ClassWeights::None.of(&[0, 1], &classes(2)).unwrap().is_none());
    }

    #[test]
    fn a_wrong_number_of_weights_is_refused_with_the_classes() {
        let error = ClassWeights::Given(vec![1.0; 2]).of(&[0, 1, 2], &classes(3)).unwrap_err();
        assert!(error.is_usage());
        assert_eq!(
            error.to_string(),
            "run.class_weights: 2 weights, but the data have 3 classes: give one for each of c0, c1, c2, in that order"
        );
    }

    #[test]
    fn weights_that_mean_nothing_are_refused() {
        assert!(ClassWeights::Given(vec![1.0, 0.0]).check().unwrap_err().contains("above 0"));
        assert!(ClassWeights::Given(vec![]).check().unwrap_err().contains("at least 2 classes"));
        assert!(ClassWeights::Given(vec![1.0, 2.0]).check().is_ok());
    }
}
