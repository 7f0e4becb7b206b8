//! Callers: each plays speech over an AudioSocket at real time, in messages of 20 ms, and follows the events of its call.

use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at, sleep},
};

use super::daemon::{Daemon, Reading};
use crate::{
    decode::{Decoder, Limits, OpenOptions, extension_of},
    error::{Error, Result},
    store::random_hex,
};

/// Length of a message.
const MESSAGE: Duration = Duration::from_millis(20);
/// Time over which calls begin, so that they are not all in step.
const RAMP: Duration = Duration::from_secs(8);
/// Message types of AudioSocket by sample rate.
const KINDS: [(u32, u8); 7] =
    [(8_000, 0x10), (12_000, 0x11), (16_000, 0x12), (24_000, 0x13), (32_000, 0x14), (44_100, 0x15), (48_000, 0x16)];

/// One channel of a recording.
#[derive(Clone)]
pub(super) struct Speech {
    kind: u8,
    rate_hz: u32,
    /// 16-bit little-endian.
    bytes: Arc<[u8]>,
}

impl Speech {
    /// All channels of the recording at `path`.
    pub(super) fn read(path: &Path) -> Result<Vec<Self>> {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(|e| Error::io(&shown, e))?;
        let options = OpenOptions { raw: None, extension: extension_of(path) };
        let fault = |e: &dyn std::fmt::Display| Error::Usage(format!("{shown}: {e}"));
        let mut decoder = Decoder::open(Box::new(file), &options, &Limits::default()).map_err(|e| fault(&e))?;
        let info = decoder.info().clone();
        let kind = KINDS.iter().find(|(rate_hz, _)| *rate_hz == info.sample_rate_hz).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| fault(&format!("{} Hz: AudioSocket has no such rate", info.sample_rate_hz)))?;
        let mut channels = vec![Vec::new(); usize::from(info.channels)];
        while let Some(block) = decoder.next_block().map_err(|e| fault(&e))? {
            for (index, channel) in channels.iter_mut().enumerate() {
                let samples = block.channel(index).iter().map(|sample| (sample * 32_768.0) as i16);
                channel.extend(samples.flat_map(i16::to_le_bytes));
            }
        }
        let speech = |bytes: Vec<u8>| Self { kind, rate_hz: info.sample_rate_hz, bytes: bytes.into() };
        Ok(channels.into_iter().map(speech).collect())
    }

    fn message_bytes(&self) -> usize {
        (f64::from(self.rate_hz) * MESSAGE.as_secs_f64()) as usize * 2
    }
}

/// What was measured with one number of calls.
pub(super) struct Measured {
    pub(super) calls: usize,
    pub(super) before: Reading,
    pub(super) from: Reading,
    pub(super) to: Reading,
    /// Seconds from sending the last audio in a verdict to having the verdict.
    pub(super) latencies_secs: Vec<f64>,
    /// The same of first verdicts.
    pub(super) first_secs: Vec<f64>,
    /// How late messages were sent at most: the bench's own fault.
    pub(super) worst_sending_secs: f64,
}

#[derive(Default)]
struct Heard {
    latencies_secs: Vec<f64>,
    first_secs: Vec<f64>,
    worst_sending_secs: f64,
}

/// Calls that go on.
pub(super) struct Calls {
    tasks: JoinSet<std::io::Result<()>>,
    heard: Arc<Mutex<Heard>>,
    stop: watch::Sender<bool>,
    before: Reading,
    count: usize,
}

impl Calls {
    /// Begins `count` calls over [`RAMP`].
    pub(super) async fn begin(daemon: &Daemon, speech: &[Speech], count: usize) -> Result<Self> {
        let before = daemon.read()?;
        let (stop, _) = watch::channel(false);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut tasks = JoinSet::new();
        let mut begun = HashMap::new();
        for index in 0..count {
            let speech = speech[index % speech.len()].clone();
            let id = random_hex::<16>();
            let delay = RAMP.mul_f64(index as f64 / count as f64);
            let start = Instant::now() + Duration::from_millis(200) + delay;
            begun.insert(id.clone(), start);
            if index % 32 == 31 {
                // The system's backlog of connections is short.
                sleep(Duration::from_millis(20)).await;
            }
            let caller = Caller { port: daemon.port, id, start, speech, skew: index, heard: Arc::clone(&heard) };
            tasks.spawn(caller.play(stop.subscribe()));
        }
        // Followed from before their first verdict on.
        let ready = Instant::now() + RAMP + Duration::from_secs(2);
        while Instant::now() < ready {
            for (call, external) in live_calls(&daemon.get("/v1/calls")?) {
                let Some(start) = begun.remove(&external) else { continue };
                tasks.spawn(follow(daemon.socket(), call, start, Arc::clone(&heard)));
            }
            sleep(Duration::from_millis(500)).await;
        }
        if begun.is_empty() {
            Ok(Self { tasks, heard, stop, before, count })
        } else {
            Err(Error::Fault(format!("{} of {count} calls were not taken", begun.len())))
        }
    }

