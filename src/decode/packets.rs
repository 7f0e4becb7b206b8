//! Streams of packets: symphonia's demultiplexers and decoders, and Opus.

use symphonia::core::{
    codecs::{
        CodecParameters,
        audio::{
            AudioCodecParameters, AudioDecoder, AudioDecoderOptions, CODEC_ID_NULL_AUDIO,
            well_known::{CODEC_ID_AAC, CODEC_ID_OPUS},
        },
    },
    errors::Error as SymphoniaError,
    formats::{
        FormatOptions, FormatReader, Track, TrackFlags,
        probe::{Hint, Probe, ProbeOptions},
    },
    io::MediaSourceStream,
    meta::MetadataOptions,
    packet::Packet,
    units::Duration,
};
use symphonia::default::formats;

use super::{
    DecodeError, PlanarBlock, StreamInfo, aac, names,
    opus::{self, OpusTrack},
    panics, sniff,
    source::{Guard, Handle},
};

/// Bytes that may lie before the first mark of a container.
const PROBE_BYTES: u32 = 256 * 1_024;
/// Largest packet that a header may claim, in samples per channel: twice that of FLAC, whose packets are the largest.
const MAX_PACKET_SAMPLES: u64 = 131_072;
/// Demultiplexer errors in a row after which the rest is given up.
const MAX_ERRORS_IN_A_ROW: u32 = 64;
/// How much audio of another rate or with more channels is passed over before the stream counts as inconsistent.
const MAX_FOREIGN_SECS: f64 = 1.0;

enum PacketDecoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<OpusTrack>),
}

impl PacketDecoder {
    fn decode(&mut self, packet: &Packet, block: &mut PlanarBlock) -> Option<Shape> {
        match self {
            Self::Opus(track) => {
                let is_whole = track.decode(&packet.data, packet.trim_end.get(), block);
                is_whole.then(|| Shape { sample_rate_hz: opus::RATE_HZ, channels: block.channels() })
            }
            Self::Symphonia(decoder) => match decoder.decode(packet) {
                Ok(audio) => {
                    audio.copy_to_vecs_planar(block.planes_mut());
                    Some(Shape { sample_rate_hz: audio.spec().rate(), channels: audio.num_planes() })
                }
                Err(error) => {
                    if matches!(error, SymphoniaError::ResetRequired) {
                        decoder.reset();
                    }
                    None
                }
            },
        }
    }
}

/// An open container with one chosen audio track.
pub(super) struct PacketStream {
    guard: Guard,
    reader: Box<dyn FormatReader>,
    track_id: u32,
    wanted_track: usize,
    decoder: PacketDecoder,
    codec: String,
    container: String,
    duration_secs: Option<f64>,
    /// Unit of the track's times.
    tick_secs: f64,
    shape: Option<Shape>,
    foreign_secs: f64,
    trimmed_secs: f64,
    failures_in_a_row: u32,
    tally: Tally,
}

/// What a stream lost on the way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Packets that gave audio.
    pub(super) whole_packets: u64,
    /// Packets that were skipped.
    pub(super) damaged_packets: u64,
    /// Whether the stream ended in the middle of trouble, not at its end.
    pub(super) gave_up: bool,
}

/// Where in the source a container starts, and which of its audio tracks is wanted.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Bytes that stand for what lies before `base`.
    pub(super) prefix: Vec<u8>,
    /// First byte of the source after the prefix.
    pub(super) base: u64,
    /// Among the decodable audio tracks, from 0.
    pub(super) track: usize,
}

/// Decoder errors in a row after which the decoder starts anew: some refuse for good what differs from before.
const MAX_FAILURES_IN_A_ROW: u32 = 8;
/// How much audio a container may have cut off as an encoder's padding, in all; claims beyond it are not believed, so
/// that a false length hides nothing.
const MAX_TRIM_SECS: f64 = 0.25;

/// What all blocks of a stream have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Shape {
    sample_rate_hz: u32,
    channels: usize,
}

