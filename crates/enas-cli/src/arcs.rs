//! Reading architectures from arguments, text files, pipes and `best.arc.json`.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::Context;
use enas_arc::{Arc, Arch};
use enas_search::{RunReader, read_text, ready_cells};
use serde::Deserialize;

use crate::args::{ArcForm, ArcInput};
use crate::failure::{OrUsage, usage};
use crate::locate;
use crate::output::visible;

/// The architectures of the arguments, the file or stdin; at least one.
///
/// # Errors
/// A usage error that names the source, the position and what is allowed there.
pub(crate) fn given(input: &ArcInput) -> anyhow::Result<Vec<Arch>> {
    Ok(given_with_form(input)?.0)
}

/// Like [`given`], with the form in which they were written. JSON counts as integers.
///
/// # Errors
/// As for [`given`].
pub(crate) fn given_with_form(input: &ArcInput) -> anyhow::Result<(Vec<Arch>, ArcForm)> {
    let words: Vec<&str> = input.arc.iter().map(String::as_str).collect();
    if let Some(dir) = &input.run {
        let run = RunReader::open(&locate::reported(dir)?).context("--run")?;
        let arch = run.manifest().arc.clone().map_or_else(|| run.best_arch(), Ok).context("--run")?;
        return Ok((vec![arch], ArcForm::Ints));
    }
    if let [word] = words.as_slice()
        && Path::new(word).is_dir()
    {
        let problem = "is a folder; name a file in it, or give the run with --run";
        return Err(usage(format!("{word}: {problem} {word}")));
    }
    let (source, text) = match (input.path(), words.as_slice()) {
        (Some(file), _) => (visible(&file).into_owned(), text_of(&file)?),
        (None, [word]) if looks_like_a_path(word) => {
            return Err(text_of(Path::new(word)).err().unwrap_or_else(|| usage("no file")));
        }
        (None, [] | ["-"]) => ("stdin".to_owned(), stdin()?),
        (None, words) => ("ARC".to_owned(), words.join(" ")),
    };
    let text = without_comments(&text);
    let form = if !is_json(&text) && is_readable(&text) { ArcForm::Readable } else { ArcForm::Ints };
    Ok((in_text(&text, either).context(source)?, form))
}

/// The architectures of a file; at least one.
///
/// # Errors
/// A usage error that names the file, the position and what is allowed there.
pub(crate) fn in_file(file: &Path) -> anyhow::Result<Vec<Arc>> {
    in_text(&text_of(file)?, of_cells).and_then(all_cells).with_context(|| visible(&file).into_owned())
}

fn all_cells(arches: Vec<Arch>) -> anyhow::Result<Vec<Arc>> {
    arches.into_iter().map(cells).collect()
}

/// Maximum size of a list of architectures in bytes, enough for some hundred thousand.
const MAX_ARCS: u64 = 64 << 20;

fn text_of(file: &Path) -> anyhow::Result<String> {
    read_text(file, MAX_ARCS).with_context(|| format!("cannot read {}", visible(&file))).or_usage()
}

/// The only architecture of a file.
///
/// # Errors
/// A usage error, also if the file contains several.
pub(crate) fn one_in_file(file: &Path) -> anyhow::Result<Arch> {
    in_text(&text_of(file)?, either).and_then(only).with_context(|| visible(&file).into_owned())
}

/// Parses an architecture of the micro or the macro search space.
fn either(text: &str) -> anyhow::Result<Arch> {
    Arch::parse_any(text).or_usage()
}

/// Parses an architecture of the micro search space (cells).
fn of_cells(text: &str) -> anyhow::Result<Arch> {
    if Arch::is_readable_macro(text) {
        return either(text).and_then(cells).map(Arch::Micro);
    }
    Arc::parse_any(text).map(Arch::Micro).or_usage()
}

/// Returns the cells of an architecture, for commands that work with cells only.
///
/// # Errors
/// A usage error for an architecture of the macro search space.
fn cells(arch: Arch) -> anyhow::Result<Arc> {
    match arch {
        Arch::Micro(arc) => Ok(arc),
        Arch::Macro(_) => Err(enas_search::Error::CellsOnly("this command").into()),
    }
}

