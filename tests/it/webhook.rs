//! Webhooks against a receiver on a real socket: signatures, failures, absence, hostile answers; dead letters.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Command, Output},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use clonewatch::{
    config::{Config, Environment},
    model::sha256_hex,
    policy::{Action, Decision},
    serve::webhook::Notifier,
    store::{
        Audio, JobId, NewJob, Store, Summary, UnixMs, jobs, outbox,
        verdicts::{self, Keep, NewVerdict},
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const PATIENCE: Duration = Duration::from_secs(90);
pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The bytes that [`SECRET`] stands for.
const KEY: [u8; 24] = [
    0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a, 0xab, 0x4f, 0x08, 0xd4, 0x3c, 0x3f, 0x08, 0x2c, 0xf6, 0x48, 0xa3,
    0x62, 0xda, 0x2d, 0xa4, 0xb0,
];

/// HMAC-SHA256 as RFC 2104 spells it out, by other code than the program's.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ byte).collect() };
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |n, i| n << 8 | u32::from(part.get(i).copied().unwrap_or(0)));
        for digit in 0..4 {
            let index = number >> (18 - 6 * digit) & 63;
            text.push(if digit <= part.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Request {
    head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    }

    pub(super) fn is_signed(&self) -> bool {
        let signed = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp"));
        let mac = hmac(&KEY, &[signed.as_bytes(), &self.body].concat());
        self.header("webhook-signature") == format!("v1,{}", base64(&mac))
    }
}

/// What the receiver does with the n-th request.
pub(super) type Answers = Arc<dyn Fn(usize, &mut TcpStream) + Send + Sync>;

pub(super) fn status(code: u16) -> Answers {
    answer_with(move |_| code)
}

fn answer_with(code: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Answers {
    Arc::new(move |number, stream| {
        let _ = write!(stream, "HTTP/1.1 {} x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", code(number));
    })
}

/// A tiny HTTP server that keeps what it was sent.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(super) fn start(answers: Answers) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answers)
    }

    pub(super) fn start_at(address: SocketAddr, answers: Answers) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::new(AtomicBool::new(false)));
        let (kept, stopped, count) = (Arc::clone(&requests), Arc::clone(&stop), AtomicUsize::new(0));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = stream.unwrap();
                if let Some(request) = read_request(&mut stream) {
                    kept.lock().unwrap().push(request);
                    answers(count.fetch_add(1, Ordering::Relaxed), &mut stream);
                }
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn read_request(stream: &mut impl Read) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let request = Request { head, body: Vec::new() };
    let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { body, ..request })
}

/// A store, and a configuration whose receivers are `webhooks`.
struct Desk {
    folder: tempfile::TempDir,
    config: Config,
    store: Arc<Store>,
}

impl Desk {
    fn new(sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{sections}\n[store]\ndir = '{}'\n", folder.path().join("store").display());
        std::fs::write(folder.path().join("clonewatch.toml"), &text).unwrap();
        let config = Config::parse(&text, "clonewatch.toml", &Environment::default()).unwrap();
        let (store, _) = Store::open(&config.store.dir).unwrap();
        Self { folder, config, store: Arc::new(store) }
    }

    fn notifier(&self) -> Notifier {
        Notifier::start(&self.store, &self.config).unwrap()
    }

    /// A job with a verdict, and its events in the outbox.
    fn add_verdict(&self, name: &str, endpoints: &[&str]) -> JobId {
        let id = JobId::random();
        let job = NewJob {
            id: id.clone(),
            name: name.into(),
            label: None,
            source: "api".into(),
            actor: "pbx".into(),
            policy: "default".into(),
            audio: Audio::Spool,
            bytes: 10,
            sha256: sha256_hex(name.as_bytes()),
            idempotency_key: None,
        };
        let summary = Summary {
            decision: Decision::Spoof,
            reason: None,
            llr: Some(-4.31),
            action: Action::Flag,
            policy: "default".into(),
            policy_sha256: "cd".into(),
            model_id: "m".into(),
            model_sha256: "ef".into(),
        };
        let verdict = NewVerdict {
            job: id.clone(),
            result: b"{}\n".to_vec(),
            evidence: None,
            summary,
            actor: "clonewatch".into(),
            endpoints: endpoints.iter().map(|name| (*name).into()).collect(),
        };
        let stored = self.store.write_blocking(move |tx| {
            jobs::accept(tx, &job, UnixMs::now())?;
            jobs::start(tx, &job.id, UnixMs::now())?;
            verdicts::finish(tx, &verdict, Keep::Nothing, UnixMs::now())
        });
        assert_eq!(stored.unwrap(), Some(1));
        id
    }

