//! Scans in the console: their pages, decisions, downloads, audio, and the history.

use std::fs;

use super::{Daemon, FORM, Setup, assert_sound, form_token, sample};
use crate::daemon::scan_line;

fn judged(daemon: &Daemon, query: &str, name: &str) -> String {
    let id = daemon.submit(query, &fs::read(sample(name)).unwrap());
    daemon.finished(&id);
    id
}

fn page(daemon: &Daemon, target: &str) -> String {
    let reply = daemon.get(target);
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    let page = reply.text();
    assert_sound(&page);
    page
}

/// Sends a form of the page at `/console/scans`; where it leads.
fn send(daemon: &Daemon, target: &str, form: &str) -> String {
    let body = format!("{form}&form_token={}", form_token(&daemon.get("/console/scans").text()));
    let reply = daemon.send(&format!("POST {target}"), FORM, body.as_bytes()).unwrap();
    assert_eq!(reply.status, 303, "{target}: {}", reply.text());
    reply.header("location").unwrap().to_owned()
}

#[test]
fn a_verdict_shows_its_evidence_and_can_be_taken_away() {
    let daemon = Daemon::start(&Setup::default());
    let id = judged(&daemon, "?name=spliced-podcast.mp3&label=case+7", "spliced-podcast.mp3");
    let at = |name: &str| format!("/console/scans/{id}{name}");
    let found = page(&daemon, &at(""));
    for words in [
        "A passage is likely cloned",
        "0:32–0:42; the rest sounds different.",
        "All 29 segments",
        "Lavf59.27.100",
        "case 7",
        "The audio was not kept.",
        "played over a loudspeaker",
        "data-start=\"4.00\" data-end=\"8.00\"",
        &format!("<image href=\"{}\"", at("/pictures/0")),
    ] {
        assert!(found.contains(words), "{words} is missing");
    }
    let picture = daemon.get(&at("/pictures/0"));
    assert_eq!(picture.header("content-type"), Some("image/png"));
    assert!(picture.body.starts_with(b"\x89PNG") && picture.body.len() < 300_000, "{}", picture.body.len());
    assert_eq!(daemon.get(&at("/pictures/1")).status, 404);
    assert_eq!(daemon.get(&at("/state")).json()["state"], "done");

    let line = daemon.get(&at("/result.json"));
    assert_eq!(line.body, scan_line(&sample("spliced-podcast.mp3")), "the same bytes as `scan` prints");
    assert!(line.header("content-disposition").unwrap().starts_with("attachment; filename=\"clonewatch-"));
    let report = daemon.get(&at("/report.html"));
    assert!(report.header("content-disposition").unwrap().starts_with("attachment"));
    let report = report.text();
    assert!(report.starts_with("<!DOCTYPE html>") && report.contains("A passage is likely cloned"));
    assert!(report.contains("data:image/png;base64,") && !report.contains("/console"), "it stands by itself");
    assert_eq!(daemon.spool(), [""; 0], "no audio is kept for it");
}

#[test]
fn people_decide_and_the_audit_log_says_so() {
    let daemon = Daemon::start(&Setup {
        rest: "[policies.strict]\nspoof_below = -9.0\nbona_fide_above = -8.0\n",
        ..Setup::default()
    });
    let id = judged(&daemon, "?name=a.m4a", "cloned-en-piper.m4a");
    let at = |name: &str| format!("/console/scans/{id}{name}");
    assert!(page(&daemon, &at("")).contains("Likely cloned"));
    let back = send(&daemon, &at("/rejudge"), "policy=strict");
    assert_eq!(back, at("?done=rejudged"));
    let again = page(&daemon, &back);
    assert!(
        again.contains("Judged again.") && again.contains("Likely genuine") && again.contains("this is the latest")
    );
    let back = send(&daemon, &at("/override"), "decision=inconclusive&note=%3Cb%3Eask%3C%2Fb%3E");
    let found = page(&daemon, &back);
    assert!(found.contains("A person decided: Inconclusive") && found.contains("&lt;b&gt;ask&lt;/b&gt;"), "{found}");
    let refused = format!("decision=fake&note=x&form_token={}", form_token(&found));
    assert_eq!(daemon.send(&format!("POST {}", at("/override")), FORM, refused.as_bytes()).unwrap().status, 400);
    let audit = daemon.get(&format!("/v1/audit?scan={id}")).text();
    for words in ["scan.rejudged", "scan.overridden", "<b>ask</b>", "unix:uid="] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
    assert_eq!(send(&daemon, &at("/delete"), ""), "/console/scans?done=deleted&count=1");
    assert_eq!(daemon.get(&at("")).status, 404);
    assert_eq!(daemon.get(&at("/pictures/0")).status, 404);
}