impl PacketStream {
    /// Finds the container at `entry`, the wanted one of its decodable audio tracks, and that track's first `block`.
    ///
    /// With damage or a cut further on, a demultiplexer may stumble over the end of the file or its middle before it
    /// reads anything. In order from the start it then often succeeds.
    pub(super) fn open(guard: &Guard, entry: &Entry, block: &mut PlanarBlock) -> Result<Self, DecodeError> {
        let handle = || Handle::new(guard, entry.prefix.clone(), entry.base);
        match Self::open_at(guard, handle(), entry.track, block) {
            Err(error @ DecodeError::Undecodable { .. }) if guard.is_seekable() => {
                Self::open_at(guard, handle().piped(), entry.track, block).map_err(|second| match second {
                    DecodeError::Undecodable { .. } => error,
                    other => other,
                })
            }
            other => other,
        }
    }

    fn open_at(guard: &Guard, source: Handle, wanted: usize, block: &mut PlanarBlock) -> Result<Self, DecodeError> {
        let mut stream = Self::choose(guard, source, wanted)?;
        if stream.next(block)? {
            return Ok(stream);
        }
        let (container, codec) = (Some(stream.container), Some(stream.codec));
        Err(DecodeError::Undecodable { container, codec, detail: "no audio could be decoded".to_owned() })
    }

    fn choose(guard: &Guard, source: Handle, wanted: usize) -> Result<Self, DecodeError> {
        let reader = read_container(guard, source)?;
        let container = names::container(reader.format_info().short_name).to_owned();
        let (track, decoder) = match choose_track(&*reader, guard.max_channels(), wanted) {
            Ok(chosen) => chosen,
            Err(Refusal { is_limit: true, detail, .. }) => {
                return Err(DecodeError::Limit { which: "max_channels", detail });
            }
            Err(Refusal { codec, detail, .. }) => {
                let codec = codec.or_else(|| (container == "mp4").then(|| sniff::mp4_codec(guard)).flatten());
                return Err(DecodeError::Undecodable { container: Some(container), codec, detail });
            }
        };
        let (track_id, tick_secs, duration_secs) = (track.id, tick_secs(track), duration_secs(track));
        let codec = audio_params(track).map(|params| names::codec(params.codec)).unwrap_or_default();
        Ok(Self {
            guard: guard.clone(),
            reader,
            track_id,
            decoder,
            codec,
            container,
            duration_secs,
            tick_secs,
            shape: None,
            foreign_secs: 0.0,
            trimmed_secs: 0.0,
            failures_in_a_row: 0,
            tally: Tally::default(),
            wanted_track: wanted,
        })
    }

