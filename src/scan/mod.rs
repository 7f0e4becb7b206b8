//! One input from bytes to verdict: decode, screen every channel, apply the policy.

mod capture;
mod lane;
mod twins;

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    decode::{DecodeError, Decoder, Limits, OpenOptions, RawSpec, capture::container as capture_kind, extension_of},
    error::{Error, Result},
    model::{BundleFiles, ModelBundle, embedded_files, embedded_light_files, hex},
    policy::{Decision, Policy, Reason, Verdict},
    screen::Evidence,
};
pub(crate) use lane::Lane;
use twins::Twins;

/// Index of the last audio track that is judged; a file with more is inconclusive.
const MAX_TRACK: usize = 7;
/// Share of samples that may be no numbers before a channel counts as damaged.
const MAX_UNUSABLE_SHARE: f64 = 0.02;

/// What is known of an input before any of it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputInfo {
    /// As the user named it; `-` for standard input.
    pub path: String,
    /// Of the input's bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Container, such as `wav` or `mp4`; `None` where it was not recognised.
    pub container: Option<String>,
    /// Codec found, such as `mp3`; named also where it cannot be decoded.
    pub codec: Option<String>,
    /// Of the source, before resampling.
    pub sample_rate_hz: Option<u32>,
    /// Of the source.
    pub channels: Option<u16>,
    /// Decoded length.
    pub duration_secs: Option<f64>,
}

/// One channel's verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelResult {
    /// Index in the source, from 0. Identical channels are judged once: the result stands at the first.
    pub channel: u16,
    /// Decision, reason and evidence.
    pub verdict: Verdict,
}

/// One input as it was heard, before any policy: what verdicts are made of, also later and by another policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Screening {
    /// What was read.
    pub input: InputInfo,
    /// In channel order.
    pub channels: Vec<ScreenedChannel>,
    /// Why it was not heard to its end, if it was not.
    pub stopped: Option<Stop>,
}

/// One channel's evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScreenedChannel {
    /// Index in the source, from 0.
    pub channel: u16,
    /// What the policy judges.
    pub evidence: Evidence,
}

/// Why a file was not judged to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// The reason of the file, unless it is a spoof by what was heard.
    pub reason: Reason,
    /// For a person.
    pub detail: String,
}

impl Screening {
    /// What `policy` makes of it.
    pub fn judge(self, policy: &Policy) -> ScanResult {
        let verdict =
            |heard: ScreenedChannel| ChannelResult { channel: heard.channel, verdict: policy.judge(heard.evidence) };
        let channels: Vec<ChannelResult> = self.channels.into_iter().map(verdict).collect();
        let worst = policy.worst(channels.iter().map(|channel| &channel.verdict));
        let mut decision = worst.map_or(Decision::Inconclusive, |verdict| verdict.decision);
        let mut reason = worst.and_then(|verdict| verdict.reason);
        let llr = worst.and_then(|verdict| verdict.llr);
        // What was heard before the stop may convict, but cannot acquit the rest.
        if let Some(stop) = self.stopped.as_ref().filter(|_| decision != Decision::Spoof) {
            (decision, reason) = (Decision::Inconclusive, Some(stop.reason));
        }
        let detail = self.stopped.map(|stop| stop.detail);
        ScanResult { input: self.input, decision, reason, detail, llr, channels }
    }
}

/// The result for one input: decision and reason are its worst channel's.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanResult {
    /// What was read.
    pub input: InputInfo,
    /// The worst channel's decision; inconclusive where no channel could be decoded.
    pub decision: Decision,
    /// Why, where inconclusive.
    pub reason: Option<Reason>,
    /// More about the reason for a person: the codec found, the limit that was hit.
    pub detail: Option<String>,
    /// The worst channel's LLR.
    pub llr: Option<crate::model::Llr>,
    /// In channel order.
    pub channels: Vec<ChannelResult>,
}

/// An input that has its result, and can be read once more.
pub struct Scanned<'a> {
    /// Wherever it stands.
    pub file: &'a mut File,
    /// How it was read.
    pub options: &'a OpenOptions,
    /// What was found.
    pub result: &'a ScanResult,
}

/// Everything that judges inputs: shared by threads, immutable.
pub struct Engine {
    /// The countermeasure.
    pub model: Arc<ModelBundle>,
    /// What turns evidence into decisions.
    pub policy: Policy,
    /// What an input may cost.
    pub limits: Limits,
}

