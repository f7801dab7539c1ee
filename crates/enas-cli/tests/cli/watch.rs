//! The live view as a process: its one line of output, its page, and its end.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;

use enas_testing::program::{keys, refused, start, stdout, temp, text};
use enas_testing::signals::send;
use serde_json::Value;

fn start_watch(folder: &Path, args: &[&str]) -> Child {
    start(folder, &[&["watch"], args].concat())
}

#[test]
fn it_says_where_it_is_shows_the_page_and_ends_well() {
    let folder = temp();
    for signal in ["-INT", "-TERM"] {
        let mut watch = start_watch(folder.path(), &["--port", "0", "--json"]);
        let mut line = String::new();
        BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(keys(&said), ["url"]);
        let address = said["url"].as_str().unwrap().strip_prefix("http://").unwrap().trim_end_matches('/');
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("There are no runs here yet"), "{page}");
        send(signal, &watch);
        let output = watch.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stderr.contains(&format!("watching runs at http://{address}/")), "{stderr}");
        assert!(!folder.path().join("runs").exists(), "watching creates nothing");
    }
}

#[test]
fn a_run_that_is_not_there_and_a_port_that_is_taken_are_named() {
    refused(temp().path(), &["watch", "runs/x", "--port", "0"], 2, "runs/x: there is no such folder");
    refused(temp().path(), &["watch", "--port", "70000"], 2, "--port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(
        temp().path(),
        &["watch", "--port", &port],
        1,
        "(choose another --port, or 0 for any that is free): ",
    );
}

#[test]
fn its_help_has_examples() {
    let help = stdout(temp().path(), &["watch", "--help"]);
    assert!(help.split_once("Examples:").unwrap().1.contains("enas watch runs/photos-search-1"), "{help}");
}
