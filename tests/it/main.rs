//! Tests at the program's edges, in one binary.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod architecture;
mod bundle;
mod capture;
mod cli;
#[cfg(unix)]
mod console;
#[cfg(unix)]
mod daemon;
mod decode;
#[cfg(unix)]
mod doctor;
mod features;
mod hostile;
#[cfg(unix)]
mod intake;
#[cfg(unix)]
mod live;
mod metrics;
mod report;
mod rtp;
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
mod tools;
#[cfg(unix)]
mod watch;
mod webhook;
