//! What holds for calls of any transport: limits, bad ends, pauses.

use super::{audiosocket::Asterisk, *};

#[test]
fn a_client_that_disappears_leaves_its_result() {
    let (daemon, port) = daemon("");
    let (rate_hz, channels) = decoded(&sample(CLONED));
    let mut asterisk = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    asterisk.play(&daemon, (0x10, rate_hz), &channels[0][..48_000], 160);
    drop(asterisk);
    let result = result_of(&daemon, &id);
    assert_eq!(result["input"]["duration_secs"], 6.0);
    assert_eq!(daemon.get(&format!("/v1/calls/{id}")).json()["ending"], "disconnected");
}

#[test]
fn idle_and_overlong_calls_are_hung_up() {
    for (live, ending) in [("idle_secs = 1", "idle_timeout"), ("max_call_secs = 10", "too_long")] {
        let (daemon, port) = daemon(live);
        let mut asterisk = Asterisk::call(port);
        let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
        if ending == "too_long" {
            // Most of the ten seconds passes without audio, which is not yet idleness.
            asterisk.play(&daemon, (0x10, 8_000), &[7; 48_000], 800);
        }
        assert_eq!(asterisk.rest(), [0, 0, 0], "it is told to hang up");
        result_of(&daemon, &id);
        assert_eq!(daemon.get(&format!("/v1/calls/{id}")).json()["ending"], ending);
    }
}

#[test]
fn no_more_calls_than_may_be() {
    let (daemon, port) = daemon("max_calls = 1");
    let mut first = Asterisk::call(port);
    only_call(&daemon);
    assert!(Asterisk::call(port).rest().is_empty());
    assert_eq!(daemon.metric("clonewatch_refused_total", "live_full"), 1.0);
    first.hang_up();
    until("room", || daemon.metric("clonewatch_live_calls", "") == 0.0);
    let _second = Asterisk::call(port);
    only_call(&daemon);
}

#[test]
fn calls_end_with_the_daemon_and_keep_what_was_heard() {
    let (daemon, port) = daemon("");
    let (rate_hz, channels) = decoded(&sample(CLONED));
    let mut asterisk = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    asterisk.play(&daemon, (0x10, rate_hz), &channels[0], 160);
    daemon.signal("-TERM");
    assert!(daemon.ended().success(), "{}", daemon.log());
    daemon.spawn_again();
    daemon.until_ready();
    assert_eq!(result_of(&daemon, &id)["decision"], "spoof");
    assert_eq!(daemon.get(&format!("/v1/calls/{id}")).json()["ending"], "shutdown");

    let mut lost = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    lost.play(&daemon, (0x10, rate_hz), &channels[0][..16_000], 160);
    daemon.kill();
    daemon.spawn_again();
    daemon.until_ready();
    let scan = daemon.get(&format!("/v1/scans/{id}")).json();
    assert_eq!((&scan["state"], &scan["error"]), (&"failed".into(), &"the service ended during the call".into()));
}

#[test]
fn a_flood_is_skipped_and_never_kept() {
    let (daemon, port) = daemon("");
    let (_, channels) = decoded(&sample(GENUINE));
    let mut asterisk = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    let before_kib = daemon.peak_rss_kib();
    // Forty minutes at once: most of it cannot be screened before the buffer is full.
    let bytes: Vec<u8> = channels[0].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    for _ in 0..110 {
        for part in bytes.chunks(32_000) {
            asterisk.send(0x10, part).unwrap();
        }
    }
    asterisk.hang_up();
    let result = result_of(&daemon, &id);
    assert!(result["input"]["duration_secs"].as_f64().unwrap() > 2_400.0, "time goes on: {}", result["input"]);
    assert_eq!((&result["decision"], &result["reason"]), (&"inconclusive".into(), &"damaged".into()));
    assert!(daemon.metric("clonewatch_live_skipped_seconds_total", "") > 600.0);
    let grown_kib = daemon.peak_rss_kib() - before_kib;
    assert!(grown_kib < 48 << 10, "{grown_kib} KiB for one call");
}

#[test]
fn deleting_a_call_hangs_it_up() {
    let (daemon, port) = daemon("");
    let mut asterisk = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    until("its row", || daemon.get(&format!("/v1/scans/{id}")).status == 200);
    assert_eq!(daemon.ask("DELETE", &format!("/v1/scans/{id}")).unwrap().status, 204);
    assert_eq!(asterisk.rest(), [0, 0, 0]);
    until("the call's end", || daemon.metric("clonewatch_live_calls", "") == 0.0);
    assert_eq!(daemon.get(&format!("/v1/scans/{id}")).status, 404);
}
