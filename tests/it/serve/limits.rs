//! What clients must not be able to do: fill memory or disk, hold connections, or get anything but a problem for nonsense.

use std::{
    fs,
    io::{Read, Write},
    process::Command,
    thread,
};

use super::{Daemon, configure, read_reply, short_wav, spawn, until};

#[test]
fn uploads_have_a_size_and_work_has_a_bound() {
    let queue = "[queue]\nmax_jobs = 1\nmax_bytes = 8192\nmax_upload_bytes = 4096\n";
    let daemon = Daemon::start("", queue);
    daemon.send("POST /v1/scans", &[], &[7; 5_000]).is_problem(413, "too_large");
    let mut stream = daemon.connect().unwrap();
    let head = "POST /v1/scans HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let _ = write!(stream, "1388\r\n{}\r\n0\r\n\r\n", "x".repeat(5_000));
    read_reply(stream).unwrap().unwrap().is_problem(413, "too_large");

    // An upload that has only begun holds the one place there is.
    let mut half = daemon.connect().unwrap();
    write!(half, "POST /v1/scans HTTP/1.1\r\nhost: x\r\ncontent-length: 3000\r\n\r\nRIFF").unwrap();
    until("its file", || daemon.spool().len() == 1);
    let refused = daemon.send("POST /v1/scans", &[], &short_wav(0));
    refused.is_problem(503, "full");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    daemon.get("/readyz").is_problem(503, "full");
    drop(half);
    until("that it is forgotten", || daemon.spool().is_empty());
    daemon.judged("", &short_wav(0));
    assert_eq!(daemon.get("/v1/scans").json()["scans"].as_array().unwrap().len(), 1);
}

#[test]
fn whoever_dawdles_is_cut_off() {
    let daemon = Daemon::start("header_timeout_secs = 1\nbody_idle_secs = 1", "");
    let mut slow = daemon.connect().unwrap();
    slow.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\nx-a").unwrap();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    let mut slow = daemon.connect().unwrap();
    slow.write_all(b"POST /v1/scans HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\nconnection: close\r\n\r\nRIFF")
        .unwrap();
    read_reply(slow).unwrap().unwrap().is_problem(408, "timeout");
    assert!(daemon.spool().is_empty());
}

#[test]
fn nonsense_gets_a_problem_and_broken_audio_a_verdict() {
    let daemon = Daemon::start("", "");
    let id = daemon.judged("", b"not audio at all").text("id");
    assert_eq!(daemon.get(&format!("/v1/scans/{id}")).text("decision"), "inconclusive");
    let json = ("content-type", "application/json");
    let form = ("content-type", "multipart/form-data; boundary=cut");
    let deep = "[".repeat(60_000);
    let overrule = format!("POST /v1/scans/{id}/override");
    let two_files = "--cut\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\na\r\n\
                     --cut\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nb\r\n--cut--\r\n";
    for (request, header, body, status) in [
        ("GET /v1/scans?limit=0", json, "", 400),
        ("GET /v1/scans?limit=-1", json, "", 400),
        ("GET /v1/scans?cursor=x", json, "", 400),
        ("GET /v1/scans?since=yesterday", json, "", 400),
        ("GET /v1/scans?unknown=1", json, "", 400),
        ("GET /v1/scans/../../etc/passwd", json, "", 404),
        ("GET /v1/scans/%00", json, "", 404),
        ("GET /v1/scans/%FF", json, "", 404),
        ("PUT /v1/scans", json, "", 405),
        ("GET /nothing", json, "", 404),
        ("POST /v1/scans?name=%0A%1B", json, "x", 400),
        ("POST /v1/scans?policy=none", json, "x", 400),
        ("POST /v1/scans?source=watch:a", json, "x", 400),
        ("POST /v1/scans", ("idempotency-key", ""), "x", 400),
        ("POST /v1/scans", form, "", 400),
        ("POST /v1/scans", form, "--cut\r\nnonsense", 400),
        ("POST /v1/scans", form, "--cut\r\ncontent-disposition: form-data; name=\"x\"\r\n\r\ny\r\n--cut--\r\n", 400),
        ("POST /v1/scans", form, two_files, 400),
        ("POST /v1/scans", ("content-type", "multipart/form-data"), "x", 400),
        (&overrule, json, "", 400),
        (&overrule, json, &deep, 400),
        (&overrule, json, r#"{"decision":"genuine","note":"x"}"#, 400),
        (&overrule, json, r#"{"decision":"spoof","note":"a\u0007"}"#, 400),
        (&overrule, json, r#"{"decision":"spoof","note":"x","more":1}"#, 400),
        (&overrule, ("content-type", "text/plain"), "{}", 415),
    ] {
        let reply = daemon.send(request, &[header], body.as_bytes());
        let shown = body.get(..60).unwrap_or(body);
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, Some("application/problem+json")),
            "{request} {shown}: {reply:?}"
        );
    }
    assert!(daemon.spool().is_empty(), "{:?}", daemon.spool());
    daemon
        .post_json(&format!("/v1/scans/{id}/override"), &format!("{{\"note\":\"{}\"}}", "x".repeat(70_000)))
        .is_problem(413, "too_large");
    assert_eq!(daemon.get("/healthz").status, 200);
    let log = daemon.log();
    assert!(!log.chars().any(|c| c.is_control() && c != '\n'), "{log:?}");
}

#[test]
fn two_hundred_at_once_are_all_judged_in_bounded_memory() {
    const CLIENTS: u32 = 200;
    let daemon = Daemon::start("", "");
    let audio = super::sample("hold-music.mp3");
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (daemon, audio) = (&daemon, &audio);
            scope.spawn(move || {
                // Bytes after the end make each its own.
                let audio =
                    if number % 20 == 0 { [audio, &number.to_le_bytes()[..]].concat() } else { short_wav(number) };
                let reply = daemon.send(&format!("POST /v1/scans?label=n{number}"), &[], &audio);
                assert!(matches!(reply.status, 200 | 202), "{reply:?}");
            });
        }
    });
    let done = || daemon.get("/v1/scans?state=done&limit=500").json()["scans"].as_array().unwrap().clone();
    until("all verdicts", || done().len() == CLIENTS as usize);
    let labels: std::collections::BTreeSet<String> =
        done().iter().map(|scan| scan["label"].as_str().unwrap().to_owned()).collect();
    assert_eq!(labels.len(), CLIENTS as usize);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 400 << 10, "{peak_kib} KiB");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&state).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("no tmpfs can be mounted here: skipped");
        return;
    }
    configure(folder.path(), "", "");
    let child = spawn(folder.path());
    let daemon = Daemon { folder, child };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        daemon.wait_until_ready();
        let before = daemon.judged("", &short_wav(0)).text("id");
        daemon.send("POST /v1/scans", &[], &vec![7; 4 << 20]).is_problem(507, "disk_full");
        assert!(daemon.spool().is_empty());
        assert_eq!(daemon.get(&format!("/v1/scans/{before}")).text("state"), "done");
        daemon.judged("", &short_wav(1));
    }));
    let mut daemon = daemon;
    daemon.end("-TERM");
    assert!(Command::new("umount").arg(&state).status().unwrap().success());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
