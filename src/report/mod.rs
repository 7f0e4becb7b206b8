//! Reports: the evidence behind verdicts as HTML that a person can check, for `scan --report` and the daemon's pages.
//!
//! Flow: [`crate::scan::ScanResult`] and [`Portrait`] (spectrograms and tags, from a second run through the file) →
//! fragments ([`file_section`] and the pieces it is made of) → [`ReportWriter`], one self-contained page for one file or
//! a batch. Fragments need [`STYLE`], and [`patterns`] once on their page; they carry no scripts and no style attributes.
//!
//! | piece | what it shows |
//! |---|---|
//! | [`file_answer`], [`channel_answer`], [`gauge`] | what was found, where, how sure |
//! | [`figure`], [`small_strip`], [`legend`] | spectrogram and segment strip |
//! | [`segments_table`], [`quality_notes`] | what the answer rests on |
//! | [`about_file`] | format, hash, tags, Content Credentials |
//! | [`limits`], [`provenance`] | what the answer does not say, and where it comes from |
//!
//! Limits: no clock and no randomness, so the same inputs give the same bytes. Strings from files and their names pass
//! through [`crate::cli::render::printable`] and maud's escaping. A page keeps one row per input in memory.

mod answer;
mod basis;
mod batch;
mod details;
mod figure;
mod file;
mod limits;
mod origin;
mod page;
mod portrait;
mod provenance;
mod spectrogram;
mod strip;
mod words;
mod writer;

pub use self::{
    answer::{Level, channel_answer, file_answer, gauge},
    basis::Basis,
    details::{quality_notes, segments_table},
    figure::{Shown, figure, small_strip},
    file::{Exhibits, file_evidence, file_section},
    limits::limits,
    origin::about_file,
    page::{SORT_SCRIPT, STYLE},
    portrait::Portrait,
    provenance::{provenance, shell_command},
    spectrogram::{MAX_COLUMNS, Picture},
    strip::{LLR_SPAN, legend, patterns},
    words::{Tone, file_title, signed},
    writer::{Plan, ReportWriter, SMALL_BATCH, one_page},
};
