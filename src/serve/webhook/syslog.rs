//! Events to a syslog receiver: this machine's `/dev/log`, or RFC 5424 over UDP (RFC 5426) or TCP (RFC 6587).

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{cef, client::Failure};
use crate::config::{Syslog, SyslogFormat, SyslogTransport};

/// RFC 5424, section 6.2.1: facility 13 (log audit) × 8 + severity.
const FACILITY: u8 = 13;
const TIMEOUT: Duration = Duration::from_secs(5);
/// RFC 5426, section 3.2: receivers should take this much; larger events are cut.
const MAX_DATAGRAM_BYTES: usize = 2_048;
const LOCAL_SOCKET: &str = "/dev/log";

/// A receiver of syslog messages.
pub struct Receiver {
    way: Way,
    format: SyslogFormat,
    host: String,
}

enum Way {
    Local(PathBuf),
    Udp(SocketAddr),
    Tcp(SocketAddr),
}

impl Receiver {
    /// As the configuration says.
    ///
    /// # Errors
    /// A way over the network without an address.
    pub fn new(config: &Syslog) -> Result<Self, String> {
        let address = || config.address.ok_or_else(|| "syslog.address: missing – must be ADDRESS:PORT".to_owned());
        let way = match config.transport {
            SyslogTransport::Local => Way::Local(LOCAL_SOCKET.into()),
            SyslogTransport::Udp => Way::Udp(address()?),
            SyslogTransport::Tcp => Way::Tcp(address()?),
        };
        let host = rustix::system::uname();
        Ok(Self { way, format: config.format, host: plain(&host.nodename().to_string_lossy()) })
    }

    /// Sends an event of the outbox. Without an answer there is no proof of arrival, so "sent" is what it means.
    pub(super) fn send(&self, payload: &[u8]) -> Result<(), Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::of(e.to_string());
        let event: Value = serde_json::from_slice(payload).map_err(|e| failed(&e))?;
        let text = match self.format {
            SyslogFormat::Cef => cef::line_of(&event),
            SyslogFormat::Json => event.to_string(),
        };
        self.write(&event, &text).map_err(|e| match &self.way {
            Way::Local(path) => failed(&format!("{}: {e}", path.display())),
            Way::Udp(address) | Way::Tcp(address) => failed(&format!("{address}: {e}")),
        })
    }

    fn write(&self, event: &Value, text: &str) -> io::Result<()> {
        match &self.way {
            Way::Local(path) => send_local(path, &format!("<{}>clonewatch: {text}", priority_of(event))),
            Way::Udp(address) => {
                let ours: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
                let socket = UdpSocket::bind(ours)?;
                socket.connect(address)?;
                socket.send(cut(&self.framed(event, text)).as_bytes()).map(drop)
            }
            Way::Tcp(address) => {
                let mut stream = TcpStream::connect_timeout(address, TIMEOUT)?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                let message = self.framed(event, text);
                // RFC 6587, section 3.4.1: octet counting.
                stream.write_all(format!("{} {message}", message.len()).as_bytes())?;
                stream.shutdown(std::net::Shutdown::Write)
            }
        }
    }

    /// `<PRI>1 TIMESTAMP HOST APP PID MSGID - MESSAGE`.
    fn framed(&self, event: &Value, text: &str) -> String {
        let field = |name: &str| event[name].as_str().map_or_else(|| "-".into(), plain);
        let (time, kind, host) = (field("timestamp"), field("type"), &self.host);
        let (priority, pid) = (priority_of(event), std::process::id());
        format!("<{priority}>1 {time} {host} clonewatch {pid} {kind} - {text}")
    }
}

fn send_local(path: &Path, message: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    socket.connect(path)?;
    socket.send(message.as_bytes()).map(drop)
}

/// Warning for a likely clone, informational for the rest.
fn priority_of(event: &Value) -> u8 {
    FACILITY * 8 + if event["data"]["decision"] == "spoof" { 4 } else { 6 }
}

/// A header field: visible ASCII, `-` where there is none.
fn plain(text: &str) -> String {
    let plain: String = text.chars().filter(char::is_ascii_graphic).take(255).collect();
    if plain.is_empty() { "-".into() } else { plain }
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_DATAGRAM_BYTES.min(message.len()))]
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener};

    use super::*;

    const EVENT: &[u8] =
        br#"{"type":"scan.finished","timestamp":"2026-11-24T10:59:52.000Z","data":{"decision":"spoof"}}"#;

    fn receiver(way: Way, format: SyslogFormat) -> Receiver {
        Receiver { way, format, host: plain("h o\u{e9}st") }
    }

    #[test]
    fn this_machines_log_gets_a_datagram() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = UnixDatagram::bind(&path).unwrap();
        receiver(Way::Local(path), SyslogFormat::Cef).send(EVENT).unwrap();
        let mut bytes = [0; 1_024];
        let count = log.recv(&mut bytes).unwrap();
        let expected = format!("<108>clonewatch: {}", cef::line_of(&serde_json::from_slice(EVENT).unwrap()));
        assert_eq!(String::from_utf8_lossy(&bytes[..count]), expected);
        let missing = receiver(Way::Local(folder.path().join("gone")), SyslogFormat::Cef).send(EVENT).unwrap_err();
        assert!(missing.why.contains("gone: "), "{missing:?}");
    }

    #[test]
    fn tcp_messages_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        receiver(Way::Tcp(listener.local_addr().unwrap()), SyslogFormat::Json).send(EVENT).unwrap();
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        let (count, message) = text.split_once(' ').unwrap();
        assert_eq!(count.parse::<usize>().unwrap(), message.len());
        let head = format!("<108>1 2026-11-24T10:59:52.000Z host clonewatch {} scan.finished - {{", std::process::id());
        assert!(message.starts_with(&head), "{message}");
    }

    #[test]
    fn datagrams_are_cut_between_characters() {
        let long = "\u{e9}".repeat(2_000);
        assert_eq!(cut(&long).len(), MAX_DATAGRAM_BYTES);
        assert_eq!(cut(&format!("x{long}")).len(), MAX_DATAGRAM_BYTES - 1);
        assert_eq!(cut("short"), "short");
    }
}
