//! A call that goes on and on: memory stays where it is.
//!
//! Half an hour of audio, of which a tenth is speech, in about half a minute; `CLONEWATCH_SOAK_SECS` makes it longer, with more
//! speech: `CLONEWATCH_SOAK_SECS=7200 cargo test --test it soak`.

use super::{audiosocket::Asterisk, *};

const SOAK_SECS: f64 = 1_800.0;
/// Of the calls before it.
const WARM_UP_SECS: f64 = 300.0;
/// More at once than a machine of few cores has workers.
const WARM_UP_CALLS: usize = 8;
/// How much faster than life it is played.
const SOAK_HASTE: f64 = 60.0;
const RATE_HZ: usize = 8_000;
const MESSAGE: usize = 800;

#[test]
fn a_long_call_needs_no_more_memory_than_a_short_one() {
    let wanted_secs = std::env::var("CLONEWATCH_SOAK_SECS").ok().and_then(|secs| secs.parse().ok());
    let total_secs = wanted_secs.unwrap_or(SOAK_SECS);
    let (daemon, port) = daemon("max_call_secs = 86400");
    // Calls before it, so that every worker has judged while the others did: only then has the heap its size.
    thread::scope(|scope| {
        for _ in 0..WARM_UP_CALLS {
            scope.spawn(|| play(&daemon, Asterisk::call(port), WARM_UP_SECS));
        }
    });
    until("the end of the warm-up", || daemon.metric("clonewatch_live_calls", "") == 0.0);
    let asterisk = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    let rss_kib = play(&daemon, asterisk, total_secs);
    until("the call's end", || daemon.metric("clonewatch_live_calls", "") == 0.0);
    let result = result_of(&daemon, &id);
    assert_eq!(result["input"]["duration_secs"], (total_secs * 10.0).floor() / 10.0);
    assert_eq!(result["decision"], "spoof");
    let skipped_secs = daemon.metric("clonewatch_live_skipped_seconds_total", "");
    println!("{total_secs} s, {skipped_secs} s skipped, resident KiB: {rss_kib:?}");
    let (early, late) = (rss_kib[5], rss_kib[rss_kib.len() - 1]);
    // A window's score is kept for every two seconds: some 50 bytes each, and twice while they are copied.
    let windows_kib = (total_secs / 2.0 * 200.0 / 1024.0) as u64;
    assert!(late < early + 4_096 + windows_kib, "{early} KiB became {late} KiB: {rss_kib:?}");
}

/// Plays a call of `total_secs`: the daemon's memory twenty times meanwhile.
fn play(daemon: &Daemon, mut asterisk: Asterisk, total_secs: f64) -> Vec<u64> {
    // A minute that comes again: 6 s of speech, rests with a hum, and nothing at all.
    let (_, speech) = decoded(&sample(CLONED));
    let hum = (0..24 * RATE_HZ).map(|n| ((n as f64 * 0.0393).sin() * 300.0) as i16);
    let mut minute: Vec<i16> = speech[0][..6 * RATE_HZ].iter().copied().chain(hum).collect();
    minute.resize(60 * RATE_HZ, 0);
    let messages: Vec<Vec<u8>> =
        minute.chunks(MESSAGE).map(|part| part.iter().flat_map(|sample| sample.to_le_bytes()).collect()).collect();
    let count = (total_secs * RATE_HZ as f64) as usize / MESSAGE;
    let start = std::time::Instant::now();
    let mut rss_kib = Vec::new();
    for (index, message) in messages.iter().cycle().take(count).enumerate() {
        asterisk.send(0x10, message).unwrap();
        let due = Duration::from_secs_f64((index * MESSAGE) as f64 / RATE_HZ as f64 / SOAK_HASTE);
        thread::sleep(due.saturating_sub(start.elapsed()));
        if index % (count / 20) == 0 {
            rss_kib.push(daemon.rss_kib());
        }
    }
    asterisk.hang_up();
    rss_kib
}
