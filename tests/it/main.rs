//! Tests at the program's edges, in one binary.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod architecture;
mod bundle;
mod cli;
#[cfg(unix)]
mod daemon;
mod decode;
#[cfg(unix)]
mod doctor;
mod features;
mod hostile;
#[cfg(unix)]
mod intake;
mod metrics;
mod report;
mod samples;
mod scan;
mod screener;
#[cfg(unix)]
mod serve_abuse;
#[cfg(unix)]
mod serve_api;
#[cfg(unix)]
mod serve_host;
#[cfg(unix)]
mod serve_reload;
mod speech;
mod systemd;
#[cfg(unix)]
mod watch;
mod webhook;
