//! Access control: read-only requests to this server under a name of this machine.

use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};

/// Why a request is refused, if it is.
///
/// The host of a request must be a name of this machine. That prevents DNS rebinding, where a foreign page lets its
/// own host name resolve to this machine: the browser still sends the foreign name.
pub(super) fn refusal<B>(request: &Request<B>, port: u16) -> Option<(StatusCode, &'static str)> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let named = host.is_some_and(|host| is_own(host, port)) && hosts.next().is_none();
    let authority = request.uri().authority();
    if !named || authority.is_some_and(|authority| !is_own(authority.as_str(), port)) {
        return Some((StatusCode::FORBIDDEN, "This server answers only under the names of this machine."));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Some((
            StatusCode::METHOD_NOT_ALLOWED,
            "This server is read-only; nothing can be changed through it.",
        ));
    }
    None
}

/// Whether a host is this machine at this port.
fn is_own(host: &str, port: u16) -> bool {
    let names = ["localhost", "127.0.0.1", "[::1]"];
    // Browsers omit the port if it is the default of HTTP, 80.
    names.iter().any(|name| {
        let rest = host
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name))
            .map(|_| &host[name.len()..]);
        rest.is_some_and(|rest| rest == format!(":{port}") || (rest.is_empty() && port == 80))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, hosts: &[&str], uri: &str) -> Option<u16> {
        let builder = Request::builder().method(method).uri(uri);
        let request =
            hosts.iter().fold(builder, |builder, host| builder.header(HOST, *host)).body(()).unwrap();
        refusal(&request, 6007).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn only_names_of_this_machine_with_the_right_port_are_answered() {
        for host in ["localhost:6007", "LocalHost:6007", "127.0.0.1:6007", "[::1]:6007"] {
            assert_eq!(status("GET", &[host], "/"), None, "{host}");
        }
        let others = [
            "evil.example:6007",
            "localhost",
            "localhost:6008",
            "localhost.evil.example:6007",
            "127.0.0.1.evil:6007",
            "127.0.0.2:6007",
            "::1:6007",
            "localhost:6007 ",
            "",
            "é:6007",
        ];
        for host in others {
            assert_eq!(status("GET", &[host], "/"), Some(403), "{host}");
        }
        assert_eq!(status("GET", &[], "/"), Some(403));
        assert_eq!(status("GET", &["localhost:6007", "evil.example:6007"], "/"), Some(403));
        assert_eq!(status("GET", &["localhost:6007"], "http://evil.example/"), Some(403));
        assert_eq!(status("GET", &["localhost:6007"], "http://localhost:6007/"), None);
    }

    #[test]
    fn nothing_but_reading_is_answered() {
        assert_eq!(status("HEAD", &["localhost:6007"], "/"), None);
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
            assert_eq!(status(method, &["localhost:6007"], "/"), Some(405), "{method}");
        }
    }
}
