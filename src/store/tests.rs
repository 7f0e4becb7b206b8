use super::{audit::Chain, jobs::Accepted, verdicts::Keep, verdicts::NewVerdict, *};
use crate::policy::{Action, Decision, Reason};

fn new_job(name: &str, key: Option<&str>) -> NewJob {
    NewJob {
        id: JobId::random(),
        name: name.into(),
        label: Some("case 7".into()),
        source: "api".into(),
        actor: "pbx".into(),
        policy: "default".into(),
        audio: Audio::Spool,
        bytes: 10,
        sha256: "ab".into(),
        idempotency_key: key.map(Into::into),
    }
}

fn verdict(job: &JobId, decision: Decision, endpoints: &[&str]) -> NewVerdict {
    let summary = Summary {
        decision,
        reason: (decision == Decision::Inconclusive).then_some(Reason::Uncertain),
        llr: Some(-4.31),
        action: Action::Flag,
        policy: "default".into(),
        policy_sha256: "cd".into(),
        model_id: "m".into(),
        model_sha256: "ef".into(),
    };
    NewVerdict {
        job: job.clone(),
        result: b"{}\n".to_vec(),
        evidence: Some(b"{}".to_vec()),
        summary,
        actor: "clonewatch".into(),
        endpoints: endpoints.iter().map(|name| (*name).into()).collect(),
    }
}

