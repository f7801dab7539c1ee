//! Widths of the terminal, colours, and lines that fit. `console` disables colours with `NO_COLOR` and off a
//! terminal.

use std::env;

use console::{Style, Term, measure_text_width};

/// Number of columns of stdout; `None` if it is not a terminal.
pub(crate) fn stdout_width() -> Option<usize> {
    width(&Term::stdout())
}

/// Number of columns of stderr; `None` if it is not a terminal.
pub(crate) fn stderr_width() -> Option<usize> {
    width(&Term::stderr())
}

fn width(term: &Term) -> Option<usize> {
    let (_, columns) = term.is_term().then(|| term.size_checked()).flatten()?;
    Some(usize::from(columns)).filter(|columns| *columns > 0)
}

/// Whether the locale says that the terminal shows UTF-8.
pub(crate) fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|key| env::var(key).ok());
    locale.into_iter().find(|value| !value.is_empty()).is_some_and(|value| names_utf8(&value))
}

fn names_utf8(locale: &str) -> bool {
    let locale = locale.to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Style of a main result on stdout.
pub(crate) fn strong(text: &str) -> String {
    Style::new().green().bold().apply_to(text).to_string()
}

/// Style of a warning on stdout.
pub(crate) fn warned(text: &str) -> String {
    Style::new().yellow().apply_to(text).to_string()
}

/// Style of the next command on stdout.
pub(crate) fn command(text: &str) -> String {
    Style::new().cyan().apply_to(text).to_string()
}

/// The word that precedes an error on stderr.
pub(crate) fn error_word() -> String {
    Style::new().for_stderr().red().bold().apply_to("error:").to_string()
}

/// A part of a line. If the line is too long, fields with the highest `spare` are dropped first, those with 0 never.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) spare: u8,
    pub(crate) text: String,
}

/// A field of a line.
pub(crate) fn field(spare: u8, text: impl Into<String>) -> Field {
    Field { spare, text: text.into() }
}

/// Joins the fields that fit a line of `width` columns. Empty fields are left out.
pub(crate) fn fitted(mut fields: Vec<Field>, width: Option<usize>) -> String {
    fields.retain(|field| !field.text.is_empty());
    let joined = |fields: &[Field]| fields.iter().map(|f| f.text.as_str()).collect::<Vec<_>>().join("  ");
    let Some(width) = width else { return joined(&fields) };
    loop {
        let line = joined(&fields);
        let most = fields.iter().map(|field| field.spare).max().unwrap_or(0);
        if measure_text_width(&line) <= width || most == 0 {
            return line;
        }
        fields.retain(|field| field.spare != most);
    }
}

/// Lines wrapped at `width` columns. The parts of a line keep its indentation.
pub(crate) fn wrapped(text: &str, width: Option<usize>) -> String {
    let line = |line: &str| {
        let rest = line.trim_start_matches(' ');
        paragraph(&line[..line.len() - rest.len()], rest, width)
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A label followed by text that is wrapped at `width` columns; further lines are indented by the label's width.
///
/// Text that has less than 20 columns beside the label begins below it.
pub(crate) fn paragraph(label: &str, text: &str, width: Option<usize>) -> String {
    const LEAST: usize = 20;
    const BELOW: usize = 6;
    let indent = measure_text_width(label);
    let Some(width) = width else { return format!("{label}{text}") };
    if width < indent + LEAST && !label.trim().is_empty() && width > BELOW + LEAST {
        return format!("{}\n{}", label.trim_end(), paragraph(&" ".repeat(BELOW), text, Some(width)));
    }
    let room = width.saturating_sub(indent).max(LEAST);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if line.is_empty() {
            line.push_str(word);
        } else if measure_text_width(line) + 1 + measure_text_width(word) <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    format!("{label}{}", lines.join(&format!("\n{}", " ".repeat(indent))))
}

/// [`paragraph`] with the width of stdout.
pub(crate) fn stdout_paragraph(label: &str, text: &str) -> String {
    paragraph(label, text, stdout_width())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch() -> Vec<Field> {
        vec![
            field(0, "epoch 12/30"),
            field(3, "loss 0.4321"),
            field(4, "train 91.20 %"),
            field(0, "valid 88.33 %"),
            field(2, "best 89.00 %"),
            field(6, "entropy 58.2"),
            field(5, ""),
            field(1, "eta 1 min 05 s"),
        ]
    }

    #[test]
    fn a_line_never_exceeds_the_terminal() {
        for width in [60, 80, 120] {
            let line = fitted(epoch(), Some(width));
            assert!(measure_text_width(&line) <= width, "{width}: {line}");
            assert!(line.starts_with("epoch 12/30") && line.contains("valid 88.33 %"), "{width}: {line}");
        }
        assert_eq!(fitted(epoch(), Some(60)), "epoch 12/30  valid 88.33 %  best 89.00 %  eta 1 min 05 s");
        assert!(fitted(epoch(), Some(120)).contains("entropy 58.2"));
        // Without a terminal all fields are kept. Fields with 0 are always kept.
        assert_eq!(fitted(epoch(), None), fitted(epoch(), Some(1000)));
        assert_eq!(fitted(epoch(), Some(5)), "epoch 12/30  valid 88.33 %");
    }

    #[test]
    fn words_go_on_below_each_other() {
        let text = "one two three four five six seven eight";
        assert_eq!(
            paragraph("note  ", text, Some(26)),
            "note  one two three four\n      five six seven eight"
        );
        assert_eq!(paragraph("note  ", text, None), format!("note  {text}"));
    }

    #[test]
    fn messages_fit_terminals_of_60_80_and_120_columns() {
        let text = "photos: 1,200 images in 4 classes; 900 to train on, 150 to choose by, 150 to test with. The \
                    training takes at most 30 min\n  plan: training of the ready cell wide-light 2 min 30 s, \
                    afterwards 15 s; in all about 3 min";
        for width in [60, 80, 120] {
            let shown = wrapped(text, Some(width));
            assert!(shown.lines().all(|line| measure_text_width(line) <= width), "{width}: {shown}");
            assert_eq!(
                shown.split_whitespace().collect::<Vec<_>>(),
                text.split_whitespace().collect::<Vec<_>>()
            );
            let label = "  --set data.augment.mode=rand-augment  ";
            let shown = paragraph(label, "the images are photos of things, not of signs", Some(width));
            assert!(shown.lines().all(|line| measure_text_width(line) <= width), "{width}: {shown}");
        }
        assert!(wrapped(text, Some(60)).contains("\n  plan: "), "indented lines stay indented");
        assert_eq!(wrapped(text, None), text);
    }

    #[test]
    fn utf8_is_named_by_the_locale() {
        assert!(names_utf8("de_DE.UTF-8") && names_utf8("C.utf8"));
        assert!(!names_utf8("C") && !names_utf8("POSIX") && !names_utf8("en_US.ISO-8859-1"));
    }
}
