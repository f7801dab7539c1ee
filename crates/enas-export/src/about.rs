//! Description and metadata of an exported file.

use enas_run::Model;
use serde_json::{Value, json};

use crate::proto::Entry;

/// How to use the file, for readers who open it in a viewer.
pub(crate) fn doc(model: &Model) -> String {
    let input = model.input();
    format!(
        "Image classifier with {classes} classes. Input `pictures`: [batch, {channels}, {height}, {width}], {order}, \
         values byte/255 from 0 to 1; normalisation is part of the graph. Outputs `logits` and `probabilities`: \
         [batch, {classes}]. Class names are in the metadata.",
        classes = model.classes().len(),
        channels = input.channels,
        height = input.height,
        width = input.width,
        order = channel_order(model),
    )
}

/// The meaning of the channels.
pub(crate) fn channel_order(model: &Model) -> &'static str {
    if model.input().channels == 3 { "RGB" } else { "grey" }
}

/// The metadata, sorted by key. Lists and numbers are in JSON.
pub(crate) fn metadata(model: &Model) -> Vec<Entry> {
    let data = model.data_config();
    let accuracy = model.accuracy();
    // Strings are written without the quotation marks of JSON.
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut entries = vec![
        ("arc", model.arch().to_string()),
        ("background", "white".to_owned()),
        ("channel_order", channel_order(model).to_owned()),
        ("classes", text(&json!(model.classes()))),
        ("enas_version", model.version().to_owned()),
        ("float_white_level", text(&json!(data.float_white_level))),
        ("normalization", text(&json!(model.normalization()))),
        ("resize", text(&json!(data.resize))),
        ("resize_filter", text(&json!(data.resize_filter))),
        ("temperature", text(&json!(model.temperature()))),
        ("test_accuracy", text(&json!(accuracy.test))),
        ("valid_accuracy", text(&json!(accuracy.valid))),
        ("value_range", "0 to 1 (byte / 255)".to_owned()),
        ("white_level", text(&json!(data.white_level))),
    ];
    entries.extend(data.wide_white_level.map(|level| ("wide_white_level", level.to_string())));
    entries.into_iter().map(|(key, value)| Entry { key: Some(key.to_owned()), value: Some(value) }).collect()
}
