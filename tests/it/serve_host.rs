//! The daemon and what it runs on: the service manager, the clock, silent channels of real calls.

use std::{
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::Duration,
};

use clonewatch::store;

use super::daemon::{Daemon, Setup, sample};

#[test]
fn a_clock_that_was_set_back_changes_no_order() {
    let daemon = Daemon::start(&Setup::default());
    let audio = std::fs::read(sample("hold-music.mp3")).unwrap();
    daemon.finished(&daemon.submit("?name=first.mp3", &audio));
    daemon.signal("-TERM");
    assert!(daemon.ended().success());
    // As if the clock had been a year ahead until now.
    let database = rusqlite::Connection::open(daemon.path("state").join(store::DATABASE)).unwrap();
    database.execute("UPDATE jobs SET accepted_ms = accepted_ms + 31536000000", []).unwrap();
    drop(database);
    daemon.spawn_again();
    daemon.until_ready();
    daemon.finished(&daemon.submit("?name=second.mp3", &audio));
    let list = daemon.get("/v1/scans").json();
    assert_eq!([&list["scans"][0]["name"], &list["scans"][1]["name"]], ["second.mp3", "first.mp3"]);
}

#[test]
fn the_service_manager_is_told_of_readiness_of_life_and_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("clonewatch.toml"), Setup::default().text(folder.path())).unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.args(["serve", "--config"]).arg(folder.path().join("clonewatch.toml"));
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "300000");
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let hear = |wanted: &str| {
        let mut bytes = [0; 4_096];
        loop {
            let count = socket.recv(&mut bytes).unwrap_or_else(|e| panic!("{wanted}: {e}"));
            if String::from_utf8_lossy(&bytes[..count]).contains(wanted) {
                return;
            }
        }
    };
    let signal = |name: &str| Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    signal("-HUP");
    hear("RELOADING=1");
    hear("READY=1");
    signal("-TERM");
    hear("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_policy_may_leave_silent_channels_out() {
    let rest = "[policies.calls]\nignore_silent_channels = true\n";
    let daemon = Daemon::start(&Setup { rest, ..Setup::default() });
    let mut call = std::fs::read(sample("call-agent-left-caller-right.wav")).unwrap();
    let start = call.windows(4).position(|four| four == b"data").unwrap() + 8;
    // A-law's zero on the right.
    call[start..].iter_mut().skip(1).step_by(2).for_each(|byte| *byte = 0xd5);
    for (query, decision) in [("", "inconclusive"), ("?policy=calls", "bona_fide")] {
        assert_eq!(daemon.finished(&daemon.submit(query, &call))["decision"], decision, "{query}");
    }
}
