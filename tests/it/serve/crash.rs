//! Whatever ends or changes the daemon: every accepted job gets its one verdict.

use std::time::Duration;

use super::{Daemon, configure, copy_of_bundle, sample, short_wav, until};

/// Asserts that every scan of `ids` gets one verdict, and no more.
fn all_have_one_verdict(daemon: &Daemon, ids: &[String]) {
    until("no open jobs", || {
        ["queued", "running"]
            .iter()
            .all(|state| daemon.get(&format!("/v1/scans?state={state}")).json()["scans"] == serde_json::json!([]))
    });
    let database = daemon.database();
    for id in ids {
        let sql = "SELECT state, (SELECT count(*) FROM verdicts WHERE job = id) FROM jobs WHERE id = ?1";
        let row: (String, u32) = database.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(row, ("done".into(), 1), "{id}");
    }
    let judged = "SELECT count(*) FROM audit WHERE content LIKE '%\"scan.judged\"%'";
    let done = "SELECT count(*) FROM jobs WHERE state = 'done'";
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(judged), count(done));
}

#[test]
fn fifty_kills_lose_nothing_and_judge_nothing_twice() {
    const KILLS: u32 = 50;
    let mut daemon = Daemon::start("", "[queue]\nworkers = 2\n");
    let mut journal = Vec::new();
    let mut random: u32 = 0x9e37_79b9;
    for round in 0..KILLS {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let pause = Duration::from_micros(u64::from(random >> 16) * 2);
        let pid = daemon.child.id().to_string();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            std::process::Command::new("kill").args(["-9", &pid]).status().unwrap()
        });
        for number in 0.. {
            let audio = short_wav(round << 16 | number);
            let Ok(Some(reply)) = daemon.try_send("POST /v1/scans", &[], &audio) else { break };
            // An answer that is cut off was not given.
            let Ok(scan) = serde_json::from_slice::<serde_json::Value>(&reply.body) else { break };
            assert!(matches!(reply.status, 200 | 202), "{reply:?}");
            journal.push(scan["id"].as_str().unwrap().to_owned());
        }
        assert!(killer.join().unwrap().success());
        daemon.child.wait().unwrap();
        daemon.start_again();
    }
    assert!(journal.len() > KILLS as usize, "{}", journal.len());
    all_have_one_verdict(&daemon, &journal);
    until("a tidy spool", || daemon.spool().is_empty());
}

