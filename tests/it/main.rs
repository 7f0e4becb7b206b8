//! Integration tests, one binary.

mod metrics;
