//! The console as browsers and attackers meet it: headers, sessions, scopes, forms, escaping.

mod browser;
mod scans;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use clonewatch::config::TokenHash;

use super::{
    daemon::{Daemon, Reply, Setup, sample},
    webhook::until,
};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A section for each token, named like it, with these scopes.
pub(crate) fn tokens(tokens: &[(&str, &str)]) -> String {
    let section = |(token, scopes): &(&str, &str)| {
        let hash = TokenHash::of(token);
        format!("[[tokens]]\nname = '{token}'\nhash = 'sha256:{}'\nscopes = {scopes}\n", hash.hex())
    };
    tokens.iter().map(section).collect()
}

pub(crate) const ALL: [(&str, &str); 3] = [("chief", "['admin']"), ("desk", "['read']"), ("pbx", "['submit']")];

fn port(daemon: &Daemon) -> u16 {
    let log = daemon.log();
    let port = log.rsplit("address=127.0.0.1:").next().and_then(|rest| rest.split_whitespace().next());
    port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {log}"))
}

/// A browser that says little: over TCP, with a cookie once it has one.
pub(crate) struct Visit<'a> {
    daemon: &'a Daemon,
    pub(crate) port: u16,
    pub(crate) cookie: String,
}

impl<'a> Visit<'a> {
    fn new(daemon: &'a Daemon) -> Self {
        Self { daemon, port: port(daemon), cookie: String::new() }
    }

    pub(crate) fn signed_in(daemon: &'a Daemon, token: &str) -> Self {
        let mut visit = Self::new(daemon);
        let reply = visit.post("/console/sign-in", &format!("token={token}"));
        assert_eq!((reply.status, reply.header("location")), (303, Some("/console")), "{reply:?}");
        let cookie = reply.header("set-cookie").unwrap();
        assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
        visit.cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
        visit
    }

    fn send(&self, line: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n{}{headers}Content-Length: {}\r\n\r\n",
            self.port,
            self.cookie,
            body.len()
        );
        // What the daemon does not want to read may stay unsent.
        let _ = stream.write_all(&[head.as_bytes(), body].concat());
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Reply::parse(&answer)
            .unwrap_or_else(|| panic!("{line}: {}; {}", String::from_utf8_lossy(&answer), self.daemon.log()))
    }

    fn get(&self, target: &str) -> Reply {
        self.send(&format!("GET {target}"), "", b"")
    }

    fn post(&self, target: &str, form: &str) -> Reply {
        self.send(&format!("POST {target}"), FORM, form.as_bytes())
    }

    /// [`Visit::post`] with the token of this visitor's pages.
    pub(crate) fn submit(&self, target: &str, form: &str) -> Reply {
        self.post(target, &format!("{form}&form_token={}", form_token(&self.get("/console/scans").text())))
    }
}

/// The token in a page's first form.
fn form_token(page: &str) -> String {
    let value = page.split("name=\"form_token\" value=\"").nth(1).unwrap_or_else(|| panic!("no form: {page}"));
    value.split('"').next().unwrap().to_owned()
}

pub(crate) fn with_tcp(rest: &str) -> Daemon {
    Daemon::start(&Setup { server: "tcp = '127.0.0.1:0'", rest, ..Setup::default() })
}

#[test]
fn every_answer_bears_strict_headers_and_no_page_holds_a_script() {
    let daemon = Daemon::start(&Setup::default());
    assert_eq!(daemon.get("/").header("location"), Some("/console"));
    let page = daemon.get("/console").text();
    let style = page.split("href=\"").find(|rest| rest.starts_with("/console/static/style.css")).unwrap();
    let style = style.split('"').next().unwrap();
    for (target, status, kept) in [
        ("/console", 200, "no-store"),
        ("/console/scans", 200, "no-store"),
        ("/console/sign-in", 200, "no-store"),
        ("/console/nowhere", 404, "no-store"),
        ("/console/scans/00000000000000000000000000000000", 404, "no-store"),
        ("/console/scans?decision=x", 400, "no-store"),
        ("/console/static/player.js", 200, "no-cache"),
        ("/console/static/..%2Fmod.rs", 404, "no-store"),
        (style, 200, "public, max-age=31536000, immutable"),
    ] {
        let reply = daemon.get(target);
        assert_eq!((reply.status, reply.header("cache-control")), (status, Some(kept)), "{target}");
        let policy = reply.header("content-security-policy").unwrap();
        for word in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|part| part == word), "{target}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{target}");
        }
        if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            assert_sound(&reply.text());
        }
    }
}

/// What holds for every page.
fn assert_sound(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{page}");
    assert_eq!(page.matches("<h1").count(), 1, "{page}");
    for word in ["style=\"", "onload", "onclick", "javascript:", "<script>", "http://", "https://", "<style"] {
        assert!(!page.contains(word), "the page holds {word}");
    }
    for script in page.split("<script").skip(1) {
        assert!(script.starts_with(" type=\"module\" src=\"/console/static/"), "{script}");
    }
}