    /// What is known of the stream; its shape is that of its first block.
    pub(super) fn info(&self) -> StreamInfo {
        let shape = self.shape.unwrap_or_default();
        StreamInfo {
            container: self.container.clone(),
            codec: self.codec.clone(),
            sample_rate_hz: shape.sample_rate_hz,
            channels: u16::try_from(shape.channels).unwrap_or(u16::MAX),
            duration_secs: self.duration_secs,
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Audio tracks of the container, decodable or not.
    pub(super) fn audio_tracks(&self) -> usize {
        self.reader.tracks().iter().filter(|track| audio_params(track).is_some()).count()
    }

    /// Fills `block` with the next packet that decodes to anything; false at the end.
    pub(super) fn next(&mut self, block: &mut PlanarBlock) -> Result<bool, DecodeError> {
        let mut errors_in_a_row = 0;
        loop {
            self.guard.packet_begins();
            let next = self.reader.next_packet();
            if let Some(trouble) = self.guard.trouble() {
                return Err(trouble);
            }
            match next {
                Ok(None) => return Ok(false),
                Ok(Some(mut packet)) => {
                    errors_in_a_row = 0;
                    if packet.track_id == self.track_id {
                        self.doubt_trim(&mut packet);
                        if self.decode(&packet, block)? {
                            self.tally.whole_packets += 1;
                            self.guard.audio_begins();
                            return Ok(true);
                        }
                    }
                }
                Err(SymphoniaError::ResetRequired) => {
                    if !self.restart() {
                        self.tally.gave_up = true;
                        return Ok(false);
                    }
                }
                // The source's own errors were seen above: what is left is a file that ends within a packet.
                Err(SymphoniaError::IoError(_)) => {
                    self.tally.damaged_packets += 1;
                    return Ok(false);
                }
                Err(_) => {
                    self.tally.damaged_packets += 1;
                    errors_in_a_row += 1;
                    if errors_in_a_row > MAX_ERRORS_IN_A_ROW {
                        self.tally.gave_up = true;
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// A chained stream begins: its track and decoder take over.
    fn restart(&mut self) -> bool {
        match choose_track(&*self.reader, self.guard.max_channels(), self.wanted_track) {
            Ok((track, decoder)) => {
                (self.track_id, self.tick_secs, self.duration_secs) = (track.id, tick_secs(track), None);
                (self.trimmed_secs, self.decoder) = (0.0, decoder);
                true
            }
            Err(_) => {
                self.tally.damaged_packets += 1;
                false
            }
        }
    }

    /// Counts what the container cuts off and keeps it within [`MAX_TRIM_SECS`].
    fn doubt_trim(&mut self, packet: &mut Packet) {
        let ticks = packet.trim_start.get().saturating_add(packet.trim_end.get());
        self.trimmed_secs += ticks as f64 * self.tick_secs;
        if self.trimmed_secs > MAX_TRIM_SECS {
            packet.trim_start = Duration::ZERO;
            packet.trim_end = Duration::ZERO;
        }
    }

    fn decode(&mut self, packet: &Packet, block: &mut PlanarBlock) -> Result<bool, DecodeError> {
        let Some(shape) = self.decode_packet(packet, block) else {
            self.tally.damaged_packets += 1;
            self.failures_in_a_row += 1;
            if self.failures_in_a_row.is_multiple_of(MAX_FAILURES_IN_A_ROW) {
                self.renew_decoder();
            }
            return Ok(false);
        };
        self.failures_in_a_row = 0;
        if block.samples() == 0 || shape.channels == 0 || shape.sample_rate_hz == 0 {
            return Ok(false);
        }
        self.fit(shape, block)
    }

    /// `None` where the packet is damaged. A decoder that panics over it is replaced.
    fn decode_packet(&mut self, packet: &Packet, block: &mut PlanarBlock) -> Option<Shape> {
        let decoder = &mut self.decoder;
        let contained = panics::contain(|| decoder.decode(packet, block));
        if contained.is_none() {
            self.renew_decoder();
        }
        contained.flatten()
    }

    fn renew_decoder(&mut self) {
        let track = self.reader.tracks().iter().find(|track| track.id == self.track_id);
        let max_channels = self.guard.max_channels();
        if let Some(Ok(decoder)) = track.and_then(audio_params).map(|params| make_decoder(params, max_channels)) {
            self.decoder = decoder;
        }
    }

    /// Holds the stream to the shape of its first block. Fewer channels are filled up with the first one; anything else
    /// is passed over, and too much of it is an error.
    fn fit(&mut self, shape: Shape, block: &mut PlanarBlock) -> Result<bool, DecodeError> {
        let expected = *self.shape.get_or_insert(shape);
        if shape.sample_rate_hz == expected.sample_rate_hz && shape.channels <= expected.channels {
            block.widen(expected.channels);
            return Ok(true);
        }
        self.tally.damaged_packets += 1;
        self.foreign_secs += block.samples() as f64 / f64::from(shape.sample_rate_hz);
        if self.foreign_secs > MAX_FOREIGN_SECS {
            let detail = format!(
                "the stream changes from {} Hz and {} channels to {} Hz and {} channels",
                expected.sample_rate_hz, expected.channels, shape.sample_rate_hz, shape.channels
            );
            let (container, codec) = (Some(self.container.clone()), Some(self.codec.clone()));
            return Err(DecodeError::Undecodable { container, codec, detail });
        }
        Ok(false)
    }
}

/// A probe for containers only: tags are skipped beforehand, because the tag readers keep pictures of any size.
fn probe() -> Probe {
    let mut probe = Probe::new_with_options(&ProbeOptions { max_probe_depth: PROBE_BYTES, ..Default::default() });
    probe.register_format::<formats::AdtsReader<'_>>();
    probe.register_format::<formats::CafReader<'_>>();
    probe.register_format::<formats::FlacReader<'_>>();
    probe.register_format::<formats::IsoMp4Reader<'_>>();
    probe.register_format::<formats::MpaReader<'_>>();
    probe.register_format::<formats::AiffReader<'_>>();
    probe.register_format::<formats::WavReader<'_>>();
    probe.register_format::<formats::OggReader<'_>>();
    probe.register_format::<formats::MkvReader<'_>>();
    probe
}

fn read_container(guard: &Guard, source: Handle) -> Result<Box<dyn FormatReader>, DecodeError> {
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| guard.trouble().unwrap_or_else(|| not_recognised(&error)))
}

fn not_recognised(error: &SymphoniaError) -> DecodeError {
    let detail = match error {
        SymphoniaError::Unsupported(what) if what.starts_with("core (probe)") => {
            "no audio format was recognised".to_owned()
        }
        SymphoniaError::IoError(_) => "the file ends within its header".to_owned(),
        other => other.to_string(),
    };
    DecodeError::Undecodable { container: None, codec: None, detail }
}

type Chosen<'a> = (&'a Track, PacketDecoder);

/// Why a track is not decoded.
struct Refusal {
    codec: Option<String>,
    detail: String,
    is_limit: bool,
}

/// The default audio track, else the first one, that has a decoder; otherwise why the first of them has none.
fn choose_track(reader: &dyn FormatReader, max_channels: u16, wanted: usize) -> Result<Chosen<'_>, Refusal> {
    let mut tracks: Vec<&Track> = reader.tracks().iter().filter(|track| audio_params(track).is_some()).collect();
    tracks.sort_by_key(|track| !track.flags.contains(TrackFlags::DEFAULT));
    let mut refusal = None;
    let mut passed = 0;
    for track in tracks {
        match audio_params(track).map(|params| make_decoder(params, max_channels)) {
            Some(Ok(decoder)) if passed == wanted => return Ok((track, decoder)),
            Some(Ok(_)) => passed += 1,
            Some(Err(reason)) => refusal = refusal.or(Some(reason)),
            None => {}
        }
    }
    let detail = "there is no audio track that is supported".to_owned();
    Err(refusal.unwrap_or(Refusal { codec: None, detail, is_limit: false }))
}

fn audio_params(track: &Track) -> Option<&AudioCodecParameters> {
    match &track.codec_params {
        Some(CodecParameters::Audio(params)) => Some(params),
        _ => None,
    }
}

/// What sizes the decoder's memory is checked first.
fn make_decoder(params: &AudioCodecParameters, max_channels: u16) -> Result<PacketDecoder, Refusal> {
    let codec = (params.codec != CODEC_ID_NULL_AUDIO).then(|| names::codec(params.codec));
    let channels = params.channels.as_ref().map_or(0, |channels| channels.count());
    if channels > usize::from(max_channels) {
        let detail = format!("{channels} channels: at most {max_channels}");
        return Err(Refusal { codec, detail, is_limit: true });
    }
    let made = match params.max_frames_per_packet {
        Some(samples) if samples > MAX_PACKET_SAMPLES => Err(format!("packets of {samples} samples")),
        _ => make_decoder_unchecked(params),
    };
    made.map_err(|detail| Refusal { codec, detail, is_limit: false })
}

fn make_decoder_unchecked(params: &AudioCodecParameters) -> Result<PacketDecoder, String> {
    if params.codec == CODEC_ID_OPUS {
        let header = params.extra_data.as_deref().unwrap_or_default();
        return OpusTrack::new(header).map(|track| PacketDecoder::Opus(Box::new(track)));
    }
    let mut params = params.clone();
    if let (CODEC_ID_AAC, Some(config)) = (params.codec, &params.extra_data) {
        params.extra_data = Some(aac::core_config(config).into_boxed_slice());
    }
    symphonia::default::get_codecs()
        .make_audio_decoder(&params, &AudioDecoderOptions::default())
        .map(PacketDecoder::Symphonia)
        .map_err(|error| match error {
            SymphoniaError::Unsupported(what) if what.starts_with("core (codec)") => {
                "this codec is not supported".to_owned()
            }
            other => other.to_string(),
        })
}

fn duration_secs(track: &Track) -> Option<f64> {
    let sample_rate_hz = audio_params(track)?.sample_rate.filter(|&rate_hz| rate_hz > 0);
    let by_samples = || Some(track.num_frames? as f64 / f64::from(sample_rate_hz?));
    let by_ticks = || Some(track.duration?.get() as f64 * tick_secs(track));
    by_samples().or_else(by_ticks).filter(|&secs| secs > 0.0)
}

fn tick_secs(track: &Track) -> f64 {
    track.time_base.map_or(0.0, |base| f64::from(base.numer.get()) / f64::from(base.denom.get()))
}
