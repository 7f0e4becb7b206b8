//! `[store]`, `[queue]`, `[model]`, `[limits]` and `[retention]`: where state is, and how much of it there may be.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Faults;
use crate::decode::Limits;

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Folder of the database and the spool. It must be on a local disk.
    pub dir: PathBuf,
}

impl Default for Store {
    fn default() -> Self {
        Self { dir: "/var/lib/clonewatch".into() }
    }
}

impl Store {
    pub(super) fn check(&self, faults: &mut Faults) {
        if self.dir.as_os_str().is_empty() {
            faults.add("store.dir", "", "a folder");
        }
    }
}

/// How much work may wait, and who does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// Threads that judge; 0 means one per core.
    pub workers: usize,
    /// Most jobs that wait, run or are being uploaded; beyond, requests are answered 503.
    pub max_jobs: usize,
    /// Most bytes of audio in the spool; beyond, requests are answered 503.
    pub max_bytes: u64,
    /// Largest upload, in bytes.
    pub max_upload_bytes: u64,
    /// How often a job is tried whose attempt ended in a crash or a fault of ours.
    pub max_attempts: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { workers: 0, max_jobs: 1_000, max_bytes: 16 << 30, max_upload_bytes: 1 << 30, max_attempts: 5 }
    }
}

impl Queue {
    /// Threads that judge.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            some => some,
        }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        faults.range("queue.workers", self.workers, 0..=1_024);
        faults.range("queue.max_jobs", self.max_jobs, 1..=1_000_000);
        // TOML's integers end at 2^63 - 1.
        faults.range("queue.max_bytes", self.max_bytes, 1 << 10..=i64::MAX as u64);
        faults.range("queue.max_upload_bytes", self.max_upload_bytes, 1 << 10..=i64::MAX as u64);
        faults.range("queue.max_attempts", self.max_attempts, 1..=100);
        if self.max_upload_bytes > self.max_bytes {
            let expected = format!("at most queue.max_bytes ({})", self.max_bytes);
            faults.add("queue.max_upload_bytes", self.max_upload_bytes, &expected);
        }
    }
}

/// Which model judges.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// Folder of a model bundle, or `light` for the built-in light one; left out, the built-in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

impl Model {
    pub(super) fn check(&self, faults: &mut Faults) {
        if self.dir.as_ref().is_some_and(|dir| dir.as_os_str().is_empty()) {
            faults.add("model.dir", "", "a folder or `light`, or the key must be left out");
        }
    }
}

pub(super) fn check_limits(limits: &Limits, faults: &mut Faults) {
    faults.range("limits.max_bytes", limits.max_bytes, 1 << 10..=i64::MAX as u64);
    faults.range("limits.max_metadata_bytes", limits.max_metadata_bytes, 1 << 10..=1 << 30);
    faults.range("limits.max_packet_bytes", limits.max_packet_bytes, 1 << 10..=1 << 30);
    faults.range("limits.max_decoded_secs", limits.max_decoded_secs, 1..=1_000_000);
    faults.range("limits.max_channels", limits.max_channels, 1..=64);
    faults.range("limits.max_wall_secs", limits.max_wall_secs, 1..=86_400);
}

/// What is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that the audio of likely clones is kept; 0 keeps none.
    pub flagged_audio_days: u32,
    /// Days that jobs and verdicts are kept; 0 keeps them for ever. The audit log is always kept.
    pub results_days: u32,
    /// Hours that an idempotency key is remembered.
    pub idempotency_hours: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { flagged_audio_days: 0, results_days: 0, idempotency_hours: 24 }
    }
}

impl Retention {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.range("retention.flagged_audio_days", self.flagged_audio_days, 0..=3_650);
        faults.range("retention.results_days", self.results_days, 0..=36_500);
        faults.range("retention.idempotency_hours", self.idempotency_hours, 1..=8_760);
    }
}