/// What [`load_model`] is given for the embedded light bundle; a folder of that name is `./light`.
pub const LIGHT_MODEL: &str = "light";

/// Reads a bundle directory or one of the embedded bundles (the standard one where `dir` is `None`), and verifies it.
///
/// # Errors
/// [`Error::Io`] for an unreadable directory, [`Error::Config`] for a refused bundle.
pub fn load_model(dir: Option<&Path>) -> Result<ModelBundle> {
    let (files, place) = match dir {
        None => (embedded_files(), "embedded".to_owned()),
        Some(dir) if dir.as_os_str() == LIGHT_MODEL => (embedded_light_files(), "embedded light".to_owned()),
        Some(dir) => (read_bundle(dir)?, dir.display().to_string()),
    };
    ModelBundle::load(&files).map_err(|e| Error::Config(format!("{place}: {e}")))
}

fn read_bundle(dir: &Path) -> Result<BundleFiles> {
    let mut files = BundleFiles::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir.display(), e))? {
        let path = entry.map_err(|e| Error::io(dir.display(), e))?.path();
        let size = path.metadata().map_err(|e| Error::io(path.display(), e))?;
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| size.is_file()) else { continue };
        if size.len() > crate::model::MAX_BUNDLE_FILE_BYTES {
            return Err(Error::Config(format!("{}: larger than any bundle file may be", path.display())));
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io(path.display(), e))?;
        files.insert(name.to_owned(), bytes.into());
    }
    Ok(files)
}

impl Engine {
    /// Scans the file at `path`, shown under that name.
    ///
    /// # Errors
    /// Only what is not the media's doing: unreadable file, network failure.
    pub fn scan_path(&self, path: &Path, raw: Option<RawSpec>) -> Result<ScanResult> {
        self.scan_path_then(path, raw, |_| Ok(())).map(|(result, ())| result)
    }

