//! Too many at once: clients, jobs, bytes, and more than the disk holds.

use std::{fs, io, path::Path, process::Command, sync::Barrier, thread};

use super::{clip, head};
use crate::{
    daemon::{Daemon, Reply, Setup, sample},
    webhook::until,
};

/// Uploads until it is let in, as a client should: after a 503 it comes back, and it asks itself whether its last attempt
/// got through. The id, and how often it was refused.
fn persist(daemon: &Daemon, audio: &[u8], key: &str) -> (String, usize) {
    for refusals in 0.. {
        let reply = upload(daemon, audio, key);
        match reply.status {
            200 | 202 => return (reply.id(), refusals),
            503 => {
                assert_eq!(reply.problem(), "full");
                let secs: u64 = reply.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=300).contains(&secs), "{reply:?}");
                // A test has no patience: sooner than it was told to.
                thread::sleep(std::time::Duration::from_millis(100));
            }
            _ => panic!("{reply:?}; {}", daemon.log()),
        }
    }
    unreachable!("the loop has no end")
}

fn upload(daemon: &Daemon, audio: &[u8], key: &str) -> Reply {
    let headers = format!("Content-Type: application/octet-stream\r\nIdempotency-Key: {key}\r\n");
    daemon.send("POST /v1/scans", &headers, audio).unwrap()
}

/// All at once; ids, and how many refusals there were.
fn crowd(daemon: &Daemon, clients: usize) -> (Vec<String>, usize) {
    let start = Barrier::new(clients);
    let one = |index: usize| {
        let audio = clip(index);
        start.wait();
        persist(daemon, &audio, &format!("client-{index}"))
    };
    let done: Vec<_> = thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..clients).map(|index| scope.spawn(move || one(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let refusals = done.iter().map(|(_, refusals)| refusals).sum();
    (done.into_iter().map(|(id, _)| id).collect(), refusals)
}

#[test]
fn two_hundred_at_once_are_all_judged_in_bounded_memory() {
    let daemon = Daemon::start(&Setup { queue: "workers = 2", ..Setup::default() });
    let alone = daemon.submit("", &clip(0));
    daemon.finished(&alone);
    let before = daemon.peak_rss_kib();
    let (ids, _) = crowd(&daemon, 200);
    for id in &ids {
        assert_eq!(daemon.finished(id)["state"], "done");
    }
    let after = daemon.peak_rss_kib();
    eprintln!("peak resident: {before} KiB with one upload, {after} KiB with 200 at once");
    // 200 uploads may have a read buffer and a file buffer each, and the second worker its scratch.
    assert!(after < before + 200 * (32 + 64 + 32) + 48 * 1_024, "{before} KiB, then {after} KiB");
    assert_eq!(daemon.metric("clonewatch_verdicts_total", ""), 201.0);
    assert_eq!(daemon.spool(), [""; 0]);
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let daemon = Daemon::start(&Setup {
        queue: "workers = 1\nmax_jobs = 2\nmax_bytes = 1000000\nmax_upload_bytes = 1000000",
        ..Setup::default()
    });
    // Two that do not end keep all others out.
    let mut stalled = [daemon.connect().unwrap(), daemon.connect().unwrap()];
    for stream in &mut stalled {
        io::Write::write_all(stream, head("1000").as_bytes()).unwrap();
    }
    until("two that stall", || daemon.spool().len() == 2);
    let refused = upload(&daemon, &fs::read(sample("cloned-en-kokoro.wav")).unwrap(), "a");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "full"), "read to the end by its sender");
    assert!(refused.header("retry-after").is_some());
    let ready = daemon.get("/readyz");
    assert_eq!((ready.status, ready.problem().as_str()), (503, "full"));
    assert_eq!(daemon.get("/healthz").status, 200);
    drop(stalled);
    until("room", || daemon.get("/readyz").status == 200);
    // By bytes: what was announced counts before it comes.
    let mut large = daemon.connect().unwrap();
    io::Write::write_all(&mut large, head("990000").as_bytes()).unwrap();
    until("the large one", || daemon.spool().len() == 1);
    let refused = upload(&daemon, &clip(0), "b");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "full"));
    drop(large);
    let (ids, refusals) = crowd(&daemon, 12);
    assert!(refusals > 0, "twelve at once do not fit");
    for id in &ids {
        assert_eq!(daemon.finished(id)["state"], "done");
    }
    assert!(daemon.metric("clonewatch_refused_total", "full") >= 2.0);
    assert_eq!(daemon.spool(), [""; 0]);
}

/// A file system of its own at `path`, or nothing where this machine does not let us; in CI it must.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(path).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no tmpfs can be mounted: {mounted:?}");
        eprintln!("no tmpfs can be mounted: skipped");
        None
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let Some(_tmpfs) = Tmpfs::mount(&state) else { return };
    let daemon = Daemon::start_in(folder, &Setup { queue: "workers = 1", ..Setup::default() });
    let first = daemon.submit("", &clip(0));
    daemon.finished(&first);
    // All space but a little goes, so that audio fits in no more.
    let filler = state.join("filler");
    let fill = || {
        let mut file = fs::File::options().create(true).append(true).open(&filler).unwrap();
        while io::Write::write(&mut file, &[0; 4_096]).is_ok() {}
    };
    fill();
    let refused = upload(&daemon, &clip(1), "a");
    assert_eq!((refused.status, refused.problem().as_str()), (507, "disk_full"), "{refused:?}");
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.get(&format!("/v1/scans/{first}")).json()["state"], "done", "what is there can be read");
    assert_eq!(daemon.metric("clonewatch_inside_jobs", ""), 0.0);
    assert_eq!(daemon.spool(), [""; 0]);
    // Full behind the back of work that was accepted: its verdict waits for room.
    fs::remove_file(&filler).unwrap();
    let ids: Vec<String> = (2..8).map(|index| daemon.submit("", &clip(index))).collect();
    fill();
    until("what can be done", || {
        daemon.log().contains("the store cannot be written") || daemon.metric("clonewatch_inside_jobs", "") == 0.0
    });
    fs::remove_file(&filler).unwrap();
    for id in &ids {
        assert_eq!(daemon.finished(id)["state"], "done");
    }
    let again = daemon.submit("", &clip(1));
    assert_eq!(daemon.finished(&again)["state"], "done", "there is room again");
    daemon.kill();
    daemon.spawn_again();
    daemon.until_ready();
    super::crash::assert_sound(&daemon, ids.iter().chain([&first, &again]));
}
