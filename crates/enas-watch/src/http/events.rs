//! Pages that are kept up to date: a stream of server-sent events for each.

use std::sync::Arc as SyncArc;
use std::time::Duration;

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::library::Feed;
use crate::parts::Parts;

/// Time between two signs of life, by which both sides notice that the other is gone.
const BEAT: Duration = Duration::from_secs(15);
/// How long a client may take for what was sent before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages under way to a client. One is enough: only the latest state is of interest.
const UNDER_WAY: usize = 1;

/// A stream that was broken off. Never made: streams end with their connections.
#[derive(Debug, thiserror::Error)]
#[error("the stream ended")]
pub(super) struct Ended;

/// First all parts of a page, then those that change.
///
/// A client that reads slowly gets the latest state when it is ready for it and misses those between; it makes nobody
/// wait and nothing pile up.
///
/// `place` is free again when it ends.
pub(super) fn stream(feed: Feed, place: OwnedSemaphorePermit) -> Channel<Bytes, Ended> {
    let (sender, body) = Channel::new(UNDER_WAY);
    tokio::spawn(async move {
        follow(feed, sender).await;
        drop(place);
    });
    body
}

async fn follow(mut feed: Feed, mut sender: Sender<Bytes, Ended>) {
    let mut shown = SyncArc::new(Parts::default());
    let mut message = "retry: 2000\n\n".to_owned();
    loop {
        let latest = SyncArc::clone(&feed.borrow_and_update());
        message.extend(latest.since(&shown));
        shown = latest;
        if message.is_empty() {
            message.push_str(":\n\n");
        }
        let sent = timeout(PATIENCE, sender.send_data(std::mem::take(&mut message).into())).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
        // Without a change in time, a sign of life.
        if let Ok(Err(_)) = timeout(BEAT, feed.changed()).await {
            return;
        }
    }
}
