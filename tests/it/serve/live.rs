//! What a reload exchanges while the daemon runs: model, policies, certificates; and that a policy means here what it means
//! to `scan`.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::{Daemon, configure, copy_of_bundle, sample};
use crate::webhook::until;

fn reload(daemon: &Daemon, server: &str, more: &str) {
    configure(daemon.folder.path(), server, more);
    daemon.signal("-HUP");
}

/// Waits until `count` reloads had this outcome.
fn until_reloads(daemon: &Daemon, outcome: &str, count: u32) {
    let line = format!("clonewatch_config_reloads_total{{outcome=\"{outcome}\"}} {count}");
    let metrics = || String::from_utf8(daemon.get("/metrics").body).unwrap();
    until(&line, || metrics().lines().any(|found| found == line));
}

fn submit(daemon: &Daemon, query: &str, audio: &[u8]) -> String {
    daemon.send(&format!("POST /v1/scans{query}"), &[], audio).text("id")
}

fn finished(daemon: &Daemon, id: &str) -> Value {
    let scan = || daemon.get(&format!("/v1/scans/{id}")).json();
    until("the verdict", || scan()["state"] == "done");
    scan()
}

/// What `scan` prints for the file at `path`.
fn scan_line(args: &[&str], path: &Path) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.current_dir(path.parent().unwrap()).args(["scan", "--format", "jsonl"]).args(args);
    command.arg(path.file_name().unwrap()).output().unwrap().stdout
}

/// A genuine speaker, `times` over, with silent channels beside the voice.
fn recording(at: &Path, times: usize, silent_channels: u16) {
    let mut reader = hound::WavReader::new(std::io::Cursor::new(sample("genuine-en-allison.wav"))).unwrap();
    let voice: Vec<i16> = reader.samples().collect::<Result<_, _>>().unwrap();
    let spec = hound::WavSpec { channels: 1 + silent_channels, ..reader.spec() };
    let mut writer = hound::WavWriter::create(at, spec).unwrap();
    for value in (0..times).flat_map(|_| &voice) {
        writer.write_sample(*value).unwrap();
        (0..silent_channels).for_each(|_| writer.write_sample(0_i16).unwrap());
    }
    writer.finalize().unwrap();
}

#[test]
fn a_new_model_takes_over_while_the_old_one_ends_its_work() {
    let models = tempfile::tempdir().unwrap();
    let place = |id: &str| models.path().join(id);
    let section = |id: &str| format!("[queue]\nworkers = 1\n[model]\ndir = '{}'", place(id).display());
    ["first", "second", "broken"].iter().for_each(|id| copy_of_bundle(&place(id), id));
    let mut encoder = fs::read(place("broken").join("encoder.onnx")).unwrap();
    let middle = encoder.len() / 2;
    encoder[middle] ^= 1;
    fs::write(place("broken").join("encoder.onnx"), encoder).unwrap();

    let daemon = Daemon::start("", &section("first"));
    let model = || daemon.get("/v1/model").text("id");
    recording(&place("long.wav"), 40, 0);
    let begun = submit(&daemon, "?name=long.wav", &fs::read(place("long.wav")).unwrap());
    until("the first job to run", || daemon.get(&format!("/v1/scans/{begun}")).text("state") != "queued");
    fs::write(place("clip.opus"), sample("genuine-it-carlo.opus")).unwrap();
    reload(&daemon, "", &section("second"));
    until("the second model", || model() == "second");
    let later = submit(&daemon, "?name=clip.opus", &sample("genuine-it-carlo.opus"));
    assert_eq!(finished(&daemon, &begun)["result"]["model"]["id"], "first", "it was begun under the old model");
    assert_eq!(finished(&daemon, &later)["result"]["model"]["id"], "second");
    let result = daemon.get(&format!("/v1/scans/{later}/result"));
    assert_eq!(result.body, scan_line(&["--model", place("second").to_str().unwrap()], &place("clip.opus")));

    // Evidence stays what it is: judged again, it names the model that heard it.
    let again = daemon.post_json(&format!("/v1/scans/{begun}/rejudge"), r#"{"policy":"default"}"#);
    assert_eq!((again.status, again.text("judged_from").as_str()), (200, "evidence"));
    let scan = daemon.get(&format!("/v1/scans/{begun}")).json();
    assert_eq!((&scan["revision"], &scan["result"]["model"]["id"]), (&2.into(), &"first".into()));

    reload(&daemon, "", &section("broken"));
    until_reloads(&daemon, "refused", 1);
    assert_eq!(model(), "second", "a bundle that fails its checks changes nothing");
    assert!(daemon.log().contains("encoder.onnx: SHA-256"), "{}", daemon.log());
}

#[test]
fn a_policy_means_here_what_it_means_to_scan() {
    let folder = tempfile::tempdir().unwrap();
    let (call, file) = (folder.path().join("call.wav"), folder.path().join("desk.toml"));
    recording(&call, 1, 1);
    let audio = fs::read(&call).unwrap();
    let rules = "bona_fide_above = -1.0\nignore_silent_channels = true";
    fs::write(&file, format!("id = 'desk'\n{rules}")).unwrap();
    let section = format!("[policies.desk]\n{rules}\n[policies.desk.actions]\nbona_fide = 'review'");
    let daemon = Daemon::start("", &section);
    for (query, args, decision) in [
        ("?name=call.wav", &[][..], "inconclusive"),
        ("?name=call.wav&policy=desk", &["--policy", file.to_str().unwrap()], "bona_fide"),
    ] {
        let scan = daemon.judged(query, &audio).json();
        assert_eq!((&scan["decision"], &scan["action"]), (&decision.into(), &"review".into()), "{scan}");
        let result = daemon.get(&format!("/v1/scans/{}/result", scan["id"].as_str().unwrap()));
        assert_eq!(result.body, scan_line(args, &call), "{query}");
    }
}

#[test]
fn a_policy_that_a_reload_took_away_does_not_take_its_jobs_along() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.wav");
    recording(&long, 40, 0);
    let daemon = Daemon::start("", "[queue]\nworkers = 1\n[policies.desk]\nspoof_below = -9.0");
    submit(&daemon, "", &fs::read(&long).unwrap());
    // It waits behind the long one while its policy goes.
    let id = submit(&daemon, "?policy=desk", &sample("genuine-it-carlo.opus"));
    reload(&daemon, "", "[queue]\nworkers = 1");
    until_reloads(&daemon, "ok", 1);
    let scan = finished(&daemon, &id);
    // Where the long one was done first, it was still judged by its own.
    let policy = scan["result"]["policy"]["id"].as_str().unwrap().to_owned();
    assert!(policy == "default" && daemon.log().contains("the policy is gone") || policy == "desk", "{policy}");
    assert_eq!(scan["policy"], policy.as_str(), "the scan and its result agree");

    reload(&daemon, "", "[policies.other]\nspoof_below = 99.0");
    until_reloads(&daemon, "refused", 1);
    assert!(daemon.log().contains("policies.other.spoof_below: 99"), "{}", daemon.log());
}
