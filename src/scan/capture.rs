//! Captured calls: every RTP stream is a channel.

use std::fs::File;

use super::{Engine, InputInfo, Lane, ScreenedChannel, Screening, Stop};
use crate::{
    decode::{
        DecodeError,
        capture::{Descriptions, Failure, Found, Listener, Trouble},
    },
    error::{Error, Result},
    policy::Reason,
    rtp::Event,
};

impl Engine {
    /// Hears an open capture file.
    pub(super) fn screen_capture(
        &self,
        file: &File,
        mut input: InputInfo,
        container: &str,
        pulse: &dyn Fn() -> bool,
    ) -> Result<Screening> {
        input.container = Some(container.to_owned());
        let source = || {
            let mut copy = file.try_clone().map_err(|e| Error::io(&input.path, e))?;
            std::io::Seek::rewind(&mut copy).map_err(|e| Error::io(&input.path, e))?;
            Ok::<_, Error>(Box::new(copy))
        };
        let mut beat = || if pulse() { Ok(()) } else { Err(Error::Interrupted) };
        let descriptions = Descriptions::read(source()?, &self.limits, &mut beat);
        let mut channels = Channels { engine: self, open: Vec::new() };
        let (mut found, mut stopped) = (Found::default(), None);
        match descriptions {
            Err(failure) => stopped = Some(failure),
            Ok(descriptions) => {
                let mut listener = Listener::new(descriptions);
                let mut sink = |stream: usize, event: Event<'_>| {
                    beat()?;
                    channels.take(stream, event)
                };
                stopped = listener.run(source()?, &self.limits, &mut sink).err().or(stopped);
                found = listener.found();
            }
        }
        let stopped = match stopped {
            Some(Failure::Media(error)) => Some(Stop::of(error, &mut input)?),
            Some(Failure::Other(error)) => return Err(error),
            None => None,
        };
        channels.finish(input, found, stopped)
    }
}

/// The streams of one capture.
struct Channels<'a> {
    engine: &'a Engine,
    open: Vec<Channel>,
}

struct Channel {
    lane: Lane,
    first_rate_hz: u32,
}

impl Channels<'_> {
    fn take(&mut self, stream: usize, event: Event<'_>) -> std::result::Result<(), Failure> {
        match (self.open.get_mut(stream), event) {
            (None, Event::Rate(rate_hz)) => {
                let most = usize::from(self.engine.limits.max_streams);
                if stream >= most {
                    return Err(limit("max_streams", format!("more than {most} streams")));
                }
                let lane = Lane::new(&self.engine.model, rate_hz)?;
                self.open.push(Channel { lane, first_rate_hz: rate_hz });
            }
            (Some(channel), Event::Rate(rate_hz)) => channel.lane.set_rate(rate_hz)?,
            (Some(channel), Event::Samples(samples)) => {
                channel.check(samples.len() as u64, self.engine.limits.max_decoded_secs)?;
                channel.lane.push(samples)?;
            }
            (Some(channel), Event::Gap(samples)) => {
                channel.check(samples, self.engine.limits.max_decoded_secs)?;
                channel.lane.push_silence(samples)?;
            }
            (None, _) | (_, Event::Dtmf(_)) => {}
        }
        Ok(())
    }

    fn finish(self, mut input: InputInfo, found: Found, stopped: Option<Stop>) -> Result<Screening> {
        let stopped = stopped.or_else(|| stop_of(&found, self.open.is_empty()));
        let named = || found.troubles.iter().find_map(|trouble| trouble.codec.clone());
        input.codec = if found.codecs.is_empty() { named() } else { Some(found.codecs.join("+")) };
        if let Some(first) = self.open.first() {
            input.sample_rate_hz = Some(first.first_rate_hz);
            input.channels = Some(self.open.len() as u16);
        }
        let mut channels = Vec::new();
        for (channel, open) in self.open.into_iter().enumerate() {
            let evidence = open.lane.finish()?;
            input.duration_secs = Some(input.duration_secs.unwrap_or(0.0).max(evidence.duration_secs));
            channels.push(ScreenedChannel { channel: channel as u16, evidence });
        }
        Ok(Screening { input, channels, stopped })
    }
}

impl Channel {
    /// Whether there is room for `samples` more.
    fn check(&self, samples: u64, max_secs: u64) -> std::result::Result<(), Failure> {
        if self.lane.secs_with(samples) > max_secs as f64 {
            return Err(limit("max_decoded_secs", format!("more than {max_secs} s of audio")));
        }
        Ok(())
    }
}

fn limit(which: &'static str, detail: String) -> Failure {
    Failure::Media(DecodeError::Limit { which, detail })
}

/// What was not heard.
fn stop_of(found: &Found, is_silent: bool) -> Option<Stop> {
    if let Some(Trouble { detail, is_partial, .. }) = found.troubles.first() {
        let reason = if *is_partial { Reason::Damaged } else { Reason::Undecodable };
        let more = match found.troubles.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more like it"),
        };
        return Some(Stop { reason, detail: format!("{detail}{more}") });
    }
    let passed_over = match found.passed_over {
        0 => String::new(),
        count => format!(", {count} of them or their parts cut or fragmented"),
    };
    let detail = format!("no RTP stream among {} UDP datagrams{passed_over}", found.datagrams);
    is_silent.then_some(Stop { reason: Reason::Undecodable, detail })
}
