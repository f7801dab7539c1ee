//! Settings: files, and assignments on top of them.

use enas_search::{ConfigBuilder, SearchConfig, Settings, TrainConfig};

use crate::place;

/// A file, and after a NUL byte assignments, one per line. Writing accepted settings and reading them again must give
/// the same.
pub fn config(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let file = parts.next().unwrap_or_default();
    let assignments = parts.next().unwrap_or_default();
    let path = place::file("config.toml", file);
    let assignments = String::from_utf8_lossy(assignments);
    for base in [ConfigBuilder::file(path), ConfigBuilder::preset("quick")] {
        let layers = assignments.lines().take(20).fold(base, |layers, line| layers.set(line));
        unchanged(layers.load::<SearchConfig>().ok());
        unchanged(layers.load::<TrainConfig>().ok());
    }
}

fn unchanged<C: Settings>(config: Option<C>) {
    let Some(config) = config else { return };
    let text = toml::to_string(&config).expect("settings are plain data");
    let again: C =
        ConfigBuilder::file(place::file("again.toml", text.as_bytes())).load().expect("it was accepted before");
    assert_eq!(toml::to_string(&again).expect("settings are plain data"), text);
}
