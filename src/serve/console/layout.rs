//! The frame of every page: landmarks, navigation, who is signed in.

use axum::response::Response;
use maud::{DOCTYPE, Markup, html};

use super::{access::Visitor, assets};
use crate::{
    cli::render::printable,
    report,
    serve::http::{extract::with_type, upload::FORM_TOKEN},
    store::UnixMs,
};

/// A place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    /// Its address.
    pub(super) path: &'static str,
    /// Its name.
    pub(super) title: &'static str,
}

const fn section(path: &'static str, title: &'static str) -> Section {
    Section { path, title }
}

pub(super) const DROP: Section = section("/console", "Drop a file");
pub(super) const HISTORY: Section = section("/console/scans", "History");

pub(super) const CALLS: Section = section("/console/calls", "Live calls");
pub(super) const OVERVIEW: Section = section("/console/overview", "Overview");
pub(super) const SETTINGS: Section = section("/console/settings", "Settings");
pub(super) const AUDIT: Section = section("/console/audit", "Audit");

/// The navigation: pages register here.
pub(super) const SECTIONS: [Section; 6] = [DROP, HISTORY, CALLS, OVERVIEW, SETTINGS, AUDIT];

/// A page that is being made.
pub(super) struct Page<'a> {
    title: &'a str,
    visitor: Option<&'a Visitor>,
    section: Option<Section>,
    scripts: &'a [&'static str],
}

impl<'a> Page<'a> {
    /// With nothing but a title.
    pub(super) fn new(title: &'a str) -> Self {
        Self { title, visitor: None, section: None, scripts: &[] }
    }

    /// For `visitor`: with the navigation.
    pub(super) fn of(self, visitor: &'a Visitor) -> Self {
        Self { visitor: Some(visitor), ..self }
    }

    /// In this place of the navigation.
    pub(super) fn in_section(self, section: Section) -> Self {
        Self { section: Some(section), ..self }
    }

    /// With these files of [`assets`].
    pub(super) fn with_scripts(self, scripts: &'a [&'static str]) -> Self {
        Self { scripts, ..self }
    }

    /// The page around `content`.
    pub(super) fn show(&self, content: &Markup) -> Response {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // An empty icon, so that no browser asks for one.
                    link rel="icon" href="data:,";
                    title { (printable(self.title)) " – clonewatch" }
                    link rel="stylesheet" href=(assets::address("style.css"));
                    @for script in self.scripts { script type="module" src=(assets::address(script)) {} }
                }
                body.console {
                    a.skip href="#content" { "Skip to the content" }
                    (self.header())
                    (report::patterns())
                    main #content tabindex="-1" { (content) }
                }
            }
        };
        with_type("text/html; charset=utf-8", page.0)
    }

    fn header(&self) -> Markup {
        html! {
            header.bar {
                a.brand href="/console" { "clonewatch" }
                @if let Some(visitor) = self.visitor {
                    nav aria-label="Pages" {
                        ul { @for section in SECTIONS {
                            @let current = (self.section == Some(section)).then_some("page");
                            li { a href=(section.path) aria-current=[current] { (section.title) } }
                        } }
                    }
                    div.visitor {
                        span { (printable(&visitor.caller.name)) }
                        @if visitor.session.is_some() {
                            form method="post" action="/console/sign-out" {
                                (form_token(visitor))
                                button.quiet { "Sign out" }
                            }
                        } @else {
                            a href="/console/sign-in" { "Sign in" }
                        }
                    }
                }
            }
        }
    }
}

/// The hidden field that every form needs.
pub(super) fn form_token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(FORM_TOKEN) value=(visitor.form_token); }
}

/// A time for people, UTC.
pub(super) fn time(at: UnixMs) -> Markup {
    let text = at.to_string();
    let shown = text.get(..19).unwrap_or(&text).replace('T', " ");
    html! { time datetime=(text) { (shown) " UTC" } }
}

/// A message on top of a page, read out when it comes.
pub(super) fn notice(words: &str) -> Markup {
    html! { p.notice role="status" { (words) } }
}
