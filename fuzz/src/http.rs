//! HTTP requests to `enas-watch` over a real connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use enas_watch::Server;

use crate::place;

/// A server without a response for this long counts as hanging. It detects the end of a stream's client within 15
/// seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How long the client waits for a response before it closes its side of the connection.
const MOMENT: Duration = Duration::from_millis(4);

/// Contents of a file outside the watched directory; they must not occur in a response.
const SECRET: &str = "nobody may read this";

/// Sends the data on one connection. The response must be HTTP or empty, and must not contain other files.
pub fn http(data: &[u8]) {
    static PORT: OnceLock<u16> = OnceLock::new();
    let port = *PORT.get_or_init(|| {
        place::file("outside/metrics.jsonl", SECRET.as_bytes());
        place::file("secret", SECRET.as_bytes());
        run_files(b"{\"t\":1,\"kind\":\"epoch\",\"epoch\":1,\"epochs\":4,\"loss\":1.5}\n");
        serve(&place::folder().join("runs"))
    });
    // Each process uses another port.
    let data = replaced(data, b"6007", port.to_string().as_bytes());
    let answer = ask(port, &data, MOMENT);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
    assert!(!text.contains(SECRET), "{text}");
    let asked = String::from_utf8_lossy(&data).to_ascii_lowercase();
    let own = ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| asked.contains(name));
    assert!(own || !text.contains(" 200 OK"), "answered under another name: {text}");
}

/// Writes the files of a run that `enas-watch` reads, with this log.
pub(crate) fn run_files(log: &[u8]) {
    let manifest = r#"{"kind":"search","version":"0.1.0","revision":"x","device":"cpu","threads":1,"data":"digits",
        "fingerprint":{"files":2,"sha256":"00"},"arc":null}"#;
    place::file("runs/r/config.toml", b"[run]\nepochs = 4\nbatch_size = 8\n");
    place::file("runs/r/metrics.jsonl", log);
    place::file("runs/r/manifest.json", manifest.as_bytes());
}

/// Starts a server that lives as long as this process. Returns its port.
pub(crate) fn serve(root: &Path) -> u16 {
    static STOP: AtomicBool = AtomicBool::new(false);
    let server = Server::open(root, true, Some(0)).expect("some port is free");
    let port = server.url().trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    thread::spawn(move || server.serve(&STOP));
    port.expect("an address ends with a port")
}

/// Sends bytes on a new connection and returns the response. Waits at first for `moment`, then closes its own side.
pub(crate) fn ask(port: u16, bytes: &[u8], moment: Duration) -> Vec<u8> {
    let began = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            // After very many connections the system has no free local ports for a while.
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable => thread::sleep(Duration::from_millis(100)),
            Err(e) => panic!("no connection: {e}"),
        }
        assert!(began.elapsed() < Duration::from_secs(120), "no connection");
    };
    // Ignored: the server may close the connection before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // Closing the own side aborts a response that is still being made, so this comes second.
    if !rest(&mut stream, moment, &mut answer) {
        let _ = stream.shutdown(Shutdown::Write);
        let ended = rest(&mut stream, PATIENCE, &mut answer);
        assert!(ended, "the server neither answers nor ends the connection");
    }
    answer
}

/// Reads until the end or until nothing arrives for `patience`. Returns whether the response is complete.
///
/// An event stream does not end while its page is open, so its beginning counts as complete.
fn rest(stream: &mut TcpStream, patience: Duration, answer: &mut Vec<u8>) -> bool {
    stream.set_read_timeout(Some(patience)).expect("a time limit can be set");
    let mut buffer = [0; 1 << 16];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(n) => answer.extend(&buffer[..n]),
            Err(e) => return !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
        if String::from_utf8_lossy(answer).contains("text/event-stream") {
            return true;
        }
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend(to);
            rest = after;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}
