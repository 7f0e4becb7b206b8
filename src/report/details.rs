//! What a verdict rests on: quality notes and the table of segments.

use maud::{Markup, html};

use super::{
    Basis,
    words::{Tone, signed, span, why_not},
};
use crate::{
    cli::render::rounded,
    model::Thresholds,
    screen::{Evidence, Segment},
};

/// Longest table: an hour of segments.
const MAX_ROWS: usize = 1_800;
/// A longer table is folded.
const OPEN_ROWS: usize = 8;

/// Speech, band, noise, clipping and level, each with what it means for the verdict.
pub fn quality_notes(evidence: &Evidence, basis: &Basis) -> Markup {
    let quality = &evidence.quality;
    html! {
        dl.facts {
            div { dt { "Speech" } dd {
                (format!("{:.1} s of {:.1} s", quality.speech_secs, evidence.duration_secs))
                @if quality.speech_secs < basis.thresholds.min_speech_secs {
                    ": less than the " (basis.thresholds.min_speech_secs) " s that an answer needs"
                } @else if quality.speech_secs < 8.0 {
                    ": enough for an answer; more would make it firmer"
                }
            } }
            @if let Some(hz) = quality.bandwidth_hz {
                div { dt { "Bandwidth" } dd {
                    "speech up to " (khz(hz))
                    @if basis.is_telephone(Some(hz)) { ": telephone band, where errors are more frequent" }
                    @else { ": full band" }
                } }
            }
            @if let Some(snr_db) = quality.snr_db {
                div { dt { "Noise" } dd {
                    (format!("speech {snr_db:.0} dB above the background: {}", noise_words(snr_db)))
                } }
            }
            @if evidence.denoised.is_some_and(|measure| measure > basis.thresholds.denoised.above) {
                div { dt { "Noise suppression" } dd {
                    "the speech sounds cleaned, which makes genuine speech sound cloned: called cloned only below LLR "
                    (signed(basis.thresholds.denoised.spoof_below))
                } }
            }
            @if let Some(level_dbfs) = quality.level_dbfs {
                div { dt { "Level" } dd { (format!("{level_dbfs:.0} dB relative to full scale").replace('-', "−")) } }
            }
            div { dt { "Clipping" } dd { (clipping_words(quality.clipping_ratio)) } }
        }
    }
}

fn noise_words(snr_db: f32) -> &'static str {
    match snr_db {
        ..12.0 => "very noisy, the answer is less reliable",
        ..20.0 => "noisy",
        ..35.0 => "some noise",
        _ => "clean",
    }
}

fn clipping_words(ratio: f32) -> String {
    match ratio {
        0.0 => "none".into(),
        ..0.0001 => "hardly any".into(),
        _ => format!("{} % of the samples are cut at full scale", rounded(f64::from(ratio) * 100.0, 2)),
    }
}

fn khz(hz: u32) -> String {
    format!("{:.1} kHz", f64::from(hz) / 1_000.0)
}

/// Every segment with its times; folded where it is long, and only those that point to a clone where it is very long.
pub fn segments_table(segments: &[Segment], thresholds: &Thresholds) -> Markup {
    let is_cloned = |segment: &&Segment| segment.llr.is_some_and(|llr| Tone::of_llr(llr, thresholds) == Tone::Cloned);
    let is_whole = segments.len() <= MAX_ROWS;
    let shown: Vec<&Segment> =
        segments.iter().filter(|segment| is_whole || is_cloned(segment)).take(MAX_ROWS).collect();
    let words = if is_whole {
        format!("All {} segments", segments.len())
    } else {
        format!("{} of {} segments: those that point to a clone", shown.len(), segments.len())
    };
    html! {
        @if !segments.is_empty() {
            details.segments open[segments.len() <= OPEN_ROWS] {
                summary { (words) }
                table {
                    thead { tr {
                        th scope="col" { "Time" }
                        th scope="col" { "Says" }
                        th.number scope="col" { "LLR" }
                        th.number scope="col" { "Speech" }
                    } }
                    tbody { @for segment in shown { (row(segment, thresholds)) } }
                }
            }
        }
    }
}

/// For scripts.
fn secs(secs: f64) -> String {
    format!("{secs:.2}")
}

fn row(segment: &Segment, thresholds: &Thresholds) -> Markup {
    let tone = segment.llr.map(|llr| Tone::of_llr(llr, thresholds));
    html! {
        tr class=(tone.map_or("none", Tone::class)) data-start=(secs(segment.start_secs)) data-end=(secs(segment.end_secs)) {
            td.time { (span(segment.start_secs, segment.end_secs)) }
            td { @match tone {
                Some(tone) => { (super::answer::sign(tone)) (tone.of_segment()) },
                None => { "not judged: " (why_not(segment.why_not)) },
            } }
            td.number { @match segment.llr { Some(llr) => (signed(llr.0)), None => "–" } }
            td.number { (format!("{:.1} s", segment.speech_secs)) }
        }
    }
}
