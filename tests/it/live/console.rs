//! The console's pages about the service, beside live calls: over raw HTTP, and in a real browser.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use tungstenite::{Message, WebSocket};

use super::{wire::to, *};
use crate::{
    console::{ALL, Visit, tokens, with_tcp},
    daemon::Reply,
    tools::has_tool,
};

/// A call of two parties that is open until it is dropped or stopped.
struct Call {
    socket: WebSocket<UnixStream>,
    id: String,
}

impl Call {
    fn begin(daemon: &Daemon, external_id: &str) -> Self {
        let mut socket = to("/v1/live/pcm").open(daemon).unwrap();
        let opening = serde_json::json!({
            "rate": 8000, "channels": 2, "parties": ["agent", "caller"], "external_id": external_id, "queue": "sales",
        });
        socket.send(Message::text(opening.to_string())).unwrap();
        let id = only_call(daemon)["id"].as_str().unwrap().to_owned();
        Self { socket, id }
    }

    /// Plays the sample call so many times: its left side is genuine, its right side cloned.
    fn play(&mut self, daemon: &Daemon, times: usize) {
        let (rate, channels) = decoded(&sample("call-agent-left-caller-right.wav"));
        assert_eq!(rate, 8_000);
        let frames = channels[0].iter().zip(&channels[1]);
        let bytes: Vec<u8> = frames.flat_map(|(l, r)| [l.to_le_bytes(), r.to_le_bytes()]).flatten().collect();
        let bytes = bytes.repeat(times);
        let secs = bytes.len() as f64 / 4.0 / f64::from(rate);
        pace(daemon, bytes.chunks(1_280), secs, |part| {
            self.socket.send(Message::binary(part.to_vec())).unwrap();
            part.len() as f64 / 2.0 / f64::from(rate)
        });
    }

