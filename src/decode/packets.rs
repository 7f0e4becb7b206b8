//! Streams of packets: symphonia's demultiplexers and decoders, and Opus.

use symphonia::core::{
    codecs::{
        CodecParameters,
        audio::{
            AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
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
};
use symphonia::default::formats;

use super::{
    DecodeError, PlanarBlock, StreamInfo, aac, names,
    opus::{self, OpusTrack},
    sniff,
    source::{Guard, Handle},
};

/// Bytes that may lie before the first mark of a container.
const PROBE_BYTES: u32 = 256 * 1_024;
/// Demultiplexer errors in a row after which the rest is given up.
const MAX_ERRORS_IN_A_ROW: u32 = 64;
/// How much audio of another rate or with more channels is passed over before the stream counts as inconsistent.
const MAX_FOREIGN_SECS: f64 = 1.0;

enum PacketDecoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<OpusTrack>),
}

/// An open container with one chosen audio track.
pub(super) struct PacketStream {
    guard: Guard,
    reader: Box<dyn FormatReader>,
    track_id: u32,
    decoder: PacketDecoder,
    codec: String,
    container: String,
    duration_secs: Option<f64>,
    shape: Option<Shape>,
    foreign_secs: f64,
    damaged_packets: u64,
}

/// What all blocks of a stream have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    sample_rate_hz: u32,
    channels: usize,
}

impl PacketStream {
    /// Finds the container that `prefix` and then the source from byte `base` hold, and its first decodable audio
    /// track.
    pub(super) fn open(guard: &Guard, prefix: Vec<u8>, base: u64) -> Result<Self, DecodeError> {
        let source = MediaSourceStream::new(Box::new(Handle::new(guard, prefix, base)), Default::default());
        let probed = probe().probe(&Hint::new(), source, FormatOptions::default(), MetadataOptions::default());
        let reader = probed.map_err(|error| guard.trouble().unwrap_or_else(|| not_recognised(&error)))?;
        let container = names::container(reader.format_info().short_name).to_owned();
        let (track, decoder) = match choose_track(&*reader) {
            Ok(chosen) => chosen,
            Err((codec, detail)) => {
                let codec = codec.or_else(|| (container == "mp4").then(|| sniff::mp4_codec(guard)).flatten());
                return Err(DecodeError::Undecodable { container: Some(container), codec, detail });
            }
        };
        let (track_id, duration_secs) = (track.id, duration_secs(track));
        let codec = audio_params(track).map(|params| names::codec(params.codec)).unwrap_or_default();
        Ok(Self {
            guard: guard.clone(),
            reader,
            track_id,
            decoder,
            codec,
            container,
            duration_secs,
            shape: None,
            foreign_secs: 0.0,
            damaged_packets: 0,
        })
    }

    /// What is known of the stream, once the first block has been read.
    pub(super) fn info(&self) -> Option<StreamInfo> {
        let shape = self.shape?;
        Some(StreamInfo {
            container: self.container.clone(),
            codec: self.codec.clone(),
            sample_rate_hz: shape.sample_rate_hz,
            channels: u16::try_from(shape.channels).unwrap_or(u16::MAX),
            duration_secs: self.duration_secs,
        })
    }

    /// Container and codec, for messages.
    pub(super) fn names(&self) -> (String, String) {
        (self.container.clone(), self.codec.clone())
    }

