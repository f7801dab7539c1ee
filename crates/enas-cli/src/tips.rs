//! Suggestions for unknown flags and commands.

use std::env;
use std::path::Path;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};

use crate::cli::Cli;

/// Flags that users may try, and what to type instead. A tip is given if the command has the flags and arguments that
/// the tip names; of several tips for a spelling the first such one.
///
/// After `enas COMMAND`, flags are those of that command.
const FLAGS: &[(&[&str], &str)] = &[
    (
        &["dataset", "pictures", "dir", "folder", "path", "input", "inputs", "source", "images", "data-dir"],
        "write the folder or zip itself: enas COMMAND DATA",
    ),
    (
        &["input", "inputs", "source", "data", "image", "images", "file", "dir", "folder", "path"],
        "write the images or folders themselves, as PATH",
    ),
    (&["dir", "folder", "path", "input"], "write the directory of the run itself, as RUN"),
    (
        &["arch", "architecture", "cell", "file"],
        "the architecture is given with --arc, as integers or as a file",
    ),
    (
        &["arc", "arc-file", "arch", "architecture"],
        "write the architecture itself, as ARC; or give that of a run with --run DIR",
    ),
    (
        &["arc", "arc-file", "arch", "architecture", "cell"],
        "this command chooses the architecture; enas train DATA trains a given one (--arc ARC) or a ready one (--cell NAME)",
    ),
    (
        &["pretrained", "weights", "checkpoint", "init", "finetune", "fine-tune", "transfer"],
        "weights to begin with are given with --warm-start FILE",
    ),
    (
        &["weights", "checkpoint", "model-file", "model-path", "pretrained"],
        "a model is given with --model FILE or --run DIR",
    ),
    (
        &["pretrained", "weights", "checkpoint", "init", "finetune", "fine-tune", "transfer", "warm-start"],
        "enas train DATA begins with the weights of a model (--warm-start FILE)",
    ),
    (&["model"], "a run is given with --run DIR, or --resume DIR to go on with it"),
    (&["model"], "a run is given with --run DIR"),
    (&["model", "run"], "an interrupted run goes on with --resume DIR"),
    (
        &["output", "output-dir", "output-file", "o", "save", "dest"],
        "the place of the result is given with --out",
    ),
    (&["output", "output-dir", "o", "out", "save"], "the folder of the result is given with --dest"),
    (
        &["output", "output-file", "o", "out", "save", "dest"],
        "results go to stdout: --csv or --json, and > FILE after the command",
    ),
    (
        &["output", "output-file", "o", "out", "save", "dest"],
        "results go to stdout: --json, and > FILE after the command",
    ),
    (&["batch-size", "bs"], "use --batch N"),
    (&["batch", "batch-size", "bs"], "use --set run.batch_size=N"),
    (&["lr", "learning-rate", "lr0"], "use --set schedule.lr_max=X (enas config show prints the settings)"),
    (&["imgsz", "img-size", "image-size", "input-size", "resolution"], "use --size N"),
    (&["imgsz", "img-size", "image-size", "input-size", "resolution", "size"], "use --set data.image_size=N"),
    (&["weight-decay", "wd", "l2"], "use --set child.l2=X"),
    (&["dropout", "drop", "drop-rate"], "use --keep-prob X, the share that is kept"),
    (&["dropout", "drop", "drop-rate", "keep-prob"], "use --set child.keep_prob=X, the share that is kept"),
    (&["filters", "width", "channels"], "use --set child.filters=N"),
    (&["layers", "depth"], "use --set child.layers=N"),
    (&["nodes"], "use --set child.nodes=N"),
    (&["label-smoothing"], "use --set run.label_smoothing=X"),
    (&["early-stopping", "early-stop"], "use --patience N"),
    (&["early-stopping", "early-stop", "patience"], "use --set run.patience=N"),
    (&["mixup"], "use --set data.augment.mixup=X"),
    (&["cutmix"], "use --set data.augment.cutmix=X"),
    (&["augment", "augmentation", "aug"], "use --set data.augment.mode=NAME"),
    (&["momentum"], "use --set child.momentum=X"),
    (&["val-split", "valid-split", "validation-split"], "use --set data.valid_fraction=X"),
    (&["test-split", "test-size"], "use --set data.test_fraction=X"),
    (&["cv", "kfold", "kfolds", "k-fold", "k-folds", "cross-validation", "cross-validate"], "use --folds K"),
    (&["repeats", "repetitions", "n-runs"], "use --repeat N"),
    (&["repeats", "repeat", "repetitions", "n-runs"], "use --seeds N"),
    (&["epochs", "epoch"], "use --time T, or --set run.epochs=N"),
    (&["epoch", "n-epochs", "num-epochs"], "use --epochs N"),
    (&["gpu", "gpus", "cuda"], "use --device cuda"),
    (&["cpu"], "use --device cpu"),
    (&["workers", "num-workers", "jobs", "j", "cores"], "use --threads N"),
    (&["duration", "timeout", "time-limit", "max-time", "budget"], "use --time T, as in 90s, 30m or 2h"),
    (&["continue", "restart"], "use --resume DIR"),
    (&["overwrite", "yes", "f", "y"], "use --force"),
    (&["random-seed", "random-state"], "use --seed N"),
    (&["resume"], "only search, train, auto and study can be resumed"),
];

