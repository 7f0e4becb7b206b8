//! Sockets: whether the daemon answers on them, or could listen there.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::Finding;
use crate::config::Config;

/// An answer on one machine takes no longer.
const TIMEOUT: Duration = Duration::from_secs(3);
const MAX_ANSWER_BYTES: u64 = 4_096;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let unix = &config.server.unix_socket;
    let mut findings = Vec::new();
    if !unix.as_os_str().is_empty() {
        findings.push(of_unix(unix));
    }
    if let Some(address) = config.server.tcp {
        findings.push(of_tcp(address, config.server.tls.is_some()));
    }
    findings
}

fn of_unix(path: &Path) -> Finding {
    let shown = path.display();
    match UnixStream::connect(path) {
        Ok(stream) => match is_clonewatch(stream) {
            Ok(true) => Finding::ok("socket", format!("{shown}: clonewatch answers")),
            Ok(false) => Finding::fail(
                "socket",
                format!("{shown}: another program answers"),
                "set server.unix_socket to another path",
            ),
            Err(error) => {
                let remedy = "systemctl status clonewatch; journalctl -u clonewatch";
                Finding::fail("socket", format!("{shown}: somebody listens, and nobody answers ({error})"), remedy)
            }
        },
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let remedy = "run doctor as a user of the socket's group: ls -l on the socket names it";
            Finding::warn("socket", format!("{shown}: this user may not connect"), remedy)
        }
        // A file that nobody listens on is replaced at the start.
        Err(_) => of_folder(path),
    }
}

fn of_folder(path: &Path) -> Finding {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let folder = path.parent().unwrap_or(Path::new("/"));
    if accessat(CWD, folder, Access::WRITE_OK, AtFlags::EACCESS).is_ok() {
        return Finding::ok("socket", format!("{}: free, the daemon is not running", path.display()));
    }
    let what = format!("{}: the daemon is not running, and {} may not be written", path.display(), folder.display());
    Finding::warn("socket", what, "systemctl start clonewatch.socket makes it, or set server.unix_socket")
}

fn of_tcp(address: SocketAddr, has_tls: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address}: free, the daemon is not running")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => in_use(address, has_tls),
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::AddrNotAvailable => "the machine has no such address: ip addr; correct server.tcp",
                ErrorKind::PermissionDenied => "ports below 1024 are the system's: choose a higher one in server.tcp",
                _ => "correct server.tcp",
            };
            Finding::fail("port", format!("{address}: {error}"), remedy)
        }
    }
}

fn in_use(address: SocketAddr, has_tls: bool) -> Finding {
    if has_tls {
        // Without its certificate's name there is no asking who it is.
        let remedy = "if clonewatch is not running, ss -ltnp names the program";
        return Finding::warn("port", format!("{address}: somebody listens there already"), remedy);
    }
    match TcpStream::connect_timeout(&address, TIMEOUT).and_then(is_clonewatch) {
        Ok(true) => Finding::ok("port", format!("{address}: clonewatch answers")),
        _ => Finding::fail(
            "port",
            format!("{address}: taken by another program"),
            "ss -ltnp names it; or change server.tcp",
        ),
    }
}

trait Stream: Read + Write {
    fn limit(&self) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn limit(&self) -> io::Result<()> {
        self.set_read_timeout(Some(TIMEOUT)).and_then(|()| self.set_write_timeout(Some(TIMEOUT)))
    }
}

impl Stream for TcpStream {
    fn limit(&self) -> io::Result<()> {
        self.set_read_timeout(Some(TIMEOUT)).and_then(|()| self.set_write_timeout(Some(TIMEOUT)))
    }
}

/// Whether what answers to a request for its version is this program.
fn is_clonewatch(mut stream: impl Stream) -> io::Result<bool> {
    stream.limit()?;
    stream.write_all(b"GET /version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&answer).contains("clonewatch"))
}
