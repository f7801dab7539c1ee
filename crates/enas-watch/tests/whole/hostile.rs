//! Clients that mean harm or are broken: the server stays small, quick and silent about everything else.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{ask, get};
use crate::support::{epoch, files, watch};

/// The server's stall_timeout is 20 seconds; a busy machine may take longer.
const PATIENCE: Duration = Duration::from_secs(120);

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes until the server ends the connection, however it does.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(e) if e.kind() == ErrorKind::ConnectionReset => bytes,
        Err(e) => panic!("the connection did not end: {e}"),
    }
}

#[test]
fn a_head_that_is_too_long_or_has_too_many_lines_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = watch(dir.path());
    let host = format!("Host: localhost:{}", server.port);
    let long = format!("X: {}", "x".repeat(12 << 10));
    assert_eq!(ask(server.port, "GET /", &[&host, &long]).status, 200, "that long is fine");
    let many: Vec<&str> = std::iter::once(&*host).chain(std::iter::repeat_n("X: y", 100)).collect();
    assert_eq!(ask(server.port, "GET /", &many).status, 431);
    // An endless line: the server stops reading and ends the connection.
    let mut stream = connect(server.port);
    let endless = [format!("GET / HTTP/1.1\r\n{host}\r\nX: ").into_bytes(), vec![b'x'; 1 << 20]].concat();
    let sent = stream.write_all(&endless);
    let answer = rest(&mut stream);
    assert!(sent.is_err() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(get(server.port, "/").status, 200, "others are still answered");
}

#[test]
fn what_is_no_request_ends_the_connection_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = watch(dir.path());
    let requests: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for request in requests {
        let mut stream = connect(server.port);
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = String::from_utf8(rest(&mut stream)).unwrap();
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{}: {answer}", String::from_utf8_lossy(request));
    }
    assert_eq!(get(server.port, "/").status, 200);
}

/// A page of somebody else's that lets its own name point here, asks often and keeps its connections.
#[test]
fn whoever_asks_under_another_name_keeps_no_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = watch(dir.path());
    let mut held = Vec::new();
    for i in 0..200 {
        let mut stream = connect(server.port);
        write!(stream, "GET / HTTP/1.1\r\nHost: evil-{i}.example:{}\r\n\r\n", server.port).unwrap();
        let answer = String::from_utf8(rest(&mut stream)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("connection: close"), "{answer}");
        assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
        held.push(stream);
    }
}

/// A client that keeps streams open, or is gone without the server having noticed.
#[test]
fn streams_that_nobody_reads_leave_room_for_pages() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("r"), &epoch(1));
    let server = watch(dir.path());
    let host = format!("Host: localhost:{}", server.port);
    let mut answers = Vec::new();
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut stream = connect(server.port);
        write!(stream, "GET /events/r HTTP/1.1\r\n{host}\r\n\r\nmore").unwrap();
        let mut beginning = [0; 12];
        stream.read_exact(&mut beginning).unwrap();
        answers.push(String::from_utf8(beginning.to_vec()).unwrap());
        held.push(stream);
    }
    let streams = answers.iter().filter(|answer| *answer == "HTTP/1.1 200").count();
    assert!(streams == 48 && answers[59] == "HTTP/1.1 503", "{streams}: {}", answers[59]);
    let began = Instant::now();
    for path in ["/", "/run/r", "/live.js"] {
        assert_eq!(get(server.port, path).status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "pages waited for streams");
}

#[test]
fn a_body_is_not_read_however_long_it_says_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let server = watch(dir.path());
    let host = format!("Host: localhost:{}", server.port);
    for length in ["Content-Length: 99999999999", "Transfer-Encoding: chunked"] {
        assert_eq!(ask(server.port, "POST /", &[&host, length]).status, 405, "{length}");
        assert_eq!(ask(server.port, "GET /", &[&host, length]).status, 200, "{length}");
    }
}

#[test]
fn clients_that_are_too_slow_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r");
    files(&run, &epoch(1));
    let report = vec![b'r'; 60 << 20];
    std::fs::write(run.join("report.html"), &report).unwrap();
    let server = watch(dir.path());
    let host = format!("Host: localhost:{}", server.port);

    // One never ends its request, however often it sends a byte more; one says nothing; one takes nothing.
    let mut dripping = connect(server.port);
    let mut silent = connect(server.port);
    let mut deaf = connect(server.port);
    write!(dripping, "GET / HTTP/1.1\r\n{host}\r\nX: ").unwrap();
    write!(deaf, "GET /report/r HTTP/1.1\r\n{host}\r\n\r\n").unwrap();
    let began = Instant::now();
    while dripping.write_all(b"x").is_ok() {
        assert!(began.elapsed() < PATIENCE, "it may drip for ever");
        std::thread::sleep(Duration::from_millis(250));
    }
    let began = Instant::now();
    rest(&mut silent);
    assert!(began.elapsed() < PATIENCE);
    // By now what was sent to the third is given up as well: what comes is what was under way.
    std::thread::sleep(Duration::from_secs(5));
    let taken = rest(&mut deaf).len();
    assert!(taken < report.len(), "{taken} bytes");
    assert_eq!(get(server.port, "/").status, 200);
}

#[cfg(unix)]
#[test]
fn what_stands_in_the_place_of_a_file_and_is_none_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("good");
    let odd = dir.path().join("odd");
    files(&run, &epoch(1));
    files(&odd, "");
    for name in ["metrics.jsonl", "config.toml", "best.arc.json", "report.html"] {
        let path = odd.join(name);
        let _ = std::fs::remove_file(&path);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    let server = watch(dir.path());
    let page = get(server.port, "/run/odd");
    assert_eq!(page.status, 200);
    assert_eq!(get(server.port, "/report/odd").status, 404);
    assert_eq!(get(server.port, "/run/good").status, 200);
}
