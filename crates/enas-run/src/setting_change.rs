//! A setting that differs from that of a run, and the message about those that a run refuses.

/// Settings that do not affect results: write intervals, limits of time and memory, and the place of the images
/// (their content is compared).
pub(crate) const RESULT_NEUTRAL: [&str; 5] =
    ["data.path", "run.checkpoint_seconds", "run.log_every", "run.memory", "run.time"];

/// Maximum number of differences in a message.
const LISTED: usize = 20;

/// A setting that differs from that of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingChange {
    /// The dotted key.
    pub key: String,
    /// Its value in the run.
    pub of_run: String,
    /// The requested value.
    pub asked: String,
}

/// The message about refused changes.
pub(crate) fn refusal(changes: &[SettingChange]) -> String {
    let mut text =
        "a result depends on these settings, which differ from those the run was started with:".to_owned();
    for SettingChange { key, of_run, asked } in changes.iter().take(LISTED) {
        text += &format!("\n  {key}: {of_run} in the run, {asked} asked for");
    }
    if changes.len() > LISTED {
        text += &format!("\n  and {} more", changes.len() - LISTED);
    }
    let harmless = RESULT_NEUTRAL.join(", ");
    text + &format!("\ngo on without them (only {harmless} may change), or start a new run")
}
