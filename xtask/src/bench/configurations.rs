//! The measured configurations: the published search settings, smaller ones, and networks of one published
//! architecture.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::repo;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// The name for `--only`.
    pub(crate) name: &'static str,
    /// A description for the table.
    pub(crate) what: &'static str,
    mode: &'static str,
    input: Input,
    /// Flags of `enas bench`, separated by spaces.
    flags: &'static str,
}

/// The architectures of a configuration.
#[derive(Clone, Copy, Debug)]
enum Input {
    /// Another sampled one in each step.
    Sampled,
    /// The one that ENAS-Tensorflow published for MNIST.
    Published,
    Nothing,
}

const S2: &str = "--batch 160 --channels 3 --pools 2";
const S3: &str = "--batch 64 --size 28 --filters 8 --layers 2 --pools 2";
const F1: &str = "--filters 16 --layers 15 --keep-prob 0.8";
const F1_FOLDED: &str = "--filters 16 --layers 15 --keep-prob 0.8 --fold 1";
const F2: &str = "--batch 64 --size 28 --filters 8 --layers 2 --pools 2";
const F2_FOLDED: &str = "--batch 64 --size 28 --filters 8 --layers 2 --pools 2 --fold 1";

/// All configurations, in the order of the table.
pub(crate) const ALL: &[Configuration] = &[
    Configuration {
        name: "S1-search",
        what: "search step: batch 128, 32×32×1, 20 filters, 6 layers, 3 reductions, auxiliary head",
        mode: "search-step",
        input: Input::Sampled,
        flags: "",
    },
    Configuration {
        name: "S1-reward",
        what: "reward step of S1: forward only",
        mode: "reward-step",
        input: Input::Sampled,
        flags: "",
    },
    Configuration {
        name: "S2-search",
        what: "search step: batch 160, 32×32×3, 20 filters, 6 layers, 2 reductions, auxiliary head",
        mode: "search-step",
        input: Input::Sampled,
        flags: S2,
    },
    Configuration {
        name: "S2-reward",
        what: "reward step of S2",
        mode: "reward-step",
        input: Input::Sampled,
        flags: S2,
    },
    Configuration {
        name: "S3-search",
        what: "search step: batch 64, 28×28×1, 8 filters, 2 layers, 2 reductions, auxiliary head",
        mode: "search-step",
        input: Input::Sampled,
        flags: S3,
    },
    Configuration {
        name: "S3-reward",
        what: "reward step of S3",
        mode: "reward-step",
        input: Input::Sampled,
        flags: S3,
    },
    Configuration {
        name: "controller",
        what: "controller update from 10 sampled architectures",
        mode: "controller-step",
        input: Input::Nothing,
        flags: "",
    },
    Configuration {
        name: "F1-step",
        what: "training step of one architecture: batch 128, 32×32×1, 16 filters, 15 layers, 3 reductions",
        mode: "fixed-step",
        input: Input::Published,
        flags: F1,
    },
    Configuration {
        name: "F1-infer",
        what: "inference of F1, batch norm folded",
        mode: "fixed-infer",
        input: Input::Published,
        flags: F1_FOLDED,
    },
    Configuration {
        name: "F2-step",
        what: "training step of one architecture: batch 64, 28×28×1, 8 filters, 2 layers, 2 reductions",
        mode: "fixed-step",
        input: Input::Published,
        flags: F2,
    },
    Configuration {
        name: "F2-infer",
        what: "inference of F2, batch norm folded",
        mode: "fixed-infer",
        input: Input::Published,
        flags: F2_FOLDED,
    },
];

impl Configuration {
    /// The arguments after `bench`, without those that all configurations share.
    pub(crate) fn arguments(&self) -> Result<Vec<String>> {
        let mut arguments = vec!["--mode".to_owned(), self.mode.to_owned()];
        match self.input {
            Input::Sampled => arguments.extend(sampled()),
            Input::Published => arguments.extend(["--arc".to_owned(), published()?]),
            Input::Nothing => {}
        }
        arguments.extend(self.flags.split_whitespace().map(str::to_owned));
        Ok(arguments)
    }
}

/// The flag with the file of sampled architectures.
pub(crate) fn sampled() -> [String; 2] {
    ["--arcs".to_owned(), repo::root().join("benches/peer/arcs.txt").display().to_string()]
}

fn published() -> Result<String> {
    let path = repo::root().join("configs/arcs/enas-tensorflow-mnist.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let arc = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    Ok(arc.with_context(|| format!("{} holds no architecture", path.display()))?.to_owned())
}

/// The configurations that `--only` names; all if it is empty.
pub(crate) fn chosen(only: &[String]) -> Result<Vec<&'static Configuration>> {
    let names: Vec<&str> = ALL.iter().map(|configuration| configuration.name).collect();
    let positions = positions(&names, only)?;
    Ok(positions.into_iter().map(|i| &ALL[i]).collect())
}

/// The indices of the `names` that `only` selects. A selector is a name or its part before a dash, in any case.
pub(crate) fn positions(names: &[&str], only: &[String]) -> Result<Vec<usize>> {
    let is = |name: &str, wanted: &str| {
        let name = name.to_lowercase();
        let wanted = wanted.to_lowercase();
        name == wanted || name.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('-'))
    };
    if let Some(wanted) = only.iter().find(|wanted| !names.iter().any(|name| is(name, wanted))) {
        bail!("--only: there is no {wanted:?}; configurations: {}", names.join(", "));
    }
    let chosen = |i: &usize| only.is_empty() || only.iter().any(|wanted| is(names[*i], wanted));
    Ok((0..names.len()).filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str]) -> Vec<&'static str> {
        let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
        chosen(&only).unwrap().iter().map(|configuration| configuration.name).collect()
    }

    #[test]
    fn a_name_or_its_beginning_selects_in_the_order_of_the_table() {
        assert_eq!(names(&["F2", "s1-search"]), ["S1-search", "F2-step", "F2-infer"]);
        assert_eq!(names(&["controller"]), ["controller"]);
        assert_eq!(names(&[]).len(), ALL.len());
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_names() {
        let error = chosen(&["S9".to_owned()]).unwrap_err().to_string();
        assert!(
            error.starts_with("--only: there is no \"S9\"; configurations: S1-search, S1-reward"),
            "{error}"
        );
        assert!(chosen(&["S".to_owned()]).is_err(), "a part of a word is no name");
    }

    #[test]
    fn the_files_with_architectures_are_in_the_repository() {
        assert!(fs::read_to_string(&sampled()[1]).unwrap().lines().all(|line| line.split(' ').count() == 40));
        assert_eq!(published().unwrap().split(' ').count(), 40);
    }

    #[test]
    fn a_fixed_network_is_given_its_architecture_and_its_flags() {
        let arguments = ALL.iter().find(|c| c.name == "F1-infer").unwrap().arguments().unwrap();
        assert_eq!(arguments[..3], ["--mode", "fixed-infer", "--arc"]);
        assert!(arguments[4..].ends_with(&["--fold".to_owned(), "1".to_owned()]), "{arguments:?}");
    }
}