#[test]
fn over_tcp_a_token_opens_a_session_and_its_end_ends_it() {
    let daemon = with_tcp(&tokens(&ALL));
    let visit = Visit::new(&daemon);
    for target in
        ["/console", "/console/scans?text=a%26b", "/console/scans/00000000000000000000000000000000/result.json"]
    {
        let reply = visit.get(target);
        assert_eq!(reply.status, 303, "{target}");
        assert!(reply.header("location").unwrap().starts_with("/console/sign-in?next=%2Fconsole"), "{reply:?}");
    }
    assert_eq!(visit.post("/console/scans/bulk", "action=delete").status, 401);
    let refused = visit.post("/console/sign-in", "token=wrong&next=//evil.example/");
    assert_eq!((refused.status, refused.header("set-cookie")), (403, None));
    assert!(refused.text().contains("name=\"next\" value=\"/console\""), "{refused:?}");
    let elsewhere = visit.post("/console/sign-in", "token=desk&next=https://evil.example/");
    assert_eq!(elsewhere.header("location"), Some("/console"));

    let (desk, chief) = (Visit::signed_in(&daemon, "desk"), Visit::signed_in(&daemon, "chief"));
    assert_eq!((desk.get("/console/scans").status, chief.get("/console/scans").status), (200, 200));
    assert_eq!(desk.get("/v1/scans").status, 401, "the API takes no cookies");
    let guessed = Visit { cookie: "Cookie: clonewatch=0123456789abcdef\r\n".into(), ..Visit::new(&daemon) };
    assert_eq!(guessed.get("/console/scans").status, 303);

    let out = chief.submit("/console/sign-out", "");
    assert!(out.status == 303 && out.header("set-cookie").unwrap().contains("Max-Age=0"), "{out:?}");
    assert_eq!((desk.get("/console/scans").status, chief.get("/console/scans").status), (200, 303));

    let setup = Setup { server: "tcp = '127.0.0.1:0'", rest: &tokens(&ALL[..1]), ..Setup::default() };
    fs::write(daemon.path("clonewatch.toml"), setup.text(&daemon.path(""))).unwrap();
    daemon.signal("-HUP");
    until("the token to be out of force", || desk.get("/console/scans").status == 303);
    let audit = daemon.get("/v1/audit").text();
    assert!(audit.contains("console.signed_in") && audit.contains("chief"), "{audit}");
}

#[test]
fn changes_come_only_from_forms_of_ones_own_pages() {
    let daemon = with_tcp(&tokens(&ALL));
    let id = daemon.submit("?name=a.mp3", &fs::read(sample("hold-music.mp3")).unwrap());
    daemon.finished(&id);
    let (visit, other) = (Visit::signed_in(&daemon, "chief"), Visit::signed_in(&daemon, "chief"));
    let target = format!("/console/scans/{id}/override");
    let token = form_token(&visit.get("/console/scans").text());
    let foreign = form_token(&other.get("/console/scans").text());
    assert_ne!(token, foreign);
    let own = format!("http://127.0.0.1:{}", visit.port);
    let form = |token: &str| format!("decision=spoof&note=x&form_token={token}");
    for (headers, body, status) in [
        ("", "decision=spoof&note=x".into(), 403),
        ("", form(""), 403),
        ("", form(&foreign), 403),
        ("Origin: http://evil.example\r\n", form(&token), 403),
        ("Origin: null\r\n", form(&token), 403),
        ("Sec-Fetch-Site: cross-site\r\n", form(&token), 403),
        ("Sec-Fetch-Site: same-site\r\n", form(&token), 403),
        (&format!("Origin: {own}\r\nSec-Fetch-Site: same-origin\r\n"), form(&token), 303),
    ] {
        let reply = visit.send(&format!("POST {target}"), &format!("{FORM}{headers}"), body.as_bytes());
        assert_eq!(reply.status, status, "{headers}{body}: {reply:?}");
        assert_eq!(daemon.get(&format!("/v1/scans/{id}")).json()["override"].is_object(), status == 303);
    }
    let upload = |headers: &str| visit.send("POST /console/upload?name=a.wav", headers, b"RIFF").status;
    assert_eq!((upload(""), upload(&format!("X-Form-Token: {foreign}\r\n"))), (403, 403));
    assert_eq!(upload(&format!("X-Form-Token: {token}\r\n")), 202);
    let embedded = visit.send("GET /console/scans", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", b"");
    assert_eq!(embedded.status, 403, "another site's page gets nothing, not even to look at blindly");
}

#[test]
fn without_a_script_a_form_hands_in_and_leads_to_the_verdict() {
    let daemon = with_tcp(&tokens(&ALL));
    let visit = Visit::signed_in(&daemon, "chief");
    let page = visit.get("/console").text();
    for words in
        ["action=\"/console/upload\" enctype=\"multipart/form-data\"", "<noscript><button>Hand in</button></noscript>"]
    {
        assert!(page.contains(words), "{words} is missing: {page}");
    }
    let (token, music) = (form_token(&page), fs::read(sample("hold-music.mp3")).unwrap());
    let field = |name: &str, body: &[u8]| {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.as_bytes(), body, b"\r\n"].concat()
    };
    let file = |name: &str| field(&format!("file\"; filename=\"{name}"), &music);
    let send = |fields: &[Vec<u8>]| {
        let body = [&fields.concat()[..], b"--x--\r\n"].concat();
        visit.send("POST /console/upload", "Content-Type: multipart/form-data; boundary=x\r\n", &body)
    };
    let own = field("form_token", token.as_bytes());
    for fields in
        [&[file("a.mp3")][..], &[field("form_token", b"guessed"), file("a.mp3")], &[file("a.mp3"), own.clone()]]
    {
        let reply = send(fields);
        assert!(reply.status == 403 && reply.text().contains("The form is too old"), "{reply:?}");
    }
    assert_eq!(daemon.get("/v1/scans").json()["scans"], serde_json::json!([]), "nothing was taken");
    let reply = send(&[own, field("policy", b"default"), field("label", b""), file("<b>music</b>.mp3")]);
    assert_eq!(reply.status, 303, "{reply:?}");
    let verdict = visit.get(reply.header("location").unwrap()).text();
    assert!(verdict.contains("Inconclusive: no speech") && verdict.contains("&lt;b&gt;music"), "{verdict}");
}

