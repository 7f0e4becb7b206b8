//! Decoding: any recorded or uploaded audio in, blocks of samples per channel out.
//!
//! Flow: byte source → guard (counts every byte against [`Limits`]) → first bytes tell the kind → header reader or
//! demultiplexer → decoder → [`PlanarBlock`]s at the source's own rate. [`crate::audio::Resampler`] takes it from
//! there. Pulled block by block; memory does not grow with the length of the input.
//!
//! | container | codecs |
//! |---|---|
//! | WAV, RF64 | PCM 8-32 bits, float 32 and 64 bits, µ-law, A-law, IMA and MS ADPCM, GSM 06.10, G.722, MP2, MP3 |
//! | AU (`.snd`) | PCM 8-32 bits, float, µ-law, A-law |
//! | AIFF, AIFC, CAF | PCM, float, µ-law, A-law, ALAC, IMA ADPCM (AIFC: no ADPCM) |
//! | FLAC, Ogg FLAC | FLAC |
//! | MP1, MP2, MP3 | MPEG-1, 2 and 2.5 audio, constant and variable bit rate, with ID3 tags of any size |
//! | ADTS | AAC-LC mono and stereo (HE-AAC: its core) |
//! | MP4, M4A, MOV | the same, ALAC, Opus, MP3, FLAC, PCM |
//! | Ogg, WebM, MKV | Opus, Vorbis, FLAC, AAC-LC, MP3, PCM |
//! | pcap, pcapng | RTP: PCMU, PCMA, G.722, GSM 06.10, L16, Opus ([`capture`]) |
//! | none: [`RawSpec`] or by extension | µ-law, A-law, 16-bit PCM, G.722, GSM 06.10 |
//!
//! Of several audio tracks the default one comes first, then the others in order ([`Decoder::open_track`]). What
//! cannot be decoded is named where it can be recognised (`amr_nb`, `ac3`, `wmav2`, …).
//!
//! Limits: every cap is in [`Limits`]. Damaged packets are skipped and counted; a cut file gives what there is; a
//! stream that gives nothing is [`DecodeError::Undecodable`]. A panic of a third-party decoder is caught and becomes
//! [`DecodeError::Undecodable`] too. Silence from a lost packet is not filled in. Times are those of the decoded samples:
//! an AAC encoder's delay (about 20 ms) stays in. Channel order is the codec's own.

mod aac;
pub(crate) mod capture;
mod g722;
mod gsm;
mod headers;
mod limits;
mod mono;
mod names;
mod opus;
mod packets;
mod panics;
mod pcm;
mod raw;
mod sniff;
mod source;
mod tags;

use symphonia::core::io::MediaSource;

use crate::audio::SOURCE_RATES_HZ;
use headers::Lead;
use packets::{Entry, PacketStream};
use raw::{RawLayout, RawStream};
use sniff::Kind;
use source::Guard;

pub use limits::Limits;
pub use mono::{extension_of, first_channel_16k};
pub use raw::{RawCodec, RawSpec};
pub use tags::{Credentials, TagEntry, Tags};

/// Decoders of single payloads, for streams that come in packets of their own.
pub(crate) mod parts {
    pub(crate) use super::{
        g722::G722Decoder,
        gsm::{GsmDecoder, PLAIN_FRAME_BYTES as GSM_FRAME_BYTES},
        opus::OpusTrack,
        panics::contain,
        pcm::SampleCoding,
    };
}

/// What is known of an input besides its bytes.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Set where the input has no header; nothing is probed then.
    pub raw: Option<RawSpec>,
    /// File name extension without the dot; decides only where the bytes do not.
    pub extension: Option<String>,
}

/// The stream that is being decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamInfo {
    /// Short name, such as `wav` or `mp4`; `raw` without one.
    pub container: String,
    /// Short name, such as `mp3` or `pcm_s16le`.
    pub codec: String,
    /// Of the decoded blocks; within [`SOURCE_RATES_HZ`].
    pub sample_rate_hz: u32,
    /// Of every decoded block; at least 1.
    pub channels: u16,
    /// As the container claims it, or by the number of bytes there are; `None` where neither says.
    pub duration_secs: Option<f64>,
}

