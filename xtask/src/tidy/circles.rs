//! Circles between the modules of a crate.
//!
//! A module is a file. It depends on the files that define what it uses; re-exports are followed to these. A `pub use`
//! alone is not a dependency of the module that has it.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::Problem;
use super::source::{Source, words};
use super::uses::{Use, paths, split};

/// A module is known by its path within the crate; that of the crate's root is empty.
type ModulePath = Vec<String>;

/// The most re-exports that are followed for one name.
const DEEPEST: usize = 12;

const ITEMS: [&str; 9] = ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules"];

struct Module {
    uses: Vec<Use>,
    /// The code without its `use` declarations.
    code: String,
    defined: BTreeSet<String>,
}

/// The modules of one crate.
pub(super) struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

impl Crate {
    /// Reads a crate from its files: their paths below `src/`, and their texts.
    pub(super) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let sources: Vec<(ModulePath, Source)> =
            files.into_iter().map(|(path, text)| (module_path(path), Source::new(text))).collect();
        let for_tests: Vec<ModulePath> = sources
            .iter()
            .flat_map(|(path, source)| source.test_modules.iter().map(|name| child(path, name)))
            .collect();
        let modules = sources
            .into_iter()
            .filter(|(path, _)| !for_tests.iter().any(|test| path.starts_with(test)))
            .map(|(path, source)| (path, Module::new(&source)))
            .collect();
        Self { modules }
    }

    /// Every group of modules that depend on each other, with one circle as an example.
    pub(super) fn problems(&self, place: &str) -> Vec<Problem> {
        let edges: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> =
            self.modules.keys().map(|path| (path, self.dependencies(path))).collect();
        let mut reported: BTreeSet<&ModulePath> = BTreeSet::new();
        let mut problems = Vec::new();
        for start in self.modules.keys() {
            let Some(circle) = circle(start, &edges).filter(|_| !reported.contains(start)) else { continue };
            reported.extend(
                self.modules
                    .keys()
                    .filter(|other| reaches(start, other, &edges) && reaches(other, start, &edges)),
            );
            let names: Vec<String> = circle.iter().map(|path| shown(path)).collect();
            problems.push(Problem {
                place: place.to_owned(),
                what: format!("modules use each other: {}", names.join(" → ")),
                why: "modules without circles can be read from the bottom up and moved alone",
            });
        }
        problems
    }

    /// The other modules that define what a module uses.
    fn dependencies<'a>(&'a self, from: &'a ModulePath) -> BTreeSet<&'a ModulePath> {
        let module = &self.modules[from];
        let mut found = BTreeSet::new();
        for used in &module.uses {
            // Names of modules are resolved where the code uses them; an export is not a use.
            let leads_to_module = self.module(from, &used.path).is_some();
            let is_named = || words(&module.code).any(|(_, word)| word == used.name);
            if used.name == "*" && !used.is_exported || !leads_to_module && (!used.is_exported || is_named())
            {
                found.extend(self.definer(from, &used.path));
            }
        }
        for path in paths(&module.code) {
            found.extend(self.definer(from, &path));
        }
        found.remove(from);
        found
    }

    /// The module that a path leads to, if it leads to a module itself.
    fn module(&self, from: &ModulePath, path: &[String]) -> Option<&ModulePath> {
        let (start, rest) = self.start(from, path)?;
        let (at, left) = self.walk(start, rest, DEEPEST)?;
        left.is_empty().then_some(at)
    }

    /// The module that defines what a path names; `None` for paths that leave the crate.
    fn definer(&self, from: &ModulePath, path: &[String]) -> Option<&ModulePath> {
        let (start, rest) = self.start(from, path)?;
        self.walk(start, rest, DEEPEST).map(|(at, _)| at)
    }

    /// Where a path begins, and what is left of it.
    fn start<'p>(&self, from: &ModulePath, path: &'p [String]) -> Option<(&ModulePath, &'p [String])> {
        let (first, rest) = path.split_first()?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" => (Vec::new(), rest),
            "self" => (from.clone(), rest),
            "super" => (from[..from.len().checked_sub(1)?].to_vec(), rest),
            name if self.modules.contains_key(&child(from, name)) || self.imported(from, name).is_some() => {
                (from.clone(), path)
            }
            _ => return None,
        };
        while let Some(("super", after)) = rest.split_first().map(|(first, after)| (first.as_str(), after)) {
            at.pop()?;
            rest = after;
        }
        Some((self.modules.get_key_value(&at)?.0, rest))
    }

    fn imported(&self, module: &ModulePath, name: &str) -> Option<&Use> {
        self.modules.get(module)?.uses.iter().find(|used| used.name == name)
    }

    /// Follows a path from a module through inner modules and imports, to the module that defines its end. Returns what
    /// is left of the path there: nothing if it ends at a module.
    fn walk<'p>(
        &self,
        at: &ModulePath,
        path: &'p [String],
        depth: usize,
    ) -> Option<(&ModulePath, &'p [String])> {
        let (here, module) = self.modules.get_key_value(at)?;
        let Some((name, rest)) = path.split_first() else { return Some((here, path)) };
        if depth == 0 {
            return Some((here, path));
        }
        let inner = child(here, name);
        if self.modules.contains_key(&inner) {
            return self.walk(&inner, rest, depth - 1);
        }
        if module.defined.contains(name) {
            return Some((here, path));
        }
        if let Some(used) = self.imported(here, name) {
            let (start, on) = self.start_of_import(here, used)?;
            let (there, left) = self.walk(start, on, depth - 1)?;
            // An import of a module goes on with the rest of the path; else the item is there.
            return if left.is_empty() { self.walk(there, rest, depth - 1) } else { Some((there, path)) };
        }
        let globs = module.uses.iter().filter(|used| used.name == "*");
        let through_glob = globs.filter_map(|glob| {
            let source = self.module(here, &glob.path).filter(|source| *source != here)?;
            let (there, left) = self.walk(source, path, depth - 1)?;
            (left.is_empty() || self.modules[there].defined.contains(name)).then_some((there, left))
        });
        through_glob.into_iter().next().or(Some((here, path)))
    }

    /// [`Self::start`] for an import. An import whose first name is its own (`use a::b as a`) leaves the crate.
    fn start_of_import<'u>(&self, here: &ModulePath, used: &'u Use) -> Option<(&ModulePath, &'u [String])> {
        let leaves =
            used.path.first() == Some(&used.name) && !self.modules.contains_key(&child(here, &used.name));
        if leaves { None } else { self.start(here, &used.path) }
    }
}

