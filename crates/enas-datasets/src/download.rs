//! HTTP download of one file: stored as `NAME.part` while incomplete, resumed from there, verified by SHA-256 at the
//! end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
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
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
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
    fs::rename(&part, path).with_context(|| format!("cannot rename {}", part.display()))
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
    options.open(part).with_context(|| format!("cannot write {}", part.display()))
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
    fs::remove_file(path).with_context(|| format!("cannot delete {}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc as SyncArc, Mutex};

    use tempfile::TempDir;

    use super::*;

    /// What the server does with one connection.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Answer {
        /// Serves the file or the requested range.
        Serve,
        /// As `Serve`, but closes the connection after this many bytes of the body.
        CutAfter(usize),
        /// Serves the whole file and ignores ranges.
        WithoutRanges,
        /// Claims a range that was not requested.
        WrongRange,
        /// Sends only this status.
        Status(u16),
    }

    /// A local HTTP server with the same content under every path. It follows the answers of `script` in order and
    /// repeats the last one.
    pub(crate) struct Server {
        pub(crate) url: String,
        requests: SyncArc<Mutex<Vec<String>>>,
    }

    impl Server {
        pub(crate) fn start(
            content: impl Fn(&str) -> Vec<u8> + Send + 'static,
            script: &'static [Answer],
        ) -> Server {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let requests = SyncArc::new(Mutex::new(Vec::new()));
            let seen = requests.clone();
            // The thread ends with the test process; it only holds the socket.
            thread::spawn(move || {
                for (i, stream) in listener.incoming().enumerate() {
                    let answer = script[i.min(script.len() - 1)];
                    let _ = serve(stream.unwrap(), &content, answer, &seen);
                }
            });
            Server { url, requests }
        }

        /// Path and range of every request so far.
        pub(crate) fn requests(&self) -> Vec<String> {
            self.requests.lock().unwrap().clone()
        }
    }

    fn serve(
        mut stream: TcpStream,
        content: &dyn Fn(&str) -> Vec<u8>,
        answer: Answer,
        seen: &Mutex<Vec<String>>,
    ) -> io::Result<()> {
        let lines = BufReader::new(stream.try_clone()?).lines();
        let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let path = head[0].split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        let range =
            head.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        seen.lock().unwrap().push(format!("{path} {}", range.as_deref().unwrap_or("whole")));

        let content = content(&path);
        let start = range.and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok()).unwrap_or(0);
        let (status, start) = match answer {
            Answer::Status(status) => (status, content.len()),
            Answer::WithoutRanges => (200, 0),
            _ if start > 0 && start >= content.len() => (416, content.len()),
            _ if start > 0 => (206, start),
            _ => (200, 0),
        };
        let body = &content[start..];
        let claimed = if matches!(answer, Answer::WrongRange) { 0 } else { start };
        write!(
            stream,
            "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        )?;
        write!(stream, "Content-Range: bytes {claimed}-{}/{}\r\n\r\n", content.len() - 1, content.len())?;
        match answer {
            Answer::CutAfter(n) => stream.write_all(&body[..n.min(body.len())]),
            _ => stream.write_all(body),
        }
    }

    /// A file that spans several buffers.
    fn content() -> Vec<u8> {
        (0..300_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect()
    }

    struct Outcome {
        result: Result<()>,
        requests: Vec<String>,
        folder: TempDir,
    }

    impl Outcome {
        fn file(&self) -> Option<Vec<u8>> {
            fs::read(self.folder.path().join("file")).ok()
        }
        fn part(&self) -> Option<Vec<u8>> {
            fs::read(self.folder.path().join("file.part")).ok()
        }
        fn message(&self) -> String {
            format!("{:#}", self.result.as_ref().unwrap_err())
        }
    }

    /// Fetches `content()` from a server that follows `script`; `part` is left from an earlier attempt.
    fn fetch_with(script: &'static [Answer], part: &[u8]) -> Outcome {
        let server = Server::start(|_| content(), script);
        let folder = tempfile::tempdir().unwrap();
        if !part.is_empty() {
            fs::write(folder.path().join("file.part"), part).unwrap();
        }
        let url = format!("{}file", server.url);
        let sha256 = digest::of_bytes(&content());
        let result = fetch(&url, &folder.path().join("file"), &sha256, &());
        Outcome { result, requests: server.requests(), folder }
    }

    #[test]
    fn a_whole_file_arrives_and_leaves_no_part() {
        let outcome = fetch_with(&[Answer::Serve], &[]);
        outcome.result.as_ref().unwrap();
        assert_eq!(outcome.file(), Some(content()));
        assert_eq!(outcome.part(), None);
        assert_eq!(outcome.requests, ["file whole"]);
    }

    #[test]
    fn a_cut_connection_is_resumed_from_where_it_broke() {
        let outcome = fetch_with(&[Answer::CutAfter(500_000), Answer::CutAfter(300_000), Answer::Serve], &[]);
        outcome.result.as_ref().unwrap();
        assert_eq!(outcome.file(), Some(content()));
        assert_eq!(outcome.requests, ["file whole", "file 500000-", "file 800000-"]);
    }

    #[test]
    fn a_part_from_an_earlier_run_is_resumed() {
        let outcome = fetch_with(&[Answer::Serve], &content()[..123]);
        outcome.result.as_ref().unwrap();
        assert_eq!(outcome.file(), Some(content()));
        assert_eq!(outcome.requests, ["file 123-"]);
    }

    #[test]
    fn a_server_without_ranges_makes_the_download_start_over() {
        let outcome = fetch_with(&[Answer::CutAfter(1000), Answer::WithoutRanges], &[]);
        outcome.result.as_ref().unwrap();
        assert_eq!(outcome.file(), Some(content()));
        assert_eq!(outcome.requests, ["file whole", "file 1000-"]);
    }

    #[test]
    fn a_part_that_is_already_complete_is_taken() {
        let outcome = fetch_with(&[Answer::Serve], &content());
        outcome.result.as_ref().unwrap();
        assert_eq!(outcome.file(), Some(content()));
    }

    #[test]
    fn a_connection_that_keeps_breaking_keeps_the_part_and_says_how_to_go_on() {
        let outcome = fetch_with(&[Answer::CutAfter(10)], &[]);
        let text = outcome.message();
        assert!(
            text.contains("failed 4 times; 40 bytes are kept, run the same command to go on from there"),
            "{text}"
        );
        assert_eq!(outcome.part().unwrap(), content()[..40]);
        assert_eq!(outcome.file(), None);
    }

    #[test]
    fn a_missing_file_is_one_clear_message_and_not_tried_again() {
        let outcome = fetch_with(&[Answer::Status(404)], &[]);
        let text = outcome.message();
        assert!(text.ends_with("/file: the server answered 404 Not Found"), "{text}");
        assert_eq!(outcome.requests.len(), 1);
        assert_eq!(outcome.part(), None);
    }

    #[test]
    fn a_server_error_is_tried_again() {
        let outcome = fetch_with(&[Answer::Status(503), Answer::Serve], &[]);
        outcome.result.as_ref().unwrap();
        assert_eq!(outcome.file(), Some(content()));
    }

    #[test]
    fn a_range_that_was_not_asked_for_is_refused() {
        let outcome = fetch_with(&[Answer::WrongRange], &content()[..50]);
        assert!(outcome.message().contains("asked for the bytes from 50 on, the server sent \"bytes 0-"));
    }

    #[test]
    fn a_wrong_checksum_deletes_the_download_and_says_so() {
        let outcome = fetch_with(&[Answer::Serve], b"not the beginning of this file");
        let text = outcome.message();
        assert!(text.contains("SHA-256 is ") && text.contains(&digest::of_bytes(&content())), "{text}");
        assert!(text.ends_with("the download is deleted, run the same command to try again"), "{text}");
        assert_eq!((outcome.file(), outcome.part()), (None, None));
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_one_clear_message() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(&url, &folder.path().join("file"), "", &()).unwrap_err();
        assert!(
            format!("{error:#}")
                .starts_with(&format!("{url}: the connection failed 4 times; 0 bytes are kept"))
        );
    }

    #[test]
    fn the_second_mirror_is_asked_when_the_first_has_nothing() {
        let empty = Server::start(|_| b"x".to_vec(), &[Answer::Status(404)]);
        let full = Server::start(|_| b"content".to_vec(), &[Answer::Serve]);
        let folder = tempfile::tempdir().unwrap();
        let sha256 = digest::of_bytes(b"content");
        let mirrors = [&*empty.url, &full.url];
        let path = from_mirrors(&mirrors, "file", &sha256, folder.path(), &()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");

        // A file that exists already causes no request.
        from_mirrors(&mirrors, "file", &sha256, folder.path(), &()).unwrap();
        assert_eq!(full.requests().len(), 1);
    }
}
