//! The first channel of a file at 16 kHz, for callers that look at one voice: training export and joined recordings.

use std::{fs::File, path::Path};

use super::{DecodeError, Decoder, Limits, OpenOptions};
use crate::audio::Resampler;

/// Decodes `path` and hands its first channel to `sink` in blocks of 16 kHz samples; `Ok(false)` from it ends the run.
///
/// # Errors
/// As [`Decoder::open`] and [`Decoder::next_block`]; [`DecodeError::Io`] where the file cannot be opened.
pub fn first_channel_16k(
    path: &Path,
    limits: &Limits,
    mut sink: impl FnMut(&[f32]) -> bool,
) -> Result<(), DecodeError> {
    let file = File::open(path).map_err(DecodeError::Io)?;
    let options = OpenOptions { raw: None, extension: extension_of(path) };
    let mut decoder = Decoder::open(Box::new(file), &options, limits)?;
    let mut resampler = Resampler::new(decoder.info().sample_rate_hz).expect("the decoder checked the rate");
    let mut at_16k = Vec::new();
    while let Some(block) = decoder.next_block()? {
        at_16k.clear();
        resampler.push(block.channel(0), &mut at_16k);
        if !sink(&at_16k) {
            return Ok(());
        }
    }
    at_16k.clear();
    resampler.finish(&mut at_16k);
    sink(&at_16k);
    Ok(())
}

/// A path's extension in lower case, as [`OpenOptions`] takes it.
pub fn extension_of(path: &Path) -> Option<String> {
    path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase)
}
