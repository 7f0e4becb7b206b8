//! From a bundle's bytes to a countermeasure that may be used.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    BandScores, BlockStats, CmScore, HeadScores, Llr, Manifest, MeasuredErrors, PassageErrors, card::Card, golden,
    network::Plan, pool::BLOCK_EMBEDDING_FRAMES, sha256_hex,
};
use crate::{
    features::{CHUNK_FRAMES, FINE_DIMS, FeatureSpec, FineStats, MEL_BANDS},
    policy::thresholds_fault,
    speech::Quality,
};

/// The bytes of a bundle by file name.
pub type BundleFiles = BTreeMap<String, Cow<'static, [u8]>>;

/// Files that every bundle has beside its manifest.
const REQUIRED: [&str; 7] = [
    "encoder.onnx",
    "head.onnx",
    "head-telephone.onnx",
    "head-fine.onnx",
    "head-fine-telephone.onnx",
    "golden.wav",
    "golden.json",
];

/// Largest bundle file that is looked at, in bytes.
pub const MAX_BUNDLE_FILE_BYTES: u64 = 64 << 20;

/// Why a bundle was refused. The message names file or key, and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("model bundle: {0}")]
pub struct ModelError(pub(super) String);

/// A verified countermeasure, shared by all streams; immutable.
pub struct ModelBundle {
    manifest: Manifest,
    sha256: String,
    card: Card,
    encoder: Plan,
    full: BandHeads,
    telephone: BandHeads,
}

/// The heads of one band.
struct BandHeads {
    encoded: Plan,
    fine: Plan,
}

impl ModelBundle {
    /// Verifies `files` (hashes, features, shapes, golden self-test) and prepares the networks.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing of a refused bundle is used.
    pub fn load(files: &BundleFiles) -> Result<Self, ModelError> {
        let manifest_bytes = file(files, "manifest.toml")?;
        let manifest = parse_manifest(manifest_bytes)?;
        verify_hashes(&manifest, files)?;
        verify_manifest(&manifest)?;
        let shape = &manifest.network;
        let plan = |name: &str, input: &[usize], output: &[usize]| {
            Plan::load(file(files, name)?, input, output).map_err(|e| ModelError(format!("{name}: {e}")))
        };
        let embeddings = [1, shape.embedding_frames, shape.embedding_dims];
        let encoder = plan("encoder.onnx", &[1, CHUNK_FRAMES, MEL_BANDS], &embeddings)?;
        let heads = |encoded: &str, fine: &str| {
            let encoded = plan(encoded, &[1, 3 * shape.embedding_dims], &[1, 1])?;
            Ok::<_, ModelError>(BandHeads { encoded, fine: plan(fine, &[1, shape.fine_dims], &[1, 2])? })
        };
        let full = heads("head.onnx", "head-fine.onnx")?;
        let telephone = heads("head-telephone.onnx", "head-fine-telephone.onnx")?;
        let sha256 = sha256_hex(manifest_bytes);
        let card = own_card(&manifest, files);
        let bundle = Self { sha256, manifest, card, encoder, full, telephone };
        golden::self_test(&bundle, file(files, "golden.wav")?, file(files, "golden.json")?)?;
        Ok(bundle)
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest, which holds those of all other files.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Error rates that the bundle's card states; empty where it has no card, or one without that table.
    pub fn measured_errors(&self) -> &[MeasuredErrors] {
        &self.card.clips
    }

    /// How often passages are found, as the card states; likewise.
    pub fn passage_errors(&self) -> &[PassageErrors] {
        &self.card.passages
    }

    /// Embeds one chunk: `log_mel` `[CHUNK_FRAMES × MEL_BANDS]` → `out` `[embedding_frames × embedding_dims]`, row-major.
    ///
    /// # Errors
    /// The network failed or gave values that are not finite: our fault, or a broken bundle.
    pub fn encode(&self, log_mel: &[f32], out: &mut Vec<f32>) -> Result<(), ModelError> {
        self.encoder.run(log_mel, out).map_err(|e| ModelError(format!("encoder.onnx: {e}")))
    }

    /// Raw scores of a span of speech by all heads.
    ///
    /// # Errors
    /// As [`ModelBundle::encode`].
    pub fn score(&self, stats: &BlockStats, fine: &FineStats) -> Result<HeadScores, ModelError> {
        let (mut encoded_input, mut fine_input, mut output) = (Vec::new(), Vec::new(), Vec::new());
        stats.write(self.manifest.network.std_floor, &mut encoded_input);
        fine.write(&mut fine_input);
        let failed = |e: String| ModelError(format!("head: {e}"));
        let mut scores = |heads: &BandHeads| {
            heads.encoded.run(&encoded_input, &mut output).map_err(failed)?;
            let encoded = CmScore(output[0]);
            heads.fine.run(&fine_input, &mut output).map_err(failed)?;
            Ok(BandScores { encoded, fine: CmScore(output[0]), denoised: output[1] })
        };
        Ok(HeadScores { full: scores(&self.full)?, telephone: scores(&self.telephone)? })
    }

    /// How much a span sounds denoised, by the fine head of the channel's band.
    pub fn denoised(&self, scores: HeadScores, bandwidth_hz: Option<u32>) -> f32 {
        let full_band = self.manifest.calibration.is_full_band(bandwidth_hz);
        if full_band { scores.full.denoised } else { scores.telephone.denoised }
    }

    /// Calibrated LLR of a span's scores; see [`super::Calibration::llr`].
    pub fn llr(&self, scores: HeadScores, quality: &Quality, speech_secs: f64) -> Llr {
        self.manifest.calibration.llr(scores, quality, speech_secs)
    }
}

fn file<'a>(files: &'a BundleFiles, name: &str) -> Result<&'a [u8], ModelError> {
    files.get(name).map(AsRef::as_ref).ok_or_else(|| ModelError(format!("{name}: missing")))
}