/// Words that users may try as commands below a command, and the right command.
const COMMANDS: &[(&str, &[&str], &str)] = &[
    ("", &["fit", "learn", "retrain"], "train"),
    ("", &["test", "evaluate", "measure", "val", "validate"], "eval"),
    ("", &["classify", "infer", "inference", "label", "run"], "predict"),
    ("", &["check", "doctor", "inspect"], "data check"),
    ("", &["fetch", "download"], "data fetch"),
    ("", &["onnx", "convert", "save"], "export"),
    ("", &["list", "ls", "leaderboard", "compare", "history"], "runs"),
    ("", &["show", "draw", "plot"], "arc draw"),
    ("", &["nas", "find"], "search"),
    ("", &["automl", "automatic"], "auto"),
    ("", &["dashboard", "serve", "monitor", "ui"], "watch"),
    ("", &["settings", "presets"], "config presets"),
    ("", &["benchmark", "time", "latency"], "bench"),
    ("", &["sheet", "preview"], "augment"),
    ("config", &["list", "ls"], "config presets"),
    ("config", &["print", "dump", "get"], "config show"),
    ("config", &["validate", "test"], "config check"),
    ("data", &["list", "ls"], "data fetch --help, which names the data sets"),
    ("data", &["download", "get"], "data fetch"),
    ("data", &["doctor", "inspect", "show", "validate", "verify"], "data check"),
    ("arc", &["list", "ls"], "train --help, which names the ready cells"),
    ("arc", &["plot", "render"], "arc draw"),
    ("arc", &["print", "explain", "info"], "arc show"),
    ("arc", &["new", "sample", "generate"], "arc random"),
    ("arc", &["validate"], "arc check"),
];

/// Adds a suggestion to an error of parsing, if one is known.
pub(crate) fn explained(error: clap::Error) -> clap::Error {
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    explained_for(error, &words)
}

/// Like [`explained`], for the words of this command line.
fn explained_for(mut error: clap::Error, words: &[String]) -> clap::Error {
    let root = root();
    let (path, here) = command_of(&root, words);
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(typed)) = error.get(kind) else { return error };
    let word = typed.split(['=', ' ']).next().unwrap_or_default();
    let (is_known, tip) = match kind {
        ContextKind::InvalidSubcommand => {
            let tip = command_tip(&path, word);
            (tip.is_some(), tip.map(|command| format!("use enas {command}")))
        }
        _ if !word.starts_with('-') => {
            let tip = place_tip(here, typed);
            (tip.is_some(), tip)
        }
        _ => (is_known_flag(word), flag_tip(&root, here, word).map(str::to_owned)),
    };
    if is_known {
        // Replaces the suggestion of clap: a flag with a similar spelling, or the word as a file name.
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::Suggested);
    }
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

/// The message of an error with the setting that is meant by an unknown key, if one is known.
pub(crate) fn with_setting(message: String) -> String {
    let Some(meant) = setting(&message) else { return message };
    match message.rsplit_once("; did you mean ") {
        Some((message, _)) => format!("{message}; did you mean {meant}?"),
        None => format!("{message}; did you mean {meant}?"),
    }
}

/// The setting that is meant by the unknown key in a message, such as `run.batch_size` for `batch`.
fn setting(message: &str) -> Option<&'static str> {
    let key = message.split_once("there is no key ")?.1.split([';', ',', ' ']).next()?;
    let own = key.rsplit('.').next()?;
    let (meant, _) = tips(own).find_map(|tip| tip.split_once("--set ")?.1.split_once('='))?;
    (meant != key).then_some(meant)
}

/// All commands with the flags that every command has.
fn root() -> Command {
    let mut root = Cli::command();
    root.build();
    root
}

/// The command that the words are for, and its name without `enas`.
fn command_of<'a>(root: &'a Command, words: &[String]) -> (String, &'a Command) {
    let mut path = Vec::new();
    let mut here = root;
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        let Some(below) = here.find_subcommand(word) else { break };
        path.push(word.as_str());
        here = below;
    }
    (path.join(" "), here)
}

