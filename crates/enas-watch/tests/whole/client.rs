//! A minimal HTTP client: it sends the given bytes and returns the answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// After this long, what is waited for will not come.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self
            .head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        line.map_or("", |(_, value)| value)
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request with these lines after the first, and reads all of the answer.
pub(crate) fn ask(port: u16, first: &str, lines: &[&str]) -> Answer {
    let mut stream = connect(port);
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    // In one piece: the server may answer, and close, before it has read all of what it refuses.
    stream.write_all(format!("{first} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// An ordinary request.
pub(crate) fn get(port: u16, path: &str) -> Answer {
    ask(port, &format!("GET {path}"), &[&format!("Host: 127.0.0.1:{port}")])
}

/// A page that is kept up to date.
pub(crate) struct Events(BufReader<TcpStream>);

impl Events {
    pub(crate) fn open(port: u16, path: &str) -> Self {
        let mut stream = connect(port);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// The next text of a part that contains `fragment`.
    pub(crate) fn wait_for(&mut self, part: &str, fragment: &str) -> String {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < PATIENCE {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).unwrap();
            assert!(read > 0, "the stream ended before {part} said {fragment:?}; it said {last}");
            // Lines between are the sizes of chunks, blank, or signs of life.
            let Some(message) = line.strip_prefix("data: ") else { continue };
            let message: Value = serde_json::from_str(message).unwrap();
            if message["id"] == part {
                last = message["html"].as_str().unwrap().to_owned();
                if last.contains(fragment) {
                    return last;
                }
            }
        }
        panic!("{part} never said {fragment:?}; it said {last}");
    }
}
