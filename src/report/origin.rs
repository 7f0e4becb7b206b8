//! About the file: format, hash, what its container says of its origin, and whether Content Credentials are in it.

use maud::{Markup, html};

use crate::{
    cli::render::printable,
    decode::{Credentials, Tags},
    scan::InputInfo,
};

/// A line per fact; strings from the file are cut and escaped.
pub fn about_file(input: &InputInfo, tags: Option<&Tags>) -> Markup {
    html! {
        dl.facts {
            div { dt { "Name" } dd.wrap { (printable(&input.path)) } }
            div { dt { "Format" } dd { (format_words(input)) } }
            div { dt { "SHA-256" } dd.hash { (input.sha256) } }
            @if let Some(tags) = tags {
                @for entry in &tags.entries {
                    div { dt { (printable(&entry.name)) } dd.wrap {
                        (printable(&entry.value))
                        @if entry.cut_bytes > 0 { i { " … " (entry.cut_bytes) " bytes more" } }
                    } }
                }
                @if tags.omitted > 0 { div { dt { "Further tags" } dd { (tags.omitted) } } }
                @if tags.entries.is_empty() {
                    div { dt { "Tags" } dd { "none that tell of the file's origin" } }
                }
                div { dt { "Content Credentials" } dd { @match tags.credentials {
                    Credentials::Found => "found; their signature is not checked here",
                    Credentials::NotFound => "not found in this file",
                    Credentials::NotLookedFor => "not looked for in this format",
                } } }
            }
        }
        @if tags.is_some_and(|tags| !tags.entries.is_empty()) {
            p.note { "Tags are what whoever made the file wrote into it. They are easily changed, and prove nothing." }
        }
    }
}

fn format_words(input: &InputInfo) -> String {
    let mut words: Vec<String> = Vec::new();
    match (&input.codec, &input.container) {
        (Some(codec), Some(container)) if codec != container => words.push(format!("{codec} in {container}")),
        (Some(one), _) | (None, Some(one)) => words.push(one.clone()),
        (None, None) => words.push("not recognised".into()),
    }
    words.extend(input.sample_rate_hz.map(|hz| format!("{} kHz", f64::from(hz) / 1_000.0)));
    words.extend(input.channels.map(|count| format!("{count} channel{}", if count == 1 { "" } else { "s" })));
    words.extend(input.duration_secs.map(|secs| format!("{secs:.1} s")));
    printable(&words.join(", "))
}
