//! The `use` declarations of a module and the paths in its code.

use super::source::words;

/// A name that a module imports: `use a::b as c` has the path `a`, `b` and the name `c`; a glob has the name `*`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Use {
    pub(super) path: Vec<String>,
    pub(super) name: String,
    /// Whether other modules can use it from here.
    pub(super) is_exported: bool,
}

/// Splits blanked code into its `use` declarations and the code without them.
pub(super) fn split(code: &str) -> (Vec<Use>, String) {
    let mut uses = Vec::new();
    let mut rest = String::new();
    let mut from = 0;
    let is_use =
        |(at, word): &(usize, &str)| *word == "use" && code[at + 3..].starts_with(char::is_whitespace);
    for (at, _) in words(code).filter(is_use) {
        let Some(length) = code[at..].find(';') else { break };
        if at < from {
            continue;
        }
        let before = code[from..at].trim_end();
        let is_exported = before.ends_with("pub") || before.ends_with(')') && before.contains("pub(");
        expand(&code[at + 3..at + length], &[], is_exported && !before.ends_with("pub(self)"), &mut uses);
        rest += &code[from..at];
        from = at + length + 1;
    }
    rest += &code[from..];
    (uses, rest)
}

/// Expands a tree such as `a::{self, b as c, d::*}`.
fn expand(tree: &str, prefix: &[String], is_exported: bool, uses: &mut Vec<Use>) {
    let tree = tree.trim().trim_start_matches("::");
    if let Some((before, inner)) = tree.split_once('{') {
        let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
        let path = joined(prefix, before);
        parts(inner).into_iter().for_each(|part| expand(part, &path, is_exported, uses));
        return;
    }
    let (path, name) = match tree.split_once(" as ") {
        Some((path, name)) => (path, Some(name.trim().to_owned())),
        None => (tree, None),
    };
    let mut path = joined(prefix, path);
    let is_self = path.len() > 1 && path.last().is_some_and(|last| last == "self");
    if is_self {
        path.pop();
    }
    if let Some(last) = path.last().cloned() {
        if last == "*" {
            path.pop();
        }
        uses.push(Use { path, name: name.unwrap_or(last), is_exported });
    }
}

fn joined(prefix: &[String], path: &str) -> Vec<String> {
    let own = path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    prefix.iter().cloned().chain(own).collect()
}

/// Splits a list at the commas that are not in inner braces.
fn parts(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut from = 0;
    for (i, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&list[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[from..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

/// All paths of two or more names in the code, such as `super::a::b`.
pub(super) fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut current: Vec<String> = Vec::new();
    let mut end = 0;
    for (at, word) in words(code) {
        if code[end..at].trim() != "::" || current.is_empty() {
            found.push(std::mem::take(&mut current));
        }
        current.push(word.to_owned());
        end = at + word.len();
    }
    found.push(current);
    found.retain(|path| path.len() > 1);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: &str) -> Vec<String> {
        let (uses, _) = split(code);
        let one =
            |u: &Use| format!("{} {}{}", u.path.join("/"), u.name, if u.is_exported { " pub" } else { "" });
        uses.iter().map(one).collect()
    }

    #[test]
    fn trees_are_expanded() {
        assert_eq!(
            told("use crate::a::{self, b as c, d::{E, f::*}};\nfn x() {}"),
            ["crate/a a", "crate/a/b c", "crate/a/d/E E", "crate/a/d/f *"]
        );
        assert_eq!(
            told("pub use self::a::B;\npub(crate) use super::C;\nuse d;"),
            ["self/a/B B pub", "super/C C pub", "d d"]
        );
    }

    #[test]
    fn code_without_declarations_and_its_paths_remain() {
        let (_, code) = split("use a::b;\nfn f() -> super::c::D { e::g(h) }\n");
        assert_eq!(paths(&code), [vec!["super", "c", "D"], vec!["e", "g"]]);
    }
}
