//! Formatting of numbers, sizes and times for readers.

pub use enas_data::visible;
use time::OffsetDateTime;

/// Formats a fraction of 1 as a percentage with two decimals.
pub fn percent(share: f64) -> String {
    format!("{:.2}\u{a0}%", 100.0 * share)
}

/// Formats an integer in groups of three digits.
pub fn grouped(n: u64) -> String {
    enas_draw::grouped(n).replace(' ', "\u{202f}")
}

/// Formats a count with its noun: `1 class`, `3 classes`.
pub fn counted(n: u64, one: &str, more: &str) -> String {
    format!("{}\u{a0}{}", grouped(n), if n == 1 { one } else { more })
}

/// Formats a large number with the suffix k, M or G.
pub fn short(n: u64) -> String {
    match n as f64 {
        x if x >= 1e9 => format!("{:.2}\u{a0}G", x / 1e9),
        x if x >= 1e6 => format!("{:.2}\u{a0}M", x / 1e6),
        x if x >= 1e4 => format!("{:.1}\u{a0}k", x / 1e3),
        _ => grouped(n),
    }
}

/// Formats a number of bytes in kB or MB.
pub fn bytes(n: u64) -> String {
    match n as f64 {
        x if x >= 1e6 => format!("{:.2}\u{a0}MB", x / 1e6),
        x => format!("{:.1}\u{a0}kB", x / 1e3),
    }
}

/// Formats seconds as `42 s`, `3 min 05 s` or `2 h 07 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if seconds < 9.95 => format!("{:.1}\u{a0}s", seconds.max(0.0)),
        (0, 0, s) => format!("{s}\u{a0}s"),
        (0, m, s) => format!("{m}\u{a0}min {s:02}\u{a0}s"),
        (h, m, _) => format!("{h}\u{a0}h {m:02}\u{a0}min"),
    }
}

/// The current time as `2026-01-31 09:30 UTC`.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    format!("{} {:02}:{:02} UTC", now.date(), now.hour(), now.minute())
}

/// Quotes a word for a shell, if necessary. Control characters are escaped as in `$'\n'`, which bash, zsh and ksh read.
pub fn shell_word(text: &str) -> String {
    // A program would take it for a flag.
    let text = &if text.starts_with('-') { format!("./{text}") } else { text.to_owned() };
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else if text.contains(char::is_control) {
        let escaped = |c: char| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        };
        format!("$'{}'", text.chars().map(escaped).collect::<String>())
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// HTML of a file name or dotted key with possible line breaks after slashes, underscores, hyphens and dots.
///
/// The file extension and a few letters before it stay together.
pub fn breakable(name: &str) -> String {
    let name = &*visible(name);
    let ending = name.rfind('.').filter(|at| (2..=6).contains(&(name.len() - at))).unwrap_or(name.len());
    // Otherwise the extension alone could be on the last line.
    let whole_from = name[..ending].char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    let mut html = String::with_capacity(2 * name.len());
    let mut tail = false;
    for (at, c) in name.char_indices() {
        if at >= whole_from && !tail && ending < name.len() {
            html.push_str("<span class=\"whole\">");
            tail = true;
        }
        match c {
            '&' => html.push_str("&#38;"),
            '<' => html.push_str("&#60;"),
            '>' => html.push_str("&#62;"),
            '"' => html.push_str("&#34;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
        if !tail && "/_-.".contains(c) {
            html.push_str("<wbr>");
        }
    }
    html + if tail { "</span>" } else { "" }
}

/// HTML of a dotted key with possible line breaks after its dots and underscores. It has no file extension.
pub fn breakable_key(key: &str) -> String {
    key.split_inclusive(['.', '_'])
        .map(breakable)
        .collect::<Vec<_>>()
        .join("<wbr>")
        .replace("<wbr><wbr>", "<wbr>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_unit_that_fits() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!([short(999), short(114_576), short(4_100_000)], ["999", "114.6\u{a0}k", "4.10\u{a0}M"]);
        assert_eq!([bytes(458_304), bytes(13_000_000)], ["458.3\u{a0}kB", "13.00\u{a0}MB"]);
        assert_eq!(duration(185.0), "3\u{a0}min 05\u{a0}s");
        assert_eq!(counted(1, "class", "classes"), "1\u{a0}class");
    }

    #[test]
    fn file_names_break_behind_separators_but_not_in_their_ending() {
        assert_eq!(breakable("a/<b>_004.jpg"), "a/<wbr>&#60;b&#62;<span class=\"whole\">_004.jpg</span>");
        assert_eq!(breakable("data.image_size"), "data.<wbr>image_<wbr>size");
        assert_eq!(breakable("x.png"), "<span class=\"whole\">x.png</span>");
        assert_eq!((breakable(""), breakable("äöü/.")), (String::new(), "äöü/<wbr>.<wbr>".to_owned()));
        assert_eq!(breakable("a\nb"), r"a\nb");
    }

    #[test]
    fn keys_break_behind_dots_only() {
        assert_eq!(breakable_key("controller.steps"), "controller.<wbr>steps");
        assert_eq!(breakable_key("refit.share"), "refit.<wbr>share");
        assert_eq!(breakable_key("data.image_size"), "data.<wbr>image_<wbr>size");
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(shell_word("runs/a-1"), "runs/a-1");
        assert_eq!(shell_word("my run's"), r"'my run'\''s'");
        assert_eq!(shell_word("a\nb's\\\u{1b}"), r"$'a\x0ab\'s\\\x1b'");
        assert_eq!(shell_word("-x/report"), "./-x/report");
    }
}
