//! Integration tests, one module per subject.

mod decode;
mod hostile;