/// Why decoding ended early.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The media is at fault, or is of a kind that is not supported.
    #[error("{}", describe(.container.as_deref(), .codec.as_deref(), .detail))]
    Undecodable {
        /// Container, where it was recognised.
        container: Option<String>,
        /// Codec, where it was recognised.
        codec: Option<String>,
        /// What is wrong, for a person.
        detail: String,
    },
    /// A cap of [`Limits`] was reached.
    #[error("{which}: {detail}")]
    Limit {
        /// Name of the field of [`Limits`].
        which: &'static str,
        /// What was reached, for a person.
        detail: String,
    },
    /// The source could not be read.
    #[error("cannot be read: {0}")]
    Io(#[source] std::io::Error),
}

fn describe(container: Option<&str>, codec: Option<&str>, detail: &str) -> String {
    match (container, codec) {
        (Some(container), Some(codec)) => format!("{codec} in {container}: {detail}"),
        (Some(one), None) | (None, Some(one)) => format!("{one}: {detail}"),
        (None, None) => detail.to_owned(),
    }
}

/// A stretch of decoded audio: one plane of samples per channel, all of the same length, nominal range ±1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanarBlock {
    planes: Vec<Vec<f32>>,
}

impl PlanarBlock {
    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.planes.len()
    }

    /// Samples per channel.
    pub fn samples(&self) -> usize {
        self.planes.first().map_or(0, Vec::len)
    }

    /// The samples of one channel; empty where there is no such channel.
    pub fn channel(&self, index: usize) -> &[f32] {
        self.planes.get(index).map_or(&[], Vec::as_slice)
    }

    fn reset(&mut self, channels: usize) -> &mut [Vec<f32>] {
        self.planes.resize_with(channels, Vec::new);
        self.planes.iter_mut().for_each(Vec::clear);
        &mut self.planes
    }

    fn planes_mut(&mut self) -> &mut Vec<Vec<f32>> {
        &mut self.planes
    }

    /// Adds copies of the first channel until there are `channels`.
    fn widen(&mut self, channels: usize) {
        while self.planes.len() < channels {
            let first = self.planes.first().cloned().unwrap_or_default();
            self.planes.push(first);
        }
    }
}

/// Share of a stream that may be missing before it counts as not heard whole.
const MAX_DAMAGED_SHARE: f64 = 0.02;

enum Stream {
    Raw(Box<RawStream>),
    Packets(Box<PacketStream>),
}

impl Stream {
    fn next(&mut self, block: &mut PlanarBlock) -> Result<bool, DecodeError> {
        match self {
            Self::Raw(stream) => stream.next(block),
            Self::Packets(stream) => stream.next(block),
        }
    }

    fn info(&self) -> StreamInfo {
        match self {
            Self::Raw(stream) => stream.info(),
            Self::Packets(stream) => stream.info(),
        }
    }
}

/// One input being decoded. Never panics, whatever the bytes.
pub struct Decoder {
    stream: Stream,
    guard: Guard,
    info: StreamInfo,
    block: PlanarBlock,
    /// The first block is decoded on opening and waits here.
    first_waits: bool,
    has_ended: bool,
    max_samples: u64,
    max_decoded_secs: u64,
    samples: u64,
}

impl Decoder {
    /// Opens `source`, finds out what it holds and decodes its first block.
    ///
    /// # Errors
    /// [`DecodeError::Undecodable`] where no audio comes out of it at all.
    pub fn open(source: Box<dyn MediaSource>, options: &OpenOptions, limits: &Limits) -> Result<Self, DecodeError> {
        Self::open_track(source, options, limits, 0)
    }

    /// Like [`Decoder::open`], for a further one of the audio tracks that can be decoded, counted from 0.
    ///
    /// # Errors
    /// As there, and [`DecodeError::Undecodable`] where there are not so many.
    pub fn open_track(
        source: Box<dyn MediaSource>,
        options: &OpenOptions,
        limits: &Limits,
        track: usize,
    ) -> Result<Self, DecodeError> {
        let open = || Self::open_unguarded(source, options, limits, track);
        panics::contain(open).unwrap_or_else(|| Err(panicked(None)))
    }

    /// Audio tracks of the source, decodable or not: at least 1.
    pub fn audio_tracks(&self) -> usize {
        match &self.stream {
            Stream::Raw(_) => 1,
            Stream::Packets(stream) => stream.audio_tracks().max(1),
        }
    }

