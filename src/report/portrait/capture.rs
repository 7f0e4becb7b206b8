//! Pictures of a captured call: one per RTP stream that was judged, by the same two runs through the file as its verdict.

use super::{super::spectrogram::Picture, Lane, from_start};
use crate::{
    decode::{
        DecodeError, Limits,
        capture::{Descriptions, Failure, Listener},
    },
    error::{Error, Result},
    rtp::Event,
    scan::Scanned,
};

/// Silence is drawn in pieces of this many samples.
static SILENCE: [f32; 8_000] = [0.0; 8_000];

/// Whatever ends the reading, what came before it is drawn, as it was judged.
pub(super) fn draw(scanned: &mut Scanned<'_>, limits: &Limits, pulse: &dyn Fn() -> bool) -> Result<Vec<Picture>> {
    let mut beat = || if pulse() { Ok(()) } else { Err(Error::Interrupted) };
    let described = Descriptions::read(Box::new(from_start(scanned)?), limits, &mut beat);
    let descriptions = match described {
        Ok(descriptions) => descriptions,
        Err(Failure::Media(_)) => return Ok(Vec::new()),
        Err(Failure::Other(error)) => return Err(error),
    };
    let source = Box::new(from_start(scanned)?);
    let mut streams = Streams { scanned, max_secs: limits.max_decoded_secs as f64, open: Vec::new() };
    let mut sink = |stream: usize, event: Event<'_>| {
        beat()?;
        streams.take(stream, event)
    };
    match Listener::new(descriptions).run(source, limits, &mut sink) {
        Err(Failure::Other(error)) => Err(error),
        Ok(()) | Err(Failure::Media(_)) => {
            Ok(streams.open.into_iter().filter_map(|stream| stream.lane.finish()).collect())
        }
    }
}

struct Streams<'a, 'f> {
    scanned: &'a Scanned<'f>,
    max_secs: f64,
    open: Vec<Stream>,
}

struct Stream {
    lane: Lane,
    rate_hz: u32,
    secs: f64,
}

impl Streams<'_, '_> {
    fn take(&mut self, stream: usize, event: Event<'_>) -> Result<(), Failure> {
        match (self.open.get_mut(stream), event) {
            (None, Event::Rate(rate_hz)) => {
                let judged = self.scanned.result.channels.get(stream).ok_or_else(end)?;
                let lane = Lane::new(judged, stream as u16, rate_hz);
                self.open.push(Stream { lane, rate_hz, secs: 0.0 });
            }
            (Some(open), Event::Rate(rate_hz)) => {
                open.lane.set_rate(rate_hz);
                open.rate_hz = rate_hz;
            }
            (Some(open), Event::Samples(samples)) => {
                open.pass(samples.len() as u64, self.max_secs)?;
                open.lane.push(samples);
            }
            (Some(open), Event::Gap(samples)) => {
                open.pass(samples, self.max_secs)?;
                let mut left = samples as usize;
                while left > 0 {
                    let part = left.min(SILENCE.len());
                    open.lane.push(&SILENCE[..part]);
                    left -= part;
                }
            }
            (None, _) | (_, Event::Dtmf(_)) => {}
        }
        Ok(())
    }
}

impl Stream {
    fn pass(&mut self, samples: u64, max_secs: f64) -> Result<(), Failure> {
        self.secs += samples as f64 / f64::from(self.rate_hz);
        if self.secs > max_secs { Err(end()) } else { Ok(()) }
    }
}

/// Nothing after this was judged.
fn end() -> Failure {
    Failure::Media(DecodeError::Limit { which: "picture", detail: String::new() })
}
