//! `[server]` and `[log]`: sockets, TLS, time limits, what is logged.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{Environment, Faults, Scope};

/// Sockets and what a connection may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Unix socket; an empty path means none. A socket of the service manager's takes its place.
    pub unix_socket: PathBuf,
    /// Permissions of the Unix socket, octal: who may connect may do what `unix_scopes` says.
    pub unix_mode: String,
    /// What a connection over the Unix socket may do without a token.
    pub unix_scopes: Vec<Scope>,
    /// TCP address and port. Without `[server.tls]` only a loopback address is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<SocketAddr>,
    /// Most connections at once; more wait in the system's backlog.
    pub max_connections: usize,
    /// Longest time for the request line and headers, and between two requests, in seconds.
    pub header_timeout_secs: u64,
    /// Longest pause between two pieces of a request's body, in seconds.
    pub body_idle_secs: u64,
    /// Longest time for a whole request's body, in seconds.
    pub body_timeout_secs: u64,
    /// Longest `Prefer: wait=`, in seconds.
    pub max_wait_secs: u64,
    /// How long running work may take to finish at shutdown before it is put back, in seconds.
    pub drain_secs: u64,
    /// Certificate and key for TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Certificate and key, PEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain; left out, the credential `tls-certificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Private key; left out, the credential `tls-key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Clients must show a certificate that one of these signed (mutual TLS), besides their token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            unix_socket: "/run/clonewatch/clonewatch.sock".into(),
            unix_mode: "0660".into(),
            unix_scopes: vec![Scope::Submit, Scope::Read, Scope::Admin],
            tcp: None,
            max_connections: 512,
            header_timeout_secs: 10,
            body_idle_secs: 30,
            body_timeout_secs: 3_600,
            max_wait_secs: 60,
            drain_secs: 20,
            tls: None,
        }
    }
}

impl Server {
    /// Permissions of the Unix socket as a number.
    pub fn unix_mode_bits(&self) -> Option<u32> {
        u32::from_str_radix(&self.unix_mode, 8).ok().filter(|bits| *bits <= 0o777)
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        if self.unix_mode_bits().is_none() {
            faults.add("server.unix_mode", &self.unix_mode, "octal permissions such as \"0660\"");
        }
        // sockaddr_un holds 108 bytes with the closing zero.
        if self.unix_socket.as_os_str().len() > 107 {
            faults.add("server.unix_socket", self.unix_socket.display(), "at most 107 bytes long");
        }
        if self.unix_socket.as_os_str().is_empty() && self.tcp.is_none() {
            faults.add("server.unix_socket", "", "a path where server.tcp is not set");
        }
        faults.range("server.max_connections", self.max_connections, 1..=65_536);
        faults.range("server.header_timeout_secs", self.header_timeout_secs, 1..=300);
        faults.range("server.body_idle_secs", self.body_idle_secs, 1..=3_600);
        faults.range("server.body_timeout_secs", self.body_timeout_secs, 1..=86_400);
        faults.range("server.max_wait_secs", self.max_wait_secs, 0..=600);
        faults.range("server.drain_secs", self.drain_secs, 0..=3_600);
        if let Some(tcp) = self.tcp.filter(|tcp| self.tls.is_none() && !is_loopback(tcp.ip())) {
            let expected = "a loopback address such as 127.0.0.1:8750, or [server.tls] must be set";
            faults.add("server.tcp", tcp, expected);
        }
        if let Some(tls) = &self.tls {
            tls.check(faults);
        }
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

impl Tls {
    pub(super) fn take_credentials(&mut self, environment: &Environment) {
        self.certificate = self.certificate.take().or_else(|| environment.credential("tls-certificate"));
        self.key = self.key.take().or_else(|| environment.credential("tls-key"));
    }

    fn check(&self, faults: &mut Faults) {
        if self.certificate.is_none() {
            faults.add("server.tls.certificate", "missing", "a PEM file, or the credential tls-certificate");
        }
        if self.key.is_none() {
            faults.add("server.tls.key", "missing", "a PEM file, or the credential tls-key");
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least important messages that are logged.
    pub level: LogLevel,
    /// Where to and in which form.
    pub format: LogFormat,
}

/// How important a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warn,
    /// What happened: one line per request and verdict.
    Info,
    /// How it happened.
    Debug,
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// The journal where the service manager offers one, text otherwise.
    Auto,
    /// Lines for people on standard error.
    Text,
    /// JSON objects on standard error.
    Json,
    /// The journal, with fields.
    Journald,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Auto }
    }
}