/// The only architecture in the value of a flag. The value is the architecture itself or a file that contains it.
///
/// # Errors
/// A usage error that names the flag.
pub(crate) fn one_given(flag: &str, given: &str) -> anyhow::Result<Arch> {
    let file = Path::new(given);
    if file.is_dir() {
        let problem = "is a folder; name a file in it, or give the run with --run";
        return Err(usage(format!("{flag} {given}: {problem}")));
    }
    if file.is_file() || looks_like_a_path(given) {
        return one_in_file(file).with_context(|| flag.to_owned());
    }
    in_text(given, either).and_then(only).with_context(|| flag.to_owned())
}

/// Like [`one_given`], for commands that work with cells only.
///
/// # Errors
/// As for [`one_given`], and a usage error for an architecture of the macro search space.
pub(crate) fn cells_given(flag: &str, given: &str) -> anyhow::Result<Arc> {
    one_given(flag, given).and_then(cells)
}

/// The cell in the value of `--cell`: the name of a ready cell, the architecture itself or a file that contains it.
///
/// # Errors
/// A usage error, which lists the ready cells if the value looks like a name.
pub(crate) fn cell_given(given: &str) -> anyhow::Result<Arc> {
    let cells = ready_cells();
    if let Some(cell) = cells.iter().find(|cell| cell.name == given) {
        return Ok(cell.arc.clone());
    }
    let is_name = given.starts_with(char::is_alphabetic)
        && given.chars().all(|c| c.is_alphanumeric() || c == '-')
        && !Path::new(given).exists();
    if is_name {
        let names: Vec<&str> = cells.iter().map(|cell| cell.name).collect();
        let problem = "there is no such cell; cells:";
        return Err(usage(format!("--cell {given}: {problem} {}", names.join(", "))));
    }
    cells_given("--cell", given)
}

/// Whether a word can only be a file name: architectures contain neither slashes nor file extensions.
fn looks_like_a_path(word: &str) -> bool {
    let ending = Path::new(word).extension().and_then(|ending| ending.to_str());
    let is_one_word = !word.contains(char::is_whitespace);
    is_one_word && (word.contains('/') || ending.is_some_and(|e| e.chars().all(char::is_alphabetic)))
}

fn only(mut arcs: Vec<Arch>) -> anyhow::Result<Arch> {
    match (arcs.pop(), arcs.len()) {
        (Some(arc), 0) => Ok(arc),
        (_, others) => Err(usage(format!("holds {} architectures; exactly one is wanted here", others + 1))),
    }
}

fn stdin() -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        return Err(usage("no architecture given; write it as an argument, or use --file, or pipe it in"));
    }
    let mut text = String::new();
    io::stdin().take(MAX_ARCS).read_to_string(&mut text).context("cannot read stdin").or_usage()?;
    Ok(text)
}

/// Parses all architectures of a text with `parse`.
///
/// The text is JSON with a key `arc`, or readable forms, or lines of integers. Lines that begin with `#` are
/// comments.
fn in_text(text: &str, parse: fn(&str) -> anyhow::Result<Arch>) -> anyhow::Result<Vec<Arch>> {
    let text = &without_comments(text);
    if is_json(text) {
        return in_json(text);
    }
    let parts = if is_readable(text) { readable_parts(text) } else { integer_parts(text) };
    parts
        .iter()
        .map(|(line, part)| {
            let arc = parse(part);
            if parts.len() == 1 { arc } else { arc.with_context(|| format!("line {line}")) }
        })
        .collect()
}

/// Empties lines that begin with `#`, so that line numbers stay correct.
fn without_comments(text: &str) -> String {
    let kept = |line| if str::trim_start(line).starts_with('#') { "" } else { line };
    text.lines().map(kept).collect::<Vec<_>>().join("\n")
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn is_readable(text: &str) -> bool {
    text.contains([':', '='])
}

/// Parses one JSON document or a sequence of them.
fn in_json(text: &str) -> anyhow::Result<Vec<Arch>> {
    #[derive(Deserialize)]
    struct Holder {
        arc: Arch,
    }
    let holders = serde_json::Deserializer::from_str(text).into_iter::<Holder>();
    holders.map(|holder| Ok(holder.or_usage()?.arc)).collect()
}

/// Splits a text before each line that begins a normal cell or the first layer of a macro arc. Returns each part with
/// its first line number.
fn readable_parts(text: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line_start = line.trim_start();
        let is_normal = line_start.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("normal"));
        let is_first_layer =
            line_start.strip_prefix('1').is_some_and(|rest| rest.trim_start().starts_with('='));
        let begins = is_normal || is_first_layer;
        match parts.last_mut() {
            Some((_, part)) if !begins || part.trim().is_empty() => *part += &format!("\n{line}"),
            _ => parts.push((number, line.to_owned())),
        }
    }
    parts
}

