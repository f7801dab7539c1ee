//! Numbers, sizes and times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// A share as a percentage with two decimals.
pub fn percent(share: f64) -> String {
    format!("{:.2}\u{a0}%", 100.0 * share)
}

/// A whole number in groups of three digits.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 class`, `3 classes`.
pub fn counted(n: u64, one: &str, more: &str) -> String {
    format!("{}\u{a0}{}", grouped(n), if n == 1 { one } else { more })
}

/// A large number with the word that makes it short.
pub fn short(n: u64) -> String {
    match n as f64 {
        x if x >= 1e9 => format!("{:.2}\u{a0}G", x / 1e9),
        x if x >= 1e6 => format!("{:.2}\u{a0}M", x / 1e6),
        x if x >= 1e4 => format!("{:.1}\u{a0}k", x / 1e3),
        _ => grouped(n),
    }
}

/// A number of bytes.
pub fn bytes(n: u64) -> String {
    match n as f64 {
        x if x >= 1e6 => format!("{:.2}\u{a0}MB", x / 1e6),
        x => format!("{:.1}\u{a0}kB", x / 1e3),
    }
}

/// Seconds as `42 s`, `3 min 05 s` or `2 h 07 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if seconds < 9.95 => format!("{:.1}\u{a0}s", seconds.max(0.0)),
        (0, 0, s) => format!("{s}\u{a0}s"),
        (0, m, s) => format!("{m}\u{a0}min {s:02}\u{a0}s"),
        (h, m, _) => format!("{h}\u{a0}h {m:02}\u{a0}min"),
    }
}

/// This moment as `2026-01-31 09:30 UTC`.
pub fn now() -> String {
    date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// A number of seconds since 1970 as a date.
fn date(seconds: u64) -> String {
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    let mut day = seconds / 86_400;
    let mut year = 1970;
    let is_leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        (day, month) = (day - length, month + 1);
    }
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC", day + 1)
}

/// A word as it can be typed into a shell.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_827_640), "2000-02-29 12:34 UTC");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59 UTC");
        assert_eq!(date(1_772_323_200), "2026-03-01 00:00 UTC");
    }

    #[test]
    fn numbers_take_the_unit_that_fits() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!([short(999), short(114_576), short(4_100_000)], ["999", "114.6\u{a0}k", "4.10\u{a0}M"]);
        assert_eq!([bytes(458_304), bytes(13_000_000)], ["458.3\u{a0}kB", "13.00\u{a0}MB"]);
        assert_eq!(duration(185.0), "3\u{a0}min 05\u{a0}s");
        assert_eq!(counted(1, "class", "classes"), "1\u{a0}class");
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(shell_word("runs/a-1"), "runs/a-1");
        assert_eq!(shell_word("my run's"), r"'my run'\''s'");
    }
}
