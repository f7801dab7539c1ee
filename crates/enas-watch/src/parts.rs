//! The parts of a page that change. Each is an element with an id and is sent again only after a change.

use std::sync::Arc as SyncArc;

use serde_json::json;

/// Parts of a page, in the order of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts(Vec<(&'static str, SyncArc<str>)>);

impl Parts {
    pub(crate) fn add(&mut self, id: &'static str, html: impl Into<SyncArc<str>>) {
        self.0.push((id, html.into()));
    }

    /// The HTML of a part; empty if there is none.
    pub(crate) fn get(&self, id: &str) -> &str {
        self.0.iter().find(|(name, _)| *name == id).map_or("", |(_, html)| html)
    }

    /// The messages of an event stream that update a page from `before`; `None` if nothing has changed.
    pub(crate) fn since(&self, before: &Self) -> Option<String> {
        let changed = self.0.iter().filter(|(id, html)| before.get(id) != &**html || !before.has(id));
        let message: String =
            changed.map(|(id, html)| format!("data: {}\n\n", json!({"id": id, "html": &**html}))).collect();
        (!message.is_empty()).then_some(message)
    }

    fn has(&self, id: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_sent_and_each_message_is_one_line() {
        let parts = |a: &str, b: &str| {
            let mut parts = Parts::default();
            parts.add("a", a);
            parts.add("b", b);
            parts
        };
        let old = parts("1\n2", "");
        assert_eq!(
            old.since(&Parts::default()).unwrap(),
            "data: {\"html\":\"1\\n2\",\"id\":\"a\"}\n\ndata: {\"html\":\"\",\"id\":\"b\"}\n\n"
        );
        assert_eq!(old.since(&old), None);
        assert_eq!(parts("1\n2", "x").since(&old).unwrap(), "data: {\"html\":\"x\",\"id\":\"b\"}\n\n");
    }
}
