//! Settings for the input of the network: size and channels.

use enas_data::check::Report;

use enas_run::choice::Choice;

use super::choice::{Given, choice};

/// Images up to this side, in pixels, keep their size.
const SMALL: usize = 40;
/// Sides of the network input for larger images, in pixels.
const MEDIUM: usize = 48;
const LARGE: usize = 64;
/// Time limit in seconds below which [`MEDIUM`] is used instead of [`LARGE`], so that more steps fit in.
const HURRY: f64 = 40.0;
/// Images up to this longest side, in pixels, are reduced to [`MEDIUM`].
const MEDIUM_IMAGES: usize = 56;

/// The side of the network input for images above 56 pixels, with a time limit in seconds.
pub fn side_of_large_images(seconds: Option<f64>) -> usize {
    if seconds.is_some_and(|seconds| seconds < HURRY) { MEDIUM } else { LARGE }
}

/// Settings for the size and the channels of the input.
pub(super) fn of_input(report: &Report, given: &Given) -> Vec<Choice> {
    let mut choices = Vec::new();
    if let Some(sizes) = &report.sizes {
        let width = sizes.widths[1];
        let height = sizes.heights[1];
        let side = width.max(height);
        let (size, why) = if side <= SMALL {
            (side.max(8), "small images keep their size")
        } else if side <= MEDIUM_IMAGES {
            (MEDIUM, "larger ones are reduced")
        } else {
            let side = side_of_large_images(given.seconds);
            let is_short = side < LARGE;
            (side, if is_short { "the time is too short for larger ones" } else { "larger ones are reduced" })
        };
        if given.image_size.is_none() {
            choices.push(choice("data.image_size", size, format!("the median is {width}x{height}; {why}")));
        }
        let size = given.image_size.unwrap_or(size);
        // 28 pixels halved three times would leave 4.
        let reductions = if size <= SMALL { "two" } else { "three" };
        let reason = format!("the size of the feature maps halves that often, from {size}");
        choices.push(choice("child.reductions", reductions, reason));
    }
    let (channels, reason) = match report.coloured {
        0 => (1, "all images are grey".to_owned()),
        n => (3, format!("{n} of {} images have colours", report.usable)),
    };
    choices.push(choice("data.channels", channels, reason));
    choices
}
