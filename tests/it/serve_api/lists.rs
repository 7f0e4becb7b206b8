//! Lists, removal, and what the service says of itself.

use super::{Answer, Daemon, LENIENT, Value, has_curl};
use crate::webhook::until;

fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.body_text());
    let page = answer.json();
    page["scans"].as_array().unwrap().iter().map(|scan| scan["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lists_are_filtered_and_come_page_by_page() {
    if !has_curl() {
        return;
    }
    let daemon = Daemon::start("");
    let all = [
        ("cloned-en-piper.m4a", "name=a&label=x&source=desk"),
        ("genuine-ru-ivrvoice.flac", "name=b&label=x"),
        ("hold-music.mp3", "name=c&label=y&source=desk"),
    ]
    .map(|(sample, query)| daemon.judged(sample, &[], query));
    let middle = all[1]["accepted_at"].as_str().unwrap();
    for (query, expected) in [
        ("", &["c", "b", "a"][..]),
        ("decision=spoof", &["a"]),
        ("decision=bona_fide", &["b"]),
        ("decision=inconclusive", &["c"]),
        ("label=x", &["b", "a"]),
        ("source=desk", &["c", "a"]),
        ("source=api&label=x", &["b"]),
        ("state=done", &["c", "b", "a"]),
        ("state=queued", &[]),
        (&format!("since={middle}"), &["c", "b"]),
        (&format!("until={middle}"), &["a"]),
        ("since=2000-01-01T00:00:00%2B01:00&until=2001-01-01T00:00:00Z", &[]),
    ] {
        assert_eq!(names(&daemon.ask(&[], &format!("/v1/scans?{query}"))), expected, "{query}");
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for is_last in [false, true] {
        let page = daemon.ask(&[], &format!("/v1/scans?limit=2{cursor}"));
        seen.extend(names(&page));
        let next = page.json()["next"].clone();
        assert_eq!(next.is_null(), is_last);
        cursor = format!("&cursor={}", next.as_str().unwrap_or(""));
    }
    assert_eq!(seen, ["c", "b", "a"]);
    let place = format!("/v1/scans/{}", Daemon::id(&all[1]));
    let removed = daemon.ask(&["-X", "DELETE"], &place);
    assert_eq!((removed.status, removed.body.len()), (204, 0));
    for gone in [daemon.ask(&[], &place), daemon.ask(&["-X", "DELETE"], &place)] {
        gone.is_problem(404, "no_such_scan");
    }
    assert_eq!(names(&daemon.ask(&[], "/v1/scans")), ["c", "a"]);
    let log = daemon.ask(&[], &format!("/v1/audit?scan={}", Daemon::id(&all[1]))).json();
    let actions: Vec<&str> =
        log["rows"].as_array().unwrap().iter().map(|row| row["entry"]["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["scan.accepted", "scan.judged", "scan.deleted"], "the audit log keeps its rows");
}

#[test]
fn whatever_cannot_be_meant_so_is_a_problem() {
    if !has_curl() {
        return;
    }
    let daemon = Daemon::start("[server]\nmax_wait_secs = 60\n[queue]\nmax_upload_bytes = 2000\n");
    let nobody = "0123456789abcdef0123456789abcdef";
    let large = "x".repeat(2001);
    let long_json = format!("{{\"note\":\"{}\"}}", "x".repeat(70_000));
    let rejudge = &format!("/v1/scans/{nobody}/rejudge");
    let overrule = &format!("/v1/scans/{nobody}/override");
    for (args, path, status, code) in [
        (&[][..], "/v1", 404, "no_such_route"),
        (&[], "/v1/scans/x/y/z", 404, "no_such_route"),
        (&["-X", "PUT", "-d", "x"], "/v1/scans", 405, "method"),
        (&["-X", "MKCOL"], "/healthz", 405, "method"),
        (&[], "/v1/scans/none", 404, "no_such_scan"),
        (&[], "/v1/scans/%00", 404, "no_such_scan"),
        (&[], &format!("/v1/scans/{nobody}"), 404, "no_such_scan"),
        (&[], &format!("/v1/scans/{nobody}/result"), 404, "no_such_scan"),
        (&["-X", "DELETE"], &format!("/v1/scans/{nobody}"), 404, "no_such_scan"),
        (&[], "/v1/scans?limit=0", 400, "invalid_request"),
        (&[], "/v1/scans?limit=501", 400, "invalid_request"),
        (&[], "/v1/scans?cursor=x", 400, "invalid_request"),
        (&[], "/v1/scans?since=yesterday", 400, "invalid_request"),
        (&[], "/v1/scans?decision=maybe", 400, "invalid_request"),
        (&[], "/v1/scans?colour=red", 400, "invalid_request"),
        (&[], "/v1/audit?limit=1001", 400, "invalid_request"),
        (&[], "/v1/audit?scan=x", 400, "invalid_request"),
        (&["-d", "x"], "/v1/scans?label=", 400, "invalid_request"),
        (&["-d", "x"], "/v1/scans?name=a%0ab", 400, "invalid_request"),
        (&["-d", "x"], "/v1/scans?source=watch:x", 400, "invalid_request"),
        (&["-d", "x"], "/v1/scans?source=live:pcm", 400, "invalid_request"),
        (&["-d", "x"], "/v1/scans?policy=none", 409, "no_such_policy"),
        (&["-d", &large], "/v1/scans", 413, "too_large"),
        (&["-H", "Transfer-Encoding: chunked", "-d", &large], "/v1/scans", 413, "too_large"),
        (&["-F", "name=x"], "/v1/scans", 400, "invalid_request"),
        (&["-F", "file=x", "-F", "file=y"], "/v1/scans", 400, "invalid_request"),
        (&["-F", "file=x", "-F", "colour=red"], "/v1/scans", 400, "invalid_request"),
        (&["-H", "Content-Type: multipart/form-data", "-d", "x"], "/v1/scans", 400, "invalid_request"),
        (&["-d", "{}"], rejudge, 415, "content_type"),
        (&["--json", "{"], rejudge, 400, "invalid_request"),
        (&["--json", r#"{"policy":"none"}"#], rejudge, 409, "no_such_policy"),
        (&["--json", r#"{"policy":"default"}"#], rejudge, 404, "no_such_scan"),
        (&["--json", r#"{"decision":"spoof","note":""}"#], overrule, 400, "invalid_request"),
        (&["--json", r#"{"decision":"spoof"}"#], overrule, 400, "invalid_request"),
        (&["--json", r#"{"decision":"spoof","note":"x"}"#], overrule, 404, "no_such_scan"),
        (&["--json", &long_json], overrule, 413, "too_large"),
    ] {
        eprintln!("{path} {}", args.first().unwrap_or(&""));
        daemon.ask(args, path).is_problem(status, code);
    }
    assert!(daemon.ask(&[], "/v1/scans").json()["scans"].as_array().unwrap().is_empty());
}

#[test]
fn the_service_tells_what_it_is_and_how_it_fares() {
    if !has_curl() {
        return;
    }
    let daemon = Daemon::start(LENIENT);
    daemon.judged("cloned-en-piper.m4a", &[], "");
    daemon.ask(&["-X", "PROPFIND"], "/v1/scans");
    let is = |path: &str, expected: Value| assert_eq!(daemon.ask(&[], path).json(), expected);
    is("/healthz", serde_json::json!({"status": "ok"}));
    is("/readyz", serde_json::json!({"status": "ready"}));
    is("/version", serde_json::json!({"name": "clonewatch", "version": env!("CARGO_PKG_VERSION")}));
    let model = daemon.ask(&[], "/v1/model").json();
    let line: Value = serde_json::from_str(&super::scan("hold-music.mp3")).unwrap();
    assert_eq!((&model["id"], &model["sha256"]), (&line["model"]["id"], &line["model"]["sha256"]));
    let policies = daemon.ask(&[], "/v1/policies").json();
    let policies = policies["policies"].as_array().unwrap();
    let ids: Vec<(&str, bool)> =
        policies.iter().map(|p| (p["id"].as_str().unwrap(), p["is_default"].as_bool().unwrap())).collect();
    assert_eq!(ids, [("default", true), ("lenient", false)]);
    assert_eq!(policies[1]["spoof_below"], -50.0);
    assert_eq!(
        policies[0]["actions"],
        serde_json::json!({"bona_fide": "accept", "inconclusive": "review", "spoof": "flag"})
    );
    let files = clonewatch::model::embedded_files();
    let manifest: toml::Value = toml::from_str(std::str::from_utf8(&files["manifest.toml"]).unwrap()).unwrap();
    for rule in ["denoised", "insert"] {
        let expected = serde_json::to_value(&manifest["thresholds"][rule]).unwrap();
        assert_eq!(policies[0][rule], expected, "{rule}: the model's");
    }
    let metrics = daemon.ask(&[], "/metrics");
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"), "{}", metrics.head);
    let metrics = metrics.body_text();
    for line in [
        "# TYPE clonewatch_verdicts_total counter",
        "clonewatch_verdicts_total{decision=\"spoof\"} 1",
        "clonewatch_jobs_total{outcome=\"done\"} 1",
        "clonewatch_inside_jobs 0",
        "clonewatch_queue_depth 0",
        "clonewatch_http_requests_total{route=\"/v1/scans\",method=\"OTHER\",status=\"405\"} 1",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    for line in metrics.lines() {
        let is_sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
        assert!(
            is_sample || line.starts_with("# HELP clonewatch_") || line.starts_with("# TYPE clonewatch_"),
            "{line}"
        );
    }
    let own = daemon.ask(&["-H", "X-Request-Id: call-7"], "/version");
    assert_eq!(own.header("x-request-id"), "call-7");
    let escaping = daemon.ask(&["-H", "X-Request-Id: a\u{1b}[31m"], "/version");
    assert_eq!(escaping.status, 400, "no header holds control characters");
    let spaced = daemon.ask(&["-H", "X-Request-Id: a b"], "/version");
    let given = spaced.header("x-request-id");
    assert!(given.len() == 16 && given.bytes().all(|byte| byte.is_ascii_hexdigit()), "{given}");
    // A request is logged after its answer.
    let is_logged = |id: &str| daemon.log().contains(&format!("id=\"{id}\""));
    until("both requests in the log", || is_logged("call-7") && is_logged(given));
    assert!(!daemon.log().contains("\"a b\""), "{}", daemon.log());
}
