//! The daemon.

pub mod webhook;