    /// After the end: what of the stream was not heard, where it is more than a trifle.
    pub fn shortfall(&self) -> Option<String> {
        let decoded_secs = self.decoded_secs();
        let claimed_secs = self.info.duration_secs.filter(|_| self.claim_is_exact()).unwrap_or(0.0);
        let (whole, damaged, gave_up) = match &self.stream {
            Stream::Raw(stream) => (u64::MAX, stream.damaged_units(), false),
            Stream::Packets(stream) => {
                let tally = stream.tally();
                (tally.whole_packets, tally.damaged_packets, tally.gave_up)
            }
        };
        if gave_up {
            Some(format!("too much damage after {decoded_secs:.1} s"))
        } else if damaged as f64 > MAX_DAMAGED_SHARE * whole as f64 + 1.0 {
            Some(format!("{damaged} of {} packets are damaged", whole.saturating_add(damaged)))
        } else if claimed_secs > decoded_secs * (1.0 + MAX_DAMAGED_SHARE) + 1.0 {
            Some(format!("{decoded_secs:.1} s of {claimed_secs:.1} s could be decoded"))
        } else {
            None
        }
    }

    /// Lengths of MPEG streams without an index are estimates from a first bit rate.
    fn claim_is_exact(&self) -> bool {
        !matches!(self.info.container.as_str(), "mp1" | "mp2" | "mp3" | "aac" | "adts" | "mpa")
    }

    /// Container, codec, rate, channels.
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// Packets (or frames) so far that were damaged and skipped.
    pub fn damaged_packets(&self) -> u64 {
        match &self.stream {
            Stream::Raw(stream) => stream.damaged_units(),
            Stream::Packets(stream) => stream.tally().damaged_packets,
        }
    }

    /// Seconds decoded so far.
    pub fn decoded_secs(&self) -> f64 {
        self.samples as f64 / f64::from(self.info.sample_rate_hz)
    }

    /// The next block at the source's rate; `None` at the end and ever after.
    ///
    /// # Errors
    /// Ends the stream; what was decoded before stands.
    pub fn next_block(&mut self) -> Result<Option<&PlanarBlock>, DecodeError> {
        if self.has_ended {
            return Ok(None);
        }
        match self.advance() {
            Ok(true) => Ok(Some(&self.block)),
            Ok(false) => {
                self.has_ended = true;
                Ok(None)
            }
            Err(error) => {
                self.has_ended = true;
                Err(error)
            }
        }
    }

    fn advance(&mut self) -> Result<bool, DecodeError> {
        if let Some(trouble) = self.guard.trouble() {
            return Err(trouble);
        }
        if !std::mem::take(&mut self.first_waits) {
            let (stream, block) = (&mut self.stream, &mut self.block);
            let next = panics::contain(|| stream.next(block)).unwrap_or_else(|| Err(panicked(Some(&self.info))));
            if !next? {
                return Ok(false);
            }
        }
        self.samples += self.block.samples() as u64;
        if self.samples > self.max_samples {
            let detail = format!("more than {} s of audio", self.max_decoded_secs);
            return Err(DecodeError::Limit { which: "max_decoded_secs", detail });
        }
        Ok(true)
    }

    fn open_unguarded(
        source: Box<dyn MediaSource>,
        options: &OpenOptions,
        limits: &Limits,
        track: usize,
    ) -> Result<Self, DecodeError> {
        let guard = Guard::new(source, limits);
        let mut block = PlanarBlock::default();
        let stream = open_stream(&guard, options, (limits, track), &mut block)?;
        let info = stream.info();
        check_shape(&info, limits)?;
        if block.samples() == 0 {
            return Err(undecodable(&info, "no audio could be decoded".to_owned()));
        }
        Ok(Self {
            stream,
            guard,
            block,
            first_waits: true,
            has_ended: false,
            max_samples: limits.max_decoded_secs.saturating_mul(u64::from(info.sample_rate_hz)),
            max_decoded_secs: limits.max_decoded_secs,
            samples: 0,
            info,
        })
    }
}

