//! What a reload exchanges while the daemon runs: model, policies, certificates; and that a policy means here what it means
//! to `scan`.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use clonewatch::config::TokenHash;
use rcgen::{CertifiedKey, KeyPair};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring, pki_types::ServerName,
};

use super::{
    daemon::{Daemon, Setup, sample},
    webhook::until,
};

const ONE_WORKER: &str = "workers = 1";

fn reload(daemon: &Daemon, setup: &Setup<'_>) {
    let file = daemon.path("clonewatch.toml");
    fs::write(&file, setup.text(file.parent().unwrap())).unwrap();
    daemon.signal("-HUP");
}

fn until_reloads(daemon: &Daemon, outcome: &str, count: f64) {
    until(&format!("reloads: {outcome}"), || daemon.metric("clonewatch_config_reloads_total", outcome) == count);
}

/// What `scan` prints for the file at `path`.
fn scan_line(args: &[&str], path: &Path) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.current_dir(path.parent().unwrap()).args(["scan", "--format", "jsonl"]).args(args);
    command.arg(path.file_name().unwrap()).output().unwrap().stdout
}

/// A copy of the shipped bundle under another id, which makes it another model: its manifest is what names it.
fn copy_of_bundle(at: &Path, id: &str) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut folders = fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path());
    let shipped = folders.find(|folder| folder.join("manifest.toml").exists()).unwrap();
    fs::create_dir(at).unwrap();
    for entry in fs::read_dir(shipped).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, at.join(path.file_name().unwrap())).unwrap();
    }
    let manifest = fs::read_to_string(at.join("manifest.toml")).unwrap();
    let (first_line, rest) = manifest.split_once('\n').unwrap();
    assert!(first_line.starts_with("id = "), "{first_line}");
    fs::write(at.join("manifest.toml"), format!("id = \"{id}\"\n{rest}")).unwrap();
}

/// A genuine speaker, `times` over, with silent channels beside the voice.
fn recording(at: &Path, times: usize, silent_channels: u16) {
    let mut reader = hound::WavReader::open(sample("genuine-en-allison.wav")).unwrap();
    let voice: Vec<i16> = reader.samples().collect::<Result<_, _>>().unwrap();
    let spec = hound::WavSpec { channels: 1 + silent_channels, ..reader.spec() };
    let mut writer = hound::WavWriter::create(at, spec).unwrap();
    for value in (0..times).flat_map(|_| &voice) {
        writer.write_sample(*value).unwrap();
        (0..silent_channels).for_each(|_| writer.write_sample(0_i16).unwrap());
    }
    writer.finalize().unwrap();
}

