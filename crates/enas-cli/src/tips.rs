//! Suggestions for unknown flags and commands.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags that users may try, and what to type instead.
const FLAGS: &[(&[&str], &str)] = &[
    (
        &["--dataset", "--pictures", "--dir", "--folder", "--path"],
        "write the folder or zip itself: enas COMMAND DATA",
    ),
    (
        &["--arch", "--architecture", "--cell"],
        "the architecture is given with --arc, as integers or as a file",
    ),
    (&["--arc", "--arc-file"], "the architecture is the argument itself; a run's is given with --run DIR"),
    (&["--file"], "the architecture is given with --arc, as integers or as a file"),
    (
        &["--weights", "--checkpoint", "--model-file", "--model-path"],
        "a model is given with --model FILE or --run DIR",
    ),
    (&["--model"], "a run is given with --run DIR, or --resume DIR to go on with it"),
    (&["--output", "-o", "--save", "--dest"], "the place of the result is given with --out"),
    (&["--batch", "--batch-size", "--bs"], "use --set run.batch_size=N"),
    (&["--lr", "--learning-rate", "--lr0"], "use --set schedule.lr_max=X (see enas config show)"),
    (&["--imgsz", "--img-size", "--image-size", "--size"], "use --set data.image_size=N"),
    (&["--epochs", "--epoch"], "use --time T, or --set run.epochs=N"),
    (&["--gpu", "--gpus", "--cuda"], "use --device cuda"),
    (&["--cpu"], "use --device cpu"),
    (&["--workers", "--jobs", "-j", "--cores"], "use --threads N"),
    (
        &["--duration", "--timeout", "--time-limit", "--max-time", "--budget"],
        "use --time T, as in 90s, 30m or 2h",
    ),
    (&["--continue", "--restart"], "use --resume DIR"),
    (&["--overwrite", "--yes", "-f"], "commands that can replace files have --force"),
    (&["--random-seed", "--random-state"], "use --seed N"),
    (&["--resume"], "only search, train, auto and study are resumed"),
];

/// Words that users may try as commands, and the right command.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["fit", "learn", "retrain"], "train"),
    (&["test", "evaluate", "measure", "val", "validate"], "eval"),
    (&["classify", "infer", "inference", "label", "run"], "predict"),
    (&["check", "doctor", "inspect"], "data check"),
    (&["onnx", "convert", "save"], "export"),
    (&["list", "ls", "leaderboard", "compare", "history"], "runs"),
    (&["show", "draw", "plot"], "arc draw"),
    (&["nas", "find"], "search"),
    (&["automl", "automatic"], "auto"),
    (&["dashboard", "serve", "monitor", "ui"], "watch"),
    (&["settings", "presets"], "config presets"),
    (&["benchmark", "time", "latency"], "bench"),
    (&["sheet", "preview"], "augment"),
];

/// Adds a suggestion to an error of parsing, if one is known.
pub(crate) fn explained(mut error: clap::Error) -> clap::Error {
    let (kind, table) = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, FLAGS),
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, COMMANDS),
        _ => return error,
    };
    let Some(ContextValue::String(typed)) = error.get(kind) else { return error };
    let word = typed.split(['=', ' ']).next().unwrap_or_default();
    let known = table.iter().find(|(spellings, _)| spellings.contains(&word));
    let Some((_, meant)) = known else { return error };
    let tip = match kind {
        ContextKind::InvalidSubcommand => format!("use enas {meant}"),
        _ => (*meant).to_owned(),
    };
    // Replaces the suggestion of clap: a flag with a similar spelling, or the word as a file name.
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::SuggestedSubcommand);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    error
}

#[cfg(test)]
mod tests {
    use enas_search::{Layers, SearchConfig};

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
            let result = Layers::preset("quick").set(format!("{key}=[[]]")).load::<SearchConfig>();
            let error = result.expect_err("no setting is a list of lists").to_string();
            assert!(!error.contains("there is no key"), "{key}: {error}");
        }
        assert!(n_keys >= 4, "{n_keys}");
    }
}
