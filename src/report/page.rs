//! The page around the fragments: one style sheet, a policy that forbids every request, and no script but the sorting.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::strip::patterns;

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("style.css");
/// Sorts tables of class `sortable` by their headings.
pub const SORT_SCRIPT: &str = include_str!("sort.js");

/// Everything before the content, up to the open `main`. It asks for nothing from anywhere.
pub(super) fn page_start(title: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(SORT_SCRIPT));
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; \
         form-action 'none'"
    );
    let head = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="clonewatch";
                meta name="color-scheme" content="light dark";
                // An empty icon, so that no browser asks for one.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
        }
    };
    let head = head.0.trim_end_matches("</html>").to_owned();
    format!("{head}<body>{}<main>", patterns().0)
}

/// Everything after the content; `sortable` where a table may be sorted.
pub(super) fn page_end(sortable: bool) -> String {
    let script = html! { @if sortable { script { (PreEscaped(SORT_SCRIPT)) } } };
    format!("</main>{}</body></html>\n", script.0)
}

/// A headed section.
pub(super) fn section(title: &str, content: &Markup) -> Markup {
    html! { section { h2 { (title) } (content) } }
}
