//! clonewatch screens audio for cloned (synthetic) voices on the user's own machine.
//!
//! It decodes call or clip audio, extracts log-mel features and statistics of the fine spectrum with an FFT, scores them
//! with a small neural network run by tract, and says of each voice: *bona fide*, *spoof*, or *inconclusive* and why.
//!
//! # The picture
//! ```text
//!  upload, folder ┐
//!  file / stdin ──┤        ┌────────────── decode ───────────────┐
//!  batch CLI ─────┼──────▶ │ probe → decode → per channel → 16 kHz│
//!  training export┘        └──────────────────┬───────────────────┘
//!  live call ─ transport ─ inbox per party ───┤
//!               ═════════════ pure code ══════▼═══════════════
//!                Screener:  features → speech gate → encoder → pooled statistics → LLR → Evidence
//!               ══════════════════════════════╤═══════════════
//!                policy: Evidence + thresholds → Verdict ─┬─▶ text, JSONL, CSV, HTML report
//!                                                         └─▶ store ─▶ HTTP API, live events, folders, webhooks, audit log
//! ```
//!
//! # Modules
//! | module | what it is for | pure |
//! |---|---|---|
//! | [`audio`] | resampling to 16 kHz, levels | yes |
//! | [`features`] | framing, FFT, log-mel filterbank, statistics of the fine spectrum, [`features::FeatureSpec`] | yes |
//! | [`speech`] | which frames are speech, and quality measures | yes |
//! | [`model`] | model bundle: bytes → verified manifest → tract plans; pooling; calibration | yes |
//! | [`screen`] | [`screen::Screener`]: push samples, finish → [`screen::Evidence`] | yes |
//! | [`policy`] | Evidence + policy → [`policy::Verdict`] | yes |
//! | [`rtp`] | RTP packets → jitter buffer → samples of each voice | yes |
//! | [`metrics`] | EER, minDCF, actDCF, Cllr, bootstrap intervals | yes |
//! | [`decode`] | symphonia, Opus, telephone codecs, [`decode::Limits`] | no |
//! | [`pool`] | CPU workers, results in order, bounded queues | no |
//! | [`scan`] | one input → decoded → screened → [`scan::ScanResult`] | no |
//! | [`report`] | verdicts with their evidence as HTML: pages of `scan --report`, and the pieces that the console shows too | no |
//! | [`config`] | one TOML file → a checked [`config::Config`] | no |
//! | [`store`] | SQLite and spool: jobs, verdicts, events to deliver, audit log | no |
//! | [`serve`] | the daemon: HTTP API, queue, workers, reload; [`serve::live`] the calls that go on; [`serve::console`] pages for people | no |
//! | `watch` | watched folders: judged once, sorted or tagged; [`serve::webhook`] tells others of verdicts | no |
//! | [`cli`] | one file per subcommand | no |
//!
//! # Invariants
//! - Pure modules take slices and return values: no tokio, no files, no clock, no logging
//!   (`tests/it/architecture.rs` reads the sources and enforces it).
//! - One path: files, batches and training export run the same decoder, feature and screening code.
//! - Chunk invariance: any split of the same samples into pushes gives bit-identical [`screen::Evidence`].
//! - A running verdict is what `finish` would say of the samples so far; asking for it changes nothing.
//! - Memory of an open stream does not grow with its length, apart from one small [`screen::Segment`] per two seconds.
//! - What the daemon accepted is on disk, and ends with exactly one verdict whatever ends the process (`tests/it/serve_abuse/crash.rs`).
//! - Bad media is a result (`inconclusive` with a reason), never a crash and never "genuine".
//! - LLRs are natural logarithms, and more than 0 favours bona fide.

pub mod audio;
pub mod cli;
pub mod config;
pub mod decode;
pub mod error;
pub mod features;
pub mod metrics;
pub mod model;
pub mod policy;
pub mod pool;
pub mod report;
pub mod rtp;
pub mod scan;
pub mod screen;
pub mod serve;
pub mod speech;
pub mod store;
#[cfg(unix)]
pub mod watch;
