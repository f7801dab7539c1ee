//! Resolution of paths to runs and models: a run directory, the directory of an automatic run, or a file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use enas_search::{AutoPhase, AutoRunReader, Kind, RunReader};

use crate::args::ModelPlace;
use crate::failure::usage;
use crate::output::visible;

/// The name of the model file in a run directory and in the directory of an automatic run.
const MODEL: &str = "model.safetensors";
/// The name of the file with the architecture of a finished run.
const BEST_ARC: &str = "best.arc.json";

/// The run directory of a search: `dir` itself, or the search phase in the directory of an automatic run.
///
/// # Errors
/// A usage error for an automatic run without a search; it names what there is.
pub(crate) fn search(dir: &Path) -> Result<PathBuf> {
    if !is_auto(dir) {
        return Ok(dir.to_owned());
    }
    let search = phase(dir, AutoPhase::Search);
    if search.is_dir() {
        return Ok(search);
    }
    let shown = dir.display();
    let arc = phase(dir, AutoPhase::Train).join(BEST_ARC);
    Err(usage(match arc.is_file() {
        true => format!(
            "{shown}: this automatic run made no search, it trained a ready cell; to train that cell again: enas train DATA \
             --arc-file {}",
            arc.display()
        ),
        false => {
            format!("{shown}: this automatic run has made no search; go on with: enas auto --resume {shown}")
        }
    }))
}

/// Checks that `dir` is not an automatic run, which only `enas auto` can go on with.
///
/// # Errors
/// A usage error that names the command.
pub(crate) fn must_not_be_automatic(dir: &Path) -> Result<()> {
    if !is_auto(dir) {
        return Ok(());
    }
    let shown = dir.display();
    Err(usage(format!("{shown}: this is an automatic run; go on with: enas auto --resume {shown}")))
}

/// The run directory whose architecture or report is meant by `dir`.
///
/// For an automatic run this is the training with the best model; before there is one, the search.
///
/// # Errors
/// A usage error for an automatic run that has no such phase yet.
pub(crate) fn reported(dir: &Path) -> Result<PathBuf> {
    if !is_auto(dir) {
        return Ok(dir.to_owned());
    }
    let trained = AutoRunReader::open(dir)?.best().map(|it| phase(dir, it));
    let found = trained.or_else(|| Some(phase(dir, AutoPhase::Search)).filter(|run| run.is_dir()));
    found.ok_or_else(|| {
        let shown = visible(&dir);
        usage(format!("{shown}: this automatic run has no model yet; go on with: enas auto --resume {shown}"))
    })
}

/// The model file that the arguments mean.
///
/// `mistaken` is a path given for another purpose that may be the model; it is used for advice only.
///
/// # Errors
/// A usage error that names a suitable file, if one is known.
pub(crate) fn model(place: &ModelPlace, mistaken: Option<&Path>) -> Result<PathBuf> {
    match (&place.model, &place.run) {
        (Some(path), _) if path.is_dir() => in_directory("--model", path),
        (Some(path), _) => in_file(path),
        (None, Some(dir)) => in_directory("--run", dir),
        (None, None) => Err(no_model(mistaken)),
    }
}

/// The model that `--warm-start` means: a file, or the measured model of a run directory.
///
/// The measured model has not learned from validation and test images, which a refit may have added.
///
/// # Errors
/// A usage error for a directory without a model.
pub(crate) fn start(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let has_model = in_directory("--warm-start", path)?;
    let measured = reported(path).and_then(|run| Ok(RunReader::open(&run)?.measured_path()));
    Ok(measured.ok().filter(|model| model.is_file()).unwrap_or(has_model))
}

fn in_file(path: &Path) -> Result<PathBuf> {
    let is_exported = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"));
    if !is_exported {
        return Ok(path.to_owned());
    }
    let shown = visible(&path);
    let own = [path.with_extension("safetensors"), path.with_file_name(MODEL)];
    let remedy = match own.iter().find(|own| own.is_file()) {
        Some(own) => format!("give the model it was written from: --model {}", visible(&own)),
        None => "give the model.safetensors that it was written from".to_owned(),
    };
    Err(usage(format!("--model {shown}: this is an exported file, for other programs; {remedy}")))
}

fn in_directory(flag: &str, dir: &Path) -> Result<PathBuf> {
    let file = dir.join(MODEL);
    if file.is_file() {
        return Ok(file);
    }
    let shown = visible(&dir);
    let problem = if is_auto(dir) {
        format!("this automatic run has no model yet; go on with: enas auto --resume {shown}")
    } else {
        match RunReader::open(dir).map(|run| run.manifest().kind) {
            Ok(Kind::Search) => {
                format!("this is a search, which has no model; make one with: enas train --run {shown}")
            }
            Ok(Kind::Train) => {
                format!("this training has no model yet; go on with: enas train --resume {shown}")
            }
            Err(_) if !dir.exists() => "there is no such folder".to_owned(),
            Err(_) => format!("there is no {MODEL} in it, and it is not a run directory"),
        }
    };
    Err(usage(format!("{flag} {shown}: {problem}")))
}

fn no_model(mistaken: Option<&Path>) -> anyhow::Error {
    let is_model = |path: &Path| {
        path.extension().is_some_and(|ending| ending == "safetensors") || path.join(MODEL).is_file()
    };
    let meant = mistaken.filter(|path| is_model(path));
    let tip = meant.map_or(String::new(), |path| format!("; did you mean --model {}?", visible(&path)));
    usage(format!("no model given: --model <FILE> or --run <DIR>{tip}"))
}

fn is_auto(dir: &Path) -> bool {
    AutoRunReader::is_at(dir)
}

fn phase(dir: &Path, phase: AutoPhase) -> PathBuf {
    dir.join(phase.folder())
}
