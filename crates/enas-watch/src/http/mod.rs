//! The HTTP server: loopback only, GET and HEAD only, a bounded number of connections, one page for each run.

mod events;
mod guard;
mod respond;
mod stall_timeout;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc as SyncArc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

use crate::error::{Error, Result};
use crate::run_catalog::RunCatalog;
use stall_timeout::StallTimeout;

/// Maximum number of connections; further ones wait.
const CONNECTIONS: usize = 64;
/// Maximum number of connections that are event streams. The server may notice late that their clients have gone, so
/// the remaining connections stay available for requests of pages.
const STREAMS: usize = 48;
/// How long a client may take to send the head of a request, or keep a connection open without one.
const HEAD: Duration = Duration::from_secs(20);
/// How long a client may accept no data of a response.
const TAKE: Duration = Duration::from_secs(20);
/// Maximum length of a request's head, in bytes.
const HEAD_BYTES: usize = 16 << 10;
/// Maximum number of its header lines.
const HEAD_LINES: usize = 100;
/// Time between two refreshes of the runs.
const LOOK: Duration = Duration::from_secs(1);
/// Time between two checks of the stop flag.
const STOP: Duration = Duration::from_millis(100);
/// The ports tried if none is requested.
const PORTS: std::ops::Range<u16> = 6007..6017;

/// Opens the requested port. Without a request, opens the first free one of [`PORTS`], else any free port.
pub(crate) fn listen(port: Option<u16>) -> Result<std::net::TcpListener> {
    let open = |port| std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listener = match port {
        Some(port) => open(port).map_err(|source| Error::Port { port, source })?,
        None => match PORTS.map(open).find_map(std::io::Result::ok) {
            Some(listener) => listener,
            None => open(0)?,
        },
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves pages until `stop` is true.
pub(crate) fn serve(
    listener: std::net::TcpListener,
    run_catalog: RunCatalog,
    stop: &AtomicBool,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(4)
        .thread_name("enas-watch")
        .build()?;
    let result = runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let port = listener.local_addr()?.port();
        let run_catalog = SyncArc::new(run_catalog);
        tokio::spawn(accept(listener, port, SyncArc::clone(&run_catalog)));
        tokio::spawn(look(run_catalog));
        stopped(stop).await;
        Ok(())
    });
    // Responses that are still being sent are aborted after this time.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

async fn accept(listener: TcpListener, port: u16, run_catalog: SyncArc<RunCatalog>) {
    let places = SyncArc::new(Semaphore::new(CONNECTIONS));
    let streams = SyncArc::new(Semaphore::new(STREAMS));
    loop {
        let Ok(place) = SyncArc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) if peer.ip().is_loopback() => {
                let run_catalog = SyncArc::clone(&run_catalog);
                let streams = SyncArc::clone(&streams);
                tokio::spawn(async move {
                    converse(stream, port, run_catalog, streams).await;
                    drop(place);
                });
            }
            Ok((_, peer)) => tracing::warn!("refused a connection from {peer}"),
            Err(e) => {
                // For example too many open files, which is temporary.
                tracing::debug!("a connection failed: {e}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    port: u16,
    run_catalog: SyncArc<RunCatalog>,
    streams: SyncArc<Semaphore>,
) {
    let service = service_fn(move |request| {
        let run_catalog = SyncArc::clone(&run_catalog);
        let streams = SyncArc::clone(&streams);
        async move { Ok::<_, Infallible>(respond::answer(&request, port, run_catalog, streams).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        .serve_connection(TokioIo::new(StallTimeout::new(stream, TAKE)), service);
    if let Err(e) = connection.await {
        tracing::debug!("a connection ended: {e}");
    }
}

/// Refreshes the runs periodically on a thread for blocking work, so that requests are still answered meanwhile.
async fn look(run_catalog: SyncArc<RunCatalog>) {
    let mut times = tokio::time::interval(LOOK);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let run_catalog = SyncArc::clone(&run_catalog);
        match tokio::task::spawn_blocking(move || run_catalog.refresh()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("{e}"),
            Err(e) => tracing::warn!("cannot read the runs: {e}"),
        }
    }
}

async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(STOP).await;
    }
}