/// Decides by the first bytes, then by the options, how the source is read, and reads the first block.
fn open_stream(
    guard: &Guard,
    options: &OpenOptions,
    (limits, track): (&Limits, usize),
    block: &mut PlanarBlock,
) -> Result<Stream, DecodeError> {
    let read_failed = |error| guard.trouble().unwrap_or(DecodeError::Io(error));
    let mut raw = |container, layout| open_raw(guard, container, layout, limits, block);
    if let Some(spec) = options.raw {
        return raw("raw", raw_layout(spec));
    }
    let base = sniff::skip_id3v2(guard).map_err(read_failed)?;
    let mut head = vec![0; sniff::HEAD_BYTES];
    let head_bytes = guard.read_at(base, &mut head).map_err(read_failed)?;
    head.truncate(head_bytes);
    if head.is_empty() {
        return Err(DecodeError::Undecodable { container: None, codec: None, detail: "the input is empty".to_owned() });
    }
    if let Some(container) = capture::container(&head) {
        let detail = "captured calls are read as a whole, by scan, watch and serve".to_owned();
        return Err(DecodeError::Undecodable { container: Some(container.to_owned()), codec: None, detail });
    }
    let (container, lead) = match sniff::kind(&head) {
        Kind::Wav => ("wav", headers::read_wav(guard, base).map_err(read_failed)?),
        Kind::Au => ("au", headers::read_au(guard, base).map_err(read_failed)?),
        Kind::Flac => match sniff::shorten_flac(guard, base).map_err(read_failed)? {
            Some((prefix, base)) => return open_packets(guard, &Entry { prefix, base, track }, block),
            None => ("flac", Lead::Packets),
        },
        Kind::Container => ("", Lead::Packets),
        Kind::Undecodable { container, codec, detail } => {
            let container = container.map(str::to_owned);
            return Err(DecodeError::Undecodable { container, codec, detail: detail.to_owned() });
        }
        Kind::Unknown => match options.extension.as_deref().and_then(RawSpec::from_extension) {
            Some(spec) => return raw("raw", raw_layout(spec)),
            None => ("", Lead::Packets),
        },
    };
    match lead {
        Lead::Layout(layout) => raw(container, layout),
        Lead::Packets => open_packets(guard, &Entry { prefix: Vec::new(), base, track }, block),
        Lead::Stream(base) => open_packets(guard, &Entry { prefix: Vec::new(), base, track }, block),
        Lead::Undecodable { codec, detail } => {
            Err(DecodeError::Undecodable { container: Some(container.to_owned()), codec, detail })
        }
    }
}

fn raw_layout(spec: RawSpec) -> RawLayout {
    let RawSpec { codec, sample_rate_hz, channels } = spec;
    RawLayout { coding: codec.into(), sample_rate_hz, channels, start: 0, claimed_bytes: None }
}

fn open_raw(
    guard: &Guard,
    container: &'static str,
    layout: RawLayout,
    limits: &Limits,
    block: &mut PlanarBlock,
) -> Result<Stream, DecodeError> {
    // The header's numbers size what follows, so they are checked before anything is made of them.
    check_shape(&layout.info(container, None), limits)?;
    let mut stream = RawStream::new(guard.clone(), container, layout);
    stream.next(block)?;
    Ok(Stream::Raw(Box::new(stream)))
}

fn open_packets(guard: &Guard, entry: &Entry, block: &mut PlanarBlock) -> Result<Stream, DecodeError> {
    PacketStream::open(guard, entry, block).map(|stream| Stream::Packets(Box::new(stream)))
}

fn check_shape(info: &StreamInfo, limits: &Limits) -> Result<(), DecodeError> {
    if !SOURCE_RATES_HZ.contains(&info.sample_rate_hz) {
        return Err(undecodable(info, format!("sample rate {} Hz: must be 4,000-192,000 Hz", info.sample_rate_hz)));
    }
    if info.channels == 0 {
        return Err(undecodable(info, "no channels".to_owned()));
    }
    if info.channels > limits.max_channels {
        let detail = format!("{} channels: at most {}", info.channels, limits.max_channels);
        return Err(DecodeError::Limit { which: "max_channels", detail });
    }
    Ok(())
}

fn undecodable(info: &StreamInfo, detail: String) -> DecodeError {
    DecodeError::Undecodable { container: Some(info.container.clone()), codec: Some(info.codec.clone()), detail }
}

fn panicked(info: Option<&StreamInfo>) -> DecodeError {
    DecodeError::Undecodable {
        container: info.map(|info| info.container.clone()),
        codec: info.map(|info| info.codec.clone()),
        detail: "the decoder failed on damaged data".to_owned(),
    }
}
