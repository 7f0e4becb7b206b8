//! What a report shows of a file beyond its verdict: a spectrogram per judged channel, and what the container says.
//!
//! A second run through the file, after the verdict: only then is it known whether and how long the pictures are to be.
//! It costs the decoding and the transform, not the network.

mod capture;

use std::io::{Seek, SeekFrom};

use super::spectrogram::{Picture, Spectrogram};
use crate::{
    audio::Resampler,
    decode::{Decoder, Limits, Tags, capture::is_container},
    error::{Error, Result},
    features::FrontEnd,
    scan::{ChannelResult, Scanned},
};

/// Pictures and tags of one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Portrait {
    /// One per judged channel that could be decoded again.
    pub pictures: Vec<Picture>,
    /// What the container says of its origin.
    pub tags: Tags,
}

impl Portrait {
    /// Reads `scanned` once more. `pulse` is called every few milliseconds of work; once it returns `false`, the work ends.
    ///
    /// # Errors
    /// The file cannot be read any more, or [`Error::Interrupted`]. Media that cannot be decoded have no pictures.
    pub fn of(scanned: &mut Scanned<'_>, limits: &Limits, pulse: &dyn Fn() -> bool) -> Result<Self> {
        let tags = Tags::read(Box::new(from_start(scanned)?), limits);
        let is_capture = scanned.result.input.container.as_deref().is_some_and(is_container);
        let draw = if is_capture { capture::draw } else { draw };
        Ok(Self { pictures: draw(scanned, limits, pulse)?, tags })
    }
}

fn from_start(scanned: &mut Scanned<'_>) -> Result<std::fs::File> {
    let fault = |e| Error::io(&scanned.result.input.path, e);
    scanned.file.seek(SeekFrom::Start(0)).map_err(fault)?;
    scanned.file.try_clone().map_err(fault)
}

fn draw(scanned: &mut Scanned<'_>, limits: &Limits, pulse: &dyn Fn() -> bool) -> Result<Vec<Picture>> {
    let mut pictures = Vec::new();
    let (mut track, mut first_channel) = (0, 0);
    while let Some(last) = scanned.result.channels.last().filter(|last| last.channel >= first_channel) {
        let last_channel = last.channel;
        let source = from_start(scanned)?;
        let Ok(mut decoder) = Decoder::open_track(Box::new(source), scanned.options, limits, track) else { break };
        let info = decoder.info().clone();
        let within = first_channel..first_channel.saturating_add(info.channels);
        let judged = scanned.result.channels.iter().filter(|channel| within.contains(&channel.channel));
        let mut lanes: Vec<Lane> =
            judged.map(|channel| Lane::new(channel, channel.channel - first_channel, info.sample_rate_hz)).collect();
        // Whatever ends the decoding, what came before it is drawn, as it was judged.
        while let Ok(Some(block)) = decoder.next_block() {
            if !pulse() {
                return Err(Error::Interrupted);
            }
            lanes.iter_mut().for_each(|lane| lane.push(block.channel(usize::from(lane.plane))));
        }
        pictures.extend(lanes.into_iter().filter_map(Lane::finish));
        first_channel = within.end;
        track += 1;
        if track >= decoder.audio_tracks() || first_channel > last_channel {
            break;
        }
    }
    Ok(pictures)
}

/// One channel on its way to a picture.
struct Lane {
    channel: u16,
    /// Index of the channel in its track.
    plane: u16,
    resampler: Resampler,
    front: FrontEnd,
    spectrogram: Spectrogram,
    at_16k: Vec<f32>,
}

impl Lane {
    fn new(judged: &ChannelResult, plane: u16, rate_hz: u32) -> Self {
        Self {
            channel: judged.channel,
            plane,
            resampler: Resampler::new(rate_hz).expect("it was judged at this rate"),
            front: FrontEnd::new(),
            spectrogram: Spectrogram::new(judged.verdict.evidence.duration_secs, rate_hz),
            at_16k: Vec::new(),
        }
    }

    /// Goes on at another rate.
    fn set_rate(&mut self, rate_hz: u32) {
        self.flush();
        self.resampler = Resampler::new(rate_hz).expect("it was judged at this rate");
    }

    fn push(&mut self, samples: &[f32]) {
        self.at_16k.clear();
        self.resampler.push(samples, &mut self.at_16k);
        self.front.push(&self.at_16k, |frame| self.spectrogram.push(frame.power));
    }

    fn flush(&mut self) {
        self.at_16k.clear();
        self.resampler.finish(&mut self.at_16k);
        self.front.push(&self.at_16k, |frame| self.spectrogram.push(frame.power));
    }

    fn finish(mut self) -> Option<Picture> {
        self.flush();
        self.spectrogram.finish(self.channel)
    }
}
