//! One file's section: its answer, then each channel's evidence, then the file itself.

use maud::{Markup, html};

use super::{
    Basis, Level, Portrait, answer,
    details::{quality_notes, segments_table},
    figure::{Shown, figure},
    origin::about_file,
    strip::legend,
    words,
};
use crate::scan::{ChannelResult, ScanResult};

/// The section; `portrait` is left out where the file was not read again.
pub fn file_section(result: &ScanResult, portrait: Option<&Portrait>, basis: &Basis, level: Level) -> Markup {
    html! {
        (answer::file_answer(result, basis, level))
        @for channel in &result.channels {
            section.channel {
                @if result.channels.len() > 1 { (answer::channel_answer(channel.channel, &channel.verdict, basis)) }
                (channel_evidence(channel, portrait, basis))
            }
        }
        section {
            h3 { "About the file" }
            (about_file(&result.input, portrait.map(|portrait| &portrait.tags)))
        }
    }
}

fn channel_evidence(channel: &ChannelResult, portrait: Option<&Portrait>, basis: &Basis) -> Markup {
    let (verdict, number) = (&channel.verdict, channel.channel);
    let evidence = &verdict.evidence;
    let pictures = portrait.map_or(&[][..], |portrait| &portrait.pictures);
    let picture = pictures.iter().find(|picture| picture.channel == number).map(Shown::embedded);
    let label = format!("Channel {number} over time: {}. {}", words::title(verdict), words::place(verdict, basis));
    html! {
        @if evidence.segments.is_empty() && picture.is_none() {
            p.note { "Too short for a picture." }
        } @else {
            (figure(verdict, picture.as_ref(), &basis.thresholds, &label))
            (legend(&basis.thresholds))
        }
        (quality_notes(evidence, basis))
        (segments_table(&evidence.segments, &basis.thresholds))
    }
}
