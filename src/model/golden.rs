//! Golden self-test: a bundle's own recording must give the features and the score that its training side computed.

use std::{collections::BTreeMap, io::Cursor};

use serde::Deserialize;

use super::{
    BlockStats, HeadScores, ModelBundle, ModelError,
    pool::{BLOCK_EMBEDDING_FRAMES, embedding_mask},
};
use crate::features::{
    CHUNK_FRAMES, FEATURE_FLOOR, FineChunk, FineStats, FrontEnd, HOP_SAMPLES, MEL_BANDS, fine_blocks,
};

/// `golden.json`: what `golden.wav` (16 kHz, mono, 16 bit, at most one chunk long) must give.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    features: Vec<FeatureValue>,
    feature_tolerance: f32,
    /// Feature frames taken as speech: half-open ranges.
    speech: Vec<(usize, usize)>,
    /// Of the fine spectrum, by index.
    fine: Vec<FineValue>,
    /// By output of the heads.
    scores: BTreeMap<String, f32>,
    score_tolerance: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FeatureValue {
    frame: usize,
    band: usize,
    value: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FineValue {
    index: usize,
    value: f32,
}

/// One padded chunk of the recording.
struct Chunk {
    /// `[CHUNK_FRAMES × MEL_BANDS]`.
    log_mel: Vec<f32>,
    /// Frames that are real.
    frames: usize,
    fine: FineStats,
}

/// Runs `wav` through features, encoder, pooling and head and compares.
pub(super) fn self_test(bundle: &ModelBundle, wav: &[u8], json: &[u8]) -> Result<(), ModelError> {
    let golden: Golden = serde_json::from_slice(json).map_err(|e| ModelError(format!("golden.json: {e}")))?;
    let in_speech = |frame: usize| golden.speech.iter().any(|(start, end)| (*start..*end).contains(&frame));
    let Chunk { log_mel, frames, fine } = features_of(&read_wav(wav)?, in_speech);
    for expected in &golden.features {
        let index = expected.frame.saturating_mul(MEL_BANDS).saturating_add(expected.band);
        let found = log_mel.get(index).copied().unwrap_or(f32::NAN);
        if expected.frame >= frames || !within(found, expected.value, golden.feature_tolerance) {
            let (frame, band, value) = (expected.frame, expected.band, expected.value);
            return Err(ModelError(format!("self-test: feature {frame}/{band} is {found}, expected {value}")));
        }
    }
    let mut fine_values = Vec::new();
    fine.write(&mut fine_values);
    for FineValue { index, value } in golden.fine {
        let found = fine_values.get(index).copied().unwrap_or(f32::NAN);
        if !within(found, value, golden.feature_tolerance) {
            return Err(ModelError(format!("self-test: fine statistic {index} is {found}, expected {value}")));
        }
    }
    let HeadScores { full, telephone } = scores_of(bundle, &log_mel, &fine, in_speech)?;
    for (name, found) in [
        ("full", full.encoded.0),
        ("telephone", telephone.encoded.0),
        ("fine", full.fine.0),
        ("fine-denoised", full.denoised),
        ("fine-telephone", telephone.fine.0),
        ("fine-telephone-denoised", telephone.denoised),
    ] {
        let expected = golden.scores.get(name).copied().unwrap_or(f32::NAN);
        if !within(found, expected, golden.score_tolerance) {
            return Err(ModelError(format!("self-test: the {name} output is {found}, expected {expected}")));
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

fn features_of(samples: &[f32], in_speech: impl Fn(usize) -> bool) -> Chunk {
    let (mut log_mel, mut power) = (Vec::with_capacity(CHUNK_FRAMES * MEL_BANDS), Vec::new());
    FrontEnd::new().push(samples, |frame| {
        log_mel.extend_from_slice(frame.log_mel);
        power.extend_from_slice(frame.power);
    });
    let frames = log_mel.len() / MEL_BANDS;
    log_mel.resize(CHUNK_FRAMES * MEL_BANDS, FEATURE_FLOOR);
    let speech: Vec<bool> = (0..frames).map(in_speech).collect();
    let mut fine = FineStats::default();
    fine_blocks(FineChunk { samples, power: &power, speech: &speech }).iter().for_each(|block| fine.merge(block));
    Chunk { log_mel, frames, fine }
}

fn scores_of(
    bundle: &ModelBundle,
    log_mel: &[f32],
    fine: &FineStats,
    in_speech: impl Fn(usize) -> bool,
) -> Result<HeadScores, ModelError> {
    let mut embeddings = Vec::new();
    bundle.encode(log_mel, &mut embeddings)?;
    let shape = &bundle.manifest().network;
    let mask = embedding_mask(shape.embedding_frames, in_speech);
    let mut stats = BlockStats::empty(shape.embedding_dims);
    for start in (0..shape.embedding_frames).step_by(BLOCK_EMBEDDING_FRAMES) {
        stats.merge(&BlockStats::of(&embeddings, shape.embedding_dims, &mask, start..start + BLOCK_EMBEDDING_FRAMES));
    }
    bundle.score(&stats, fine)
}