    pub(super) fn damaged_packets(&self) -> u64 {
        self.damaged_packets
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
                Ok(Some(packet)) => {
                    errors_in_a_row = 0;
                    if packet.track_id == self.track_id && self.decode(&packet, block)? {
                        self.guard.audio_begins();
                        return Ok(true);
                    }
                }
                Err(SymphoniaError::ResetRequired) => {
                    if !self.restart() {
                        return Ok(false);
                    }
                }
                Err(SymphoniaError::IoError(_)) => return Ok(false),
                Err(_) => {
                    self.damaged_packets += 1;
                    errors_in_a_row += 1;
                    if errors_in_a_row > MAX_ERRORS_IN_A_ROW {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// A chained stream begins: its track and decoder take over.
    fn restart(&mut self) -> bool {
        match choose_track(&*self.reader) {
            Ok((track, decoder)) => {
                self.track_id = track.id;
                self.decoder = decoder;
                self.duration_secs = None;
                true
            }
            Err(_) => {
                self.damaged_packets += 1;
                false
            }
        }
    }

    fn decode(&mut self, packet: &Packet, block: &mut PlanarBlock) -> Result<bool, DecodeError> {
        let shape = match &mut self.decoder {
            PacketDecoder::Opus(track) => {
                if !track.decode(&packet.data, packet.trim_end.get(), block) {
                    self.damaged_packets += 1;
                    return Ok(false);
                }
                Shape { sample_rate_hz: opus::RATE_HZ, channels: block.channels() }
            }
            PacketDecoder::Symphonia(decoder) => match decoder.decode(packet) {
                Ok(audio) => {
                    audio.copy_to_vecs_planar(block.planes_mut());
                    Shape { sample_rate_hz: audio.spec().rate(), channels: audio.num_planes() }
                }
                Err(SymphoniaError::ResetRequired) => {
                    decoder.reset();
                    return Ok(false);
                }
                Err(_) => {
                    self.damaged_packets += 1;
                    return Ok(false);
                }
            },
        };
        if block.samples() == 0 || shape.channels == 0 || shape.sample_rate_hz == 0 {
            return Ok(false);
        }
        self.fit(shape, block)
    }

    /// Holds the stream to the shape of its first block. Fewer channels are filled up with the first one; anything else
    /// is passed over, and too much of it is an error.
    fn fit(&mut self, shape: Shape, block: &mut PlanarBlock) -> Result<bool, DecodeError> {
        let expected = *self.shape.get_or_insert(shape);
        if shape.sample_rate_hz == expected.sample_rate_hz && shape.channels <= expected.channels {
            block.widen(expected.channels);
            return Ok(true);
        }
        self.damaged_packets += 1;
        self.foreign_secs += block.samples() as f64 / f64::from(shape.sample_rate_hz);
        if self.foreign_secs > MAX_FOREIGN_SECS {
            let detail = format!(
                "the stream changes from {} Hz and {} channels to {} Hz and {} channels",
                expected.sample_rate_hz, expected.channels, shape.sample_rate_hz, shape.channels
            );
            let (container, codec) = self.names();
            return Err(DecodeError::Undecodable { container: Some(container), codec: Some(codec), detail });
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

/// The default audio track, else the first one, that has a decoder; otherwise the codec found and why not.
fn choose_track(reader: &dyn FormatReader) -> Result<Chosen<'_>, (Option<String>, String)> {
    let mut tracks: Vec<&Track> = reader.tracks().iter().filter(|track| audio_params(track).is_some()).collect();
    tracks.sort_by_key(|track| !track.flags.contains(TrackFlags::DEFAULT));
    let mut refusal = (None, "there is no audio track that is supported".to_owned());
    for track in tracks {
        let Some(params) = audio_params(track) else { continue };
        match make_decoder(params) {
            Ok(decoder) => return Ok((track, decoder)),
            Err(detail) if refusal.0.is_none() => refusal = (Some(names::codec(params.codec)), detail),
            Err(_) => {}
        }
    }
    Err(refusal)
}

fn audio_params(track: &Track) -> Option<&AudioCodecParameters> {
    match &track.codec_params {
        Some(CodecParameters::Audio(params)) => Some(params),
        _ => None,
    }
}

fn make_decoder(params: &AudioCodecParameters) -> Result<PacketDecoder, String> {
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
    let by_ticks = || {
        let base = track.time_base?;
        Some(track.duration?.get() as f64 * f64::from(base.numer.get()) / f64::from(base.denom.get()))
    };
    by_samples().or_else(by_ticks)
}
