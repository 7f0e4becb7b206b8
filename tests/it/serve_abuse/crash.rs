//! Ends and beginnings: kills, orders to stop, reloads, a database of an older version, a receiver that is away.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use clonewatch::store;
use serde_json::Value;

use super::clip;
use crate::{
    daemon::{Daemon, Setup, sample},
    webhook::{Receiver, Request, SECRET, status, until},
};

/// Says that it is over, also where the test fails: nobody would end the threads that wait for it.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How often the daemon is killed.
const KILLS: usize = 50;

/// Every scan of `ids` has exactly one verdict, nothing else is left over, and the audit log holds together.
pub(super) fn assert_sound<'a>(daemon: &Daemon, ids: impl IntoIterator<Item = &'a String>) {
    until(&format!("all work; {}", daemon.log()), || daemon.metric("clonewatch_inside_jobs", "") == 0.0);
    let connection = store::open_readonly(&daemon.path("state")).unwrap();
    let count = |sql: &str, id: &str| connection.query_row(sql, [id], |row| row.get::<_, i64>(0)).unwrap();
    for id in ids {
        assert_eq!(count("SELECT count(*) FROM verdicts WHERE job = ?1", id), 1, "{id}");
        assert_eq!(count("SELECT count(*) FROM jobs WHERE id = ?1 AND state = 'done' AND revision = 1", id), 1, "{id}");
        let judged = "SELECT count(*) FROM audit WHERE job = ?1 AND content LIKE '%\"scan.judged\"%'";
        assert_eq!(count(judged, id), 1, "{id}");
    }
    // Jobs whose sender never heard of them are no worse off.
    assert_eq!(count("SELECT count(*) FROM jobs WHERE (state <> 'done' OR revision <> 1) AND ?1 = ''", ""), 0);
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    assert_eq!(daemon.spool(), [""; 0], "orphans in the spool");
    let mut audit = std::process::Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    let output = audit.args(["audit", "verify", "--config"]).arg(daemon.path("clonewatch.toml")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn fifty_kills_lose_nothing_and_judge_nothing_twice() {
    let daemon = Daemon::start(&Setup { queue: "workers = 2\nmax_attempts = 100", ..Setup::default() });
    let (journal, is_over, next) = (Mutex::new(Vec::new()), AtomicBool::new(false), AtomicUsize::new(0));
    let uploads = || {
        while !is_over.load(Ordering::Relaxed) {
            let audio = clip(next.fetch_add(1, Ordering::Relaxed));
            match daemon.upload("", &audio) {
                Ok(reply) if matches!(reply.status, 200 | 202) => journal.lock().unwrap().push(reply.id()),
                Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
                Err(_) => {}
            }
            // Steady, and slower than two cores judge.
            thread::sleep(Duration::from_millis(30));
        }
    };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    thread::scope(|scope| {
        let _over = Over(&is_over);
        (0..2).for_each(|_| drop(scope.spawn(uploads)));
        for round in 0..KILLS {
            // Every fifth is killed while it starts.
            if round % 5 != 4 {
                daemon.until_ready();
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Not a wait for something: the random point.
            thread::sleep(Duration::from_micros(random % 250_000));
            daemon.kill();
            daemon.spawn_again();
        }
    });
    daemon.until_ready();
    let journal = journal.into_inner().unwrap();
    eprintln!("{KILLS} kills, {} uploads were accepted", journal.len());
    assert!(journal.len() > KILLS, "too few uploads came through to say anything: {}", journal.len());
    assert_eq!(journal.iter().collect::<BTreeSet<_>>().len(), journal.len());
    assert_sound(&daemon, &journal);
}

#[test]
fn a_job_that_ends_the_process_each_time_is_given_up() {
    let daemon = Daemon::start(&Setup { queue: "workers = 1\nmax_attempts = 2", ..Setup::default() });
    let id = daemon.submit("", &long());
    for _ in 0..2 {
        until("the attempt", || daemon.get(&format!("/v1/scans/{id}")).json()["state"] == "running");
        daemon.kill();
        daemon.spawn_again();
        daemon.until_ready();
    }
    let scan = daemon.finished(&id);
    assert_eq!(scan["state"], "failed");
    assert!(scan["error"].as_str().unwrap().contains("given up"), "{scan}");
    assert_eq!(daemon.spool(), [""; 0]);
}

/// Audio that takes a worker some seconds.
fn long() -> Vec<u8> {
    let mut reader = hound::WavReader::open(sample("genuine-en-allison.wav")).unwrap();
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, reader.spec()).unwrap();
    for _ in 0..100 {
        samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

#[test]
fn an_order_to_stop_lets_running_work_end() {
    let daemon = Daemon::start(&Setup { server: "drain_secs = 120", queue: "workers = 1", ..Setup::default() });
    let running = daemon.submit("", &fs::read(sample("spliced-podcast.mp3")).unwrap());
    let waiting = daemon.submit("", &clip(1));
    daemon.signal("-TERM");
    assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.log());
    assert!(!daemon.path("sock").exists());
    assert!(!daemon.log().contains("not done in time"), "{}", daemon.log());
    daemon.spawn_again();
    daemon.until_ready();
    assert_sound(&daemon, [&running, &waiting]);
}

#[test]
fn work_that_is_not_done_in_time_is_put_back_and_done_after_the_next_start() {
    let daemon = Daemon::start(&Setup { server: "drain_secs = 0", queue: "workers = 1", ..Setup::default() });
    let ids = [daemon.submit("", &long()), daemon.submit("", &clip(1)), daemon.submit("", &clip(2))];
    until("work", || daemon.get(&format!("/v1/scans/{}", ids[0])).json()["state"] == "running");
    daemon.signal("-TERM");
    assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.log());
    assert!(daemon.log().contains("not done in time: put back"), "{}", daemon.log());
    let connection = store::open_readonly(&daemon.path("state")).unwrap();
    let (state, attempts): (String, u32) = connection
        .query_row("SELECT state, attempts FROM jobs WHERE id = ?1", [&ids[0]], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!((state.as_str(), attempts), ("queued", 0), "an order to stop is no failed attempt");
    drop(connection);
    daemon.spawn_again();
    daemon.until_ready();
    assert_sound(&daemon, &ids);
}

#[test]
fn a_broken_file_changes_nothing_and_a_good_one_does() {
    let daemon = Daemon::start(&Setup::default());
    let reloads = |outcome: &str| daemon.metric("clonewatch_config_reloads_total", outcome);
    let policies = || daemon.get("/v1/policies").json()["policies"].as_array().unwrap().len();
    let good = fs::read_to_string(daemon.path("clonewatch.toml")).unwrap();
    let broken = [
        "[server".to_owned(),
        good.replace("[queue]", "[queue]\nmax_jbos = 3"),
        good.replace("[queue]", "[queue]\nmax_jobs = 0"),
        format!("{good}\n[model]\ndir = '{}'\n", daemon.path("nowhere").display()),
        format!("{good}\n[policies.odd]\nspoof_below = 9.0\nbona_fide_above = -9.0\n"),
        "\u{0}\u{1b}[31m".to_owned(),
    ];
    for (index, text) in broken.iter().enumerate() {
        fs::write(daemon.path("clonewatch.toml"), text).unwrap();
        daemon.signal("-HUP");
        until(&format!("the refusal of {text}"), || reloads("refused") == (index + 1) as f64);
        let id = daemon.submit("", &clip(index));
        assert_eq!(daemon.finished(&id)["state"], "done");
    }
    let log = daemon.log();
    assert_eq!(log.matches("the old one stays in force").count(), broken.len(), "{log}");
    assert!(log.contains("max_jbos") && log.contains("clonewatch.toml"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
    assert_eq!((policies(), reloads("ok")), (1, 0.0));
    fs::write(daemon.path("clonewatch.toml"), format!("{good}\n[policies.strict]\nbona_fide_above = 4.0\n")).unwrap();
    daemon.signal("-HUP");
    until("the reload", || reloads("ok") == 1.0);
    assert_eq!(policies(), 2);
    let id = daemon.submit("?policy=strict", &clip(0));
    assert_eq!(daemon.finished(&id)["policy"], "strict");
}

/// The first schema, as its release wrote it: only what the upgrade has to work with.
const VERSION_1: &str = include_str!("version-1.sql");

#[test]
fn a_database_of_the_first_version_is_upgraded_and_its_work_done() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("state/spool");
    fs::create_dir_all(&spool).unwrap();
    let id = "0123456789abcdef0123456789abcdef".to_owned();
    let audio = fs::read(sample("cloned-en-piper.m4a")).unwrap();
    fs::write(spool.join(format!("{id}.audio")), &audio).unwrap();
    fs::write(spool.join("ffffffffffffffffffffffffffffffff.part"), "half").unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("state").join(store::DATABASE)).unwrap();
    connection.execute_batch(VERSION_1).unwrap();
    connection
        .execute(
            "INSERT INTO jobs (id, state, name, source, actor, policy, audio, bytes, sha256, accepted_ms, attempts)
             VALUES (?1, 'running', 'old.m4a', 'api', 'unix', 'default', 'spool', ?2, ?3, 1700000000000, 1)",
            rusqlite::params![id, audio.len() as i64, "00".repeat(32)],
        )
        .unwrap();
    drop(connection);
    let daemon = Daemon::start_in(folder, &Setup::default());
    let scan: Value = daemon.finished(&id);
    assert_eq!((&scan["state"], &scan["decision"]), (&"done".into(), &"spoof".into()), "{scan}");
    assert_sound(&daemon, [&id]);
    // What the later steps brought works on it.
    let twice = || {
        let reply = daemon.send("POST /v1/scans", "Idempotency-Key: k\r\n", &clip(0)).unwrap();
        reply.id()
    };
    assert_eq!(twice(), twice());
    // A database of a later version is left alone.
    daemon.signal("-TERM");
    daemon.ended();
    let path = daemon.path("state").join(store::DATABASE);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    daemon.spawn_again();
    assert_eq!(daemon.ended().code(), Some(2));
    assert!(daemon.log().contains("newer than this program's"), "{}", daemon.log());
}

#[test]
fn a_receiver_that_was_away_gets_everything_at_least_once() {
    // An address that nobody listens at, until later.
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = away.local_addr().unwrap();
    drop(away);
    let rest = format!(
        "[[webhooks]]\nname = 'desk'\nurl = 'http://{address}/'\nsecret = '{SECRET}'\nallow_networks = ['127.0.0.1']\n"
    );
    let daemon = Daemon::start(&Setup { rest: &rest, ..Setup::default() });
    let ids: BTreeSet<String> = (0..5).map(|index| daemon.submit("", &clip(index))).collect();
    until("a failed delivery", || daemon.log().contains("not delivered"));
    ids.iter().for_each(|id| assert_eq!(daemon.finished(id)["state"], "done"));
    daemon.kill();
    let receiver = Receiver::start_at(address, status(200));
    daemon.spawn_again();
    daemon.until_ready();
    let told = || -> BTreeSet<String> {
        let bodies = receiver.requests().into_iter().filter(Request::is_signed);
        let events = bodies.map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
        events.map(|event| event["data"]["id"].as_str().unwrap().to_owned()).collect()
    };
    until("all events", || told() == ids);
    until("an empty outbox", || daemon.metric("clonewatch_outbox_events", "pending") == 0.0);
    assert_eq!(daemon.metric("clonewatch_outbox_events", "dead"), 0.0);
}
