//! Automatic choice of settings from the images, for users who named neither a preset nor a file.
//!
//! All commands that train on images share it.

use std::time::Duration;

use enas_data::PreparedImages;
use enas_data::check::{self, Report};
use enas_rng::Seed;
use enas_search::{Choice, Given, Kind, TimeLimit, recommend, side_of_large_images};

use super::Context;
use crate::args::{Extent, Settings};
use crate::terminal::{paragraph, stderr_width};

/// The input of the choice: what the user has set already.
pub(super) struct Asked<'a> {
    /// The settings of the user.
    pub(super) settings: &'a Settings,
    /// The user's flags for epochs and time.
    pub(super) extent: Option<&'a Extent>,
    /// The user's time limit, if it is not in `extent`.
    pub(super) time: Option<TimeLimit>,
    /// Whether a training may continue with the images that it was measured on (refit).
    pub(super) refits: bool,
    /// Assignments that a choice must not override, such as those of the search before a training.
    pub(super) standing: &'a [String],
}

/// The settings of the user with the chosen ones, which the user's override.
pub(super) struct Followed {
    pub(super) settings: Settings,
    /// The choices; empty if the user named a preset or a file.
    pub(super) choices: Vec<Choice>,
    /// Images that were converted while they were examined.
    pub(super) prepared: PreparedImages,
}

impl<'a> Asked<'a> {
    /// Takes the settings of the user and nothing else.
    pub(super) fn of(settings: &'a Settings) -> Self {
        Self { settings, extent: None, time: None, refits: false, standing: &[] }
    }

    /// Whether settings may be chosen from the images.
    ///
    /// That requires that the user named neither a preset nor a file, and that the images have no preset of their
    /// own.
    pub(super) fn is_open(&self, data: &enas_data::Config) -> bool {
        self.settings.preset.is_none() && self.settings.config.is_none() && !data.is_digits()
    }

    /// Examines the images of `data`, chooses open settings for a command of kind `kind`, and announces them.
    pub(super) fn follow(
        &self,
        context: &Context,
        data: &enas_data::Config,
        seed: Seed,
        kind: Kind,
    ) -> Followed {
        let mut prepared = self.prepared_images(data);
        let nothing = |prepared| Followed { settings: self.settings.clone(), choices: Vec::new(), prepared };
        if !self.is_open(data) {
            return nothing(prepared);
        }
        // Problems of the images are reported when they are loaded.
        let checked = check::check_and_prepare(data, seed, &mut prepared, |_| None);
        let Some(report) = checked.ok().filter(|report| report.can_start) else { return nothing(prepared) };
        let mut choices = self.choose(&report);
        choices.retain(|choice| choice.is_for(kind));
        announce(context, FROM_IMAGES, &choices);
        Followed { settings: below(&choices, kind, self.settings), choices, prepared }
    }

    /// Room for large images, as the network input that they will probably be.
    pub(super) fn prepared_images(&self, data: &enas_data::Config) -> PreparedImages {
        let mut input = data.input();
        if self.is_open(data) && !self.sets("data.image_size") {
            input.height = side_of_large_images(self.time().map(|limit| limit.as_secs_f64()));
            input.width = input.height;
        }
        PreparedImages::new(input)
    }

    /// The recommended settings for a report, without those that are set already.
    pub(super) fn choose(&self, report: &Report) -> Vec<Choice> {
        let fraction = |key| self.value(key).and_then(|value| value.parse().ok());
        let given = Given {
            image_size: self.value("data.image_size").and_then(|value| value.parse().ok()),
            valid_fraction: fraction("data.valid_fraction"),
            test_fraction: fraction("data.test_fraction"),
            batch_size: self.value("run.batch_size").and_then(|value| value.parse().ok()),
            seconds: self.time().map(|limit| limit.as_secs_f64()),
            refits: self.refits && self.may_refit(),
        };
        let mut choices = recommend(report, &given);
        // Class weights that the user sets are the user's way to balance classes; both together are refused.
        let rules_out =
            |key: &str| self.sets(key) || key == "data.sampling" && self.sets("run.class_weights");
        choices.retain(|choice| !rules_out(&choice.key));
        choices
    }

    /// The time limit.
    fn time(&self) -> Option<Duration> {
        self.time.or(self.extent.and_then(|extent| extent.time)).and_then(|limit| limit.0)
    }

    /// Whether the settings of the user permit a refit. It continues from the last epoch, with images augmented anew.
    fn may_refit(&self) -> bool {
        let is = |key, wanted| self.value(key).is_none_or(|value| value.trim_matches('"') == wanted);
        is("keep", "last") && is("data.augment.when", "each-epoch")
    }

    /// Whether the user or a standing assignment sets this key.
    pub(super) fn sets(&self, key: &str) -> bool {
        let by_flag = key == "run.epochs" && self.extent.is_some_and(|extent| extent.epochs.is_some());
        by_flag || self.value(key).is_some()
    }

