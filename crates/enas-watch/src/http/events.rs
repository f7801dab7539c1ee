//! Live updates of pages: a stream of server-sent events (SSE) for each open page.

use std::sync::Arc as SyncArc;
use std::time::Duration;

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::parts::Parts;
use crate::run_catalog::Feed;

/// Time between two heartbeats. With them, both sides notice that the other has gone.
const BEAT: Duration = Duration::from_secs(15);
/// How long a client may take to accept a message before the stream ends.
const PATIENCE: Duration = Duration::from_secs(30);
/// Number of messages in flight to a client. One is enough, as only the latest state is of interest.
const UNDER_WAY: usize = 1;

/// The error type of an aborted stream. It is never constructed: a stream ends with its connection.
#[derive(Debug, thiserror::Error)]
#[error("the stream ended")]
pub(super) struct Ended;

/// Sends all parts of a page first, then the parts that change.
///
/// A slow client gets the latest state when it is ready and misses the states between. So it delays no other client,
/// and no messages queue up.
///
/// The permit `place` is released when the stream ends.
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
        // No change within this time: the next message is a heartbeat.
        if let Ok(Err(_)) = timeout(BEAT, feed.changed()).await {
            return;
        }
    }
}
