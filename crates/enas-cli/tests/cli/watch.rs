//! The live view as a process: its one line of output, its page, and its end.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{keys, refused, stdout, temp, text};

fn start(folder: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_enas"))
        .current_dir(folder)
        .arg("watch")
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn send(signal: &str, to: &Child) {
    assert!(Command::new("kill").args([signal, &to.id().to_string()]).status().unwrap().success());
}

#[test]
fn it_says_where_it_is_shows_the_page_and_ends_well() {
    let folder = temp();
    for signal in ["-INT", "-TERM"] {
        let mut watch = start(folder.path(), &["--port", "0", "--json"]);
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
fn a_run_that_is_not_there_is_a_usage_error() {
    refused(temp().path(), &["watch", "runs/x", "--port", "0"], 2, "runs/x: there is no such folder");
    refused(temp().path(), &["watch", "--port", "70000"], 2, "--port");
}

#[test]
fn its_help_has_examples() {
    let help = stdout(temp().path(), &["watch", "--help"]);
    assert!(help.split_once("Examples:").unwrap().1.contains("enas watch runs/photos-search-1"), "{help}");
}
