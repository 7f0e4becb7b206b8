//! The audit log as a page: newest rows first, and whether the chain is whole. Pure: rows in, markup out.

use maud::{Markup, html};

use crate::{
    cli::render::printable,
    store::audit::{Chain, Head, Record},
};

/// Rows of one page.
pub(super) const PAGE: u32 = 50;

/// What the page shows.
pub(super) struct Shown {
    pub(super) rows: Vec<Record>,
    pub(super) head: Head,
    /// Whether these are the newest.
    pub(super) is_first: bool,
    /// Where the chain was followed just now.
    pub(super) chain: Option<Chain>,
}

/// The page's content.
pub(super) fn content(shown: &Shown) -> Markup {
    let oldest = shown.rows.last().map_or(0, |row| row.seq);
    html! {
        h1 { "Audit log" }
        p {
            "Who did what. Each row holds the hash of the one before, so that no row can be changed or taken out unseen. \
             Note the last row's hash elsewhere: "
            code { "clonewatch audit verify --head " (shown.head.seq) ":…" } " will ask for it."
        }
        p.hash { "Row " (shown.head.seq) ": " (shown.head.hash) }
        form method="get" action="/console/audit" {
            button name="verify" value="true" { "Verify the chain" }
        }
        div role="status" { @if let Some(chain) = &shown.chain { (outcome(chain)) } }
        @if shown.rows.is_empty() { p.note { "No rows." } } @else { (table(&shown.rows)) }
        nav.pages aria-label="Pages of the audit log" {
            @if !shown.is_first { a href="/console/audit" { "Newest" } }
            @if oldest > 1 { a href=(format!("/console/audit?before={oldest}")) { "Older" } }
        }
    }
}

fn outcome(chain: &Chain) -> Markup {
    html! {
        @match chain {
            Chain::Whole(head) => p.answer.small.genuine { "The chain is whole: " (head.seq) " rows follow from each other." },
            Chain::Broken { seq, why } => p.answer.small.cloned { "The chain is broken at row " (seq) ": " (why) "." },
        }
    }
}

fn table(rows: &[Record]) -> Markup {
    html! {
        div.scroll role="region" aria-label="Rows of the audit log" tabindex="0" {
            table.audit {
                thead { tr {
                    th.number scope="col" { "Row" } th scope="col" { "When, UTC" } th scope="col" { "Who" } th scope="col" { "What" }
                    th scope="col" { "Scan or call" } th scope="col" { "More" } th scope="col" { "Hash" }
                } }
                tbody { @for row in rows { (line(row)) } }
            }
        }
    }
}

fn line(row: &Record) -> Markup {
    let entry: serde_json::Value = serde_json::from_str(&row.content).unwrap_or_default();
    let text = |key: &str| printable(entry.get(key).and_then(serde_json::Value::as_str).unwrap_or_default());
    let at = text("at").get(..19).unwrap_or_default().replace('T', " ");
    let scan = text("scan");
    let revision = entry.get("revision").map(|revision| format!("revision {revision}"));
    let more = [text("decision"), revision.unwrap_or_default(), text("policy"), text("note")];
    let more: Vec<String> = more.into_iter().filter(|part| !part.is_empty()).collect();
    html! {
        tr {
            td.number { (row.seq) }
            td.time { (at) }
            td { (text("actor")) }
            td { (text("action")) }
            td.hash { @if !scan.is_empty() { a href=(format!("/console/scans/{scan}")) { (scan.get(..8).unwrap_or(&scan)) "…" } } }
            td.wrap { (more.join(", ")) }
            td.hash { span title=(row.hash) { (row.hash.get(..8).unwrap_or(&row.hash)) "…" } }
        }
    }
}