/// A flag or command as the tables spell it.
fn normal(word: &str) -> String {
    word.trim_start_matches('-').to_lowercase().replace('_', "-")
}

fn tips(word: &str) -> impl Iterator<Item = &'static str> {
    let word = normal(word);
    FLAGS.iter().filter(move |(spellings, _)| spellings.contains(&word.as_str())).map(|(_, tip)| *tip)
}

fn is_known_flag(word: &str) -> bool {
    tips(word).next().is_some()
}

/// The first tip for this spelling that fits the command.
fn flag_tip(root: &Command, here: &Command, word: &str) -> Option<&'static str> {
    let own = format!("--{}", normal(word));
    // The flag with other capitals or underscores is left to clap.
    if has_flag(here, &own) {
        return None;
    }
    tips(word).find(|tip| fits(root, here, tip))
}

fn command_tip(parent: &str, word: &str) -> Option<&'static str> {
    let word = normal(word);
    let is_meant =
        |(below, words, _): &&(&str, &[&str], &str)| *below == parent && words.contains(&word.as_str());
    COMMANDS.iter().find(is_meant).map(|(.., command)| *command)
}

/// A tip for a directory or model file as an argument that the command does not take.
fn place_tip(here: &Command, typed: &str) -> Option<String> {
    let path = Path::new(typed);
    if path.is_dir() && has_flag(here, "--run") {
        return Some(format!("a run directory is given with --run DIR: --run {typed}"));
    }
    let is_model = path.extension().is_some_and(|ending| ending == "safetensors");
    (is_model && has_flag(here, "--model"))
        .then(|| format!("a model file is given with --model FILE: --model {typed}"))
}

/// Whether the command has all flags and arguments that a tip names.
fn fits(root: &Command, here: &Command, tip: &str) -> bool {
    let words: Vec<&str> =
        tip.split(' ').map(|word| word.trim_matches(['(', ')', ',', ';', ':', '.'])).collect();
    let mut here = here;
    for (i, word) in words.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| words[i]).unwrap_or_default();
        if before == "enas" {
            here = root.find_subcommand(word).unwrap_or(here);
        } else if word.starts_with("--") {
            if !has_flag(here, word) {
                return false;
            }
        } else if ["DATA", "PATH", "RUN", "ARC"].contains(word)
            && !before.starts_with("--")
            && !has_argument(here, word)
        {
            return false;
        }
    }
    true
}

fn has_flag(command: &Command, flag: &str) -> bool {
    let name = flag.trim_start_matches('-');
    command.get_arguments().any(|arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|others| others.contains(&name))
    })
}