    /// Like [`Engine::scan_path`]; `then` may read the same file again once its result is known.
    ///
    /// # Errors
    /// As [`Engine::scan_path`], and what `then` returns.
    pub fn scan_path_then<T>(
        &self,
        path: &Path,
        raw: Option<RawSpec>,
        then: impl FnOnce(Scanned<'_>) -> Result<T>,
    ) -> Result<(ScanResult, T)> {
        let shown = path.display().to_string();
        let mut file = File::open(path).map_err(|e| Error::io(&shown, e))?;
        if file.metadata().map_err(|e| Error::io(&shown, e))?.is_dir() {
            return Err(Error::Usage(format!("{shown}: is a directory")));
        }
        let options = OpenOptions { raw, extension: extension_of(path) };
        let source = file.try_clone().map_err(|e| Error::io(&shown, e))?;
        let result = self.screen_file(source, shown, &options, &|| true)?.judge(&self.policy);
        let more = then(Scanned { file: &mut file, options: &options, result: &result })?;
        Ok((result, more))
    }

    /// Scans a stream that cannot seek, such as standard input, by way of an unnamed temporary file; `then` as in
    /// [`Engine::scan_path_then`].
    ///
    /// # Errors
    /// As there, and where the temporary file cannot be written.
    pub fn scan_stream_then<T>(
        &self,
        stream: impl Read,
        shown: &str,
        raw: Option<RawSpec>,
        then: impl FnOnce(Scanned<'_>) -> Result<T>,
    ) -> Result<(ScanResult, T)> {
        let mut spool = tempfile::tempfile().map_err(|e| Error::io("temporary file", e))?;
        let most = self.limits.max_bytes;
        let bytes =
            std::io::copy(&mut stream.take(most.saturating_add(1)), &mut spool).map_err(|e| Error::io(shown, e))?;
        let options = OpenOptions { raw, extension: None };
        let source = spool.try_clone().map_err(|e| Error::io(shown, e))?;
        let heard = self.screen_file(source, shown.to_owned(), &options, &|| true)?;
        let mut result = heard.judge(&self.policy);
        if bytes > most && result.decision != Decision::Spoof {
            (result.decision, result.reason) = (Decision::Inconclusive, Some(Reason::LimitReached));
            result.detail = Some(format!("max_bytes: more than {most} bytes"));
        }
        let more = then(Scanned { file: &mut spool, options: &options, result: &result })?;
        Ok((result, more))
    }

    /// Hears an open file, shown as `shown`, from its first byte. `pulse` is called every few milliseconds of work; once
    /// it returns `false`, the work ends with [`Error::Interrupted`].
    ///
    /// # Errors
    /// As [`Engine::scan_path`], and [`Error::Interrupted`].
    pub fn screen_file(
        &self,
        mut file: File,
        shown: String,
        options: &OpenOptions,
        pulse: &dyn Fn() -> bool,
    ) -> Result<Screening> {
        let sha256 = sha256_of(&mut file, &shown, pulse)?;
        let task = Task { options, pulse };
        let mut input = InputInfo {
            path: shown,
            sha256,
            container: None,
            codec: None,
            sample_rate_hz: None,
            channels: None,
            duration_secs: None,
        };
        if options.raw.is_none()
            && let Some(container) = capture_container(&mut file, &input.path)?
        {
            return self.screen_capture(&file, input, container, pulse);
        }
        let (mut channels, mut stopped) = (Vec::new(), None);
        let (mut track, mut tracks, mut first_channel) = (0, 1, 0);
        while track < tracks && stopped.is_none() {
            let heard = self.scan_track(&mut file, task, &mut input, track)?;
            let numbered = |c: ScreenedChannel| ScreenedChannel { channel: c.channel + first_channel, ..c };
            channels.extend(heard.channels.into_iter().map(numbered));
            stopped = match (track, heard.tracks) {
                (1.., 0) => {
                    let detail = format!("audio track {} cannot be decoded", track + 1);
                    Some(Stop { reason: Reason::Damaged, detail })
                }
                (MAX_TRACK, more) if more > MAX_TRACK + 1 => {
                    let detail = format!("{} audio tracks: at most {} are judged", heard.tracks, MAX_TRACK + 1);
                    heard.stopped.or(Some(Stop { reason: Reason::LimitReached, detail }))
                }
                _ => heard.stopped,
            };
            tracks = heard.tracks;
            first_channel += heard.width;
            track += 1;
        }
        Ok(Screening { input, channels, stopped })
    }

    /// One audio track, with as many runs through the file as its channels need to be told apart.
    fn scan_track(&self, file: &mut File, task: Task<'_>, input: &mut InputInfo, track: usize) -> Result<Heard> {
        let mut leaders = None;
        loop {
            match self.screen_once(file, (task, track), input, leaders.take())? {
                // Channels that part a second time are not worth a third guess.
                Pass::Diverged(found) if found.is_second => leaders = Some((0..found.leaders.len()).collect()),
                Pass::Diverged(found) => leaders = Some(found.leaders),
                Pass::Done(heard) => return Ok(heard),
            }
        }
    }

    /// One run through a track. `leaders[c]` is the channel whose verdict stands for channel `c`.
    fn screen_once(
        &self,
        file: &mut File,
        (task, track): (Task<'_>, usize),
        input: &mut InputInfo,
        leaders: Option<Vec<usize>>,
    ) -> Result<Pass> {
        file.seek(SeekFrom::Start(0)).map_err(|e| Error::io(&input.path, e))?;
        let source = file.try_clone().map_err(|e| Error::io(&input.path, e))?;
        let mut decoder = match Decoder::open_track(Box::new(source), task.options, &self.limits, track) {
            Ok(decoder) => decoder,
            Err(e) => return Ok(Pass::Done(Heard { stopped: Some(Stop::of(e, input)?), ..Heard::default() })),
        };
        let info = decoder.info().clone();
        let count = usize::from(info.channels);
        let is_second = leaders.is_some();
        // A file that changes under our hands may come back with other channels.
        let leaders = leaders.filter(|leaders| leaders.len() == count).unwrap_or_else(|| vec![0; count]);
        let mut lanes = leaders
            .iter()
            .enumerate()
            .map(|(channel, leader)| {
                (*leader == channel).then(|| Lane::new(&self.model, info.sample_rate_hz)).transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        if track == 0 {
            input.describe(&info);
        }
        let mut twins = Twins::new(leaders, info.sample_rate_hz);
        let stopped = loop {
            task.beat()?;
            let block = match decoder.next_block() {
                Ok(Some(block)) => block,
                Ok(None) => break decoder.shortfall().map(|detail| Stop { reason: Reason::Damaged, detail }),
                Err(e) => break Some(Stop::of(e, input)?),
            };
            if let Some(leaders) = twins.push(block) {
                return Ok(Pass::Diverged(Divergence { leaders, is_second }));
            }
            for (channel, lane) in lanes.iter_mut().enumerate() {
                if let Some(lane) = lane {
                    lane.push(block.channel(channel))?;
                }
            }
        };
        if let Some(leaders) = twins.check() {
            return Ok(Pass::Diverged(Divergence { leaders, is_second }));
        }
        let tracks = decoder.audio_tracks();
        self.finish(lanes, Heard { channels: Vec::new(), stopped, tracks, width: info.channels }, input).map(Pass::Done)
    }

    fn finish(&self, lanes: Vec<Option<Lane>>, mut heard: Heard, input: &mut InputInfo) -> Result<Heard> {
        for (channel, lane) in lanes.into_iter().enumerate() {
            let Some(lane) = lane else { continue };
            let unusable = lane.unusable_samples();
            let evidence = lane.finish()?;
            let duration_secs = evidence.duration_secs;
            let unusable_share =
                unusable as f64 / (duration_secs * f64::from(input.sample_rate_hz.unwrap_or(1))).max(1.0);
            if unusable_share > MAX_UNUSABLE_SHARE {
                let detail = format!("{unusable} samples of channel {channel} are no numbers");
                heard.stopped.get_or_insert(Stop { reason: Reason::Damaged, detail });
            }
            input.duration_secs = Some(input.duration_secs.unwrap_or(0.0).max(duration_secs));
            heard.channels.push(ScreenedChannel { channel: channel as u16, evidence });
        }
        Ok(heard)
    }
}

/// How one file is read, and what may stop it.
#[derive(Clone, Copy)]
struct Task<'a> {
    options: &'a OpenOptions,
    pulse: &'a dyn Fn() -> bool,
}

impl Task<'_> {
    fn beat(&self) -> Result<()> {
        if (self.pulse)() { Ok(()) } else { Err(Error::Interrupted) }
    }
}

/// How a run through a track ended.
enum Pass {
    /// Channels that began alike turned out to differ: run again.
    Diverged(Divergence),
    /// Finished, or stopped early.
    Done(Heard),
}

struct Divergence {
    leaders: Vec<usize>,
    is_second: bool,
}

/// What came of one track.
#[derive(Default)]
struct Heard {
    channels: Vec<ScreenedChannel>,
    stopped: Option<Stop>,
    /// Audio tracks of the file; 0 where this one could not be opened.
    tracks: usize,
    /// Channels of this track.
    width: u16,
}

impl Stop {
    /// The media's errors become results; the system's stay errors.
    fn of(error: DecodeError, input: &mut InputInfo) -> Result<Self> {
        match error {
            DecodeError::Undecodable { container, codec, detail } => {
                input.container = input.container.take().or(container);
                input.codec = input.codec.take().or(codec);
                Ok(Self { reason: Reason::Undecodable, detail })
            }
            DecodeError::Limit { which, detail } => {
                Ok(Self { reason: Reason::LimitReached, detail: format!("{which}: {detail}") })
            }
            DecodeError::Io(e) => Err(Error::io(&input.path, e)),
        }
    }
}

impl InputInfo {
    fn describe(&mut self, info: &crate::decode::StreamInfo) {
        self.container = Some(info.container.clone());
        self.codec = Some(info.codec.clone());
        self.sample_rate_hz = Some(info.sample_rate_hz);
        self.channels = Some(info.channels);
    }
}

/// Capture format of the file, if it is one.
fn capture_container(file: &mut File, shown: &str) -> Result<Option<&'static str>> {
    file.rewind().map_err(|e| Error::io(shown, e))?;
    let mut head = Vec::new();
    file.take(4).read_to_end(&mut head).map_err(|e| Error::io(shown, e))?;
    Ok(capture_kind(&head))
}

pub(crate) fn sha256_of(file: &mut File, shown: &str, pulse: &dyn Fn() -> bool) -> Result<String> {
    let fault = |e| Error::io(shown, e);
    file.rewind().map_err(fault)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    while pulse() {
        match file.read(&mut buffer).map_err(fault)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
    Err(Error::Interrupted)
}
