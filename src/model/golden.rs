//! Golden self-test: a bundle's own recording must give the features and the score that its training side computed.

use std::io::Cursor;

use serde::Deserialize;

use super::{
    BandScores, BlockStats, ModelBundle, ModelError,
    pool::{BLOCK_EMBEDDING_FRAMES, embedding_mask},
};
use crate::features::{CHUNK_FRAMES, FEATURE_FLOOR, FrontEnd, HOP_SAMPLES, MEL_BANDS};

/// `golden.json`: what `golden.wav` (16 kHz, mono, 16 bit, at most one chunk long) must give.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    features: Vec<FeatureValue>,
    feature_tolerance: f32,
    /// Feature frames taken as speech: half-open ranges.
    speech: Vec<(usize, usize)>,
    /// By `head.onnx`.
    score: f32,
    /// By `head-telephone.onnx`.
    telephone_score: f32,
    score_tolerance: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FeatureValue {
    frame: usize,
    band: usize,
    value: f32,
}

/// Runs `wav` through features, encoder, pooling and head and compares.
pub(super) fn self_test(bundle: &ModelBundle, wav: &[u8], json: &[u8]) -> Result<(), ModelError> {
    let golden: Golden = serde_json::from_slice(json).map_err(|e| ModelError(format!("golden.json: {e}")))?;
    let (log_mel, frames) = features_of(&read_wav(wav)?);
    for expected in &golden.features {
        let index = expected.frame.saturating_mul(MEL_BANDS).saturating_add(expected.band);
        let found = log_mel.get(index).copied().unwrap_or(f32::NAN);
        if expected.frame >= frames || !within(found, expected.value, golden.feature_tolerance) {
            let (frame, band, value) = (expected.frame, expected.band, expected.value);
            return Err(ModelError(format!("self-test: feature {frame}/{band} is {found}, expected {value}")));
        }
    }
    let BandScores { full, telephone } = scores_of(bundle, &log_mel, &golden.speech)?;
    for (name, found, expected) in
        [("score", full.0, golden.score), ("telephone score", telephone.0, golden.telephone_score)]
    {
        if !within(found, expected, golden.score_tolerance) {
            return Err(ModelError(format!("self-test: the {name} is {found}, expected {expected}")));
        }
    }
    Ok(())
}

/// False also for NaN.
fn within(found: f32, expected: f32, tolerance: f32) -> bool {
    (found - expected).abs() <= tolerance
}

fn read_wav(wav: &[u8]) -> Result<Vec<f32>, ModelError> {
    let bad = |e: hound::Error| ModelError(format!("golden.wav: {e}"));
    let reader = hound::WavReader::new(Cursor::new(wav)).map_err(bad)?;
    let spec = reader.spec();
    if spec.sample_rate != crate::audio::SAMPLE_RATE_HZ || spec.channels != 1 || spec.bits_per_sample != 16 {
        return Err(ModelError("golden.wav: expected 16 kHz, mono, 16 bit".into()));
    }
    let samples = reader.into_samples::<i16>().take(CHUNK_FRAMES * HOP_SAMPLES);
    samples.map(|sample| sample.map(|s| f32::from(s) / 32_768.0).map_err(bad)).collect()
}

/// One padded chunk of features, `[CHUNK_FRAMES × MEL_BANDS]`, and how many of its frames are real.
fn features_of(samples: &[f32]) -> (Vec<f32>, usize) {
    let mut log_mel = Vec::with_capacity(CHUNK_FRAMES * MEL_BANDS);
    FrontEnd::new().push(samples, |frame| log_mel.extend_from_slice(frame.log_mel));
    let frames = log_mel.len() / MEL_BANDS;
    log_mel.resize(CHUNK_FRAMES * MEL_BANDS, FEATURE_FLOOR);
    (log_mel, frames)
}

fn scores_of(bundle: &ModelBundle, log_mel: &[f32], speech: &[(usize, usize)]) -> Result<BandScores, ModelError> {
    let mut embeddings = Vec::new();
    bundle.encode(log_mel, &mut embeddings)?;
    let shape = &bundle.manifest().network;
    let in_speech = |frame: usize| speech.iter().any(|(start, end)| (*start..*end).contains(&frame));
    let mask = embedding_mask(shape.embedding_frames, in_speech);
    let mut stats = BlockStats::empty(shape.embedding_dims);
    for start in (0..shape.embedding_frames).step_by(BLOCK_EMBEDDING_FRAMES) {
        stats.merge(&BlockStats::of(&embeddings, shape.embedding_dims, &mask, start..start + BLOCK_EMBEDDING_FRAMES));
    }
    bundle.score(&stats)
}
