//! `/openapi.json` against the running daemon, by a client that knows nothing but the document.

use std::process::Command;

use super::{Daemon, short_wav};

#[test]
fn the_document_is_openapi_3_1_and_names_every_route() {
    let daemon = Daemon::start("", "");
    let document = daemon.get("/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document:#}");
    let mut paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    paths.sort();
    let expected = [
        "/healthz",
        "/metrics",
        "/readyz",
        "/v1/audit",
        "/v1/model",
        "/v1/policies",
        "/v1/scans",
        "/v1/scans/{id}",
        "/v1/scans/{id}/override",
        "/v1/scans/{id}/rejudge",
        "/v1/scans/{id}/result",
        "/version",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn a_generated_client_finds_the_service_as_documented() {
    if !Command::new("schemathesis").arg("--version").output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "schemathesis is missing");
        eprintln!("schemathesis is not installed: skipped");
        return;
    }
    let token = "a-token-for-one-test";
    let hash: String = clonewatch::config::TokenHash::of(token).into();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tokens = format!("[[tokens]]\nname = 'a'\nhash = '{hash}'\nscopes = ['submit', 'read', 'admin']\n");
    let daemon = Daemon::start(&format!("tcp = '{address}'\nmax_wait_secs = 2"), &tokens);
    daemon.judged("", &short_wav(0));
    let mut client = Command::new("schemathesis");
    client.current_dir(daemon.folder.path()).arg("run").arg(format!("http://{address}/openapi.json"));
    client.args(["--header", &format!("Authorization: Bearer {token}"), "--phases", "examples,coverage,fuzzing"]);
    // Which policies there are, no schema can say: an unknown name is refused although it is a string.
    client.args(["--max-examples", "20", "--seed", "1", "--exclude-checks", "positive_data_acceptance"]);
    let output = client.args(["--continue-on-failure"]).output().unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), daemon.log());
}