#[test]
fn a_stop_puts_running_work_back() {
    let mut daemon = Daemon::start("drain_secs = 0", "[queue]\nworkers = 1\n");
    let long = sample("spliced-podcast.mp3").repeat(8);
    let ids: Vec<String> =
        [&long, &short_wav(1)].map(|audio| daemon.send("POST /v1/scans", &[], audio).text("id")).to_vec();
    until("its start", || daemon.get(&format!("/v1/scans/{}", ids[0])).text("state") == "running");
    assert_eq!(daemon.end("-TERM"), Some(0), "{}", daemon.log());
    let sql = "SELECT state, attempts FROM jobs WHERE id = ?1";
    let row: (String, u32) = daemon.database().query_row(sql, [&ids[0]], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(row, ("queued".into(), 0));
    assert!(!daemon.path("sock").exists());
    daemon.start_again();
    all_have_one_verdict(&daemon, &ids);
}

#[test]
fn a_stop_lets_running_work_end_within_its_deadline() {
    let mut daemon = Daemon::start("drain_secs = 60", "[queue]\nworkers = 1\n");
    let id = daemon.send("POST /v1/scans", &[], &sample("spliced-podcast.mp3")).text("id");
    until("its start", || daemon.get(&format!("/v1/scans/{id}")).text("state") != "queued");
    assert_eq!(daemon.end("-TERM"), Some(0), "{}", daemon.log());
    let state: String =
        daemon.database().query_row("SELECT state FROM jobs WHERE id = ?1", [&id], |row| row.get(0)).unwrap();
    assert_eq!(state, "done");
}

#[test]
fn a_reload_takes_a_good_file_and_refuses_a_bad_one() {
    let daemon = Daemon::start("", "[policies.one]\n");
    let policies = || -> Vec<String> {
        let json = daemon.get("/v1/policies").json();
        json["policies"].as_array().unwrap().iter().map(|policy| policy["id"].as_str().unwrap().to_owned()).collect()
    };
    let counted = |outcome: &str, count: u32| {
        let line = format!("clonewatch_config_reloads_total{{outcome=\"{outcome}\"}} {count}");
        String::from_utf8(daemon.get("/metrics").body).unwrap().lines().any(|found| found == line)
    };
    let reload = |more: &str| {
        configure(daemon.folder.path(), "", more);
        daemon.signal("-HUP");
    };
    reload("[policies.two]\n");
    until("the new policy", || policies() == ["default", "two"]);
    for (number, bad) in ["[policies.three]\nspoof = 1\n", "[model]\ndir = '/nowhere'\n", "nonsense"].iter().enumerate()
    {
        reload(bad);
        until("its refusal", || counted("refused", number as u32 + 1));
        assert_eq!(policies(), ["default", "two"]);
    }
    assert!(daemon.log().contains("clonewatch.toml:7: spoof = 1"), "{}", daemon.log());

    let bundle = daemon.path("model");
    copy_of_bundle(&bundle, "another");
    // Judged by whichever model was in force when it was taken; none is lost over the change.
    let ids: Vec<String> =
        (0..20).map(|number| daemon.send("POST /v1/scans", &[], &short_wav(number)).text("id")).collect();
    reload(&format!("[model]\ndir = '{}'\n", bundle.display()));
    until("the new model", || daemon.get("/v1/model").text("id") == "another");
    assert_eq!(daemon.judged("", &short_wav(99)).json()["result"]["model"]["id"], "another");
    all_have_one_verdict(&daemon, &ids);
}

#[test]
fn an_older_database_is_brought_up_to_date_and_a_newer_one_refused() {
    let mut daemon = Daemon::start("", "");
    let id = daemon.judged("", &short_wav(0)).text("id");
    daemon.end("-TERM");
    // What the first schema did not have.
    daemon
        .database()
        .execute_batch("DROP TABLE idempotency; DROP INDEX jobs_unfiled; ALTER TABLE jobs DROP COLUMN filed_ms; PRAGMA user_version = 1")
        .unwrap();
    daemon.start_again();
    assert_eq!(daemon.get(&format!("/v1/scans/{id}")).text("state"), "done");
    daemon.send("POST /v1/scans", &[("idempotency-key", "a")], &short_wav(1));
    daemon.end("-TERM");
    daemon.database().pragma_update(None, "user_version", 99).unwrap();
    daemon.child = super::spawn(daemon.folder.path());
    assert_eq!(daemon.child.wait().unwrap().code(), Some(2));
    assert!(daemon.log().contains("newer than this program's"), "{}", daemon.log());
}

#[test]
fn a_clock_that_was_set_back_changes_no_order() {
    let mut daemon = Daemon::start("", "");
    daemon.judged("?name=first.wav", &short_wav(0));
    daemon.end("-TERM");
    // As if the clock had been a year ahead until now.
    daemon.database().execute("UPDATE jobs SET accepted_ms = accepted_ms + 31536000000", []).unwrap();
    daemon.start_again();
    daemon.judged("?name=second.wav", &short_wav(1));
    let list = daemon.get("/v1/scans").json();
    assert_eq!((&list["scans"][0]["name"], &list["scans"][1]["name"]), (&"second.wav".into(), &"first.wav".into()));
}

#[test]
fn the_service_manager_is_told_of_readiness_of_life_and_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "", "");
    let socket = std::os::unix::net::UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.args(["serve", "--config"]).arg(folder.path().join("clonewatch.toml"));
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "300000");
    let child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut daemon = Daemon { folder, child };
    let hear = |wanted: &str| {
        let mut bytes = [0; 4_096];
        loop {
            let count = socket.recv(&mut bytes).unwrap_or_else(|e| panic!("{wanted}: {e}"));
            if String::from_utf8_lossy(&bytes[..count]).contains(wanted) {
                return;
            }
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    daemon.signal("-HUP");
    hear("RELOADING=1");
    hear("READY=1");
    assert_eq!(daemon.end("-TERM"), Some(0));
    hear("STOPPING=1");
}