    /// Events that wait, and events that are dead.
    fn counts(&self) -> (u64, u64) {
        self.store.read_blocking(outbox::counts).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
        command.args(args).arg("--config").arg(self.folder.path().join("clonewatch.toml")).output().unwrap()
    }
}

fn webhook(name: &str, url: &str, more: &str) -> String {
    format!("[[webhooks]]\nname = '{name}'\nurl = '{url}'\nsecret = '{SECRET}'\ntimeout_secs = 2\n{more}\n")
}

fn local(receiver: &Receiver, more: &str) -> String {
    let url = format!("http://{}/hook?x=1", receiver.address);
    webhook("desk", &url, &format!("allow_networks = ['127.0.0.1']\n{more}"))
}

pub(super) fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "still waiting: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_event_arrives_once_signed_whole() {
    let receiver = Receiver::start(status(200));
    let desk = Desk::new(&local(&receiver, ""));
    let notifier = desk.notifier();
    let names: Vec<String> = (0..30).map(|index| format!("é {index}.wav")).collect();
    let ids: Vec<JobId> = names.iter().map(|name| desk.add_verdict(name, &["desk"])).collect();
    notifier.wake();
    until("an empty outbox", || desk.counts() == (0, 0));
    drop(notifier);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 30);
    let mut seen = Vec::new();
    for request in &requests {
        assert!(request.head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{}", request.head);
        assert!(request.is_signed(), "{request:?}");
        assert_eq!(request.header("content-type"), "application/json");
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&event["type"], &event["data"]["decision"]), (&"scan.finished".into(), &"spoof".into()));
        assert_eq!(event["data"]["llr"], -4.31);
        seen.push(event["data"]["id"].as_str().unwrap().to_owned());
    }
    seen.sort();
    let mut expected: Vec<String> = ids.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn a_receiver_that_fails_goes_away_and_comes_back_gets_everything() {
    let failing = Receiver::start(answer_with(|_| 503));
    let address = failing.address;
    let desk = Desk::new(&local(&failing, ""));
    let notifier = desk.notifier();
    let job = desk.add_verdict("a.wav", &["desk"]);
    until("a first attempt", || !failing.requests().is_empty());
    let first = failing.requests()[0].clone();
    drop(failing);
    until("an attempt that finds nobody", || {
        let due = desk.store.read_blocking(|c| outbox::due(c, "desk", UnixMs(i64::MAX), 1)).unwrap();
        due.first().is_some_and(|delivery| delivery.attempts >= 2)
    });
    let receiver = Receiver::start_at(address, status(204));
    until("an empty outbox", || desk.counts() == (0, 0));
    // Also a restart of the sender in between loses nothing and repeats nothing.
    drop(notifier);
    drop(desk.notifier());
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].is_signed());
    assert_eq!(requests[0].header("webhook-id"), first.header("webhook-id"), "a repetition can be told");
    assert_eq!(requests[0].body, first.body);
    assert!(text(&first.body).contains(job.as_str()));
}

