//! The embedded configurations and architectures. Their texts are in `configs/`.

use enas_arc::Arc;

/// The text of `configs/default.search.toml`: every setting of a search with its default value and a comment.
pub(super) const DEFAULT_SEARCH: &str = include_str!("../../configs/default.search.toml");
/// The text of `configs/default.train.toml`: every setting of a training with its default value and a comment.
pub(super) const DEFAULT_TRAIN: &str = include_str!("../../configs/default.train.toml");

/// A named pair of configurations. Each text holds what differs from the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name on the command line.
    pub name: &'static str,
    /// Its purpose, in one line.
    pub about: &'static str,
    /// The text of `configs/<name>.search.toml`.
    pub search: &'static str,
    /// The text of `configs/<name>.train.toml`.
    pub train: &'static str,
}

/// A published architecture.
#[derive(Clone, Debug)]
pub struct PublishedArc {
    /// A short name: the file name in `configs/arcs/`.
    pub name: &'static str,
    /// Where it was published.
    pub source: String,
    /// The architecture.
    pub arc: Arc,
}

macro_rules! preset {
    ($name:literal, $about:literal) => {
        Preset {
            name: $name,
            about: $about,
            search: include_str!(concat!("../../configs/", $name, ".search.toml")),
            train: include_str!(concat!("../../configs/", $name, ".train.toml")),
        }
    };
}

const PRESETS: &[Preset] = &[
    preset!("quick", "the built-in digits, a search and a training of minutes on two cores"),
    preset!("mnist", "MNIST as fetched by `enas data fetch mnist`"),
    preset!("fashion-mnist", "Fashion-MNIST as fetched by `enas data fetch fashion-mnist`"),
    preset!("cifar10", "CIFAR-10 as fetched by `enas data fetch cifar10`"),
    preset!("folder", "your own images in class folders"),
    preset!("reference-mnist", "MNIST with the published values and every quirk of the published code"),
    preset!("reference-cifar10", "CIFAR-10 with the published values and every quirk of the published code"),
    preset!("reference-welding", "two classes of 64x64 images with the published values and quirks"),
    preset!("reference-macro", "CIFAR-10: the published macro search, whole networks instead of cells"),
    preset!(
        "reference-macro-final",
        "CIFAR-10: the published final network of the macro space, for an --arc of 24 layers"
    ),
];

/// All presets, `quick` first.
pub fn presets() -> &'static [Preset] {
    PRESETS
}

macro_rules! published {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../configs/arcs/", $name, ".txt")))),*]
    };
}

const ARCS: &[(&str, &str)] = published![
    "enas-tensorflow-mnist",
    "enas-tensorflow-cifar10",
    "enas-tensorflow-welding",
    "enas-authors-cifar10",
    "enas-tensorflow-example",
    "viscell-example",
];

/// The published architectures.
pub fn published_arcs() -> Vec<PublishedArc> {
    let read = |&(name, text): &(&'static str, &str)| {
        let (source, arc) = split_comments(text);
        PublishedArc {
            name,
            source,
            arc: arc.parse().expect("the embedded arcs are valid; a test parses them"),
        }
    };
    ARCS.iter().map(read).collect()
}

/// Splits a text into its `#` comments and the rest.
pub(crate) fn split_comments(text: &str) -> (String, String) {
    let (comments, rest): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|l| l.trim_start().starts_with('#'));
    let words = |line: &str| line.trim_start_matches(['#', ' ']).to_owned();
    (comments.into_iter().map(words).collect::<Vec<_>>().join(" "), rest.join("\n").trim().to_owned())
}
