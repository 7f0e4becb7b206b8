//! One signed message to one receiver: no redirects, no proxies, only to addresses that were checked, all of it bounded
//! in time and size.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use ureq::{
    Agent,
    config::Config,
    http::{Uri, header::RETRY_AFTER},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use super::{
    guard::{Network, refusal},
    sign::Keys,
};

/// Longest answer that is read; what a receiver says beyond it is not worth the time.
const MAX_ANSWER_BYTES: u64 = 16 << 10;
/// Longest head of an answer.
const MAX_ANSWER_HEAD_BYTES: usize = 16 << 10;
/// Longest file of certificates.
const MAX_CA_BYTES: u64 = 4 << 20;

/// What an endpoint needs to be reached.
pub struct Target<'a> {
    /// `https://…`, or `http://…` to a loopback address.
    pub url: &'a str,
    /// Shared secrets.
    pub keys: Keys,
    /// Networks that may be reached besides the Internet.
    pub allowed: Vec<Network>,
    /// PEM file of the authorities to trust instead of the built-in ones.
    pub ca: Option<&'a Path>,
    /// For one message, from resolving the name to the end of the answer.
    pub timeout: Duration,
}

/// A way to one receiver.
pub struct Client {
    agent: Agent,
    url: Uri,
    keys: Keys,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The same at every attempt, so that the receiver can tell a repetition.
    pub id: &'a str,
    /// Of this attempt, seconds since 1970.
    pub timestamp_secs: i64,
    /// JSON.
    pub body: &'a [u8],
}

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For a person; nothing of the answer's own text is in it.
    pub why: String,
    /// When the receiver asked to be tried again, seconds from now.
    pub retry_after_secs: Option<u64>,
    /// Whether the receiver said that it wants no more (410).
    pub is_final: bool,
}

impl Client {
    /// Prepares the way.
    ///
    /// # Errors
    /// What is wrong with the address or the certificates.
    pub fn new(target: Target<'_>) -> Result<Self, String> {
        let url: Uri = target.url.parse().map_err(|e| format!("url: {e}"))?;
        let is_plain = match url.scheme_str() {
            Some("https") => false,
            Some("http") => true,
            _ => return Err("url: must begin with https:// (or http:// to a loopback address)".into()),
        };
        if url.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("url: must name a host, and no user: receivers know us by the signature".into());
        }
        let roots = target.ca.map_or(Ok(RootCerts::WebPki), read_roots)?;
        let config = Config::builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(target.timeout))
            .max_response_header_size(MAX_ANSWER_HEAD_BYTES)
            .max_idle_connections(super::MOST_AT_ONCE)
            .user_agent(concat!("clonewatch/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .build();
        let resolver = Checked { allowed: target.allowed, is_plain, inner: DefaultResolver::default() };
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        Ok(Self { agent, url, keys: target.keys })
    }

    /// Sends `message` once.
    ///
    /// # Errors
    /// It did not arrive, or not for certain: send it again, under the same id.
    pub fn send(&self, message: Message<'_>) -> Result<(), Failure> {
        let Message { id, timestamp_secs, body } = message;
        let request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp_secs.to_string())
            .header("webhook-signature", self.keys.sign(id, timestamp_secs, body));
        let mut answer = request.send(body).map_err(|e| Failure::of(words_of(&e)))?;
        // Read so that the connection can be used again; it makes no difference to what the status says.
        let _ = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let why = if status.is_redirection() {
            format!("HTTP {}: redirects are not followed – give the final address", status.as_u16())
        } else {
            format!("HTTP {}", status.as_u16())
        };
        Err(Failure { why, retry_after_secs: retry_after, is_final: status.as_u16() == 410 })
    }
}

impl Failure {
    pub(super) fn of(why: String) -> Self {
        Self { why, retry_after_secs: None, is_final: false }
    }
}

fn words_of(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(timeout) => format!("no answer in time ({timeout})"),
        ureq::Error::HostNotFound => "the host's name does not resolve".into(),
        // What a sandbox forbids looks like this, and the remedy is not obvious.
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::PermissionDenied && e.get_ref().is_none() => {
            format!("{e} – under systemd, IPAddressAllow= in a drop-in must hold the receiver's network")
        }
        other => other.to_string(),
    }
}

/// The certificates of a PEM file, as the authorities to trust.
///
/// # Errors
/// What is wrong with the file.
pub fn read_roots(path: &Path) -> Result<RootCerts, String> {
    let fault = |why: String| format!("ca: {}: {why}", path.display());
    let bytes = std::fs::metadata(path).map_err(|e| fault(e.to_string()))?.len();
    if bytes > MAX_CA_BYTES {
        return Err(fault(format!("{bytes} bytes – at most {MAX_CA_BYTES}")));
    }
    let pem = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
    let items: Vec<PemItem<'static>> = parse_pem(&pem).collect::<Result<_, _>>().map_err(|e| fault(e.to_string()))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(fault("no certificate in it – must be PEM".into()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// Resolves a name once and hands on only what may be reached, so that what was checked is what is connected to.
#[derive(Debug)]
struct Checked {
    allowed: Vec<Network>,
    /// Without TLS, only this machine is reached.
    is_plain: bool,
    inner: DefaultResolver,
}

impl Checked {
    fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        match refusal(address, &self.allowed) {
            None if self.is_plain && !address.to_canonical().is_loopback() => {
                Some("not loopback, and http:// is plain")
            }
            other => other,
        }
    }
}

impl Resolver for Checked {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        let mut refused: Option<(SocketAddr, &'static str)> = None;
        for address in self.inner.resolve(uri, config, timeout)?.iter() {
            match self.refusal(address.ip()) {
                Some(why) => refused = Some((*address, why)),
                None => found.push(*address),
            }
        }
        match refused.filter(|_| found.is_empty()) {
            None => Ok(found),
            Some((address, why)) => {
                let address = address.ip();
                let message = format!("{address} is refused: {why} – allow_networks can name its network");
                Err(ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, message)))
            }
        }
    }
}
