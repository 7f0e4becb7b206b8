//! `clonewatch top` beside a live call.

use std::process::{Command, Output};

use super::{audiosocket::Asterisk, *};

fn top(arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.env_remove("CLONEWATCH_TOKEN").arg("top").args(arguments);
    token.map(|token| command.env("CLONEWATCH_TOKEN", token));
    command.output().unwrap()
}

#[test]
fn a_snapshot_shows_calls_parties_and_alerts() {
    let (daemon, port) = daemon("");
    let socket = daemon.path("sock").display().to_string();
    let snapshot = || {
        let output = top(&["--once", "--socket", &socket], None);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let empty = snapshot();
    assert!(empty.contains("calls     0 of ") && empty.contains("no live calls"), "{empty}");

    let mut asterisk = Asterisk::call(port);
    only_call(&daemon);
    let (rate_hz, channels) = decoded(&sample(CLONED));
    asterisk.play(&daemon, (0x10, rate_hz), &channels[0], 160);
    until("the alert", || snapshot().contains(" ! 0:0"));
    let shown = snapshot();
    assert!(shown.contains("calls     1 of ") && shown.contains("alerts    1 raised, 0 taken back"), "{shown}");
    let line = shown.lines().last().unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["40404040-4040-4…", "caller", "cloned"], "{line}");
    assert!(words[4].starts_with('-') && words[6].contains(['▆', '▇', '█']), "{line}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(!shown.contains('\u{1b}'), "nothing for a terminal: {shown:?}");
}

#[test]
fn over_tcp_it_needs_a_token_that_may_read() {
    let port = free_port();
    let hash = |token: &str| clonewatch::model::sha256_hex(token.as_bytes());
    let tokens: String = [("reader", "read"), ("pbx", "submit")]
        .map(|(name, scope)| {
            format!("[[tokens]]\nname = '{name}'\nhash = 'sha256:{}'\nscopes = ['{scope}']\n", hash(name))
        })
        .concat();
    let server = format!("tcp = '127.0.0.1:{port}'");
    let _daemon = Daemon::start(&Setup { server: &server, rest: &tokens, ..Setup::default() });
    let url = format!("http://127.0.0.1:{port}/");
    let told = |token: Option<&str>| {
        let output = top(&["--once", "--url", &url], token);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, shown, _) = told(Some("reader"));
    assert!(code == Some(0) && shown.contains("no live calls"), "{shown}");
    for (token, why) in [(None, "does not know the token"), (Some("pbx"), "lacks the scope read")] {
        let (code, shown, complaint) = told(token);
        assert!(code == Some(2) && shown.is_empty() && complaint.contains(why), "{complaint}");
    }
    let output = top(&["--once", "--socket", "/nonexistent/sock"], None);
    assert!(output.status.code() == Some(2) && String::from_utf8(output.stderr).unwrap().contains("doctor"));
}