/// Only a card whose hash the manifest holds belongs to the model.
fn own_card(manifest: &Manifest, files: &BundleFiles) -> Card {
    let card = manifest.files.get("CARD.md").and_then(|_| files.get("CARD.md"));
    let text = card.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.map(Card::read).unwrap_or_default()
}

fn parse_manifest(bytes: &[u8]) -> Result<Manifest, ModelError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ModelError("manifest.toml: not UTF-8".into()))?;
    toml::from_str(text).map_err(|e| ModelError(format!("manifest.toml: {}", e.to_string().trim())))
}

fn verify_hashes(manifest: &Manifest, files: &BundleFiles) -> Result<(), ModelError> {
    for name in REQUIRED {
        if !manifest.files.contains_key(name) {
            return Err(ModelError(format!("manifest.toml: files.\"{name}\": missing, expected its SHA-256")));
        }
    }
    for (name, expected) in &manifest.files {
        let found = sha256_hex(file(files, name)?);
        if found != *expected {
            return Err(ModelError(format!("{name}: SHA-256 is {found}, the manifest says {expected}")));
        }
    }
    Ok(())
}

fn verify_manifest(manifest: &Manifest) -> Result<(), ModelError> {
    let own = FeatureSpec::of_this_program();
    own.require(&manifest.features).map_err(|e| ModelError(e.to_string()))?;
    let shape = &manifest.network;
    let checks = [
        (manifest.features_sha256 == own.hash(), format!("features_sha256: expected {}", own.hash())),
        (shape.chunk_frames == CHUNK_FRAMES, format!("network.chunk_frames: expected {CHUNK_FRAMES}")),
        (
            shape.embedding_frames == CHUNK_FRAMES / 2 && shape.embedding_frames.is_multiple_of(BLOCK_EMBEDDING_FRAMES),
            format!("network.embedding_frames: expected {}", CHUNK_FRAMES / 2),
        ),
        ((1..=8192).contains(&shape.embedding_dims), "network.embedding_dims: expected 1-8192".into()),
        (shape.fine_dims == FINE_DIMS, format!("network.fine_dims: expected {FINE_DIMS}")),
        (shape.std_floor > 0.0 && shape.std_floor.is_finite(), "network.std_floor: expected more than 0".into()),
    ];
    if let Some((_, message)) = checks.into_iter().find(|(good, _)| !good) {
        return Err(ModelError(format!("manifest.toml: {message}")));
    }
    let fault = manifest.calibration.fault();
    let fault = fault.or_else(|| thresholds_fault(&manifest.thresholds).map(|fault| format!("thresholds.{fault}")));
    fault.map_or(Ok(()), |fault| Err(ModelError(format!("manifest.toml: {fault}"))))
}
