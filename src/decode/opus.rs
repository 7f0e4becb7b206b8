//! Opus packets to samples at 48 kHz: header, pre-skip, output gain, end trimming (RFC 6716, RFC 7845).

use opus_pure::{OpusDecoder, OpusMSDecoder};

use super::PlanarBlock;

/// Opus always decodes to this rate here.
pub(super) const RATE_HZ: u32 = 48_000;
/// Longest packet: 120 ms (RFC 6716, section 3.1).
const MAX_PACKET_SAMPLES: usize = 5_760;

/// Most channels of a defined layout (RFC 7845, section 5.1.1.2).
const MAX_CHANNELS: u8 = 8;

/// The identification header's fields that matter (RFC 7845, section 5.1).
#[derive(Debug, PartialEq, Eq)]
struct Header {
    channels: u8,
    pre_skip_samples: u16,
    gain_q8_db: i16,
    mapping_family: u8,
}

impl Header {
    /// Reads `OpusHead`; version 0 is MP4's own form of it, which is big-endian.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.strip_prefix(b"OpusHead")?.first_chunk::<11>()?;
        let u16_at = match fields[0] {
            0 => u16::from_be_bytes,
            1..=15 => u16::from_le_bytes,
            _ => return None,
        };
        Some(Self {
            channels: fields[1],
            pre_skip_samples: u16_at([fields[2], fields[3]]),
            gain_q8_db: u16_at([fields[8], fields[9]]).cast_signed(),
            mapping_family: fields[10],
        })
    }
}

enum Engine {
    Plain(Box<OpusDecoder>),
    Surround(Box<OpusMSDecoder>),
}

/// Decoder of one Opus track.
pub(crate) struct OpusTrack {
    engine: Engine,
    channels: usize,
    skip_samples: usize,
    interleaved: Vec<f32>,
}

impl OpusTrack {
    /// A decoder of packets without a container, mixed to one channel, from the first sample on.
    pub(crate) fn mono() -> Result<Self, String> {
        Self::new(b"OpusHead\x01\x01\x00\x00\x80\xBB\x00\x00\x00\x00\x00")
    }

    /// A decoder for the track whose identification header is `extra_data`.
    pub(super) fn new(extra_data: &[u8]) -> Result<Self, String> {
        let header = Header::parse(extra_data).ok_or("the Opus header is damaged")?;
        if !(1..=MAX_CHANNELS).contains(&header.channels) {
            return Err(format!("{} channels: must be 1-{MAX_CHANNELS}", header.channels));
        }
        let channels = usize::from(header.channels);
        let rate_hz = RATE_HZ as i32;
        let gain_q8 = i32::from(header.gain_q8_db);
        let engine = if header.mapping_family == 0 {
            let mut decoder = OpusDecoder::new(rate_hz, channels).map_err(|error| error.to_string())?;
            decoder.gain_q8 = gain_q8;
            Engine::Plain(Box::new(decoder))
        } else {
            let mut decoder =
                OpusMSDecoder::new(rate_hz, channels, header.mapping_family).map_err(|error| error.to_string())?;
            decoder.streams_mut().iter_mut().for_each(|stream| stream.gain_q8 = gain_q8);
            Engine::Surround(Box::new(decoder))
        };
        let interleaved = vec![0.0; MAX_PACKET_SAMPLES * channels];
        Ok(Self { engine, channels, skip_samples: usize::from(header.pre_skip_samples), interleaved })
    }

    /// Decodes one packet into `block`, without what is to be skipped at the start of the stream and without the last
    /// `trim_end_samples`; false where the packet is damaged.
    pub(crate) fn decode(&mut self, packet: &[u8], trim_end_samples: u64, block: &mut PlanarBlock) -> bool {
        let planes = block.reset(self.channels);
        // An empty packet would ask for concealment.
        if packet.is_empty() {
            return false;
        }
        let decoded = match &mut self.engine {
            Engine::Plain(decoder) => decoder.decode(packet, MAX_PACKET_SAMPLES, &mut self.interleaved),
            Engine::Surround(decoder) => decoder.decode(packet, MAX_PACKET_SAMPLES, &mut self.interleaved),
        };
        let Ok(samples) = decoded else {
            return false;
        };
        let skipped = self.skip_samples.min(samples);
        self.skip_samples -= skipped;
        let end = samples.saturating_sub(usize::try_from(trim_end_samples).unwrap_or(usize::MAX)).max(skipped);
        let kept = &self.interleaved[skipped * self.channels..end * self.channels];
        for (channel, plane) in planes.iter_mut().enumerate() {
            plane.extend(kept.iter().skip(channel).step_by(self.channels));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_byte_orders_parse() {
        let header = Header { channels: 2, pre_skip_samples: 312, gain_q8_db: -256, mapping_family: 0 };
        let ogg = b"OpusHead\x01\x02\x38\x01\x80\xBB\x00\x00\x00\xFF\x00";
        let mp4 = b"OpusHead\x00\x02\x01\x38\x00\x00\xBB\x80\xFF\x00\x00";
        assert_eq!(Header::parse(ogg), Some(Header { ..header }));
        assert_eq!(Header::parse(mp4), Some(header));
        for broken in [&b""[..], b"OpusHead", &ogg[..18], b"OpusTags\x01\x02\x38\x01\x80\xBB\x00\x00\x00\xFF\x00"] {
            assert_eq!(Header::parse(broken), None);
        }
    }

    #[test]
    fn damaged_packets_are_reported_and_do_not_panic() {
        let mut track = OpusTrack::new(b"OpusHead\x01\x02\x00\x00\x80\xBB\x00\x00\x00\x00\x00").unwrap();
        let mut block = PlanarBlock::default();
        assert!(!track.decode(&[], 0, &mut block));
        // Code 3 without a frame count (RFC 6716, section 3.2.5).
        assert!(!track.decode(&[0x03], 0, &mut block));
    }
}
