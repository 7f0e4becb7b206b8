//! Style sheet and scripts, embedded in the program. Their addresses hold their hash, so browsers may keep them for ever.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::refusal::Refusal;
use crate::{
    model::sha256_hex,
    report::{SORT_SCRIPT, STYLE},
    serve::http::{App, extract::with_type},
};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Name, type and content of every file.
const FILES: [(&str, &str, &[&str]); 8] = [
    ("style.css", CSS, &[STYLE, include_str!("static/console.css"), include_str!("static/live.css")]),
    ("sort.js", JAVASCRIPT, &[SORT_SCRIPT]),
    ("wait.js", JAVASCRIPT, &[include_str!("static/wait.js")]),
    ("player.js", JAVASCRIPT, &[include_str!("static/player.js")]),
    ("scan.js", JAVASCRIPT, &[include_str!("static/scan.js")]),
    ("drop.js", JAVASCRIPT, &[include_str!("static/drop.js")]),
    ("live.js", JAVASCRIPT, &[include_str!("static/live.js")]),
    ("history.js", JAVASCRIPT, &[include_str!("static/history.js")]),
];

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: String,
    address: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(name, kind, parts): (&'static str, &'static str, &[&str])| {
        let content = parts.concat();
        let hash = sha256_hex(content.as_bytes());
        let address = format!("/console/static/{name}?{}", hash.get(..16).unwrap_or(&hash));
        Asset { name, kind, content, address }
    };
    FILES.map(asset).into()
});

pub(super) fn routes() -> Router<App> {
    Router::new().route("/console/static/{name}", get(file))
}

/// Where the file called `name` is.
pub(super) fn address(name: &str) -> &'static str {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    &found.expect("pages name only files of this table").address
}

async fn file(Path(name): Path<String>, uri: Uri) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return Refusal::new(StatusCode::NOT_FOUND, "There is no such file.").into_response();
    };
    let mut response = with_type(asset.kind, asset.content.as_str());
    // Scripts name each other without the hash.
    let is_exact = uri.path_and_query().is_some_and(|asked| asked.as_str() == asset.address);
    let kept = if is_exact { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kept = HeaderValue::from_static(kept);
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    response
}
