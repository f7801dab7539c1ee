//! Downloads from a local server that follows a script.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc as SyncArc, Mutex};

use tempfile::TempDir;

use super::*;

/// What the server does with one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ServerReply {
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
        script: &'static [ServerReply],
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
    answer: ServerReply,
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
        ServerReply::Status(status) => (status, content.len()),
        ServerReply::WithoutRanges => (200, 0),
        _ if start > 0 && start >= content.len() => (416, content.len()),
        _ if start > 0 => (206, start),
        _ => (200, 0),
    };
    let body = &content[start..];
    let claimed = if matches!(answer, ServerReply::WrongRange) { 0 } else { start };
    write!(stream, "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {}\r\n", body.len())?;
    write!(stream, "Content-Range: bytes {claimed}-{}/{}\r\n\r\n", content.len() - 1, content.len())?;
    match answer {
        ServerReply::CutAfter(n) => stream.write_all(&body[..n.min(body.len())]),
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
fn fetch_with(script: &'static [ServerReply], part: &[u8]) -> Outcome {
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
    let outcome = fetch_with(&[ServerReply::Serve], &[]);
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.file(), Some(content()));
    assert_eq!(outcome.part(), None);
    assert_eq!(outcome.requests, ["file whole"]);
}

#[test]
fn a_cut_connection_is_resumed_from_where_it_broke() {
    let outcome = fetch_with(
        &[ServerReply::CutAfter(500_000), ServerReply::CutAfter(300_000), ServerReply::Serve],
        &[],
    );
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.file(), Some(content()));
    assert_eq!(outcome.requests, ["file whole", "file 500000-", "file 800000-"]);
}

#[test]
fn a_part_from_an_earlier_run_is_resumed() {
    let outcome = fetch_with(&[ServerReply::Serve], &content()[..123]);
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.file(), Some(content()));
    assert_eq!(outcome.requests, ["file 123-"]);
}

#[test]
fn a_server_without_ranges_makes_the_download_start_over() {
    let outcome = fetch_with(&[ServerReply::CutAfter(1000), ServerReply::WithoutRanges], &[]);
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.file(), Some(content()));
    assert_eq!(outcome.requests, ["file whole", "file 1000-"]);
}

#[test]
fn a_part_that_is_already_complete_is_taken() {
    let outcome = fetch_with(&[ServerReply::Serve], &content());
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.file(), Some(content()));
}

#[test]
fn a_connection_that_keeps_breaking_keeps_the_part_and_says_how_to_go_on() {
    let outcome = fetch_with(&[ServerReply::CutAfter(10)], &[]);
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
    let outcome = fetch_with(&[ServerReply::Status(404)], &[]);
    let text = outcome.message();
    assert!(text.ends_with("/file: the server answered 404 Not Found"), "{text}");
    assert_eq!(outcome.requests.len(), 1);
    assert_eq!(outcome.part(), None);
}

#[test]
fn a_server_error_is_tried_again() {
    let outcome = fetch_with(&[ServerReply::Status(503), ServerReply::Serve], &[]);
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.file(), Some(content()));
}

#[test]
fn a_range_that_was_not_asked_for_is_refused() {
    let outcome = fetch_with(&[ServerReply::WrongRange], &content()[..50]);
    assert!(outcome.message().contains("asked for the bytes from 50 on, the server sent \"bytes 0-"));
}

#[test]
fn a_wrong_checksum_deletes_the_download_and_says_so() {
    let outcome = fetch_with(&[ServerReply::Serve], b"not the beginning of this file");
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
        format!("{error:#}").starts_with(&format!("{url}: the connection failed 4 times; 0 bytes are kept"))
    );
}

#[test]
fn the_second_mirror_is_asked_when_the_first_has_nothing() {
    let empty = Server::start(|_| b"x".to_vec(), &[ServerReply::Status(404)]);
    let full = Server::start(|_| b"content".to_vec(), &[ServerReply::Serve]);
    let folder = tempfile::tempdir().unwrap();
    let sha256 = digest::of_bytes(b"content");
    let mirrors = [&*empty.url, &full.url];
    let path = from_mirrors(&mirrors, "file", &sha256, folder.path(), &()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"content");

    // A file that exists already causes no request.
    from_mirrors(&mirrors, "file", &sha256, folder.path(), &()).unwrap();
    assert_eq!(full.requests().len(), 1);
}