#[test]
fn a_new_model_takes_over_while_the_old_one_ends_its_work() {
    let models = tempfile::tempdir().unwrap();
    let place = |id: &str| models.path().join(id);
    let section = |id: &str| format!("[model]\ndir = '{}'", place(id).display());
    let [first, second, broken] = ["first", "second", "broken"].map(section);
    ["first", "second", "broken"].iter().for_each(|id| copy_of_bundle(&place(id), id));
    let mut encoder = fs::read(place("broken").join("encoder.onnx")).unwrap();
    let middle = encoder.len() / 2;
    encoder[middle] ^= 1;
    fs::write(place("broken").join("encoder.onnx"), encoder).unwrap();
    let with = |rest| Setup { queue: ONE_WORKER, rest, ..Setup::default() };

    let daemon = Daemon::start(&with(&first));
    let model = || daemon.get("/v1/model").json()["id"].as_str().unwrap().to_owned();
    recording(&place("long.wav"), 40, 0);
    let begun = daemon.submit("?name=long.wav", &fs::read(place("long.wav")).unwrap());
    until("the first job to run", || daemon.get(&format!("/v1/scans/{begun}")).json()["state"] != "queued");
    reload(&daemon, &with(&second));
    until("the second model", || model() == "second");
    let clip = sample("genuine-it-carlo.opus");
    let later = daemon.submit("?name=genuine-it-carlo.opus", &fs::read(&clip).unwrap());
    assert_eq!(daemon.finished(&begun)["result"]["model"]["id"], "first", "it was begun under the old model");
    assert_eq!(daemon.finished(&later)["result"]["model"]["id"], "second");
    let result = daemon.get(&format!("/v1/scans/{later}/result"));
    assert_eq!(result.body, scan_line(&["--model", place("second").to_str().unwrap()], &clip));

    // Evidence stays what it is: judged again, it names the model that heard it.
    let line = format!("POST /v1/scans/{begun}/rejudge");
    let again = daemon.send(&line, "Content-Type: application/json\r\n", br#"{"policy":"default"}"#).unwrap();
    assert_eq!((again.status, &again.json()["judged_from"]), (200, &"evidence".into()));
    let scan = daemon.get(&format!("/v1/scans/{begun}")).json();
    assert_eq!((&scan["revision"], &scan["result"]["model"]["id"]), (&2.into(), &"first".into()));

    reload(&daemon, &with(&broken));
    until_reloads(&daemon, "refused", 1.0);
    assert_eq!(model(), "second", "a bundle that fails its checks changes nothing");
    assert!(daemon.log().contains("encoder.onnx: SHA-256"), "{}", daemon.log());
}

#[test]
fn a_policy_means_here_what_it_means_to_scan() {
    let folder = tempfile::tempdir().unwrap();
    let (call, file) = (folder.path().join("call.wav"), folder.path().join("desk.toml"));
    recording(&call, 1, 1);
    let audio = fs::read(&call).unwrap();
    let rules = "bona_fide_above = -1.0\nignore_silent_channels = true";
    fs::write(&file, format!("id = 'desk'\n{rules}")).unwrap();
    let section = format!("[policies.desk]\n{rules}\n[policies.desk.actions]\nbona_fide = 'review'");
    let daemon = Daemon::start(&Setup { rest: &section, ..Setup::default() });
    for (query, args, decision) in [
        ("?name=call.wav", &[][..], "inconclusive"),
        ("?name=call.wav&policy=desk", &["--policy", file.to_str().unwrap()], "bona_fide"),
    ] {
        let id = daemon.submit(query, &audio);
        let scan = daemon.finished(&id);
        assert_eq!((&scan["decision"], &scan["action"]), (&decision.into(), &"review".into()), "{scan}");
        assert_eq!(daemon.get(&format!("/v1/scans/{id}/result")).body, scan_line(args, &call), "{query}");
    }
}

#[test]
fn a_policy_that_a_reload_took_away_does_not_take_its_jobs_along() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.wav");
    recording(&long, 40, 0);
    let with = |rest| Setup { queue: ONE_WORKER, rest, ..Setup::default() };
    let daemon = Daemon::start(&with("[policies.desk]\nspoof_below = -9.0"));
    daemon.submit("", &fs::read(&long).unwrap());
    // It waits behind the long one while its policy goes.
    let id = daemon.submit("?policy=desk", &fs::read(sample("genuine-it-carlo.opus")).unwrap());
    reload(&daemon, &with(""));
    until_reloads(&daemon, "ok", 1.0);
    let scan = daemon.finished(&id);
    // Where the long one was done first, it was still judged by its own.
    let policy = scan["result"]["policy"]["id"].as_str().unwrap();
    assert!(policy == "default" && daemon.log().contains("the policy is gone") || policy == "desk", "{policy}");
    assert_eq!(scan["policy"], policy, "the scan and its result agree");
}

/// Whether a client that trusts only `known` gets an answer over TLS.
fn answers(port: u16, known: &CertifiedKey<KeyPair>, token: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(known.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    let connection = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let head = "GET /v1/model HTTP/1.1\r\nHost: localhost\r\nConnection: close";
    let sent = stream.write_all(format!("{head}\r\nAuthorization: Bearer {token}\r\n\r\n").as_bytes());
    let mut answer = Vec::new();
    sent.and_then(|()| stream.read_to_end(&mut answer)).is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

#[test]
fn new_certificates_are_taken_up_by_a_reload_and_broken_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (first, second) = (make(), make());
    let at = |name: &str| folder.path().join(name);
    let write = |identity: &CertifiedKey<KeyPair>| {
        fs::write(at("tls.crt"), identity.cert.pem()).unwrap();
        fs::write(at("tls.key"), identity.signing_key.serialize_pem()).unwrap();
    };
    write(&first);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (certificate, key) = (at("tls.crt").display().to_string(), at("tls.key").display().to_string());
    let server = format!("tcp = '127.0.0.1:{port}'\n[server.tls]\ncertificate = '{certificate}'\nkey = '{key}'");
    let hash: String = TokenHash::of("pbx-token").into();
    let token = format!("[[tokens]]\nname = 'pbx'\nhash = '{hash}'\nscopes = ['submit']");
    let daemon = Daemon::start(&Setup { server: &server, rest: &token, ..Setup::default() });
    let shows = |identity| answers(port, identity, "pbx-token");
    assert!(shows(&first) && !shows(&second));
    write(&second);
    daemon.signal("-HUP");
    until_reloads(&daemon, "ok", 1.0);
    assert!(shows(&second) && !shows(&first));
    fs::write(at("tls.key"), first.signing_key.serialize_pem()).unwrap();
    daemon.signal("-HUP");
    until_reloads(&daemon, "refused", 1.0);
    assert!(shows(&second), "the key of another certificate changes nothing");
}
