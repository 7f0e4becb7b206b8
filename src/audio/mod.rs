//! Sample-domain helpers between the decoder and the screener: resampling to 16 kHz and level measurement.

mod level;
mod resample;

pub use level::LevelMeter;
pub use resample::{ResampleError, Resampler, SOURCE_RATES_HZ};

/// The one sample rate that everything after the decoder works at.
pub const SAMPLE_RATE_HZ: u32 = 16_000;