#[test]
fn the_history_is_searched_filtered_and_worked_on() {
    let daemon = Daemon::start(&Setup::default());
    let cloned = judged(&daemon, "?name=Case-7_100%25.m4a&label=court", "cloned-en-piper.m4a");
    let music = judged(&daemon, "?name=music.mp3&source=desk", "hold-music.mp3");
    let sha256 = daemon.get(&format!("/v1/scans/{cloned}")).json()["sha256"].as_str().unwrap().to_owned();
    let day = &daemon.get(&format!("/v1/scans/{cloned}")).json()["accepted_at"].as_str().unwrap()[..10].to_owned();
    let rows = |query: &str| {
        let page = page(&daemon, &format!("/console/scans?{query}"));
        let holds = |id: &str| page.contains(&format!("href=\"/console/scans/{id}\""));
        (holds(&cloned), holds(&music))
    };
    for (query, expected) in [
        ("", (true, true)),
        ("text=case-7_", (true, false)),
        ("text=100%25", (true, false)),
        ("text=%25", (true, false)),
        ("text=_1", (true, false)),
        (&format!("text={}", &sha256[..9]), (true, false)),
        (&format!("text={}", &sha256[1..9]), (false, false)),
        ("text=nothing", (false, false)),
        ("decision=spoof", (true, false)),
        ("decision=inconclusive", (false, true)),
        ("label=court", (true, false)),
        ("source=desk", (false, true)),
        ("state=done", (true, true)),
        ("state=failed", (false, false)),
        (&format!("since={day}&until={day}"), (true, true)),
        ("until=2020-01-01", (false, false)),
        ("before=2", (true, false)),
    ] {
        assert_eq!(rows(query), expected, "{query}");
    }
    let form = |action: &str, ids: &[&str]| {
        let ids: String = ids.iter().map(|id| format!("&id={id}")).collect();
        send(
            &daemon,
            "/console/scans/bulk",
            &format!("action={action}&policy=default&back=label%3Dcourt%26evil%3D1{ids}"),
        )
    };
    let none = "0".repeat(32);
    let back = form("rejudge", &[&cloned, &music, &none]);
    assert_eq!(back, "/console/scans?label=court&done=rejudged&count=2&left=1");
    assert!(page(&daemon, &back).contains("Judged again: 2; not possible: 1."));
    assert_eq!(daemon.get(&format!("/v1/scans/{music}")).json()["revision"], 2);
    form("delete", &[&music]);
    assert_eq!(rows(""), (true, false));
}

#[test]
fn a_long_history_is_read_page_by_page() {
    let daemon = Daemon::start(&Setup::default());
    let ids: Vec<String> = (0..52).map(|index| daemon.submit(&format!("?name=n{index}"), b"no audio")).collect();
    ids.iter().for_each(|id| drop(daemon.finished(id)));
    let first = page(&daemon, "/console/scans?source=api");
    assert_eq!(first.matches("name=\"id\"").count(), 50);
    let older = first.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let second = page(&daemon, &older.replace("&amp;", "&"));
    assert_eq!(second.matches("name=\"id\"").count(), 2);
    assert!(second.contains("href=\"/console/scans?source=api&amp;\"") && !second.contains("rel=\"next\""), "{second}");
}

#[test]
fn hostile_names_and_labels_are_only_text() {
    let daemon = Daemon::start(&Setup::default());
    let name = "%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E%E2%80%AEgpj.wav";
    let label = "%3C/title%3E%3Cscript%3Ealert(2)%3C/script%3E";
    let id = daemon.submit(&format!("?name={name}&label={label}&source=%3Csvg%20onload=x%3E"), b"RIFF");
    daemon.finished(&id);
    let back = format!("/console/scans?text={name}&label={label}&source=%3Csvg%20onload=x%3E");
    for target in [format!("/console/scans/{id}"), "/console/scans".into(), back] {
        let reply = daemon.get(&target);
        assert_eq!(reply.status, 200, "{target}");
        let page = reply.text();
        for word in ["<img", "<script>", "<svg onload", "</title><script"] {
            assert!(!page.contains(word), "{target} holds {word}");
        }
        // What one has typed oneself stands in its field as it was typed.
        assert!(target.contains('?') || !page.contains('\u{202e}'), "{target} turns the text around");
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "it is shown as text");
    }
    let report = daemon.get(&format!("/console/scans/{id}/report.html")).text();
    assert!(!report.contains("<img") && report.contains("&lt;img"), "{report}");
}

#[test]
fn kept_audio_is_played_in_ranges_and_noted_once() {
    let daemon = Daemon::start(&Setup { rest: "[retention]\nflagged_audio_days = 30\n", ..Setup::default() });
    let audio = fs::read(sample("cloned-en-piper.m4a")).unwrap();
    let id = judged(&daemon, "?name=a.m4a", "cloned-en-piper.m4a");
    let target = format!("/console/scans/{id}/audio");
    assert!(page(&daemon, &format!("/console/scans/{id}")).contains(&format!("data-audio=\"{target}\"")));
    let ask = |range: &str| daemon.send(&format!("GET {target}"), &format!("Range: {range}\r\n"), b"").unwrap();
    let whole = daemon.get(&target);
    assert_eq!((whole.status, whole.header("content-type"), whole.body == audio), (200, Some("audio/mp4"), true));
    let part = ask("bytes=100-299");
    assert_eq!((part.status, part.body.as_slice()), (206, &audio[100..300]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 100-299/{}", audio.len()).as_str()));
    assert_eq!(ask("bytes=-10").body, &audio[audio.len() - 10..]);
    assert_eq!(ask("bytes=99999999-").status, 416);
    let audit = daemon.get(&format!("/v1/audit?scan={id}")).text();
    assert_eq!(audit.matches(r#""action":"audio.played""#).count(), 1, "{audit}");
    let music = judged(&daemon, "", "hold-music.mp3");
    assert_eq!(daemon.get(&format!("/console/scans/{music}/audio")).status, 404);
}

#[test]
fn without_pictures_the_page_says_so() {
    let daemon = Daemon::start(&Setup { rest: "[console]\nkeep_pictures = false\n", ..Setup::default() });
    let id = judged(&daemon, "", "cloned-en-piper.m4a");
    let found = page(&daemon, &format!("/console/scans/{id}"));
    assert!(found.contains("Without a spectrogram") && found.contains("class=\"bar cloned\""), "{found}");
    assert_eq!(daemon.get(&format!("/console/scans/{id}/pictures/0")).status, 404);
}
