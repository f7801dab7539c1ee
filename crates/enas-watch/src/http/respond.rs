//! Routing: from the path of a request to a response. Paths are compared with those of known runs; they are never
//! decoded or joined to a file path.

use std::sync::Arc as SyncArc;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode};

use tokio::sync::Semaphore;

use super::{events, guard};
use crate::error::Result;
use crate::page as pages;
use crate::run_catalog::RunCatalog;

pub(super) type Body = BoxBody<Bytes, events::Ended>;

/// Headers of every response: no foreign content, no use by foreign pages, no access to devices.
const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The response to a request.
pub(super) async fn answer(
    request: &Request<Incoming>,
    port: u16,
    run_catalog: SyncArc<RunCatalog>,
    streams: SyncArc<Semaphore>,
) -> Response<Body> {
    let mut response = match guard::refusal(request, port) {
        Some((status, why)) => whole(status, TEXT, format!("{why}\n")),
        None => allowed(request, run_catalog, streams).await,
    };
    if response.status() == StatusCode::FORBIDDEN {
        // Connections are scarce, and a client with a foreign host name is not a reader of these pages.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn allowed(
    request: &Request<Incoming>,
    run_catalog: SyncArc<RunCatalog>,
    streams: SyncArc<Semaphore>,
) -> Response<Body> {
    let path = request.uri().path();
    match path {
        "/" => {
            return page(run_catalog, |run_catalog| Ok(Some(run_catalog.overview()?.map(Bytes::from)))).await;
        }
        "/compare" => {
            return page(run_catalog, |run_catalog| Ok(Some(Ok(run_catalog.comparison()?.into())))).await;
        }
        "/style.css" => return whole(StatusCode::OK, "text/css; charset=utf-8", pages::style()),
        "/live.js" => return whole(StatusCode::OK, "text/javascript; charset=utf-8", pages::SCRIPT),
        _ => {}
    }
    if let Some(slug) = path.strip_prefix("/run/") {
        let slug = slug.to_owned();
        return page(run_catalog, move |run_catalog| {
            Ok(run_catalog.page(&slug)?.map(|html| Ok(html.into())))
        })
        .await;
    }
    if let Some(slug) = path.strip_prefix("/report/") {
        let slug = slug.to_owned();
        return page(run_catalog, move |run_catalog| {
            Ok(run_catalog.report(&slug).map(|html| Ok(html.into())))
        })
        .await;
    }
    let feed = match (path, path.strip_prefix("/events/")) {
        ("/events", _) => Some(run_catalog.overview_feed()),
        (_, Some(slug)) => run_catalog.feed(slug),
        _ => None,
    };
    match feed {
        Some(feed) => stream(feed, request.method() == Method::HEAD, streams),
        None => missing(),
    }
}

/// A page, made on a thread for blocking work because it may read many files. An inner `Err` is a redirect.
async fn page(
    run_catalog: SyncArc<RunCatalog>,
    make: impl FnOnce(&RunCatalog) -> Result<Option<Result<Bytes, String>>> + Send + 'static,
) -> Response<Body> {
    match tokio::task::spawn_blocking(move || make(&run_catalog)).await {
        Ok(Ok(Some(Ok(html)))) => whole(StatusCode::OK, HTML, html),
        Ok(Ok(Some(Err(elsewhere)))) => {
            let mut response = whole(StatusCode::SEE_OTHER, TEXT, "");
            let address = HeaderValue::from_str(&elsewhere).expect("names in addresses are plain ASCII");
            response.headers_mut().insert(LOCATION, address);
            response
        }
        Ok(Ok(None)) => missing(),
        Ok(Err(e)) => failed(&e.to_string()),
        Err(e) => failed(&e.to_string()),
    }
}

fn failed(why: &str) -> Response<Body> {
    tracing::warn!("cannot create a page: {why}");
    whole(
        StatusCode::INTERNAL_SERVER_ERROR,
        TEXT,
        "The page could not be created; the terminal of enas watch shows the reason.\n",
    )
}

fn missing() -> Response<Body> {
    match pages::missing() {
        Ok(html) => whole(StatusCode::NOT_FOUND, HTML, html),
        Err(e) => failed(&e.to_string()),
    }
}

fn whole(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(text.into()).map_err(|never| match never {}).boxed();
    with_kind(status, kind, body)
}

fn stream(feed: crate::run_catalog::Feed, only_head: bool, streams: SyncArc<Semaphore>) -> Response<Body> {
    let body = if only_head {
        Empty::new().map_err(|never| match never {}).boxed()
    } else if let Ok(place) = streams.try_acquire_owned() {
        events::stream(feed, place).boxed()
    } else {
        return whole(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "Too many pages are open; close some of them.\n",
        );
    };
    with_kind(StatusCode::OK, "text/event-stream", body)
}

fn with_kind(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
