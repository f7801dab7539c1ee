//! HTTP download of one file: stored as `NAME.part` while incomplete, resumed from there, verified by SHA-256 at the
//! end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use enas_data::visible;
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use crate::digest;
use crate::progress::Progress;

/// Maximum number of connections per file.
const ATTEMPTS: usize = 4;

/// Pause before each further attempt.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 2000 });

/// Timeout: a connection that sends nothing for this long counts as broken.
const SILENCE: Duration = Duration::from_secs(60);

/// Size limit in bytes, above every file of the known data sets.
const MAX_BYTES: u64 = 1 << 30;

/// Why an attempt ended.
enum Failure {
    /// The connection broke; another attempt may succeed.
    Cut(Error),
    /// The server refused; another attempt would not help.
    Final(Error),
}

/// Downloads `name` into `folder` from the first of `mirrors` that works; returns its path.
///
/// A file that already exists is verified and kept. `sha256` is the digest of the complete file; a file with another
/// digest is deleted.
///
/// # Errors
/// If every mirror fails or the digest differs.
pub(crate) fn from_mirrors(
    mirrors: &[&str],
    name: &str,
    sha256: &str,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", visible(&folder)))?;
    let path = folder.join(name);
    if path.exists() && digest::of_file(&path)? == sha256 {
        return Ok(path);
    }
    let mut errors = Vec::new();
    for mirror in mirrors {
        match fetch(&format!("{mirror}{name}"), &path, sha256, progress) {
            Ok(()) => return Ok(path),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!("{}", errors.join("; "))
}

/// Downloads `url` to `path`.
fn fetch(url: &str, path: &Path, sha256: &str, progress: &dyn Progress) -> Result<()> {
    let part = part_of(path);
    let agent = agent();
    let mut attempt = 1;
    while let Err(failure) = transfer(&agent, url, &part, progress) {
        match failure {
            Failure::Cut(_) if attempt < ATTEMPTS => {
                attempt += 1;
                thread::sleep(PAUSE);
            }
            Failure::Cut(error) => {
                let kept = size_of(&part);
                return Err(error.context(format!(
                    "{url}: the connection failed {ATTEMPTS} times; {kept} bytes are kept, run the same command to go on from there"
                )));
            }
            Failure::Final(error) => return Err(error.context(url.to_owned())),
        }
    }
    let found = digest::of_file(&part)?;
    if found != sha256 {
        remove(&part)?;
        bail!(
            "{url}: SHA-256 is {found}, expected {sha256}; the download is deleted, run the same command to try again"
        );
    }
    fs::rename(&part, path).with_context(|| format!("cannot rename {}", visible(&part)))
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(SILENCE));
    config.timeout_recv_response(Some(SILENCE)).timeout_per_read(Some(SILENCE)).build().into()
}

/// One connection: requests the missing bytes of `part` and appends them.
fn transfer(agent: &Agent, url: &str, part: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    let have = size_of(part);
    let mut request = agent.get(url).header(header::ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| Failure::Cut(error.into()))?;
    let start = match response.status() {
        StatusCode::PARTIAL_CONTENT if have > 0 => check_range(&response, have).map(|()| have)?,
        // The server does not support ranges and sends the file from its beginning.
        StatusCode::OK => 0,
        // There is nothing after the bytes we have: the file is complete, or wrong, which its digest shows.
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
        status if status.is_server_error() => {
            return Err(Failure::Cut(anyhow!("the server answered {status}")));
        }
        status => return Err(Failure::Final(anyhow!("the server answered {status}"))),
    };
    let length = response.body().content_length();
    progress.set_length(length.map_or(0, |length| start + length));
    progress.set_position(start);
    let output = open_at(part, start).map_err(Failure::Final)?;
    let received = copy(response.into_body().into_reader(), output, start, progress)?;
    match length {
        Some(length) if received != length => {
            Err(Failure::Cut(anyhow!("the connection ended after {received} of {length} bytes")))
        }
        _ => Ok(()),
    }
}

/// Requires that a partial response begins at byte `have`.
fn check_range<B>(response: &Response<B>, have: u64) -> Result<(), Failure> {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("nothing");
    if range.starts_with(&format!("bytes {have}-")) {
        return Ok(());
    }
    Err(Failure::Final(anyhow!("asked for the bytes from {have} on, the server sent {range:?}")))
}

/// Opens `part` for writing from byte `start`.
fn open_at(part: &Path, start: u64) -> Result<File> {
    let mut options = OpenOptions::new();
    if start == 0 {
        options.write(true).create(true).truncate(true);
    } else {
        options.append(true);
    }
    options.open(part).with_context(|| format!("cannot write {}", visible(&part)))
}

/// Copies the response, and keeps everything that arrived before a broken connection. Returns the number of bytes.
fn copy(mut input: impl Read, mut output: File, start: u64, progress: &dyn Progress) -> Result<u64, Failure> {
    let mut buffer = vec![0; 64 << 10];
    let mut received = 0;
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) => return Ok(received),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Cut(error.into())),
        };
        received += n as u64;
        if start + received > MAX_BYTES {
            return Err(Failure::Final(anyhow!("the server sends more than {MAX_BYTES} bytes")));
        }
        output.write_all(&buffer[..n]).map_err(|error| Failure::Final(error.into()))?;
        progress.inc(n as u64);
    }
}

/// Size of the file at `path`; 0 if it does not exist.
fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot delete {}", visible(&path)))
}

#[cfg(test)]
pub(crate) mod tests;