/// Splits a text into one architecture per line. If no line is long enough for one, the whole text is a single one.
///
/// A line of fewer than [`LONG`] integers does not count as a macro arc, because it can be a piece of cells. For
/// example, ten integers are a macro arc of four layers, or a quarter of an arc with five nodes per cell.
fn integer_parts(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<(usize, String)> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| (number, line.to_owned()))
        .collect();
    let count = |line: &str| line.split_whitespace().count();
    let some_are_cells = lines.iter().any(|(_, line)| count(line).is_multiple_of(8));
    let all_are_layers = lines.iter().all(|(_, line)| count(line) >= LONG && is_triangular(count(line)));
    if some_are_cells || all_are_layers && !lines.is_empty() { lines } else { vec![(1, text.to_owned())] }
}

/// Number of integers in a macro arc of six layers.
const LONG: usize = 21;

/// Whether a macro arc can have `n` integers: 1, 3, 6, 10, …
fn is_triangular(n: usize) -> bool {
    (1..=n).any(|layers| layers * (layers + 1) / 2 == n)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0 4 1 4 1 3 1 4";

    fn arcs(text: &str) -> Vec<String> {
        in_text(text, of_cells).unwrap().iter().map(Arch::to_string).collect()
    }

    fn message(text: &str) -> String {
        format!("{:#}", in_text(text, of_cells).unwrap_err())
    }

    #[test]
    fn every_line_of_integers_is_an_arc() {
        assert_eq!(arcs(&format!("{ONE}\n\n{ONE} \n")), [ONE, ONE]);
    }

    #[test]
    fn short_lines_are_pieces_of_one_arc() {
        assert_eq!(arcs("0 4 1 4\n1 3 1 4\n"), [ONE]);
    }

    #[test]
    fn lines_may_be_comments() {
        assert_eq!(arcs(&format!("# from: somewhere\n{ONE}\n")), [ONE]);
        assert!(message("# one\n0 9 1 4 1 3 1 4\n0 4 1 4 1 3 1 4").starts_with("line 2: "));
    }

    #[test]
    fn several_readable_forms_may_follow_each_other() {
        let readable = Arc::parse_any(ONE).unwrap().readable();
        assert_eq!(arcs(&readable), [ONE]);
        assert_eq!(arcs(&format!("\n{readable}\n{readable}")), [ONE, ONE]);
    }

    #[test]
    fn macro_arcs_are_told_apart_from_cells() {
        let macro_arcs = |text: &str| -> Vec<String> {
            in_text(text, either).unwrap().iter().map(|arch| format!("{} {arch}", arch.space())).collect()
        };
        let readable = "1 = conv-3x3(0); 2 = max-pool-3x3(1); 3 = conv-5x5(2) + 0 + 1";
        let ints = "macro 0 5 0 2 1 1";
        assert_eq!(macro_arcs(readable), [ints]);
        assert_eq!(macro_arcs(&format!("{readable}\n{}", readable.replace("; ", "\n"))), [ints, ints]);
        let six = "0  0 1  0 1 1  0 1 1 1  0 1 1 1 1  0 1 1 1 1 1";
        assert_eq!(macro_arcs(&format!("{six}\n{six}")).len(), 2);
        assert!(macro_arcs(six)[0].starts_with("macro "));
        // Forty integers in lines of ten are one arc of cells, although a macro arc of four layers has ten integers.
        let ten = "0 4 1 4 1 3 1 4 0 0";
        assert_eq!(integer_parts(&format!("{ten}\n").repeat(4)).len(), 1);
    }

    #[test]
    fn json_documents_are_read_by_their_key() {
        let json = format!("{{\"arc\": \"{ONE}\",\n \"valid_accuracy\": 0.5}}");
        assert_eq!(arcs(&format!("{json}\n{json}")), [ONE, ONE]);
        assert!(message("{\"ark\": 1}").contains("missing field `arc`"));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let text = format!("{ONE}\n0 4 1 4 1 3 1 7\n");
        assert!(message(&text).starts_with("line 2: position 7"), "{}", message(&text));
        assert!(message("").contains("empty"));
    }
}
