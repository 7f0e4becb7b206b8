//! Who may do what: tokens and their scopes, TLS, client certificates.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
};

use clonewatch::config::TokenHash;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, ServerName},
};

use super::{Daemon, Reply, exchange, short_wav, until};

/// An address that nothing listens at now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn token(name: &str, scope: &str) -> String {
    let hash: String = TokenHash::of(name).into();
    format!("[[tokens]]\nname = '{name}'\nhash = '{hash}'\nscopes = ['{scope}']\n")
}

fn send(address: SocketAddr, token: &str, request: &str, body: &[u8]) -> Reply {
    let value = format!("Bearer {token}");
    let json = ("content-type", "application/json");
    let headers = [("authorization", value.as_str()), json, ("prefer", "wait=60")];
    let headers = if token.is_empty() { &headers[1..] } else { &headers[..] };
    exchange(TcpStream::connect(address).unwrap(), request, headers, body).unwrap().unwrap()
}

#[test]
fn tokens_open_what_their_scopes_say_and_no_more() {
    let address = free_address();
    let tokens = [("pbx", "submit"), ("other", "submit"), ("desk", "read"), ("boss", "admin")];
    let sections: String = tokens.iter().map(|(name, scope)| token(name, scope)).collect();
    let daemon = Daemon::start(&format!("tcp = '{address}'"), &sections);
    let submitted = send(address, "pbx", "POST /v1/scans", &short_wav(0));
    assert_eq!(submitted.status, 200, "{submitted:?}");
    let id = submitted.text("id");
    let scan = |method: &str| format!("{method} /v1/scans/{id}");
    for wrong in ["", "unknown-token", "pbx-and-more"] {
        for request in ["GET /v1/scans", "POST /v1/scans", "GET /metrics", "GET /v1/audit", "GET /v1/model"] {
            let reply = send(address, wrong, request, b"");
            reply.is_problem(401, "token");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    for (who, request) in [
        ("pbx", "GET /v1/scans".to_owned()),
        ("pbx", "GET /metrics".to_owned()),
        ("desk", "POST /v1/scans".to_owned()),
        ("desk", scan("DELETE")),
        ("desk", "GET /v1/audit".to_owned()),
    ] {
        send(address, who, &request, b"").is_problem(403, "scope");
    }
    let overrule = format!("POST /v1/scans/{id}/override");
    send(address, "desk", &overrule, br#"{"decision":"spoof","note":"x"}"#).is_problem(403, "scope");
    send(address, "other", &scan("GET"), b"").is_problem(404, "no_such_scan");
    for who in ["pbx", "desk", "boss"] {
        assert_eq!(send(address, who, &scan("GET"), b"").status, 200, "{who}");
    }
    assert_eq!(send(address, "boss", &scan("DELETE"), b"").status, 204);
    assert_eq!(send(address, "", "GET /healthz", b"").status, 200, "needs no token");
    assert!(!daemon.log().contains("unknown-token"), "{}", daemon.log());
}

/// A client that trusts `server`, and shows `own` where it is asked for a certificate.
fn client(server: &CertifiedKey<KeyPair>, own: Option<&CertifiedKey<KeyPair>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(server.cert.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![own.cert.der().clone()], key).unwrap()
        }
    })
}

fn over_tls(address: SocketAddr, config: Arc<ClientConfig>) -> Option<Reply> {
    let connection = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    exchange(stream, "GET /v1/model", &[("authorization", "Bearer boss")], b"").ok().flatten()
}

fn self_signed() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

fn write_identity(folder: &Path, identity: &CertifiedKey<KeyPair>) {
    fs::write(folder.join("server.pem"), identity.cert.pem()).unwrap();
    fs::write(folder.join("server.key"), identity.signing_key.serialize_pem()).unwrap();
}

fn tls_section(folder: &Path, more: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!("[server.tls]\ncertificate = '{}'\nkey = '{}'\n{more}\n", at("server.pem"), at("server.key"))
}

#[test]
fn tls_is_spoken_and_client_certificates_are_asked_for() {
    let (server, known, stranger) = (self_signed(), self_signed(), self_signed());
    let certificates = tempfile::tempdir().unwrap();
    let at = |name: &str| certificates.path().join(name);
    write_identity(certificates.path(), &server);
    fs::write(at("clients.pem"), known.cert.pem()).unwrap();
    let tls = |more: &str| tls_section(certificates.path(), more);
    let plain = free_address();
    let _daemon = Daemon::start(&format!("tcp = '{plain}'\n{}", tls("")), &token("boss", "admin"));
    assert_eq!(over_tls(plain, client(&server, None)).unwrap().status, 200);
    assert!(over_tls(plain, client(&stranger, None)).is_none(), "another server's certificate");
    let in_clear = exchange(TcpStream::connect(plain).unwrap(), "GET /healthz", &[], b"");
    assert!(!matches!(in_clear, Ok(Some(_))), "{in_clear:?}");

    let mutual = free_address();
    let authorities = format!("client_ca = '{}'", at("clients.pem").display());
    let _daemon = Daemon::start(&format!("tcp = '{mutual}'\n{}", tls(&authorities)), &token("boss", "admin"));
    assert_eq!(over_tls(mutual, client(&server, Some(&known))).unwrap().status, 200);
    assert!(over_tls(mutual, client(&server, None)).is_none(), "no certificate");
    assert!(over_tls(mutual, client(&server, Some(&stranger))).is_none(), "a stranger's certificate");
}

#[test]
fn new_certificates_are_taken_up_by_a_reload_and_broken_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (self_signed(), self_signed());
    write_identity(folder.path(), &first);
    let address = free_address();
    let server = format!("tcp = '{address}'\n{}", tls_section(folder.path(), ""));
    let daemon = Daemon::start(&server, &token("boss", "admin"));
    // A client takes the one certificate that it knows and no other.
    let is_shown = |identity| over_tls(address, client(identity, None)).is_some_and(|reply| reply.status == 200);
    assert!(is_shown(&first) && !is_shown(&second));
    write_identity(folder.path(), &second);
    daemon.signal("-HUP");
    until("the second certificate", || is_shown(&second));
    assert!(!is_shown(&first));
    fs::write(folder.path().join("server.key"), first.signing_key.serialize_pem()).unwrap();
    daemon.signal("-HUP");
    until("the refusal of another certificate's key", || daemon.log().contains("the new configuration is refused"));
    assert!(is_shown(&second));
}

#[test]
fn tcp_takes_a_token_and_beyond_this_machine_tls() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    for (text, words) in [
        ("[server]\ntcp = '0.0.0.0:1'".to_owned(), "c.toml:2: server.tcp: 0.0.0.0:1 – must be a loopback address"),
        ("[server]\ntcp = '127.0.0.1:1'".to_owned(), "tokens: none – must be at least one token"),
        (
            format!("[server]\ntcp = '0.0.0.0:1'\n{}{}", tls_section(folder.path(), ""), token("boss", "admin")),
            "server.pem: ",
        ),
    ] {
        fs::write(&file, &text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clonewatch"));
        let output = command.arg("serve").arg("--config").arg(&file).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(words), "{text}\n{errors}");
    }
}
