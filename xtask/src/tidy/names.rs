//! Rules about the names of types and modules.

use std::collections::BTreeMap;

use super::problem::Problem;
use super::source::Source;

/// Names of types and modules, in lower case for modules, that say nothing to readers from the field.
const BANNED: [&str; 15] = [
    "Moment", "Layers", "Waves", "Shelves", "Outline", "Patient", "Doctor", "Pace", "Seal", "Tally", "Facts",
    "Walk", "Library", "Holding", "Squash",
];

/// Names that several crates may define, each with the reason.
const SHARED: [(&str, &str); 5] = [
    ("Error", "the error of its crate"),
    ("Result", "the result with the error of its crate"),
    ("Config", "the settings of its crate"),
    ("Args", "the arguments of a command, beside its function"),
    (
        "NamedTensor",
        "a tensor and its name: the same pair in child and controller, which do not know each other",
    ),
];

const TYPES: [&str; 5] = ["struct", "enum", "trait", "type", "union"];

/// Types and modules in a file with a banned name.
pub(super) fn banned(path: &str, source: &Source) -> Vec<Problem> {
    let is_banned = |name: &str, is_type: bool| {
        BANNED.iter().any(|banned| if is_type { name == *banned } else { name == banned.to_lowercase() })
    };
    let types = source.definitions(&TYPES).into_iter().filter(|(_, name, _)| is_banned(name, true));
    let modules = source.definitions(&["mod"]).into_iter().filter(|(_, name, _)| is_banned(name, false));
    let problem = |(at, name, _): (usize, &str, bool)| Problem {
        place: format!("{path}:{}", source.line(at)),
        what: format!("defines {name}"),
        why: "a name is the field's word for the thing, without a metaphor",
    };
    types.chain(modules).map(problem).collect()
}

/// The definitions of public types, by name: the places of each.
#[derive(Default)]
pub(super) struct PublicTypes {
    places: BTreeMap<String, Vec<String>>,
}

impl PublicTypes {
    /// Adds the types of a file. Types that an implementation names (`type Item = …`) are not public definitions.
    pub(super) fn add(&mut self, path: &str, source: &Source) {
        for (at, name, is_public) in source.definitions(&TYPES) {
            if is_public {
                let place = format!("{path}:{}", source.line(at));
                self.places.entry(name.to_owned()).or_default().push(place);
            }
        }
    }

    /// The names with more than one definition, except those that may be shared.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let is_shared = |name: &String| SHARED.iter().any(|(shared, _)| shared == name);
        let several = self.places.iter().filter(|(name, places)| places.len() > 1 && !is_shared(name));
        let problem = |(name, places): (&String, &Vec<String>)| Problem {
            place: places[0].clone(),
            what: format!("defines the public type {name}, as {} does", places[1..].join(", ")),
            why: "a type name with one meaning in the workspace can be searched for",
        };
        several.map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_types_and_modules_are_found() {
        let source = Source::new("mod doctor;\npub struct Tally;\nfn tally() {}\nstruct TallySheet;\n");
        let found: Vec<String> = banned("a.rs", &source).into_iter().map(|problem| problem.place).collect();
        assert_eq!(found, ["a.rs:2", "a.rs:1"]);
    }

    #[test]
    fn a_public_type_is_defined_once() {
        let mut types = PublicTypes::default();
        types.add("a.rs", &Source::new("pub struct Arc;\npub enum Error {}\npub(crate) struct Own;\n"));
        types.add("b.rs", &Source::new("\npub type Arc = u8;\npub struct Error;\npub(crate) struct Own;\n"));
        let problems = types.problems();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place, "a.rs:1");
        assert_eq!(problems[0].what, "defines the public type Arc, as b.rs:2 does");
    }
}
