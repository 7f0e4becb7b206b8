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
use crate::{
    cli::render::printable,
    decode::Tags,
    scan::{ChannelResult, ScanResult},
};

/// What is shown of a file beside its verdict, wherever it is kept.
#[derive(Debug, Clone, Default)]
pub struct Exhibits {
    /// Spectrograms by channel.
    pub pictures: Vec<(u16, Shown)>,
    /// What the container says; `None` where the file was not read again.
    pub tags: Option<Tags>,
    /// Who is heard on each channel, where that is known.
    pub parties: Vec<String>,
}

impl Exhibits {
    /// What a channel is called.
    pub(super) fn channel_name(&self, channel: u16) -> String {
        match self.parties.get(usize::from(channel)) {
            Some(party) => format!("Channel {channel}, {}", printable(party)),
            None => format!("Channel {channel}"),
        }
    }

    /// Embedded in the page.
    pub fn embedded(portrait: &Portrait) -> Self {
        let pictures = portrait.pictures.iter().map(|picture| (picture.channel, Shown::embedded(picture))).collect();
        Self { pictures, tags: Some(portrait.tags.clone()), parties: Vec::new() }
    }
}

/// The section.
pub fn file_section(result: &ScanResult, exhibits: &Exhibits, basis: &Basis, level: Level) -> Markup {
    html! {
        (answer::file_answer(result, exhibits, basis, level))
        (file_evidence(result, exhibits, basis))
    }
}

/// The section without its answer.
pub fn file_evidence(result: &ScanResult, exhibits: &Exhibits, basis: &Basis) -> Markup {
    html! {
        @for channel in &result.channels {
            section.channel {
                @if result.channels.len() > 1 { (answer::channel_answer(&exhibits.channel_name(channel.channel), &channel.verdict, basis)) }
                (channel_evidence(channel, exhibits, basis))
            }
        }
        section {
            h3 { "About the file" }
            (about_file(&result.input, exhibits.tags.as_ref()))
        }
    }
}

fn channel_evidence(channel: &ChannelResult, exhibits: &Exhibits, basis: &Basis) -> Markup {
    let (verdict, number) = (&channel.verdict, channel.channel);
    let evidence = &verdict.evidence;
    let picture = exhibits.pictures.iter().find(|(channel, _)| *channel == number).map(|(_, shown)| shown);
    let (name, title, place) = (exhibits.channel_name(number), words::title(verdict), words::place(verdict, basis));
    let label = format!("{name} over time: {title}. {place}");
    html! {
        @if evidence.segments.is_empty() && picture.is_none() {
            p.note { "Too short for a picture." }
        } @else {
            (figure(verdict, picture, &basis.thresholds, &label))
            (legend(&basis.thresholds))
        }
        (quality_notes(evidence, basis))
        (segments_table(&evidence.segments, &basis.thresholds))
    }
}
