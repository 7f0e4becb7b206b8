//! Judging again, overriding, and the audit log that tells of it.

use clonewatch::model::sha256_hex;

use super::{Daemon, LENIENT, has_curl, text};

#[test]
fn another_policy_and_a_person_may_judge_otherwise_and_the_log_tells() {
    if !has_curl() {
        return;
    }
    let daemon = Daemon::start(LENIENT);
    let scan = daemon.judged("cloned-en-piper.m4a", &[], "");
    let (id, place) = (Daemon::id(&scan), format!("/v1/scans/{}", Daemon::id(&scan)));
    let first = daemon.ask(&[], &format!("{place}/result")).body_text();
    let again = daemon.ask(&["--json", r#"{"policy":"lenient"}"#], &format!("{place}/rejudge"));
    assert_eq!(again.status, 200, "{}", again.body_text());
    let now = &again.json()["scan"];
    assert_eq!((&now["decision"], &now["policy"]), (&"bona_fide".into(), &"lenient".into()));
    assert_eq!((&now["revision"], &now["action"]), (&2.into(), &"accept".into()));
    assert_eq!(daemon.ask(&[], &format!("{place}/result?revision=1")).body_text(), first, "the old verdict stays");
    let latest = daemon.ask(&[], &format!("{place}/result")).json();
    assert_eq!((&latest["decision"], &latest["policy"]["id"]), (&"bona_fide".into(), &"lenient".into()));
    daemon.ask(&[], &format!("{place}/result?revision=3")).is_problem(404, "no_such_revision");

    let note = r#"{"decision":"spoof","note":"the caller confessed"}"#;
    let overruled = daemon.ask(&["--json", note], &format!("{place}/override")).json();
    assert_eq!((&overruled["decision"], &overruled["override"]["decision"]), (&"bona_fide".into(), &"spoof".into()));
    assert_eq!(overruled["override"]["note"], "the caller confessed");
    assert!(overruled["override"]["by"].as_str().unwrap().starts_with("unix:uid="));

    let log = daemon.ask(&[], &format!("/v1/audit?scan={id}")).json();
    let rows = log["rows"].as_array().unwrap();
    let last = &rows.last().unwrap()["entry"];
    assert_eq!((&last["action"], &last["note"]), (&"scan.overridden".into(), &"the caller confessed".into()));
    assert_eq!((&last["sha256"], &last["decision"]), (&scan["sha256"], &"spoof".into()));
    for row in rows {
        let (previous, content) = (row["previous"].as_str().unwrap(), row["content"].as_str().unwrap());
        assert_eq!(
            row["hash"],
            sha256_hex(format!("{previous}\n{content}").as_bytes()),
            "anybody can follow the chain"
        );
    }
}

#[test]
fn the_audit_log_is_verified_and_tampering_is_noticed() {
    if !has_curl() {
        return;
    }
    let mut daemon = Daemon::start("");
    daemon.judged("hold-music.mp3", &[], "");
    let whole = daemon.command(&["audit", "verify"]);
    let said = text(&whole.stdout);
    assert!(whole.status.success() && said.starts_with("whole: 3 rows, head 3:"), "{said}");
    let head = said.trim().rsplit(' ').next().unwrap();
    daemon.stop();
    assert!(daemon.command(&["audit", "verify", "--head", head]).status.success());
    let database = daemon.path("state").join(clonewatch::store::DATABASE);
    let database = rusqlite::Connection::open(database).unwrap();
    database.execute_batch("DROP TRIGGER audit_keeps_content; DROP TRIGGER audit_keeps_rows").unwrap();
    database.execute("DELETE FROM audit WHERE seq = 3", []).unwrap();
    assert!(daemon.command(&["audit", "verify"]).status.success(), "a shorter chain is whole");
    let cut = daemon.command(&["audit", "verify", "--head", head]);
    assert!(cut.status.code() == Some(2) && text(&cut.stderr).contains("cut off"), "{cut:?}");
    database.execute("UPDATE audit SET content = replace(content, 'unix', 'nobody') WHERE seq = 2", []).unwrap();
    let changed = daemon.command(&["audit", "verify"]);
    assert!(
        changed.status.code() == Some(2) && text(&changed.stderr).contains("row 2: content was changed"),
        "{changed:?}"
    );
}