#[test]
fn what_was_given_up_is_listed_and_sent_again_on_demand() {
    let receiver = Receiver::start(answer_with(|number| if number < 2 { 500 } else { 200 }));
    let desk = Desk::new(&local(&receiver, "max_attempts = 1"));
    let notifier = desk.notifier();
    desk.add_verdict("a.wav", &["desk"]);
    desk.add_verdict("b.wav", &["desk"]);
    until("two dead events", || desk.counts() == (0, 2));
    let listed = text(&desk.run(&["webhook", "dead"]).stdout);
    assert_eq!(listed.lines().filter(|line| line.contains("desk") && line.ends_with("1 attempt: HTTP 500")).count(), 2);
    let json = text(&desk.run(&["webhook", "dead", "--json"]).stdout);
    let newest: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&newest["seq"], &newest["error"]), (&2.into(), &"HTTP 500".into()));
    let missing = desk.run(&["webhook", "retry", "1", "77"]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    assert_eq!(desk.counts(), (0, 2), "all or nothing");
    assert_eq!(desk.run(&["webhook", "retry", "2"]).status.code(), Some(0));
    until("one dead event", || desk.counts() == (0, 1));
    assert_eq!(desk.run(&["webhook", "retry", "--all"]).status.code(), Some(0));
    until("none", || desk.counts() == (0, 0));
    drop(notifier);
    assert_eq!(receiver.requests().len(), 4);
}

#[test]
fn hostile_receivers_cost_little() {
    type Case = (&'static str, fn(&mut TcpStream), &'static str);
    let cases: [Case; 5] = [
        (
            "endless",
            |stream| endless(stream, "HTTP/1.1 500 x\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
            "HTTP 500",
        ),
        ("endless head", |stream| endless(stream, "HTTP/1.1 200 OK\r\n", "x-a: bbbbbbbbbbbbbbbb\r\n"), ""),
        ("silent", |_| thread::sleep(Duration::from_secs(4)), "no answer in time"),
        ("no HTTP", |stream| drop(stream.write_all(b"hello\r\n\r\n")), ""),
        ("redirect", redirect, "redirects are not followed"),
    ];
    for (name, answer, words) in cases {
        let receiver = Receiver::start(Arc::new(move |_, stream| answer(stream)));
        let desk = Desk::new(&local(&receiver, ""));
        let output = desk.run(&["webhook", "test", "desk"]);
        let said = text(&output.stdout);
        assert!(
            output.status.code() == Some(2) && said.starts_with("desk: ") && said.contains(words),
            "{name}: {said}"
        );
        assert!(!said.contains("hello"), "nothing of what a receiver says is shown");
    }
}

/// More than any limit, until the other side has enough.
fn endless(stream: &mut TcpStream, head: &str, more: &str) {
    let _ = stream.write_all(head.as_bytes());
    for _ in 0..100_000 {
        if stream.write_all(more.as_bytes()).is_err() {
            return;
        }
    }
}

fn redirect(stream: &mut TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn the_test_command_signs_and_names_receivers() {
    let receiver = Receiver::start(status(200));
    let desk = Desk::new(&local(&receiver, ""));
    let output = desk.run(&["webhook", "test"]);
    assert!(output.status.code() == Some(0) && text(&output.stdout).starts_with("desk: delivered in "), "{output:?}");
    let requests = receiver.requests();
    assert!(requests.len() == 1 && requests[0].is_signed());
    assert_eq!(serde_json::from_slice::<Value>(&requests[0].body).unwrap()["type"], "clonewatch.test");
    let output = desk.run(&["webhook", "test", "dask"]);
    assert!(
        output.status.code() == Some(2) && text(&output.stderr).contains("the configuration has: desk"),
        "{output:?}"
    );
}

#[test]
fn the_machines_own_networks_are_out_of_reach_unless_named() {
    let receiver = Receiver::start(status(200));
    let port = receiver.address.port();
    for (url, more, words) in [
        (format!("http://127.0.0.1:{port}/"), "", "127.0.0.1 is refused: loopback"),
        (format!("http://localhost:{port}/"), "", "is refused: loopback"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "", "is refused: loopback"),
        (format!("https://127.0.0.1:{port}/"), "allow_networks = ['127.0.0.2', '10.0.0.0/8']", "refused: loopback"),
        ("http://169.254.169.254/latest/meta-data".into(), "", "refused: link-local"),
        ("http://10.0.0.1/".into(), "", "refused: private"),
        ("http://10.0.0.1/".into(), "allow_networks = ['10.0.0.0/8']", "http:// is plain"),
        ("http://[fd00:ec2::254]/".into(), "", "refused: private"),
        ("http://0.0.0.0/".into(), "", "refused: unspecified"),
        ("http://2130706433/".into(), "", ""),
        ("http://user@127.0.0.1/".into(), "", "no user"),
        ("https:///x".into(), "", "url: "),
    ] {
        let desk = Desk::new(&webhook("desk", &url, more));
        let output = desk.run(&["webhook", "test"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(words), "{url}: {said}");
    }
    assert!(receiver.requests().is_empty());
    // A proxy of the environment would be another way round the check.
    let desk = Desk::new(&local(&receiver, ""));
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.args(["webhook", "test", "--config"]).arg(desk.folder.path().join("clonewatch.toml"));
    let output = command.env("http_proxy", "http://127.0.0.1:9").env("ALL_PROXY", "http://127.0.0.1:9").output();
    assert_eq!(output.unwrap().status.code(), Some(0));
}

/// A receiver behind TLS, whose certificate is for `name`; gives its port and the certificate as PEM.
fn tls_receiver(name: &str) -> (u16, String, JoinHandle<Option<Request>>) {
    use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer};
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(connection, listener.accept().unwrap().0);
        let request = read_request(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        Some(request)
    });
    (port, made.cert.pem(), thread)
}

#[test]
fn tls_trusts_only_whom_it_is_told_to_and_only_by_name() {
    for (name, knows_ca, words) in [
        ("localhost", true, "delivered in"),
        ("localhost", false, "UnknownIssuer"),
        ("example.org", true, "not valid for name"),
    ] {
        let (port, pem, receiver) = tls_receiver(name);
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, pem).unwrap();
        let ca = if knows_ca { format!("ca = '{}'", ca.display()) } else { String::new() };
        let more = format!("allow_networks = ['127.0.0.0/8', '::1']\n{ca}");
        let desk = Desk::new(&webhook("desk", &format!("https://localhost:{port}/"), &more));
        let said = text(&desk.run(&["webhook", "test"]).stdout);
        assert!(said.contains(words), "{name} {knows_ca}: {said}");
        let request = receiver.join().unwrap();
        assert_eq!(request.is_some_and(|request| request.is_signed()), words == "delivered in");
    }
}