impl Module {
    fn new(source: &Source) -> Self {
        let (uses, code) = split(&source.code);
        let defined = source.definitions(&ITEMS).into_iter().map(|(_, name, _)| name.to_owned()).collect();
        Self { uses, code, defined }
    }
}

fn child(path: &ModulePath, name: &str) -> ModulePath {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

fn shown(path: &ModulePath) -> String {
    if path.is_empty() { "crate".to_owned() } else { path.join("::") }
}

/// The module of a file below `src/`: `a.rs` and `a/mod.rs` are `a`, `lib.rs` and `main.rs` the root.
fn module_path(file: &str) -> ModulePath {
    let parts = file.trim_end_matches(".rs").split('/').map(str::to_owned);
    let mut path: ModulePath = parts.collect();
    let is_root = path.len() == 1 && (path[0] == "lib" || path[0] == "main");
    if is_root || path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// The shortest way from a module back to itself.
fn circle<'a>(
    start: &'a ModulePath,
    edges: &BTreeMap<&'a ModulePath, BTreeSet<&'a ModulePath>>,
) -> Option<Vec<&'a ModulePath>> {
    let mut ways = vec![vec![start]];
    let mut seen: BTreeSet<&ModulePath> = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way.last().and_then(|last| edges.get(last)).into_iter().flatten().copied() {
                let on: Vec<&ModulePath> = way.iter().copied().chain([next]).collect();
                if next == start {
                    return Some(on);
                }
                if seen.insert(next) {
                    longer.push(on);
                }
            }
        }
        ways = longer;
    }
    None
}

fn reaches<'a>(
    from: &'a ModulePath,
    to: &ModulePath,
    edges: &BTreeMap<&'a ModulePath, BTreeSet<&'a ModulePath>>,
) -> bool {
    let mut seen: BTreeSet<&ModulePath> = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        open.extend(edges.get(at).into_iter().flatten().copied().filter(|next| seen.insert(*next)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let problems = Crate::new(files.iter().copied()).problems("a crate");
        let told = |problem: Problem| problem.what.trim_start_matches("modules use each other: ").to_owned();
        problems.into_iter().map(told).collect()
    }

    #[test]
    fn modules_that_use_each_other_are_a_circle() {
        let files =
            [("lib.rs", "mod a;\nmod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "use super::a::A;")];
        assert_eq!(circles(&files), ["a → b → a"]);
    }

    #[test]
    fn use_of_lower_modules_only_is_none() {
        let files = [
            ("main.rs", "mod a;\nmod b;\nuse a::A;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "pub struct B;"),
        ];
        assert_eq!(circles(&files), Vec::<String>::new());
    }

    #[test]
    fn re_exports_are_followed_in_both_layouts() {
        for parent in ["a/mod.rs", "a.rs"] {
            // The export of `a` alone is not a dependency, and the two inner modules do not use each other.
            let text = "mod x;\nmod y;\npub(crate) use self::x::X;\npub use y::Y as Z;";
            let calm = [
                ("lib.rs", "mod a;"),
                (parent, text),
                ("a/x.rs", "use super::Z;"),
                ("a/y.rs", "pub struct Y;"),
            ];
            assert_eq!(circles(&calm), Vec::<String>::new(), "{parent}");
            let round = [
                ("lib.rs", "mod a;"),
                (parent, text),
                ("a/x.rs", "use super::Z;"),
                ("a/y.rs", "fn y(_: crate::a::X) {}"),
            ];
            assert_eq!(circles(&round), ["a::x → a::y → a::x"], "{parent}");
        }
    }

    #[test]
    fn an_export_that_the_module_uses_itself_is_a_dependency() {
        let parent = "mod x;\npub use x::X;\npub struct P(X);";
        let files = [("lib.rs", "mod a;"), ("a/mod.rs", parent), ("a/x.rs", "use super::P;\npub struct X;")];
        assert_eq!(circles(&files), ["a → a::x → a"]);
    }

    #[test]
    fn globs_and_imported_modules_lead_to_definitions() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use a::*;"),
            ("a.rs", "use crate::b;\npub struct A;\nfn f() { b::g() }"),
            ("b.rs", "use crate::A;\npub fn g() {}"),
        ];
        assert_eq!(circles(&files), ["a → b → a"]);
    }

    #[test]
    fn tests_are_left_out() {
        let files = [
            ("lib.rs", "mod a;\n#[cfg(test)]\nmod far;"),
            ("a.rs", "pub struct A;\n#[cfg(test)]\nmod tests { use crate::far::F; }"),
            ("far.rs", "use crate::a::A;"),
        ];
        assert_eq!(circles(&files), Vec::<String>::new());
    }
}
