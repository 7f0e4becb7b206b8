//! What is shown of judged files beyond their verdicts: spectrograms and tags. Callers run these inside
//! [`super::Store::write`].

use rusqlite::{Connection, OptionalExtension, params};

use super::{JobId, Result};
use crate::{
    decode::Tags,
    report::{Picture, Portrait},
};

/// Pictures that are kept: the newest ones, whosever they are. At most 205 kB each, so at most 840 MB together.
pub const MOST_PICTURES: i64 = 4_096;
/// A picture that is larger is not kept.
const MAX_PNG_BYTES: usize = 300_000;

/// Keeps `portrait` of a job in place of an older one. Nothing happens where the job is gone.
///
/// # Errors
/// The database's.
pub fn keep(tx: &Connection, job: &JobId, portrait: &Portrait) -> Result<()> {
    if !tx.prepare_cached("SELECT 1 FROM jobs WHERE id = ?1")?.exists([job])? {
        return Ok(());
    }
    let tags = serde_json::to_string(&portrait.tags).expect("strings and numbers");
    tx.prepare_cached("INSERT OR REPLACE INTO tags (job, tags) VALUES (?1, ?2)")?.execute(params![job, tags])?;
    tx.prepare_cached("DELETE FROM pictures WHERE job = ?1")?.execute([job])?;
    let mut insert =
        tx.prepare_cached("INSERT INTO pictures (job, channel, top_hz, end_secs, png) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for picture in portrait.pictures.iter().filter(|picture| picture.png.len() <= MAX_PNG_BYTES) {
        insert.execute(params![job, picture.channel, picture.top_hz, picture.end_secs, picture.png])?;
    }
    tx.prepare_cached("DELETE FROM pictures WHERE seq <= (SELECT max(seq) FROM pictures) - ?1")?
        .execute([MOST_PICTURES])?;
    Ok(())
}

/// The tags that are kept of a job.
///
/// # Errors
/// The database's.
pub fn tags(connection: &Connection, job: &JobId) -> Result<Option<Tags>> {
    let mut select = connection.prepare_cached("SELECT tags FROM tags WHERE job = ?1")?;
    let text: Option<String> = select.query_row([job], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// A picture without its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outline {
    /// Index of the channel in the source, from 0.
    pub channel: u16,
    /// Frequency at the upper edge.
    pub top_hz: u32,
    /// Time at the right edge.
    pub end_secs: f64,
}

/// Which pictures are kept of a job.
///
/// # Errors
/// The database's.
pub fn outlines(connection: &Connection, job: &JobId) -> Result<Vec<Outline>> {
    let mut select =
        connection.prepare_cached("SELECT channel, top_hz, end_secs FROM pictures WHERE job = ?1 ORDER BY channel")?;
    let outline =
        |row: &rusqlite::Row<'_>| Ok(Outline { channel: row.get(0)?, top_hz: row.get(1)?, end_secs: row.get(2)? });
    Ok(select.query_map([job], outline)?.collect::<rusqlite::Result<_>>()?)
}

/// The pictures that are kept of a job: of one channel, or of all.
///
/// # Errors
/// The database's.
pub fn pictures(connection: &Connection, job: &JobId, channel: Option<u16>) -> Result<Vec<Picture>> {
    let mut select = connection.prepare_cached(
        "SELECT channel, png, top_hz, end_secs FROM pictures WHERE job = ?1 AND (?2 IS NULL OR channel = ?2)
         ORDER BY channel",
    )?;
    let picture = |row: &rusqlite::Row<'_>| {
        Ok(Picture { channel: row.get(0)?, png: row.get(1)?, top_hz: row.get(2)?, end_secs: row.get(3)? })
    };
    Ok(select.query_map(params![job, channel], picture)?.collect::<rusqlite::Result<_>>()?)
}
