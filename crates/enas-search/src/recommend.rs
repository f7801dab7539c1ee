//! Settings derived from the images, for everything that the user does not set.
//!
//! Each is one [`Choice`] of key, value and reason. A `--set` of the same key overrides it.

mod choice;
mod input;
mod recipe;
mod splits;
mod steps;
#[cfg(test)]
mod tests;

use enas_data::check::Report;
use enas_run::choice::Choice;

pub use self::choice::Given;
use self::input::of_input;
pub use self::input::side_of_large_images;
use self::recipe::{of_few_images, recipe, refit};
use self::splits::{Larger, of_unequal_classes};
use self::steps::of_number;

/// Recommends the settings for the images of a report that are not given.
pub fn recommend(report: &Report, given: &Given) -> Vec<Choice> {
    let larger = Larger::of(report, given);
    let (train, valid, test) = larger.sizes();
    let larger_splits = larger.choices();
    let mut choices = of_input(report, given);
    choices.extend(larger_splits);
    choices.extend(of_number(train, given.batch_size));
    choices.extend(recipe(train, report.coloured > 0));
    choices.extend(of_unequal_classes(&larger));
    if given.refits {
        choices.push(refit(report, train, valid, test));
        choices.extend(of_few_images(train));
    }
    choices
}
