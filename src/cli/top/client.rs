//! Asks the daemon, over its Unix socket or over TCP with a token.

use std::{
    io::{self, Read, Write},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use ureq::{
    Agent,
    http::Uri,
    tls::{RootCerts, TlsConfig},
};

use crate::{
    config::{Environment, Secret},
    error::{Error, Result},
    serve::webhook::client::read_roots,
};

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer: ten thousand calls with their trails.
const MAX_ANSWER_BYTES: u64 = 128 << 20;

/// A way to the daemon.
pub(super) enum Client {
    Unix { socket: PathBuf },
    Tcp { agent: Agent, url: String, token: Option<Secret> },
}

impl Client {
    /// By the socket at `socket`.
    pub(super) fn over_unix(socket: PathBuf) -> Self {
        Self::Unix { socket }
    }

    /// By `url`, with the token of the environment.
    pub(super) fn over_tcp(url: &str, ca: Option<&Path>) -> Result<Self> {
        let fault = |why: &str| Error::Usage(format!("--url: {url} – {why}"));
        let uri: Uri = url.parse().map_err(|_| fault("must be such as https://host:8750"))?;
        let is_plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") => true,
            _ => return Err(fault("must begin with https://, or http:// to a loopback address")),
        };
        if is_plain && !uri.host().is_some_and(is_loopback) {
            return Err(fault("a token must not travel in the open: use https://, or http:// to a loopback address"));
        }
        let roots = ca.map_or(Ok(RootCerts::WebPki), read_roots).map_err(|why| Error::Usage(format!("--{why}")))?;
        let config = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("clonewatch/", env!("CARGO_PKG_VERSION")))
            .build();
        let token = Environment::of_process().secret("token").map_err(|e| Error::io("the credential token", e))?;
        Ok(Self::Tcp { agent: config.into(), url: url.trim_end_matches('/').to_owned(), token })
    }

    /// The body at `target`.
    pub(super) fn get(&self, target: &str) -> Result<String> {
        let (status, body) = match self {
            Self::Unix { socket } => ask_socket(socket, target).map_err(|e| no_daemon(socket.display(), e))?,
            Self::Tcp { agent, url, token } => {
                let request = agent.get(format!("{url}{target}"));
                let request = match token {
                    Some(token) => request.header("authorization", format!("Bearer {}", token.expose())),
                    None => request,
                };
                let mut answer = request.call().map_err(|e| no_daemon(url, e.into_io()))?;
                let status = answer.status().as_u16();
                let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
                (status, body.map_err(|e| no_daemon(url, e.into_io()))?)
            }
        };
        match status {
            200 => Ok(body),
            401 => Err(Error::Usage(
                "the daemon does not know the token – set CLONEWATCH_TOKEN to one of scope read".into(),
            )),
            403 => Err(Error::Usage("the token lacks the scope read – make one with clonewatch token new".into())),
            _ => Err(Error::Usage(format!("{target}: HTTP {status}: {}", detail_of(&body)))),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn no_daemon(place: impl std::fmt::Display, error: io::Error) -> Error {
    Error::io(format!("{place}: no answer from the daemon, see clonewatch doctor"), error)
}

/// The sentence of a problem document.
fn detail_of(body: &str) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    serde_json::from_str(body).map_or_else(|_| "no reason given".into(), |problem: Problem| problem.detail)
}

/// HTTP/1.1, one request a connection: the daemon gives all its answers a length and closes then.
fn ask_socket(socket: &Path, target: &str) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer)?;
    read_answer(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is cut short"))
}

fn read_answer(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let is_whole = length.is_none_or(|(_, bytes)| bytes.trim().parse() == Ok(body.len()));
    is_whole.then(|| (status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_none() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Some((200, "hi".to_owned()))),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", Some((403, String::new()))),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("", None),
        ] {
            assert_eq!(read_answer(answer), expected, "{answer}");
        }
    }

    #[test]
    fn tokens_do_not_travel_in_the_open() {
        for (url, is_fine) in [
            ("http://127.0.0.1:8750", true),
            ("http://[::1]:8750/", true),
            ("https://clonewatch.example.com", true),
            ("http://clonewatch.example.com:8750", false),
            ("http://localhost.example.com", false),
            ("clonewatch.example.com", false),
        ] {
            assert_eq!(Client::over_tcp(url, None).is_ok(), is_fine, "{url}");
        }
    }
}
