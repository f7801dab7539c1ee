//! The length of files.

use super::problem::Problem;
use super::source::Source;

/// The most lines of a file, without its tests.
const LONGEST: usize = 350;

/// Files that may be longer, each with the reason.
const LONGER: [(&str, &str); 0] = [];

/// Checks the length of a file of code. Files of tests may have any length.
pub(super) fn length(path: &str, source: &Source) -> Option<Problem> {
    let is_allowed = LONGER.iter().any(|(file, _)| *file == path);
    (source.lines > LONGEST && !is_allowed && !is_of_tests(path)).then(|| Problem {
        place: path.to_owned(),
        what: format!("has {} lines without its tests; {LONGEST} are allowed", source.lines),
        why: "a file that does one thing is short enough to be read in one go",
    })
}

fn is_of_tests(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_outside_of_tests_count() {
        let code = "const A: u8 = 0;\n".repeat(LONGEST);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(length("a.rs", &Source::new(&format!("{code}{tests}"))), None);
        let long = Source::new(&format!("// One more.\n{code}{tests}"));
        assert_eq!(length("crates/a/src/a.rs", &long).unwrap().place, "crates/a/src/a.rs");
        assert_eq!(length("crates/a/tests/a.rs", &long), None);
    }
}
