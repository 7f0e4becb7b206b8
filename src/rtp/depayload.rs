//! Payloads to mono samples, by the decoders that files use too.

use crate::decode::{
    PlanarBlock,
    parts::{G722Decoder, GSM_FRAME_BYTES, GsmDecoder, OpusTrack, SampleCoding, contain},
};

use super::{Codec, Format};

/// Decoder of one stream, with its state.
pub(crate) enum Depayloader {
    Samples { coding: SampleCoding, channels: usize },
    G722(Box<G722Decoder>),
    Gsm(Box<GsmDecoder>),
    Opus { track: Box<OpusTrack>, block: PlanarBlock },
}

impl Depayloader {
    /// A decoder at the start of a stream; `None` for what is no audio or cannot be decoded.
    pub(crate) fn new(format: &Format) -> Option<Self> {
        let samples = |coding| Some(Self::Samples { coding, channels: 1 });
        match format.codec {
            Codec::Pcmu => samples(SampleCoding::Ulaw),
            Codec::Pcma => samples(SampleCoding::Alaw),
            Codec::L16 { channels } => {
                Some(Self::Samples { coding: SampleCoding::S16be, channels: usize::from(channels) })
            }
            Codec::G722 => Some(Self::G722(Box::new(G722Decoder::new()))),
            Codec::Gsm => Some(Self::Gsm(Box::new(GsmDecoder::new()))),
            Codec::Opus => {
                let track = OpusTrack::mono().ok()?;
                Some(Self::Opus { track: Box::new(track), block: PlanarBlock::default() })
            }
            Codec::ComfortNoise | Codec::TelephoneEvent | Codec::Unsupported | Codec::Video => None,
        }
    }

    /// Appends the samples of one payload to `out`; false where it is damaged.
    pub(crate) fn decode(&mut self, payload: &[u8], out: &mut Vec<f32>) -> bool {
        let already = out.len();
        match self {
            Self::Samples { coding, channels: 1 } => coding.decode_channel(payload, 0, 1, out),
            Self::Samples { coding, channels } => {
                let start = out.len();
                coding.decode_channel(payload, 0, *channels, out);
                let mut other = Vec::new();
                coding.decode_channel(payload, 1, *channels, &mut other);
                out[start..].iter_mut().zip(other).for_each(|(left, right)| *left = (*left + right) / 2.0);
            }
            Self::G722(decoder) => decoder.decode(payload, out),
            Self::Gsm(decoder) => {
                let frames = payload.as_chunks::<GSM_FRAME_BYTES>().0;
                return !frames.is_empty() && frames.iter().all(|frame| decoder.decode_plain(frame, out));
            }
            Self::Opus { track, block } => {
                let is_whole = contain(|| track.decode(payload, 0, block)).unwrap_or(false);
                if !is_whole {
                    // A panic may leave the decoder half-done.
                    if let Ok(fresh) = OpusTrack::mono() {
                        **track = fresh;
                    }
                    return false;
                }
                out.extend_from_slice(block.channel(0));
            }
        }
        out.len() > already
    }
}
