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
}

impl Lane {
    /// At the start of a channel of `sample_rate_hz`.
    ///
    /// # Errors
    /// [`Error::Fault`] for a rate that cannot be converted.
    pub(crate) fn new(model: &Arc<ModelBundle>, sample_rate_hz: u32) -> Result<Self> {
        let (level, screener) = (LevelMeter::new(), Screener::new(Arc::clone(model)));
        Ok(Self { level, resampler: resampler(sample_rate_hz)?, screener, at_16k: Vec::new() })
    }

    /// Takes samples in -1..1.
    ///
    /// # Errors
    /// [`Error::Fault`] where the network fails.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Result<()> {
        self.level.push(samples);
        self.at_16k.clear();
        self.resampler.push(samples, &mut self.at_16k);
        self.screener.push(&self.at_16k).map_err(fault)
    }

    /// Goes on at another rate.
    ///
    /// # Errors
    /// [`Error::Fault`] for a rate that cannot be converted, or where the network fails.
    pub(crate) fn set_rate(&mut self, sample_rate_hz: u32) -> Result<()> {
        let next = resampler(sample_rate_hz)?;
        self.flush()?;
        self.resampler = next;
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