    /// Measures for `secs`, then ends the calls.
    pub(super) async fn measure(mut self, daemon: &Daemon, secs: u64) -> Result<Measured> {
        let from = daemon.read()?;
        let mut to = from;
        let end = Instant::now() + Duration::from_secs(secs);
        let mut slowest_secs = from.refresh_secs;
        while Instant::now() < end {
            sleep(Duration::from_secs(1)).await;
            to = daemon.read()?;
            slowest_secs = to.refresh_secs.max(slowest_secs);
        }
        to.refresh_secs = slowest_secs;
        self.stop.send_replace(true);
        self.tasks.shutdown().await;
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let Heard { latencies_secs, first_secs, worst_sending_secs } = heard;
        let (calls, before) = (self.count, self.before);
        Ok(Measured { calls, before, from, to, latencies_secs, first_secs, worst_sending_secs })
    }
}

/// Ids of live calls with the ids that the callers gave, dashes taken out.
fn live_calls(body: &str) -> Vec<(String, String)> {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let calls = value["calls"].as_array().cloned().unwrap_or_default();
    let ids = |call: Value| Some((call["id"].as_str()?.to_owned(), call["external_id"].as_str()?.replace('-', "")));
    calls.into_iter().filter_map(ids).collect()
}

struct Caller {
    port: u16,
    id: String,
    start: Instant,
    speech: Speech,
    /// Where in the recording it begins, so that callers do not say the same at once.
    skew: usize,
    heard: Arc<Mutex<Heard>>,
}

impl Caller {
    async fn play(self, stop: watch::Receiver<bool>) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let uuid: Vec<u8> = (0..16).filter_map(|i| u8::from_str_radix(&self.id[2 * i..2 * i + 2], 16).ok()).collect();
        stream.write_all(&[&[0x01, 0, 16], uuid.as_slice()].concat()).await?;
        let size = self.speech.message_bytes();
        let messages: Vec<&[u8]> = self.speech.bytes.chunks_exact(size).collect();
        let mut ticks = interval_at(self.start.into(), MESSAGE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut worst = Duration::ZERO;
        for message in messages.iter().cycle().skip(self.skew * 97 % messages.len()) {
            let due = ticks.tick().await;
            if *stop.borrow() {
                break;
            }
            worst = worst.max(Instant::now().saturating_duration_since(due.into()));
            let length = u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes();
            stream.write_all(&[&[self.speech.kind], length.as_slice(), message].concat()).await?;
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.worst_sending_secs = heard.worst_sending_secs.max(worst.as_secs_f64());
        }
        Ok(())
    }
}

/// Reads the events of `call`, whose audio began at `start`, until it is stopped.
async fn follow(
    socket: std::path::PathBuf,
    call: String,
    start: Instant,
    heard: Arc<Mutex<Heard>>,
) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = format!("GET /v1/calls/{call}/events HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let mut had_one = false;
    while let Some(line) = lines.next_line().await? {
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let now = Instant::now();
        let event: Value = serde_json::from_str(data).unwrap_or_default();
        had_one |= event["parties"][0]["decision"].is_string();
        let Some(audio_secs) = event["party"]["audio_secs"].as_f64().filter(|_| event["type"] == "call.verdict") else {
            continue;
        };
        // The last of its audio was sent so long after the start; a message holds 20 ms, the first of which leaves at once.
        let sent = start + Duration::from_secs_f64(audio_secs).saturating_sub(MESSAGE);
        let latency_secs = now.saturating_duration_since(sent).as_secs_f64();
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.latencies_secs.push(latency_secs);
        if !std::mem::replace(&mut had_one, true) {
            heard.first_secs.push(latency_secs);
        }
    }
    Ok(())
}