#[test]
fn a_verdict_is_an_event_for_syslog_too() {
    let siem = UdpSocket::bind("127.0.0.1:0").unwrap();
    siem.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = siem.local_addr().unwrap();
    let desk = Desk::new(&format!("[syslog]\ntransport = 'udp'\naddress = '{address}'"));
    let notifier = desk.notifier();
    let job = desk.add_verdict("a=b|c\n.wav", &[clonewatch::serve::webhook::SYSLOG]);
    let mut datagram = [0; 4_096];
    let bytes = siem.recv(&mut datagram).unwrap();
    let event = text(&datagram[..bytes]);
    // RFC 5424: facility 13, severity 4.
    assert!(
        event.starts_with("<108>1 20") && event.contains(" clonewatch ") && event.contains(" scan.finished - CEF:0|")
    );
    assert!(event.contains(&format!("externalId={job} outcome=spoof act=flag fname=a\\=b|c\\n.wav ")), "{event}");
    until("an empty outbox", || desk.counts() == (0, 0));
    drop(notifier);
}

#[test]
fn secrets_stay_out_of_debug_output_and_answers() {
    let receiver = Receiver::start(status(500));
    let desk = Desk::new(&local(&receiver, ""));
    let output = desk.run(&["webhook", "test"]);
    let said = text(&output.stdout) + &text(&output.stderr) + &format!("{:?}", desk.config);
    assert!(!said.contains("MfKQ9r8GKYqr"), "{said}");
}