    fn stop(mut self) {
        self.socket.send(Message::text(r#"{"type":"stop"}"#)).unwrap();
        while self.socket.read().is_ok() {}
    }
}

fn page(daemon: &Daemon, path: &str) -> String {
    let reply = daemon.get(path);
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    assert!(reply.header("content-type").unwrap().starts_with("text/html"), "{path}");
    reply.text()
}

/// What every form holds.
fn form_token(page: &str) -> &str {
    page.split("name=\"form_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form")
}

fn post(daemon: &Daemon, path: &str, form: &str) -> Reply {
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    daemon.send(&format!("POST {path}"), headers, form.as_bytes()).unwrap()
}

#[test]
fn a_call_is_shown_while_it_goes_on_and_its_result_afterwards() {
    let daemon = Daemon::start(&Setup::default());
    assert!(page(&daemon, "/console/calls").contains("No calls at the moment"));
    let mut call = Call::begin(&daemon, "<script>alert(1)</script>\u{202e}");
    let (path, id) = (format!("/console/calls/{}", call.id), call.id.clone());
    call.play(&daemon, 1);
    until("the alert", || page(&daemon, "/console/calls/table").contains("Alert at 0:"));
    let table = page(&daemon, "/console/calls");
    for words in [&format!("href=\"{path}\""), "&lt;script&gt;alert(1)", "likely cloned", "likely genuine", "<polyline"]
    {
        assert!(table.contains(words), "{words} is missing: {table}");
    }
    let shown = page(&daemon, &path);
    for words in [
        &format!("data-events=\"{path}/events\""),
        "Alert: caller is likely cloned. Raised at 0:",
        "class=\"bar cloned\"",
        "class=\"bar genuine\"",
        "role=\"alert\"",
        "queue</dt><dd>sales",
    ] {
        assert!(shown.contains(words), "{words} is missing: {shown}");
    }
    let parts = page(&daemon, &format!("{path}/parties"));
    assert!(parts.contains("data-alert=\"Alert: caller") && !parts.contains("<html"), "{parts}");
    for text in [&table, &shown, &parts] {
        assert!(!text.contains("<script>alert") && !text.contains('\u{202e}'), "{text}");
    }
    call.stop();
    result_of(&daemon, &id);
    let over = daemon.get(&path);
    assert_eq!((over.status, over.header("location")), (303, Some(format!("/console/scans/{id}").as_str())));
    let result = page(&daemon, &format!("/console/scans/{id}"));
    for words in [
        "Channel 0, agent: ",
        "Channel 1, caller: Likely cloned",
        "queue</dt><dd>sales",
        "caller likely cloned, raised at 0:",
        "of calls none is kept",
        "Calls are not recorded",
    ] {
        assert!(result.contains(words), "{words} is missing: {result}");
    }
    assert!(!result.contains("<script>alert") && !result.contains('\u{202e}'), "{result}");
    assert_eq!(daemon.get(&format!("/console/calls/{}", "0".repeat(32))).status, 404);

    let overview = page(&daemon, "/console/overview");
    for words in ["1 likely cloned and 1 live alerts in 14 days", "of 1 verdicts", "clonewatch-", "free of"] {
        assert!(overview.contains(words), "{words} is missing: {overview}");
    }
    assert!(overview.contains("Nothing was decided by people"), "{overview}");
    let overrule = [("decision", "bona_fide"), ("note", "called back")];
    let form = overrule.map(|(key, value)| format!("{key}={value}&")).concat();
    let scan = page(&daemon, &format!("/console/scans/{id}"));
    let form = form + "form_token=" + form_token(&scan);
    assert_eq!(post(&daemon, &format!("/console/scans/{id}/override"), &form).status, 303);
    let overview = page(&daemon, "/console/overview");
    for words in ["1 likely cloned and 1 live alerts", "1 of 1 verdicts were looked at by people, 1 was changed."] {
        assert!(overview.contains(words), "the program's count stays, and people's stands beside it: {overview}");
    }
    let audit = page(&daemon, "/console/audit?verify=true");
    assert!(audit.contains("The chain is whole") && audit.contains("call.alert") && audit.contains("party caller"));
}

#[test]
fn events_that_were_given_up_are_sent_again_from_the_settings() {
    let port = free_port();
    let webhook = format!(
        "[[webhooks]]\nname = 'fraud-desk'\nurl = 'http://127.0.0.1:{port}/hooks/not-for-eyes'\n\
         secret = '{}'\nallow_networks = ['127.0.0.0/8']\nmax_attempts = 1\n\
         [[tokens]]\nname = 'pbx'\nhash = 'sha256:{}'\nscopes = ['submit']\n[policies.fraud-line]\nspoof_below = -3.5\n",
        crate::webhook::SECRET,
        "5".repeat(64)
    );
    let daemon = Daemon::start(&Setup { rest: &webhook, ..Setup::default() });
    daemon.submit("", &fs::read(sample("hold-music.mp3")).unwrap());
    until("a dead event", || daemon.metric("clonewatch_outbox_events", "dead") == 1.0);
    let settings = page(&daemon, "/console/settings");
    for words in [
        "fraud-line",
        "−3.50",
        "denoised −",
        "passage −",
        "pbx",
        "http://127.0.0.1:",
        "scan.finished",
        "Send 1 again",
        "after 1 attempt<",
    ] {
        assert!(settings.contains(words), "{words} is missing: {settings}");
    }
    for secret in ["not-for-eyes", "55555555", "whsec_"] {
        assert!(!settings.contains(secret), "{secret} is shown");
    }
    let token = format!("form_token={}", form_token(&settings));
    assert_eq!(post(&daemon, "/console/settings/send-again", "seq=1").status, 403, "not by a page of ours");
    for (form, told) in [("seq=1", "revived"), ("seq=999", "gone")] {
        let reply = post(&daemon, "/console/settings/send-again", &format!("{token}&{form}"));
        assert_eq!(
            (reply.status, reply.header("location")),
            (303, Some(format!("/console/settings?told={told}").as_str()))
        );
    }
    until("it to be given up again", || daemon.metric("clonewatch_outbox_events", "dead") == 1.0);
    assert!(page(&daemon, "/console/settings?told=revived").contains("delivery begins"));
    assert!(page(&daemon, "/console/audit").contains("events.sent_again"));

    let told = || post(&daemon, "/console/settings/reload", &token).header("location").unwrap().to_owned();
    assert_eq!(told(), "/console/settings?told=reloaded");
    fs::write(daemon.path("clonewatch.toml"), "[server]\nnonsense = 1\n").unwrap();
    assert_eq!(told(), "/console/settings?told=refused");
    assert!(page(&daemon, "/console/settings?told=refused").contains("the old one stays in force"));
}

#[test]
fn readers_see_and_admins_change() {
    for (scopes, statuses) in [("'read'", [200, 200, 200, 200]), ("'submit'", [403, 403, 403, 403])] {
        let server = format!("unix_scopes = [{scopes}]");
        let daemon = Daemon::start(&Setup { server: &server, ..Setup::default() });
        let paths = ["/console/calls", "/console/overview", "/console/settings", "/console/audit"];
        assert_eq!(paths.map(|path| daemon.get(path).status), statuses, "{scopes}");
        for path in ["/console/settings/reload", "/console/settings/send-again"] {
            assert_eq!(post(&daemon, path, "").status, 403, "{scopes}: {path}");
        }
        assert!(!daemon.get("/console/settings").text().contains("Reload the"), "{scopes}");
    }
}

#[test]
fn whoever_signs_out_hears_no_more_of_a_call() {
    use std::io::{Read, Write};
    let daemon = with_tcp(&tokens(&ALL));
    let mut call = Call::begin(&daemon, "case 4711");
    let visit = Visit::signed_in(&daemon, "desk");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", visit.port)).unwrap();
    let ask = format!(
        "GET /console/calls/{}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{}\r\n",
        call.id, visit.cookie
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let (mut heard, mut piece) = (Vec::new(), [0; 4_096]);
    while !String::from_utf8_lossy(&heard).contains("event: call.state") {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend(&piece[..count]);
    }
    assert_eq!(visit.submit("/console/sign-out", "").status, 303);
    call.play(&daemon, 1);
    stream.read_to_end(&mut heard).unwrap();
    let heard = String::from_utf8_lossy(&heard);
    assert!(!heard.contains("call.verdict") && !heard.contains("call.ended"), "{heard}");
    assert_eq!(only_call(&daemon)["id"].as_str(), Some(call.id.as_str()), "the call goes on");
    call.stop();
}

/// Lines of the browser's script, as they come.
fn browser(script: &str, arguments: &[&str]) -> (Child, impl Iterator<Item = Value>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(script);
    let mut command = Command::new("node");
    let mut child = command.arg(script).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()))
}

#[test]
fn an_alert_appears_on_the_page_without_loading_it_again() {
    if !["node", "chromium"].iter().all(|name| has_tool(name, Command::new(name).arg("--version"))) {
        return;
    }
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe/node_modules/axe-core/axe.min.js");
    if !has_tool("axe-core (installed by .ci/run)", Command::new("test").arg("-f").arg(&axe)) {
        return;
    }
    let port = free_port();
    let hash = clonewatch::config::TokenHash::of("a-token-for-tests");
    let rest = format!(
        "[live]\nidle_secs = 300\n[[tokens]]\nname = 'desk'\nhash = 'sha256:{}'\nscopes = ['admin']\n",
        hash.hex()
    );
    let server = format!("tcp = '127.0.0.1:{port}'");
    let daemon = Daemon::start(&Setup { server: &server, rest: &rest, ..Setup::default() });
    for name in ["hold-music.mp3", "genuine-it-menardi.ulaw.wav", CLONED] {
        daemon.finished(&daemon.submit("", &fs::read(sample(name)).unwrap()));
    }
    let pictures = std::env::var_os("CLONEWATCH_PICTURES").map_or_else(|| daemon.path(""), Into::into);
    let mut call = Some(Call::begin(&daemon, "case 4711"));
    let id = call.as_ref().unwrap().id.clone();
    let base = format!("http://127.0.0.1:{port}");
    let arguments = [&base, &id, "a-token-for-tests", pictures.to_str().unwrap(), axe.to_str().unwrap()];
    let (mut child, said) = browser("console_live.mjs", &arguments);
    let mut alerts = 0;
    let mut views = 0;
    let mut ends = 0;
    let mut keeps_focus = false;
    for said in said {
        if said["before"] == true {
            call.as_mut().unwrap().play(&daemon, 3);
        } else if said["alert"].is_string() {
            assert!(said["alert"].as_str().unwrap().starts_with("Alert: caller is likely cloned."), "{said}");
            assert_eq!((&said["role"], &said["isTheSamePage"]), (&"alert".into(), &true.into()), "{said}");
            assert!(said["bars"].as_u64() > Some(4), "{said}");
            alerts += 1;
        } else if said["view"].is_string() {
            assert_eq!((&said["overflow"], &said["complaints"]), (&0.into(), &serde_json::json!([])), "{said}");
            assert_eq!((&said["violations"], &said["landmarks"]), (&serde_json::json!([]), &3.into()), "{said}");
            views += 1;
        } else if said["focus_is_kept"] == true {
            keeps_focus = true;
        } else if said["waits"] == "end" {
            call.take().unwrap().stop();
        } else if said["ended_at"].is_string() {
            assert!(said["heading"].as_str().unwrap().contains("Likely cloned"), "{said}");
            ends += 1;
        }
    }
    assert!(child.wait().unwrap().success());
    assert_eq!((alerts, views, ends, keeps_focus), (2, 10, 2, true), "{}", daemon.log());
}
