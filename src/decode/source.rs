//! The guarded byte source: everything a demultiplexer reads goes through here and is counted against the limits.
//!
//! A demultiplexer takes its source by value and may report any trouble as "end of stream". So the source is shared:
//! each [`Handle`] given away reads through the same [`Guard`], which remembers the limit or the error that was hit.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use symphonia::core::io::MediaSource;

use super::{DecodeError, Limits};

/// Shared access to one guarded source.
#[derive(Clone)]
pub(super) struct Guard {
    shared: Arc<Mutex<Shared>>,
    is_seekable: bool,
    bytes: Option<u64>,
    max_channels: u16,
}

/// How far a source that cannot seek can be read again, before its audio begins.
const RECENT_BYTES: usize = 64 * 1_024;

struct Shared {
    source: Box<dyn MediaSource>,
    /// Where the source stands, in bytes.
    position: u64,
    is_seekable: bool,
    /// The last bytes read from a source that cannot seek, up to `position`, so that what was looked at first can be
    /// read again.
    recent: Vec<u8>,
    limits: Limits,
    started: Instant,
    read_bytes: u64,
    packet_bytes: u64,
    in_metadata: bool,
    trouble: Option<Trouble>,
}

/// The first thing that went wrong; later reads fail alike.
enum Trouble {
    Limit { which: &'static str, detail: String },
    Io(io::Error),
}

impl Guard {
    /// Guards `source`, which must stand at its start.
    pub(super) fn new(source: Box<dyn MediaSource>, limits: &Limits) -> Self {
        let (is_seekable, bytes) = (source.is_seekable(), source.byte_len());
        let shared = Shared {
            source,
            position: 0,
            is_seekable,
            recent: Vec::new(),
            limits: limits.clone(),
            started: Instant::now(),
            read_bytes: 0,
            packet_bytes: 0,
            in_metadata: true,
            trouble: None,
        };
        Self { shared: Arc::new(Mutex::new(shared)), is_seekable, bytes, max_channels: limits.max_channels }
    }

    /// Whether the source can go back.
    pub(super) fn is_seekable(&self) -> bool {
        self.is_seekable
    }

    /// Length of the source in bytes, where it is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// [`Limits::max_channels`].
    pub(super) fn max_channels(&self) -> u16 {
        self.max_channels
    }

    /// From here on, bytes no longer count as metadata.
    pub(super) fn audio_begins(&self) {
        self.lock().in_metadata = false;
    }

    /// The next packet begins here.
    pub(super) fn packet_begins(&self) {
        self.lock().packet_bytes = 0;
    }

    /// The limit or read error that was hit, if any. An I/O error is given away once.
    pub(super) fn trouble(&self) -> Option<DecodeError> {
        let mut shared = self.lock();
        shared.check_wall();
        match &shared.trouble {
            None => None,
            Some(Trouble::Limit { which, detail }) => Some(DecodeError::Limit { which, detail: detail.clone() }),
            Some(Trouble::Io(error)) => {
                let kind = error.kind();
                match shared.trouble.replace(Trouble::Io(kind.into())) {
                    Some(Trouble::Io(error)) => Some(DecodeError::Io(error)),
                    _ => None,
                }
            }
        }
    }

