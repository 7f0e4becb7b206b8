//! `/openapi.json`: complete, and true of the running daemon.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Daemon, LENIENT, Value, has_curl, has_tool, text};

#[test]
fn every_route_and_every_error_is_described() {
    if !has_curl() {
        return;
    }
    let daemon = Daemon::start("");
    let document = daemon.ask(&[], "/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.push(format!("{} {path}", method.to_uppercase()));
            check_operation(path, operation);
        }
    }
    described.sort();
    let routes = [
        "DELETE /v1/scans/{id}",
        "GET /healthz",
        "GET /metrics",
        "GET /openapi.json",
        "GET /readyz",
        "GET /v1/audit",
        "GET /v1/calls",
        "GET /v1/calls/{id}",
        "GET /v1/calls/{id}/events",
        "GET /v1/live/asterisk",
        "GET /v1/live/genesys",
        "GET /v1/live/pcm",
        "GET /v1/live/telnyx",
        "GET /v1/live/twilio",
        "GET /v1/model",
        "GET /v1/policies",
        "GET /v1/scans",
        "GET /v1/scans/{id}",
        "GET /v1/scans/{id}/result",
        "GET /version",
        "POST /v1/scans",
        "POST /v1/scans/{id}/override",
        "POST /v1/scans/{id}/rejudge",
    ];
    assert_eq!(described, routes);
}

fn check_operation(path: &str, operation: &Value) {
    let answers = operation["responses"].as_object().unwrap();
    for (status, answer) in answers.iter().filter(|(status, _)| status.as_str() >= "400") {
        let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/Problem", "{path} {status}");
    }
    let is_open =
        operation["security"].as_array().is_some_and(|needs| needs.iter().all(|need| need == &serde_json::json!({})));
    assert_eq!(answers.contains_key("401"), !is_open, "{path}");
    if path.starts_with("/v1/scans") {
        assert!(answers.contains_key("500") && answers.contains_key("503"), "{path}");
    }
}

/// Another program's reading of the description against the daemon: answers that it does not describe, requests that it
/// allows and the daemon refuses, and the other way round.
#[test]
fn schemathesis_finds_nothing() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schemathesis/bin/schemathesis");
    if !has_tool("schemathesis (made by .ci/run)", Command::new(&place).arg("--version")) {
        return;
    }
    let output = super::clonewatch().args(["token", "new", "tester", "--scope", "admin"]).output().unwrap();
    let section = text(&output.stdout);
    let token = section.lines().find_map(|line| line.strip_prefix("# The token, shown this once: ")).unwrap();
    let daemon = Daemon::start(&format!("[server]\ntcp = '127.0.0.1:0'\n{LENIENT}{section}"));
    let url = format!("http://127.0.0.1:{}", daemon.port());
    let bearer = format!("Authorization: Bearer {token}");
    let document = daemon.ask(&[], "/openapi.json").body;
    let operations = operations_of(&document);
    fs::write(daemon.path("openapi.json"), document).unwrap();
    // A policy's and a scan's name can only be guessed, and a key that was used for something else is refused. WebSockets are
    // not asked for.
    let settings = "[checks]\npositive_data_acceptance.expected-statuses = ['2xx', '404', '409', '422']\n\
                    [[operations]]\ninclude-path-regex = '^/v1/live/'\n\
                    checks.positive_data_acceptance.expected-statuses = ['426']\n\
                    checks.negative_data_rejection.expected-statuses = ['400', '401', '404', '405', '426']\n";
    fs::write(daemon.path("schemathesis.toml"), settings).unwrap();
    let mut command = Command::new(&place);
    command.current_dir(daemon.folder.path()).args(["run", "openapi.json", "--url", &url, "--header", &bearer]);
    command.args(["--phases", "coverage,fuzzing,stateful", "--max-examples", "40", "--seed", "1", "--no-color"]);
    let found = command.stdin(Stdio::null()).output().unwrap();
    let said = text(&found.stdout);
    assert!(found.status.success() && said.contains(&format!("{operations} selected / {operations} total")), "{said}");
}

fn operations_of(document: &[u8]) -> usize {
    let document: Value = serde_json::from_slice(document).unwrap();
    let paths = document["paths"].as_object().unwrap();
    paths.values().map(|methods| methods.as_object().unwrap().len()).sum()
}