#[test]
fn over_the_socket_only_this_machine_is_let_in_without_a_token() {
    let daemon = Daemon::start(&Setup { server: "unix_scopes = ['read']", ..Setup::default() });
    let from = |host: &str| {
        daemon
            .raw(format!("GET /console/scans HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap()
    };
    for host in ["localhost", "localhost:8750", "127.0.0.1:9", "clonewatch"] {
        let reply = from(host);
        assert!(reply.status == 200 && reply.text().contains("unix:uid="), "{host}: {reply:?}");
    }
    // Another site's name that was made to lead here.
    assert_eq!(from("evil.example:8750").status, 303);
    assert!(!daemon.get("/console/scans").text().contains("form_token"), "nothing may be changed by `read`");
}

#[test]
fn scopes_decide_what_is_seen_and_done() {
    let daemon = with_tcp(&tokens(&ALL));
    let music = fs::read(sample("hold-music.mp3")).unwrap();
    let foreign = daemon.submit("?name=foreign.mp3", &music);
    daemon.finished(&foreign);
    let [chief, desk, pbx] = ["chief", "desk", "pbx"].map(|token| Visit::signed_in(&daemon, token));
    let hand_in = |visit: &Visit<'_>| {
        let page = visit.get("/console").text();
        let form = page.split("id=\"drop\"").nth(1);
        form.map(form_token)
            .map(|token| visit.send("POST /console/upload?name=own.mp3", &format!("X-Form-Token: {token}\r\n"), &music))
    };
    assert!(hand_in(&desk).is_none(), "`read` gets no form");
    let own = hand_in(&pbx).unwrap();
    assert_eq!((own.status, own.json()["source"].as_str()), (202, Some("console")), "{own:?}");
    let own = own.id();
    daemon.finished(&own);
    let scan = |id: &str| format!("/console/scans/{id}");
    for (visit, target, status) in [
        (&pbx, scan(&own), 200),
        (&pbx, scan(&foreign), 404),
        (&pbx, scan(&foreign) + "/result.json", 404),
        (&pbx, scan(&foreign) + "/pictures/0", 404),
        (&pbx, scan(&foreign) + "/state", 404),
        (&pbx, scan(&own) + "/audio", 403),
        (&pbx, "/console/scans".into(), 403),
        (&desk, scan(&own), 200),
        (&desk, scan(&foreign) + "/report.html", 200),
        (&desk, scan(&own) + "/audio", 404),
        (&chief, "/console/scans".into(), 200),
    ] {
        assert_eq!(visit.get(&target).status, status, "{target}");
    }
    let page = desk.get(&scan(&own)).text();
    assert!(!page.contains("action=\"/console/scans/"), "no decisions for `read`");
    let token = form_token(&page);
    for action in ["override", "rejudge", "delete"] {
        let form = format!("decision=spoof&note=x&policy=default&form_token={token}");
        assert_eq!(desk.post(&format!("{}/{action}", scan(&own)), &form).status, 403, "{action}");
    }
    assert_eq!(desk.post("/console/scans/bulk", &format!("action=delete&id={own}&form_token={token}")).status, 403);
    assert_eq!(daemon.get(&format!("/v1/scans/{own}")).status, 200, "it is still there");
}

#[test]
fn the_console_can_be_switched_off() {
    let daemon = Daemon::start(&Setup { rest: "[console]\nenabled = false\n", ..Setup::default() });
    for target in ["/console", "/console/scans", "/console/sign-in", "/console/static/style.css"] {
        assert_eq!(daemon.get(target).status, 404, "{target}");
    }
    assert_eq!(daemon.get("/v1/scans").status, 200);
}