    fn value(&self, key: &str) -> Option<&str> {
        // How often a class is drawn is a matter of each training, like augmentation, and not of the search before.
        let standing = if key == "data.sampling" { &[][..] } else { self.standing };
        let assignments = standing.iter().chain(&self.settings.set);
        let mut parts = assignments.filter_map(|assignment| assignment.split_once('='));
        parts.rfind(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
    }
}

/// Why settings are chosen before a network is measured.
pub(super) const FROM_IMAGES: &str = "settings that follow from the images";

/// Prints the choices with their reasons, one per line, in the form in which a user would type them.
pub(super) fn announce(context: &Context, why: &str, choices: &[Choice]) {
    if choices.is_empty() {
        return;
    }
    context.console.note(&format!("{why}; another --set of the same key wins:"));
    let width = choices.iter().map(|choice| choice.key.len() + choice.value.len()).max().unwrap_or(0);
    // If choices for both kinds are printed, the same key may occur twice.
    let is_for_both =
        [Kind::Search, Kind::Train].iter().all(|kind| choices.iter().any(|c| c.only == Some(*kind)));
    // Those of a search come last, since whether there is one is decided later.
    let (of_search, others): (Vec<&Choice>, Vec<&Choice>) =
        choices.iter().partition(|choice| is_for_both && choice.only == Some(Kind::Search));
    for Choice { key, value, reason, only } in others.into_iter().chain(of_search) {
        let assignment = format!("{key}={value}");
        let whose = match only.filter(|_| is_for_both) {
            Some(Kind::Search) => "if there is a search: ",
            Some(Kind::Train) if key.starts_with("run.") => "the training: ",
            _ => "",
        };
        let label = format!("  --set {assignment:<w$}  ", w = width + 1);
        context.console.note(&paragraph(&label, &format!("{whose}{reason}"), stderr_width()));
    }
}

/// The settings with the choices for a command of kind `kind`; the user's settings override them.
pub(super) fn below(choices: &[Choice], kind: Kind, settings: &Settings) -> Settings {
    let of_kind = choices.iter().filter(|choice| choice.is_for(kind));
    let chosen = of_kind.map(|Choice { key, value, .. }| format!("{key}={value}"));
    Settings { set: chosen.chain(settings.set.iter().cloned()).collect(), ..settings.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(key: &str, only: Option<Kind>) -> Choice {
        Choice { key: key.into(), value: "1".into(), reason: "because".into(), only }
    }

    #[test]
    fn what_is_set_by_hand_comes_last_and_wins() {
        let own = Settings { set: vec!["child.filters=8".into()], ..Settings::default() };
        let choices = [choice("keep", Some(Kind::Train)), choice("data.channels", None)];
        assert_eq!(below(&choices, Kind::Search, &own).set, ["data.channels=1", "child.filters=8"]);
        assert_eq!(below(&choices, Kind::Train, &own).set, ["keep=1", "data.channels=1", "child.filters=8"]);
    }

    #[test]
    fn a_preset_or_a_file_leaves_nothing_open() {
        let photos = enas_data::Config { path: "photos".into(), ..enas_data::Config::default() };
        let open = Settings::default();
        assert!(Asked::of(&open).is_open(&photos));
        assert!(!Asked::of(&open).is_open(&enas_data::Config::default()), "the digits have a preset");
        let preset = Settings { preset: Some("folder".into()), ..Settings::default() };
        let file = Settings { config: Some("my.toml".into()), ..Settings::default() };
        assert!(!Asked::of(&preset).is_open(&photos) && !Asked::of(&file).is_open(&photos));
    }

    #[test]
    fn what_the_user_says_may_rule_a_refit_out() {
        let may = |set: &[&str]| {
            let own = Settings { set: set.iter().map(|s| (*s).to_owned()).collect(), ..Settings::default() };
            Asked::of(&own).may_refit()
        };
        assert!(may(&[]) && may(&["keep=last", "data.augment.when=\"each-epoch\""]));
        assert!(!may(&["keep=best"]) && !may(&["data.augment.when=once"]));
    }

    #[test]
    fn the_last_word_on_a_key_counts() {
        let own = Settings { set: vec!["run.batch_size = 8".into()], ..Settings::default() };
        let standing = ["run.batch_size=64".to_owned(), "data.image_size=28".to_owned()];
        let asked = Asked { standing: &standing, ..Asked::of(&own) };
        assert_eq!((asked.value("run.batch_size"), asked.value("data.image_size")), (Some("8"), Some("28")));
        assert!(asked.sets("data.image_size") && !asked.sets("run.epochs"));
        let standing = ["data.sampling=shuffled".to_owned()];
        assert!(!Asked { standing: &standing, ..Asked::of(&own) }.sets("data.sampling"));
    }
}
