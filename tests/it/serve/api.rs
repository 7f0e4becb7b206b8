//! Audio in, verdicts out: the same bytes as `scan`, whichever way they come; lists, removal, second opinions, the audit log.

use std::process::Command;

use super::{Daemon, Reply, sample, short_wav, until};

const CLONED: &str = "cloned-en-piper.m4a";

fn scan(name: &str) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/samples")).args(["scan", "--format", "jsonl", name]);
    command.output().unwrap().stdout
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (disposition, content) in parts {
        body.extend_from_slice(format!("--cut\r\ncontent-disposition: form-data; {disposition}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--cut--\r\n");
    body
}

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=cut");

#[test]
fn a_clip_gets_the_bytes_of_scan_whichever_way_it_comes() {
    let daemon = Daemon::start("", "");
    let (audio, expected) = (sample(CLONED), scan(CLONED));
    let file = format!("name=\"file\"; filename=\"{CLONED}\"");
    let raw = daemon.judged(&format!("?name={CLONED}"), &audio);
    let as_form = form(&[("name=\"label\"", b"case 7"), (&file, &audio)]);
    let formed = daemon.send("POST /v1/scans", &[("prefer", "wait=60"), FORM], &as_form);
    let later = daemon.send(&format!("POST /v1/scans?name={CLONED}"), &[], &audio);
    assert_eq!((raw.status, formed.status), (200, 200), "{formed:?}");
    // It may be done by the time it is answered.
    assert!(matches!(later.status, 200 | 202), "{later:?}");
    for reply in [&raw, &formed, &later] {
        let place = reply.header("location").unwrap();
        until("a verdict", || daemon.get(place).text("state") == "done");
        assert_eq!(daemon.get(&format!("{place}/result")).body, expected);
    }
    let whole = expected.trim_ascii_end();
    assert!(raw.body.windows(whole.len()).any(|bytes| bytes == whole), "the result is inside as it is: {raw:?}");
    assert_eq!((formed.text("label"), formed.text("name")), ("case 7".into(), CLONED.into()));
    assert!(daemon.spool().is_empty(), "no audio is kept unless asked for");
    assert_eq!(raw.header("preference-applied"), Some("wait=60"));
}

#[test]
fn lists_filter_and_page_and_scans_can_be_removed() {
    let daemon = Daemon::start("", "");
    for number in 0..5 {
        let label = if number == 3 { "&label=odd" } else { "" };
        daemon.judged(&format!("?name=n{number}.wav&source=desk{label}"), &short_wav(number));
    }
    let names = |reply: &Reply| -> Vec<String> {
        let json = reply.json();
        json["scans"].as_array().unwrap().iter().map(|scan| scan["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut pages = Vec::new();
    let mut path = "/v1/scans?limit=2".to_owned();
    loop {
        let page = daemon.get(&path);
        pages.push(names(&page));
        let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
        path = format!("/v1/scans?limit=2&cursor={next}");
    }
    assert_eq!(pages, [vec!["n4.wav", "n3.wav"], vec!["n2.wav", "n1.wav"], vec!["n0.wav"]]);
    for (query, count) in [
        ("decision=inconclusive", 5),
        ("decision=spoof", 0),
        ("source=desk", 5),
        ("source=api", 0),
        ("label=odd", 1),
        ("state=done", 5),
        ("state=failed", 0),
        ("since=2020-01-01T00:00:00Z", 5),
        ("until=2020-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(names(&daemon.get(&format!("/v1/scans?{query}"))).len(), count, "{query}");
    }
    let id = daemon.get("/v1/scans?label=odd").json()["scans"][0]["id"].as_str().unwrap().to_owned();
    let delete = format!("DELETE /v1/scans/{id}");
    assert_eq!(daemon.send(&delete, &[], b"").status, 204);
    daemon.send(&delete, &[], b"").is_problem(404, "no_such_scan");
    daemon.get(&format!("/v1/scans/{id}/result")).is_problem(404, "no_such_scan");
}

#[test]
fn a_repeated_submission_is_one_scan() {
    let daemon = Daemon::start("", "");
    let send =
        |audio: &[u8]| daemon.send("POST /v1/scans", &[("idempotency-key", "k-1"), ("prefer", "wait=60")], audio);
    let (first, second) = (send(&short_wav(1)), send(&short_wav(1)));
    assert_eq!(first.text("id"), second.text("id"));
    send(&short_wav(2)).is_problem(422, "idempotency_key");
    assert_eq!(daemon.get("/v1/scans").json()["scans"].as_array().unwrap().len(), 1);
    assert!(daemon.spool().is_empty(), "{:?}", daemon.spool());
}

#[test]
fn second_opinions_are_kept_beside_the_first_and_the_audit_log_shows_tampering() {
    let policies = "[policies.lenient]\nspoof_below = -50.0\nbona_fide_above = 40.0\n[policies.lenient.insert]\nspoof_below = -60.0\n";
    let daemon = Daemon::start("", policies);
    let id = daemon.judged(&format!("?name={CLONED}"), &sample(CLONED)).text("id");
    let at = format!("/v1/scans/{id}");
    let again = daemon.post_json(&format!("{at}/rejudge"), r#"{"policy":"lenient"}"#);
    assert_eq!((again.status, again.json()["scan"]["revision"].as_u64()), (200, Some(2)), "{again:?}");
    assert_eq!(daemon.get(&format!("{at}/result?revision=1")).text("decision"), "spoof");
    assert_ne!(daemon.get(&format!("{at}/result")).text("decision"), "spoof");
    daemon.get(&format!("{at}/result?revision=3")).is_problem(404, "no_such_revision");
    daemon.post_json(&format!("{at}/rejudge"), r#"{"policy":"none"}"#).is_problem(400, "invalid_request");
    let heard = daemon.post_json(&format!("{at}/rejudge"), r#"{"policy":"lenient","from":"audio"}"#);
    heard.is_problem(409, "no_audio");
    let overruled = daemon.post_json(&format!("{at}/override"), r#"{"decision":"bona_fide","note":"called back"}"#);
    assert_eq!(overruled.json()["override"]["note"], "called back", "{overruled:?}");
    assert_eq!(daemon.get(&at).json()["override"]["decision"], "bona_fide");
    let log = daemon.get(&format!("/v1/audit?scan={id}")).json();
    let actions: Vec<&str> = ["accepted", "judged", "rejudged", "overridden"].to_vec();
    for (row, action) in log["rows"].as_array().unwrap().iter().zip(&actions) {
        assert!(row["content"].as_str().unwrap().contains(&format!("\"scan.{action}\"")), "{log:#}");
    }
    assert_eq!(log["rows"].as_array().unwrap().len(), actions.len());

    let verify = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
        command.args(["audit", "verify", "--config"]).arg(daemon.path("clonewatch.toml")).output().unwrap()
    };
    assert!(verify().status.success());
    let database = daemon.database();
    database.execute("UPDATE audit SET content = 'x' WHERE seq = 3", []).unwrap_err();
    database
        .execute_batch("DROP TRIGGER audit_keeps_content; UPDATE audit SET content = content || ' ' WHERE seq = 3")
        .unwrap();
    let broken = verify();
    let words = String::from_utf8(broken.stderr).unwrap();
    assert!(broken.status.code() == Some(2) && words.contains("audit row 3: content was changed"), "{words}");
}

#[test]
fn flagged_audio_is_kept_when_asked_for_and_can_be_heard_again() {
    let daemon = Daemon::start("", "[retention]\nflagged_audio_days = 1\n");
    let id = daemon.judged("", &sample(CLONED)).text("id");
    daemon.judged("", &short_wav(0));
    assert_eq!(daemon.spool(), [format!("{id}.audio")]);
    let again = daemon.post_json(&format!("/v1/scans/{id}/rejudge"), r#"{"policy":"default","from":"audio"}"#);
    assert_eq!(again.status, 202, "{again:?}");
    until("a second verdict", || daemon.get(&format!("/v1/scans/{id}")).json()["revision"] == 2);
    assert_eq!(daemon.send(&format!("DELETE /v1/scans/{id}"), &[], b"").status, 204);
    assert!(daemon.spool().is_empty());
}

#[test]
fn the_service_tells_of_itself() {
    let daemon = Daemon::start("", "");
    daemon.judged("", &short_wav(0));
    for path in ["/healthz", "/readyz", "/version", "/v1/model", "/v1/policies", "/openapi.json"] {
        assert_eq!(daemon.get(path).status, 200, "{path}");
    }
    let metrics = String::from_utf8(daemon.get("/metrics").body).unwrap();
    for line in [
        "clonewatch_verdicts_total{decision=\"inconclusive\"} 1",
        "clonewatch_jobs_total{outcome=\"done\"} 1",
        "clonewatch_http_requests_total{route=\"/v1/scans\",method=\"POST\",status=\"200\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let named = daemon.send("GET /version", &[("x-request-id", "call-7")], b"");
    assert_eq!(named.header("x-request-id"), Some("call-7"));
    let hostile = daemon.send("GET /version", &[("x-request-id", "a b")], b"");
    assert_eq!(hostile.header("x-request-id").unwrap_or("").len(), 16, "{hostile:?}");
}

#[test]
fn a_policy_may_leave_silent_channels_out() {
    let daemon = Daemon::start("", "[policies.calls]\nignore_silent_channels = true\n");
    let mut call = sample("call-agent-left-caller-right.wav");
    let start = call.windows(4).position(|four| four == b"data").unwrap() + 8;
    // A-law's zero on the right.
    call[start..].iter_mut().skip(1).step_by(2).for_each(|byte| *byte = 0xd5);
    for (query, decision) in [("", "inconclusive"), ("?policy=calls", "bona_fide")] {
        assert_eq!(daemon.judged(query, &call).text("decision"), decision, "{query}");
    }
}
