//! `clonewatch doctor` on set-ups that are sound and on such that are not.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    thread,
};

use serde_json::Value;

fn doctor(folder: &Path, config: &str, format: &str) -> Output {
    fs::write(folder.join("clonewatch.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    let config = folder.join("clonewatch.toml");
    command.args(["doctor", "--format", format, "--config"]).arg(config).output().unwrap()
}

fn findings(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    report["findings"].as_array().unwrap().clone()
}

/// The finding on `topic` that holds `words`.
fn find<'f>(findings: &'f [Value], topic: &str, words: &str) -> &'f Value {
    let holds = |finding: &&Value| finding["topic"] == topic && finding["what"].as_str().unwrap().contains(words);
    findings.iter().find(holds).unwrap_or_else(|| panic!("{topic}, {words}: {findings:#?}"))
}

#[test]
fn a_sound_machine_has_nothing_to_complain_of() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(at("intake")).unwrap();
    let config = format!(
        "[server]\nunix_socket = '{}'\ntcp = '127.0.0.1:0'\n[queue]\nmax_bytes = 1048576\nmax_upload_bytes = 1048576\n\
         [store]\ndir = '{}'\n[[watch]]\nname = 'intake'\ndir = '{}'\n[[tokens]]\nname = 'a'\nscopes = ['read']\n\
         hash = 'sha256:{}'\n[[webhooks]]\nname = 'desk'\nurl = 'https://example.com/x'\n\
         secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n",
        at("sock"),
        at("state"),
        at("intake"),
        "0".repeat(64),
    );
    let output = doctor(folder.path(), &config, "json");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found = findings(&output);
    for (topic, words) in [
        ("configuration", "1 tokens, 0 policies, 1 watched folders, 1 webhooks"),
        ("model", "every hash and the golden self-test agree"),
        ("state", "will be made"),
        ("disk", "GiB free"),
        ("watch", "readable and writable"),
        ("socket", "free"),
        ("port", "free"),
        ("webhook", "clonewatch webhook test desk"),
        ("clock", "20"),
    ] {
        assert_eq!(find(&found, topic, words)["level"], "ok");
    }
    let capacity = find(&found, "capacity", "× real time")["what"].as_str().unwrap();
    let factor: f64 =
        capacity.split("speech at ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    assert!(factor > 0.0, "{capacity}");
    assert!(fs::read_dir(folder.path()).unwrap().count() == 2, "it changes nothing");
    let text = String::from_utf8(doctor(folder.path(), &config, "text").stdout).unwrap();
    assert!(text.lines().count() >= 10 && text.starts_with("ok    configuration  "), "{text}");
}

#[test]
fn each_fault_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    // A program that is none of ours holds the port.
    let other = thread::spawn(move || {
        let (mut stream, _) = foreign.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n");
    });
    fs::create_dir(at("state")).unwrap();
    fs::set_permissions(at("state"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(at("model")).unwrap();
    fs::write(at("model/manifest.toml"), "id = 'x'").unwrap();
    fs::write(at("key.pem"), "").unwrap();
    fs::set_permissions(at("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let config = format!(
        "[server]\nunix_socket = '{}'\ntcp = '127.0.0.1:{port}'\n[store]\ndir = '{}'\n[queue]\n\
         max_bytes = 9000000000000000000\n[model]\ndir = '{}'\n[[watch]]\nname = 'intake'\ndir = '{}'\n\
         [[tokens]]\nname = 'a'\nscopes = ['read']\nhash = 'sha256:{}'\n[[webhooks]]\nname = 'desk'\n\
         url = 'http://user@example.com/x'\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n",
        at("none/sock"),
        at("state"),
        at("model"),
        at("gone"),
        "0".repeat(64),
    );
    let output = doctor(folder.path(), &config, "json");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found = findings(&output);
    for (topic, words, level, remedy) in [
        ("model", "manifest.toml", "fail", "model.dir"),
        ("state", "others may look into it (mode 755)", "fail", "chmod 700"),
        ("disk", "queue.max_bytes", "warn", "lower queue.max_bytes"),
        ("watch", "gone", "fail", "mkdir -p"),
        ("port", "another program", "fail", "ss -ltnp"),
        ("webhook", "no user", "fail", "[[webhooks]]"),
    ] {
        let finding = find(&found, topic, words);
        assert_eq!(finding["level"], level, "{finding}");
        assert!(finding["remedy"].as_str().unwrap().contains(remedy), "{finding}");
    }
    other.join().unwrap();
    let text =
        String::from_utf8(doctor(folder.path(), &config.replace("[[tokens]]", "[[tokems]]"), "text").stdout).unwrap();
    assert!(text.starts_with("FAIL  configuration  ") && text.contains("tokems"), "{text}");
    assert!(text.contains("\n                     → clonewatch check-config"), "{text}");
    assert!(
        text.contains("ok    capacity") || text.contains("warn  capacity"),
        "the rest is checked all the same: {text}"
    );
}
