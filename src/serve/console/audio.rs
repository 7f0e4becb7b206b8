//! Kept audio for the player, in ranges, as browsers ask for it.

use std::{io::SeekFrom, ops::Range};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use futures_util::stream;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, Take},
};

use super::{
    access::Visitor,
    refusal::{Refusal, Result},
    scan::attachment,
};
use crate::{
    config::Scope,
    decode::extension_of,
    serve::http::{App, extract::Id, scans::visible},
    store::{
        StoreError, UnixMs,
        audit::{self, Entry},
    },
};

const CHUNK_BYTES: usize = 64 << 10;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/console/scans/{id}/audio", get(audio))
}

async fn audio(State(app): State<App>, visitor: Visitor, Id(id): Id, headers: HeaderMap) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let gone = || Refusal::new(StatusCode::NOT_FOUND, "The audio of this scan is not kept.");
    let job = visible(&app.core, &visitor.caller, &id).await?;
    let path = app.core.audio_path(&job).ok_or_else(gone)?;
    let mut file = File::open(&path).await.map_err(|_| gone())?;
    let fault = |e| StoreError::io(&path, e);
    let bytes = file.metadata().await.map_err(fault)?.len();
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|text| range_of(text, bytes));
    let Some(range) = asked.clone().unwrap_or(Some(0..bytes)) else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        put(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{bytes}"));
        return Ok(response);
    };
    if app.console.is_first_hearing(&visitor.caller.name, &id) {
        let actor = visitor.caller.name;
        let heard = id.clone();
        let entry = move |tx: &rusqlite::Transaction<'_>| {
            audit::append(tx, &Entry::new(UnixMs::now(), &actor, "audio.played").on(&heard))
        };
        app.core.store.write(entry).await?;
    }
    file.seek(SeekFrom::Start(range.start)).await.map_err(fault)?;
    let mut response = Response::new(Body::from_stream(pieces(file.take(range.end - range.start))));
    let head = response.headers_mut();
    put(head, header::CONTENT_TYPE, media_type(&job.name));
    put(head, header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    put(head, header::ACCEPT_RANGES, "bytes");
    if asked.is_some() {
        put(head, header::CONTENT_RANGE, &format!("bytes {}-{}/{bytes}", range.start, range.end - 1));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    // Whatever is in it, no browser shows it as a page.
    Ok(attachment(response, &format!("clonewatch-{id}.audio")))
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
}

fn pieces(file: Take<File>) -> impl stream::Stream<Item = std::io::Result<Bytes>> {
    stream::try_unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(CHUNK_BYTES);
        let count = file.read_buf(&mut piece).await?;
        Ok((count > 0).then(|| (Bytes::from(piece), file)))
    })
}

/// The one range of `bytes=…`: `None` where it is to be left unheeded, `Some(None)` where there is no such range
/// (RFC 9110, section 14.1.2).
fn range_of(text: &str, bytes: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let range = match (first, last) {
        ("", last) => bytes.saturating_sub(number(last)?)..bytes,
        (first, "") => number(first)?..bytes,
        (first, last) => number(first)?..number(last)?.checked_add(1)?.min(bytes),
    };
    Some((range.start < range.end).then_some(range))
}

/// By the file's name; browsers look at the content themselves where this says nothing.
fn media_type(name: &str) -> &'static str {
    match extension_of(std::path::Path::new(name)).as_deref() {
        Some("wav") => "audio/wav",
        Some("mp3") => "audio/mpeg",
        Some("flac") => "audio/flac",
        Some("ogg" | "oga" | "opus") => "audio/ogg",
        Some("m4a" | "aac") => "audio/mp4",
        Some("mp4" | "mov") => "video/mp4",
        Some("webm" | "mkv") => "video/webm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_file() {
        for (text, expected) in [
            ("bytes=0-", Some(Some(0..10))),
            ("bytes=3-5", Some(Some(3..6))),
            ("bytes=9-99", Some(Some(9..10))),
            ("bytes=-3", Some(Some(7..10))),
            ("bytes=-99", Some(Some(0..10))),
            ("bytes=-0", Some(None)),
            ("bytes=10-", Some(None)),
            ("bytes=5-3", Some(None)),
            ("bytes=0-18446744073709551615", None),
            ("bytes=0-1,3-4", None),
            ("items=0-1", None),
            ("bytes=a-b", None),
        ] {
            assert_eq!(range_of(text, 10), expected, "{text}");
        }
        assert_eq!(range_of("bytes=0-", 0), Some(None));
    }
}
