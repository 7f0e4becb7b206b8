//! Who may do what: tokens and their scopes, TLS, client certificates; the configuration that says so.

use std::{fs, path::Path, process::Output};

use super::{Answer, Daemon, LENIENT, clonewatch, curl, has_curl, samples, text};

/// A new token: itself, and its section of the configuration.
fn token(name: &str, scopes: &str) -> (String, String) {
    let output = clonewatch().args(["token", "new", name, "--scope", scopes]).output().unwrap();
    let said = text(&output.stdout);
    let token = said.lines().find_map(|line| line.strip_prefix("# The token, shown this once: ")).unwrap();
    assert!(token.len() == 67 && !said.split("[[tokens]]").nth(1).unwrap().contains(token));
    (token.to_owned(), said)
}

/// Writes a self-signed certificate and its key as `NAME.crt` and `NAME.key`.
fn certificate(folder: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    fs::write(folder.join(format!("{name}.crt")), made.cert.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
}

#[test]
fn tokens_give_what_their_scopes_say_and_no_more() {
    if !has_curl() {
        return;
    }
    let (submit, a) = token("pbx", "submit");
    let (read, b) = token("desk", "read");
    let (admin, c) = token("chief", "admin");
    let a = format!("{a}policy = 'lenient'\n");
    let daemon = Daemon::start(&format!("[server]\ntcp = '127.0.0.1:0'\n{LENIENT}{a}{b}{c}"));
    let url = format!("http://127.0.0.1:{}", daemon.port());
    let ask = |token: &str, args: &[&str], path: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        Answer::of(curl(&[&["-H", &bearer], args].concat(), &format!("{url}{path}")))
    };
    let body = format!("@{}", samples().join("cloned-en-piper.m4a").display());
    let upload = ["-H", "Prefer: wait=60", "--data-binary", &body];
    let own = ask(&submit, &upload, "/v1/scans").json();
    assert_eq!((&own["submitted_by"], &own["policy"]), (&"pbx".into(), &"lenient".into()), "the token's policy");
    assert_eq!(ask(&submit, &upload, "/v1/scans?policy=default").json()["decision"], "spoof", "the request's");
    let foreign = daemon.judged("hold-music.mp3", &[], "");
    let (own, foreign) =
        (format!("/v1/scans/{}", own["id"].as_str().unwrap()), format!("/v1/scans/{}", Daemon::id(&foreign)));
    let rejudge = ["--json", r#"{"policy":"default"}"#];
    let overrule = ["--json", r#"{"decision":"spoof","note":"x"}"#];
    let delete = ["-X", "DELETE"];
    for (token, args, path, status) in [
        (&submit, &[][..], own.as_str(), 200),
        (&submit, &[], &format!("{own}/result"), 200),
        (&submit, &[], &foreign, 404),
        (&submit, &[], &format!("{foreign}/result"), 404),
        (&submit, &[], "/v1/scans", 403),
        (&submit, &[], "/metrics", 403),
        (&submit, &[], "/v1/audit", 403),
        (&submit, &delete, &own, 403),
        (&submit, &rejudge, &format!("{own}/rejudge"), 403),
        (&submit, &overrule, &format!("{own}/override"), 403),
        (&read, &upload, "/v1/scans", 403),
        (&read, &[], "/v1/scans", 200),
        (&read, &[], &foreign, 200),
        (&read, &[], "/metrics", 200),
        (&read, &[], "/v1/audit", 200),
        (&read, &delete, &foreign, 403),
        (&admin, &upload, "/v1/scans", 200),
        (&admin, &[], "/v1/audit", 200),
        (&admin, &overrule, &format!("{own}/override"), 200),
        (&admin, &delete, &foreign, 204),
    ] {
        let answer = ask(token, args, path);
        assert_eq!(answer.status, status, "{args:?} {path}: {}", answer.body_text());
        match status {
            403 => answer.is_problem(403, "scope"),
            404 => answer.is_problem(404, "no_such_scan"),
            _ => {}
        }
    }
    for path in ["/v1/scans", &own, "/v1/audit", "/v1/model", "/v1/policies", "/metrics"] {
        for answer in [Answer::of(curl(&[], &format!("{url}{path}"))), ask(&format!("{submit}0"), &[], path)] {
            answer.is_problem(401, "token");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let basic = Answer::of(curl(&["-u", "pbx:x"], &format!("{url}/v1/scans")));
    basic.is_problem(401, "token");
    for path in ["/healthz", "/readyz", "/version", "/openapi.json"] {
        assert_eq!(Answer::of(curl(&[], &format!("{url}{path}"))).status, 200, "{path} is for everybody");
    }
    let log = daemon.log();
    assert!(![submit, read, admin].iter().any(|token| log.contains(&token[3..20])), "no token is logged");
}

#[test]
fn tcp_speaks_tls_and_asks_for_client_certificates_where_told_to() {
    if !has_curl() {
        return;
    }
    let (admin, section) = token("chief", "admin");
    let files = tempfile::tempdir().unwrap();
    for name in ["localhost", "client", "stranger"] {
        certificate(files.path(), name);
    }
    let at = |name: &str| files.path().join(name).display().to_string();
    let tls = format!("[server.tls]\ncertificate = '{}'\nkey = '{}'\n", at("localhost.crt"), at("localhost.key"));
    let (authority, bearer) = (at("localhost.crt"), format!("Authorization: Bearer {admin}"));
    let ask = |daemon: &Daemon, args: &[&str]| -> Output {
        let trust = ["--cacert", authority.as_str(), "-H", &bearer];
        curl(&[&trust, args].concat(), &format!("https://localhost:{}/v1/model", daemon.port()))
    };
    let mut daemon = Daemon::start(&format!("[server]\ntcp = '127.0.0.1:0'\n{tls}{section}"));
    assert_eq!(Answer::of(ask(&daemon, &[])).status, 200);
    assert_eq!(Answer::of(ask(&daemon, &["--tls-max", "1.2"])).status, 200);
    assert!(!curl(&[], &format!("http://localhost:{}/version", daemon.port())).status.success(), "never without TLS");

    let mutual = format!("[server]\ntcp = '127.0.0.1:0'\n{tls}client_ca = '{}'\n{section}", at("client.crt"));
    daemon.restart(&mutual);
    let (client, stranger) = ((at("client.crt"), at("client.key")), (at("stranger.crt"), at("stranger.key")));
    assert_eq!(Answer::of(ask(&daemon, &["--cert", &client.0, "--key", &client.1])).status, 200);
    assert!(!ask(&daemon, &["--cert", &stranger.0, "--key", &stranger.1]).status.success());
    assert!(!ask(&daemon, &[]).status.success());
    let url = format!("https://localhost:{}/v1/model", daemon.port());
    let no_token = curl(&["--cacert", &authority, "--cert", &client.0, "--key", &client.1], &url);
    Answer::of(no_token).is_problem(401, "token");
}

#[test]
fn check_config_prints_what_is_in_force_and_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let check = |config: &str| {
        fs::write(folder.path().join("c.toml"), config).unwrap();
        clonewatch().arg("check-config").arg(folder.path().join("c.toml")).output().unwrap()
    };
    let (_, section) = token("a_b-1", "submit,read");
    let good = check(&format!(
        "{LENIENT}{section}[[webhooks]]\nname = 'w'\nurl = 'https://example.com'\n\
         secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n"
    ));
    assert!(good.status.success(), "{}", text(&good.stderr));
    let printed = text(&good.stdout);
    for words in ["max_wait_secs = 60", "[policies.lenient]", "name = \"a_b-1\"", "secret = \"********\""] {
        assert!(printed.contains(words), "{words}\n{printed}");
    }
    assert!(
        check(&printed.replace("secret = \"********\"\n", "secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n"))
            .status
            .success()
    );
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/clonewatch.toml");
    assert!(clonewatch().arg("check-config").arg(sample).output().unwrap().status.success());
    for (config, words) in [
        ("[server]\nmax_wait = 1", "c.toml:2: max_wait = 1 – unknown field"),
        ("[queue]\nmax_jobs = 0", "c.toml:2: queue.max_jobs: 0 – must be 1-1000000"),
        ("[model]\ndir = '/nonexistent'", "/nonexistent"),
        ("[policies.x]\nspoof_below = 90.0", "policies.x.spoof_below: 90"),
        ("[server]\ntcp = '127.0.0.1:0'", "clonewatch token new"),
    ] {
        let bad = check(config);
        let said = text(&bad.stderr);
        assert!(bad.status.code() == Some(2) && said.contains(words) && bad.stdout.is_empty(), "{config}\n{said}");
    }
    let bad_name = clonewatch().args(["token", "new", "a b"]).output().unwrap();
    assert!(bad_name.status.code() == Some(2) && bad_name.stdout.is_empty());
}