/// A store in a folder of its own, with a connection to look behind its back.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        Self { dir, store }
    }

    fn reopen(self) -> (Self, Recovered) {
        let Self { dir, store } = self;
        drop(store);
        let (store, recovered) = Store::open(dir.path()).unwrap();
        (Self { dir, store }, recovered)
    }

    fn write<R: Send + 'static>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<R> + Send + 'static) -> R {
        self.store.write_blocking(work).unwrap()
    }

    fn accept(&self, job: NewJob, at: i64) -> JobId {
        match self.write(move |tx| jobs::accept(tx, &job, UnixMs(at))) {
            Accepted::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn start(&self, id: &JobId) -> Option<Job> {
        let id = id.clone();
        self.write(move |tx| jobs::start(tx, &id, UnixMs(5)))
    }

    fn finish(&self, verdict: NewVerdict, keep: Keep) -> Option<u32> {
        self.write(move |tx| verdicts::finish(tx, &verdict, keep, UnixMs(9)))
    }

    fn job(&self, id: &JobId) -> Option<Job> {
        let id = id.clone();
        self.store.read_blocking(move |c| jobs::get(c, &id)).unwrap()
    }
}

#[test]
fn a_job_ends_once_with_verdict_event_and_audit_row() {
    let bench = Bench::new();
    let id = bench.accept(new_job("a.wav", None), 1);
    assert_eq!(bench.finish(verdict(&id, Decision::Spoof, &["fraud"]), Keep::Nothing), None, "it does not run");
    assert_eq!(bench.start(&id).unwrap().attempts, 1);
    assert_eq!(bench.start(&id), None, "it runs already");
    assert_eq!(bench.finish(verdict(&id, Decision::Spoof, &["fraud", "siem"]), Keep::Nothing), Some(1));
    assert_eq!(bench.finish(verdict(&id, Decision::Spoof, &["fraud"]), Keep::Nothing), None, "it has ended");
    let job = bench.job(&id).unwrap();
    assert_eq!((job.state, job.decision, job.revision, job.audio_kept), (State::Done, Some(Decision::Spoof), 1, false));
    let (due, chain) =
        bench.store.read_blocking(|c| Ok((outbox::due(c, "fraud", UnixMs(9), 9)?, audit::verify(c, None)?))).unwrap();
    assert_eq!(due.len(), 1);
    let payload: serde_json::Value = serde_json::from_slice(&due[0].payload).unwrap();
    assert_eq!((&payload["type"], &payload["data"]["decision"]), (&"scan.finished".into(), &"spoof".into()));
    assert!(matches!(chain, Chain::Whole(audit::Head { seq: 2, .. })), "{chain:?}");
}

#[test]
fn what_ran_when_the_process_ended_waits_again_and_strays_are_swept() {
    let bench = Bench::new();
    let ids = ["a", "b", "c"].map(|name| bench.accept(new_job(name, None), 1));
    for id in &ids {
        bench.store.spool().create(id).unwrap().sync_all().unwrap();
        bench.store.spool().publish(id).unwrap();
    }
    bench.start(&ids[0]);
    bench.start(&ids[1]);
    bench.finish(verdict(&ids[1], Decision::BonaFide, &[]), Keep::Nothing);
    // The process ended before the file was removed; another upload had not come to its end.
    bench.store.spool().create(&JobId::random()).unwrap();
    let (bench, recovered) = bench.reopen();
    assert_eq!(recovered, Recovered { requeued: 1, swept: 2 });
    let queued = bench.store.read_blocking(jobs::queued).unwrap();
    let order: Vec<&str> = queued.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(order, ["c", "a"], "what was tried less comes first");
    assert!(bench.store.spool().path_of(&ids[0]).exists() && !bench.store.spool().path_of(&ids[1]).exists());
}

#[test]
fn one_process_owns_the_folder() {
    let bench = Bench::new();
    let second = Store::open(bench.dir.path()).err().unwrap();
    assert!(matches!(second, StoreError::InUse(_)), "{second}");
}

#[test]
fn repeated_submissions_find_their_job() {
    let bench = Bench::new();
    let id = bench.accept(new_job("a", Some("k")), 1);
    let accept = |job: NewJob| bench.write(move |tx| jobs::accept(tx, &job, UnixMs(2)));
    assert_eq!(accept(new_job("a", Some("k"))), Accepted::Known(id.clone()));
    assert_eq!(accept(NewJob { sha256: "other".into(), ..new_job("a", Some("k")) }), Accepted::Conflict);
    assert!(matches!(accept(NewJob { actor: "else".into(), ..new_job("a", Some("k")) }), Accepted::New(_)));
    let expiry = jobs::Expiry { audio_before: UnixMs(0), results_before: None, keys_before: UnixMs(2) };
    bench.write(move |tx| jobs::purge(tx, &expiry, UnixMs(3)));
    assert!(matches!(accept(new_job("a", Some("k"))), Accepted::New(_)), "the key was forgotten");
}

#[test]
fn lists_keep_the_order_of_acceptance_when_the_clock_jumps() {
    let bench = Bench::new();
    for (name, at) in [("first", 9_000), ("second", 50), ("third", 7_000)] {
        bench.accept(new_job(name, None), at);
    }
    let names = |filter: list::Filter, limit| {
        let jobs = bench.store.read_blocking(move |c| list::list(c, &filter, limit)).unwrap();
        (jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>(), jobs.last().map(|job| job.seq))
    };
    let (page, last) = names(list::Filter::default(), 2);
    assert_eq!(page, ["third", "second"]);
    assert_eq!(names(list::Filter { before: last, ..list::Filter::default() }, 2).0, ["first"]);
    let since = list::Filter { since: Some(UnixMs(51)), until: Some(UnixMs(9_000)), ..list::Filter::default() };
    assert_eq!(names(since, 9).0, ["third"]);
    let labelled = list::Filter { label: Some("case 8".into()), ..list::Filter::default() };
    assert!(names(labelled, 9).0.is_empty());
}

#[test]
fn changes_to_the_audit_log_are_refused_and_found() {
    let bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.accept(new_job(name, None), 1);
    }
    let head = bench.store.read_blocking(audit::head).unwrap();
    let database = Connection::open(bench.dir.path().join(DATABASE)).unwrap();
    for change in ["DELETE FROM audit", "UPDATE audit SET content = '{}' WHERE seq = 2"] {
        assert!(database.execute(change, []).unwrap_err().to_string().contains("only ever added to"));
    }
    database.execute_batch("DROP TRIGGER audit_keeps_rows; DROP TRIGGER audit_keeps_content").unwrap();
    for (change, seq, word) in [
        ("UPDATE audit SET content = replace(content, 'pbx', 'mallory') WHERE seq = 2", 2, "changed"),
        ("UPDATE audit SET previous = hash WHERE seq = 2", 2, "follow"),
        ("DELETE FROM audit WHERE seq = 2", 2, "taken out"),
        ("DELETE FROM audit WHERE seq = 3", 3, "cut off"),
    ] {
        let transaction = database.unchecked_transaction().unwrap();
        transaction.execute(change, []).unwrap();
        match audit::verify(&transaction, Some(&head)).unwrap() {
            Chain::Broken { seq: found, why } => assert!(found == seq && why.contains(word), "{change}: {found} {why}"),
            whole => panic!("{change}: {whole:?}"),
        }
    }
    assert_eq!(audit::verify(&database, Some(&head)).unwrap(), Chain::Whole(head));
}

#[test]
fn kept_audio_and_old_jobs_are_purged_in_their_time() {
    let bench = Bench::new();
    let id = bench.accept(new_job("a", None), 1);
    bench.start(&id);
    bench.finish(verdict(&id, Decision::Spoof, &[]), Keep::Audio);
    let purge = |audio: i64, results: Option<i64>| {
        let results_before = results.map(UnixMs);
        let expiry = jobs::Expiry { audio_before: UnixMs(audio), results_before, keys_before: UnixMs(0) };
        bench.write(move |tx| jobs::purge(tx, &expiry, UnixMs(20)))
    };
    assert!(purge(9, None).is_empty() && bench.job(&id).unwrap().audio_kept, "not before its time");
    assert_eq!(purge(10, None), std::slice::from_ref(&id));
    assert!(!bench.job(&id).unwrap().audio_kept);
    assert_eq!(purge(10, Some(10)), std::slice::from_ref(&id), "whatever is in the spool goes too");
    assert_eq!(bench.job(&id), None);
    let id = bench.accept(new_job("b", None), 1);
    bench.start(&id);
    bench.finish(verdict(&id, Decision::Spoof, &[]), Keep::Audio);
    assert_eq!(purge(0, Some(10)), std::slice::from_ref(&id), "audio does not outlive its job");
    assert_eq!(bench.job(&id), None);
}