    /// Reads up to `buffer.len()` bytes at `position`, fewer only at the end of the source.
    pub(super) fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.lock();
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match shared.read_at(position + filled as u64, rest)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// One read at `position`, wherever the source stands.
    fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let back_bytes = self.position.checked_sub(position).and_then(|bytes| usize::try_from(bytes).ok());
        if let (false, Some(back_bytes @ 1..)) = (self.is_seekable, back_bytes) {
            let start = self.recent.len().checked_sub(back_bytes);
            let start = start.ok_or_else(|| io::Error::other("the source cannot go back"))?;
            let count = buffer.len().min(back_bytes);
            buffer[..count].copy_from_slice(&self.recent[start..start + count]);
            return Ok(count);
        }
        self.go_to(position)?;
        self.read(buffer)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check_wall();
        if self.trouble.is_some() {
            return Err(io::Error::other("a limit or an earlier error stopped reading"));
        }
        let count = loop {
            match self.source.read(buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.remember(error)),
            }
        };
        self.position += count as u64;
        self.keep(&buffer[..count]);
        self.read_bytes = self.read_bytes.saturating_add(count as u64);
        self.check(self.read_bytes <= self.limits.max_bytes, "max_bytes", |limits| {
            format!("more than {} bytes to read", limits.max_bytes)
        });
        self.packet_bytes = if self.in_metadata { 0 } else { self.packet_bytes.saturating_add(count as u64) };
        self.check(self.packet_bytes <= self.limits.max_packet_bytes, "max_packet_bytes", |limits| {
            format!("one packet takes more than {} bytes", limits.max_packet_bytes)
        });
        let metadata_ok = !self.in_metadata || self.read_bytes <= self.limits.max_metadata_bytes;
        self.check(metadata_ok, "max_metadata_bytes", |limits| {
            format!("no audio within the first {} bytes", limits.max_metadata_bytes)
        });
        if self.trouble.is_some() {
            return Err(io::Error::other("a limit stopped reading"));
        }
        Ok(count)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_seekable || !self.in_metadata {
            return;
        }
        self.recent.extend_from_slice(bytes);
        if self.recent.len() > 2 * RECENT_BYTES {
            let surplus = self.recent.len() - RECENT_BYTES;
            self.recent.drain(..surplus);
        }
    }

    /// Seeks, or reads on where the source cannot.
    fn go_to(&mut self, position: u64) -> io::Result<()> {
        if position == self.position {
            return Ok(());
        }
        if self.is_seekable {
            return match self.source.seek(SeekFrom::Start(position)) {
                Ok(reached) => {
                    self.position = reached;
                    Ok(())
                }
                Err(error) => Err(self.remember(error)),
            };
        }
        let Some(mut skip_bytes) = position.checked_sub(self.position) else {
            return Err(io::Error::other("the source cannot go back"));
        };
        let mut scratch = [0_u8; 4_096];
        while skip_bytes > 0 {
            let part = scratch.len().min(usize::try_from(skip_bytes).unwrap_or(usize::MAX));
            match self.read(&mut scratch[..part])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => skip_bytes -= count as u64,
            }
        }
        Ok(())
    }

    fn remember(&mut self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        self.trouble.get_or_insert(Trouble::Io(error));
        copy
    }

    fn check_wall(&mut self) {
        let in_time = self.started.elapsed() <= self.limits.wall();
        self.check(in_time, "max_wall_secs", |limits| format!("not done after {} s", limits.max_wall_secs));
    }

    fn check(&mut self, holds: bool, which: &'static str, detail: impl FnOnce(&Limits) -> String) {
        if !holds && self.trouble.is_none() {
            self.trouble = Some(Trouble::Limit { which, detail: detail(&self.limits) });
        }
    }
}

/// A reader over a guarded source: a few bytes of our own (the prefix), then the source from some position on.
pub(super) struct Handle {
    guard: Guard,
    prefix: Vec<u8>,
    /// Source position that follows the prefix.
    base: u64,
    /// Position as the reader sees it: 0 is the start of the prefix.
    position: u64,
    as_pipe: bool,
}

impl Handle {
    /// Shows `prefix` followed by the source from byte `base`.
    pub(super) fn new(guard: &Guard, prefix: Vec<u8>, base: u64) -> Self {
        Self { guard: guard.clone(), prefix, base, position: 0, as_pipe: false }
    }

    /// The same, but it claims that it cannot seek: demultiplexers then read from start to end only.
    pub(super) fn piped(self) -> Self {
        Self { as_pipe: true, ..self }
    }

    fn visible_bytes(&self) -> Option<u64> {
        Some(self.guard.bytes?.saturating_sub(self.base) + self.prefix.len() as u64)
    }
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let in_prefix = usize::try_from(self.position).ok().and_then(|start| self.prefix.get(start..));
        let count = match in_prefix.filter(|rest| !rest.is_empty()) {
            Some(rest) => {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                count
            }
            None => {
                let position = self.position - self.prefix.len() as u64 + self.base;
                self.guard.lock().read_at(position, buffer)?
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "seek to before the start");
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => {
                let end = self.visible_bytes().ok_or_else(|| io::Error::other("the length is unknown"))?;
                end.checked_add_signed(offset)
            }
        };
        self.position = target.ok_or_else(outside)?;
        Ok(self.position)
    }
}

impl MediaSource for Handle {
    fn is_seekable(&self) -> bool {
        self.guard.is_seekable && !self.as_pipe
    }

    fn byte_len(&self) -> Option<u64> {
        self.visible_bytes().filter(|_| !self.as_pipe)
    }
}