/// Whether the command has an argument, without a flag, of this name.
fn has_argument(command: &Command, name: &str) -> bool {
    command.get_positionals().any(|arg| {
        arg.get_value_names().is_some_and(|names| names.iter().any(|own| own.split('|').next() == Some(name)))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use enas_search::{ConfigBuilder, SearchConfig};

    use super::*;

    #[test]
    fn settings_that_are_named_exist() {
        let keys = FLAGS.iter().filter_map(|(_, tip)| {
            let (key, _) = tip.split_once("--set ")?.1.split_once('=')?;
            Some(key)
        });
        let mut n_keys = 0;
        for key in keys {
            n_keys += 1;
            // A value that no key takes, so that each error is about the value alone.
            let result = ConfigBuilder::preset("quick").set(format!("{key}=[[]]")).load::<SearchConfig>();
            let error = result.expect_err("no setting is a list of lists").to_string();
            assert!(!error.contains("there is no key"), "{key}: {error}");
        }
        assert!(n_keys >= 12, "{n_keys}");
    }

    /// All commands that take arguments, with their names.
    fn leaves(command: &Command, path: &str, all: &mut Vec<String>) {
        if !command.has_subcommands() {
            all.push(path.trim_start().to_owned());
        }
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            leaves(below, &format!("{path} {}", below.get_name()), all);
        }
    }

    /// The message for a command line that is wrong.
    fn said(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let error = Cli::try_parse_from(["enas"].into_iter().chain(line.split(' '))).expect_err(line);
        explained_for(error, &words).to_string()
    }

    #[test]
    fn every_tip_names_flags_that_the_command_has() {
        let root = root();
        let mut commands = Vec::new();
        leaves(&root, "", &mut commands);
        assert!(commands.len() > 15, "{commands:?}");
        let mut given = vec![0; FLAGS.len()];
        for command in &commands {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            let (path, here) = command_of(&root, &words);
            assert_eq!(path, *command);
            for word in FLAGS.iter().flat_map(|(spellings, _)| *spellings) {
                let Some(tip) = flag_tip(&root, here, word) else { continue };
                given[FLAGS.iter().position(|(_, other)| other == &tip).unwrap()] += 1;
                let own = if let Some((_, other)) = tip.split_once("enas train") {
                    (root.find_subcommand("train").unwrap(), other)
                } else {
                    (here, tip)
                };
                for flag in own.1.split(' ').filter(|word| word.trim_start_matches('(').starts_with("--")) {
                    let flag = flag.trim_matches(['(', ')', ',', ';', ':']);
                    assert!(has_flag(own.0, flag), "enas {command} --{word}: {tip}: there is no {flag}");
                    let is_elsewhere = own.0.get_name() != here.get_name();
                    assert!(is_elsewhere || flag != format!("--{word}"), "enas {command} --{word}: {tip}");
                }
            }
        }
        for ((spellings, tip), n) in FLAGS.iter().zip(given) {
            assert!(n > 0, "no command has this tip: {spellings:?}: {tip}");
        }
    }

    #[test]
    fn every_command_that_is_named_exists() {
        let root = root();
        for (parent, words, command) in COMMANDS {
            let named: Vec<String> = command.split([' ', ',']).map(str::to_owned).collect();
            let wanted = named.iter().take_while(|word| !word.starts_with('-')).count();
            let (path, here) = command_of(&root, &named);
            assert_eq!(path.split(' ').count(), wanted, "enas {command}");
            assert!(!here.has_subcommands(), "enas {command} needs another word");
            let above = if parent.is_empty() { &root } else { root.find_subcommand(parent).unwrap() };
            for word in *words {
                assert!(above.find_subcommand(word).is_none(), "enas {parent} {word} is a command");
            }
        }
    }

    #[test]
    fn wrong_flags_and_commands_are_answered_for_their_command() {
        let cases = [
            ("auto photos --arc 0", "this command chooses the architecture"),
            ("predict --output x a.png", "results go to stdout: --csv or --json"),
            ("eval --output x", "results go to stdout: --json"),
            ("config list", "use enas config presets"),
            ("data list", "use enas data fetch --help"),
            ("arc list", "use enas train --help"),
            ("fetch mnist", "use enas data fetch"),
            ("train photos --pretrained m", "given with --warm-start FILE"),
            ("train photos --resolution 64", "use --set data.image_size=N"),
            ("search photos --repeats 3", "use --repeat N"),
            ("train photos --repeats 3", "use --seeds N"),
            ("train photos --batch_size 8", "use --set run.batch_size=N"),
            ("train photos --Batch-Size=8", "use --set run.batch_size=N"),
            ("train photos --learning_rate 0.1", "use --set schedule.lr_max=X"),
            ("search photos --image_size 64", "use --set data.image_size=N"),
            ("train photos --weight-decay 0", "use --set child.l2=X"),
            ("train photos --dropout 0.1", "use --set child.keep_prob=X"),
            ("train photos --filters 8", "use --set child.filters=N"),
            ("train photos --layers 8", "use --set child.layers=N"),
            ("train photos --label-smoothing 0.1", "use --set run.label_smoothing=X"),
            ("train photos --early-stopping 5", "use --patience N"),
            ("search photos --early-stopping 5", "use --set run.patience=N"),
            ("train photos --mixup 0.2", "use --set data.augment.mixup=X"),
            ("train --input photos", "write the folder or zip itself"),
            ("predict --input photos", "write the images or folders themselves"),
            ("train photos --cv 5", "use --folds K"),
            ("bench .", "a run directory is given with --run DIR: --run ."),
            #[cfg(feature = "export")]
            ("export .", "a run directory is given with --run DIR: --run ."),
            #[cfg(feature = "export")]
            ("export a.safetensors", "--model a.safetensors"),
        ];
        for (line, tip) in cases {
            let said = said(line);
            assert!(said.contains(tip), "enas {line}: {said}");
            assert_eq!(said.matches("tip:").count(), 1, "enas {line}: {said}");
        }
        for line in ["predict --batch-size 8 a.png", "eval --batch-size 8", "auto --repeats 3"] {
            assert!(!said(line).contains("tip:"), "enas {line}: {}", said(line));
        }
    }

    #[test]
    fn a_setting_that_is_spelled_like_a_flag_is_known() {
        let message = |key: &str| format!("--set {key}=1: there is no key {key}; did you mean keep?");
        assert_eq!(setting(&message("lr")), Some("schedule.lr_max"));
        assert_eq!(setting(&message("weight_decay")), Some("child.l2"));
        assert_eq!(setting(&message("run.batch")), Some("run.batch_size"));
        assert_eq!(setting(&message("colour")), None);
        assert_eq!(
            with_setting(message("lr")),
            "--set lr=1: there is no key lr; did you mean schedule.lr_max?"
        );
        assert_eq!(setting("another error"), None);
    }
}
