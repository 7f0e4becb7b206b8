//! One channel at its own sample rate: level, resampling to 16 kHz, screening. Files and calls go through the same one.

use std::sync::Arc;

use crate::{
    audio::{LevelMeter, Resampler},
    error::{Error, Result},
    model::{ModelBundle, ModelError},
    screen::{Evidence, Running, Screener},
};

/// One channel on its way through.
pub(crate) struct Lane {
    /// At the source's rate, where clipping still shows.
    level: LevelMeter,
    resampler: Resampler,
    screener: Screener,
    at_16k: Vec<f32>,
    sample_rate_hz: u32,
    /// Samples at this rate, and seconds at earlier ones.
    samples: u64,
    earlier_secs: f64,
}

/// Silence is screened in pieces of this many samples.
static SILENCE: [f32; 8_000] = [0.0; 8_000];

impl Lane {
    /// At the start of a channel of `sample_rate_hz`.
    ///
    /// # Errors
    /// [`Error::Fault`] for a rate that cannot be converted.
    pub(crate) fn new(model: &Arc<ModelBundle>, sample_rate_hz: u32) -> Result<Self> {
        let (level, screener) = (LevelMeter::new(), Screener::new(Arc::clone(model)));
        let resampler = resampler(sample_rate_hz)?;
        Ok(Self { level, resampler, screener, at_16k: Vec::new(), sample_rate_hz, samples: 0, earlier_secs: 0.0 })
    }

    /// Takes samples in -1..1.
    ///
    /// # Errors
    /// [`Error::Fault`] where the network fails.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Result<()> {
        self.samples += samples.len() as u64;
        self.level.push(samples);
        self.at_16k.clear();
        self.resampler.push(samples, &mut self.at_16k);
        self.screener.push(&self.at_16k).map_err(fault)
    }

    /// Takes so many samples' time without audio.
    ///
    /// # Errors
    /// As [`Lane::push`].
    pub(crate) fn push_silence(&mut self, samples: u64) -> Result<()> {
        let mut left = samples;
        while left > 0 {
            let part = left.min(SILENCE.len() as u64);
            self.push(&SILENCE[..part as usize])?;
            left -= part;
        }
        Ok(())
    }

    /// Length of what was pushed.
    pub(crate) fn secs(&self) -> f64 {
        self.secs_with(0)
    }

    /// The length with so many samples more.
    pub(crate) fn secs_with(&self, more: u64) -> f64 {
        self.earlier_secs + self.samples.saturating_add(more) as f64 / f64::from(self.sample_rate_hz)
    }

    /// Goes on at another rate.
    ///
    /// # Errors
    /// [`Error::Fault`] for a rate that cannot be converted, or where the network fails.
    pub(crate) fn set_rate(&mut self, sample_rate_hz: u32) -> Result<()> {
        let next = resampler(sample_rate_hz)?;
        self.flush()?;
        (self.earlier_secs, self.samples) = (self.secs(), 0);
        (self.resampler, self.sample_rate_hz) = (next, sample_rate_hz);
        Ok(())
    }

    /// Samples so far that were no numbers.
    pub(crate) fn unusable_samples(&self) -> u64 {
        self.resampler.unusable_samples()
    }

    /// See [`Screener::so_far`]. What the resampler still holds, some milliseconds, is not in it.
    ///
    /// # Errors
    /// [`Error::Fault`] where the network fails.
    pub(crate) fn so_far(&self) -> Result<Running> {
        let running = self.screener.so_far().map_err(fault)?;
        Ok(self.with_clipping(running))
    }

    /// See [`Screener::complete`].
    pub(crate) fn complete(&self) -> Running {
        self.with_clipping(self.screener.complete())
    }

    /// See [`Screener::complete_chunks`].
    pub(crate) fn complete_chunks(&self) -> u64 {
        self.screener.complete_chunks()
    }

    /// See [`Screener::speech_secs`].
    pub(crate) fn speech_secs(&self) -> f64 {
        self.screener.speech_secs()
    }

    /// Ends the channel.
    ///
    /// # Errors
    /// [`Error::Fault`] where the network fails.
    pub(crate) fn finish(mut self) -> Result<Evidence> {
        self.flush()?;
        let mut evidence = self.screener.finish().map_err(fault)?;
        evidence.quality.clipping_ratio = self.level.clipping_ratio();
        Ok(evidence)
    }

    fn flush(&mut self) -> Result<()> {
        self.at_16k.clear();
        self.resampler.finish(&mut self.at_16k);
        self.screener.push(&self.at_16k).map_err(fault)
    }

    fn with_clipping(&self, mut running: Running) -> Running {
        running.evidence.quality.clipping_ratio = self.level.clipping_ratio();
        running
    }
}

fn resampler(sample_rate_hz: u32) -> Result<Resampler> {
    Resampler::new(sample_rate_hz).map_err(|e| Error::Fault(e.to_string()))
}

fn fault(error: ModelError) -> Error {
    Error::Fault(error.to_string())
}