#[test]
fn events_are_tried_again_until_they_are_dead_and_can_be_revived() {
    let bench = Bench::new();
    let id = bench.accept(new_job("a", None), 1);
    bench.start(&id);
    bench.finish(verdict(&id, Decision::Spoof, &["fraud"]), Keep::Nothing);
    let due = |at| bench.store.read_blocking(move |c| outbox::due(c, "fraud", UnixMs(at), 9)).unwrap();
    let seq = due(9)[0].seq;
    bench.write(move |tx| outbox::failed(tx, seq, "refused", Some(UnixMs(100)), UnixMs(9)));
    assert_eq!((due(99).len(), due(100)[0].attempts), (0, 1));
    bench.write(move |tx| outbox::failed(tx, seq, "refused", None, UnixMs(100)));
    assert_eq!(bench.store.read_blocking(outbox::counts).unwrap(), (0, 1));
    assert!(bench.write(move |tx| outbox::revive(tx, seq, UnixMs(200))) && due(200).len() == 1);
    bench.write(move |tx| outbox::delivered(tx, seq, UnixMs(201)));
    assert!(due(999).is_empty());
    assert_eq!(bench.write(|tx| outbox::purge(tx, UnixMs(300))), 1);
}

#[test]
fn older_databases_are_brought_up_to_date_and_newer_ones_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE);
    let id = JobId::random();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(schema::STEPS[0]).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.execute(
        "INSERT INTO jobs (id, state, name, source, actor, policy, audio, bytes, sha256, accepted_ms, attempts)
         VALUES (?1, 'running', 'old.wav', 'api', 'pbx', 'default', 'spool', 1, 'ab', 1, 1)",
        [&id],
    )
    .unwrap();
    drop(old);
    let (store, recovered) = Store::open(dir.path()).unwrap();
    assert_eq!(recovered.requeued, 1);
    let job = NewJob { idempotency_key: Some("k".into()), ..new_job("new.wav", None) };
    store.write_blocking(move |tx| jobs::accept(tx, &job, UnixMs(2))).unwrap();
    assert_eq!(store.read_blocking(jobs::queued).unwrap().len(), 2);
    drop(store);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = Store::open(dir.path()).err().unwrap().to_string();
    assert!(refused.contains("schema 99 is newer"), "{refused}");
}

#[test]
fn pictures_go_with_their_scans_and_with_their_time() {
    use crate::report::{Picture, Portrait};
    let portrait = |channels: u16| {
        let picture = |channel| Picture { channel, png: vec![7; 10], top_hz: 8_000, end_secs: 1.5 };
        Portrait { pictures: (0..channels).map(picture).collect(), ..Portrait::default() }
    };
    let large = Portrait {
        pictures: vec![Picture { channel: 0, png: vec![0; 300_001], top_hz: 8_000, end_secs: 1.5 }],
        ..Portrait::default()
    };
    let bench = Bench::new();
    let jobs = [new_job("a", None), new_job("b", None)];
    let [first, second] = [jobs[0].id.clone(), jobs[1].id.clone()];
    let (a, b) = (first.clone(), second.clone());
    let counts = bench.write(move |tx| {
        jobs.iter().try_for_each(|job| jobs::accept(tx, job, UnixMs(1)).map(drop))?;
        let count = |id: &JobId| portraits::outlines(tx, id).map(|found| found.len());
        portraits::keep(tx, &a, &portrait(2))?;
        portraits::keep(tx, &JobId::random(), &portrait(1))?;
        let kept = (count(&a)?, portraits::tags(tx, &a)?.is_some(), portraits::pictures(tx, &a, Some(1))?.len());
        portraits::keep(tx, &a, &portrait(1))?;
        portraits::keep(tx, &b, &large)?;
        let again = (count(&a)?, count(&b)?);
        // As if so many had come meanwhile.
        tx.execute("UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'pictures'", [portraits::MOST_PICTURES])?;
        portraits::keep(tx, &b, &portrait(1))?;
        let late = (count(&a)?, count(&b)?);
        jobs::delete(tx, &b, "x", UnixMs(2))?;
        Ok((kept, again, late, count(&b)?, portraits::tags(tx, &b)?))
    });
    assert_eq!(counts, ((2, true, 1), (1, 0), (0, 1), 0, None));
    let kept: i64 = bench.write(|tx| Ok(tx.query_row("SELECT count(*) FROM pictures", [], |row| row.get(0))?));
    assert_eq!((kept, first == second), (0, false));
}
