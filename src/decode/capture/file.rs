//! Capture files record by record: classic pcap (both byte orders, micro- and nanoseconds) and pcapng.
//!
//! Sources: the IETF drafts draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. A file that ends within a record ends
//! before it. What is neither a packet nor needed to read one is skipped.

use std::{
    io::{self, BufReader, Read},
    time::Duration,
};

use super::super::{
    DecodeError,
    source::{Guard, Handle},
};

/// Longest record: libpcap's own limit.
const MAX_RECORD_BYTES: usize = 262_144;
/// Interfaces of a pcapng section; packets of further ones are skipped.
const MAX_INTERFACES: usize = 256;

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Name of the capture format that a file begins with.
pub(crate) fn container(head: &[u8]) -> Option<&'static str> {
    match u32::from_be_bytes(*head.first_chunk()?) {
        SECTION_HEADER => Some("pcapng"),
        0xA1B2_C3D4 | 0xD4C3_B2A1 | 0xA1B2_3C4D | 0x4D3C_B2A1 => Some("pcap"),
        _ => None,
    }
}

/// Whether a result's container is a capture.
pub(crate) fn is_container(name: &str) -> bool {
    matches!(name, "pcap" | "pcapng")
}

/// One captured packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    /// Registered number of the link layer (LINKTYPE_).
    pub(super) link_type: u16,
    /// Since any moment.
    pub(super) at: Duration,
    pub(super) data: &'a [u8],
    /// The capture kept only the beginning of the packet.
    pub(super) is_cut: bool,
}

/// Reads the records of a guarded source in order.
pub(super) struct CaptureFile {
    guard: Guard,
    reader: BufReader<Handle>,
    format: Format,
    is_big_endian: bool,
    last_at: Duration,
    record: Vec<u8>,
}

enum Format {
    Pcap { link_type: u16, ticks_per_sec: u64 },
    Pcapng { interfaces: Vec<Interface> },
}

#[derive(Clone, Copy)]
struct Interface {
    link_type: u16,
    ticks_per_sec: u64,
}

/// What a record of a pcapng file turned out to be.
struct Packet {
    link_type: u16,
    at: Duration,
    data: std::ops::Range<usize>,
    is_cut: bool,
}

impl CaptureFile {
    /// Begins at the start of the source.
    pub(super) fn open(guard: &Guard) -> Result<Self, DecodeError> {
        guard.audio_begins();
        let mut file = Self {
            guard: guard.clone(),
            reader: BufReader::with_capacity(1 << 16, Handle::new(guard, Vec::new(), 0)),
            format: Format::Pcapng { interfaces: Vec::new() },
            is_big_endian: false,
            last_at: Duration::ZERO,
            record: Vec::new(),
        };
        let mut magic = [0; 4];
        if !file.fill(&mut magic)? {
            return Err(broken("the file ends within its header"));
        }
        let magic = u32::from_be_bytes(magic);
        if magic == SECTION_HEADER {
            if !file.begin_section()? {
                return Err(broken("the file ends within its header"));
            }
            return Ok(file);
        }
        file.is_big_endian = matches!(magic, 0xA1B2_C3D4 | 0xA1B2_3C4D);
        let ticks_per_sec = if matches!(magic, 0xA1B2_3C4D | 0x4D3C_B2A1) { 1_000_000_000 } else { 1_000_000 };
        let mut rest = [0; 20];
        if !file.fill(&mut rest)? {
            return Err(broken("the file ends within its header"));
        }
        // The upper bits say how long frame check sequences are.
        let link_type = file.u32_in(&rest, 16) as u16;
        file.format = Format::Pcap { link_type, ticks_per_sec };
        Ok(file)
    }

    /// The next packet; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, DecodeError> {
        self.guard.packet_begins();
        let found = match &self.format {
            Format::Pcap { link_type, ticks_per_sec } => {
                let (link_type, ticks_per_sec) = (*link_type, *ticks_per_sec);
                self.next_pcap(link_type, ticks_per_sec)?
            }
            Format::Pcapng { .. } => self.next_pcapng()?,
        };
        let Some(packet) = found else { return Ok(None) };
        self.last_at = packet.at;
        let Packet { link_type, at, data, is_cut } = packet;
        Ok(Some(Record { link_type, at, data: self.record.get(data).unwrap_or_default(), is_cut }))
    }

    fn next_pcap(&mut self, link_type: u16, ticks_per_sec: u64) -> Result<Option<Packet>, DecodeError> {
        let mut head = [0; 16];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let [secs, fraction, kept, whole] = [0, 4, 8, 12].map(|at| self.u32_in(&head, at));
        if !self.read_record(kept as usize)? {
            return Ok(None);
        }
        let at = Duration::from_secs(u64::from(secs)) + ticks(u64::from(fraction), ticks_per_sec);
        Ok(Some(Packet { link_type, at, data: 0..kept as usize, is_cut: kept < whole }))
    }

    fn next_pcapng(&mut self) -> Result<Option<Packet>, DecodeError> {
        loop {
            self.guard.packet_begins();
            let mut head = [0; 4];
            if !self.fill(&mut head)? {
                return Ok(None);
            }
            let kind = self.u32_in(&head, 0);
            if kind == SECTION_HEADER {
                if !self.begin_section()? {
                    return Ok(None);
                }
                continue;
            }
            if !self.fill(&mut head)? {
                return Ok(None);
            }
            let block_bytes = self.u32_in(&head, 0) as usize;
            let Some(body_bytes) = block_bytes.checked_sub(8) else { return Err(broken("a block has no length")) };
            match kind {
                INTERFACE | SIMPLE_PACKET | ENHANCED_PACKET => {
                    if !self.read_record(body_bytes)? {
                        return Ok(None);
                    }
                }
                _ => {
                    if !self.skip(body_bytes as u64)? {
                        return Ok(None);
                    }
                }
            }
            match kind {
                INTERFACE => self.add_interface(),
                SIMPLE_PACKET | ENHANCED_PACKET => {
                    if let Some(packet) = self.block_packet(kind) {
                        return Ok(Some(packet));
                    }
                }
                _ => {}
            }
        }
    }

    /// Reads a section header after its type: the byte order of what follows.
    fn begin_section(&mut self) -> Result<bool, DecodeError> {
        let mut head = [0; 8];
        if !self.fill(&mut head)? {
            return Ok(false);
        }
        self.is_big_endian = match &head[4..] {
            [0x1A, 0x2B, 0x3C, 0x4D] => true,
            [0x4D, 0x3C, 0x2B, 0x1A] => false,
            _ => return Err(broken("a section has no byte order")),
        };
        let block_bytes = u64::from(self.u32_in(&head, 0));
        self.format = Format::Pcapng { interfaces: Vec::new() };
        let rest = block_bytes.checked_sub(12).ok_or_else(|| broken("a section header has no length"))?;
        self.skip(rest)
    }

    fn add_interface(&mut self) {
        let link_type = self.u16_in(&self.record, 0);
        let mut interface = Interface { link_type, ticks_per_sec: 1_000_000 };
        let mut at = 8;
        // Options: code, length, value, padded to four bytes; 9 is the resolution of time stamps.
        while let Some(head) = self.record.get(at..at + 4) {
            let (code, bytes) = (self.u16_in(head, 0), usize::from(self.u16_in(head, 2)));
            match (code, self.record.get(at + 4)) {
                (0, _) => break,
                (9, Some(&resolution)) if bytes == 1 => interface.ticks_per_sec = ticks_per_sec(resolution),
                _ => {}
            }
            at += 4 + bytes.next_multiple_of(4);
        }
        if let Format::Pcapng { interfaces } = &mut self.format
            && interfaces.len() < MAX_INTERFACES
        {
            interfaces.push(interface);
        }
    }

    fn block_packet(&self, kind: u32) -> Option<Packet> {
        let Format::Pcapng { interfaces } = &self.format else { return None };
        let record = &self.record;
        // The block's length stands once more at its end.
        let most = record.len().saturating_sub(4);
        if kind == SIMPLE_PACKET {
            let whole = self.u32_in(record, 0) as usize;
            let kept = whole.min(most.saturating_sub(4));
            let link_type = interfaces.first()?.link_type;
            return Some(Packet { link_type, at: self.last_at, data: 4..4 + kept, is_cut: kept < whole });
        }
        let interface = interfaces.get(self.u32_in(record, 0) as usize)?;
        let [high, low, kept, whole] = [4, 8, 12, 16].map(|at| self.u32_in(record, at));
        let at = ticks(u64::from(high) << 32 | u64::from(low), interface.ticks_per_sec);
        let end = 20_usize.checked_add(kept as usize).filter(|end| *end <= most)?;
        Some(Packet { link_type: interface.link_type, at, data: 20..end, is_cut: kept < whole })
    }

    fn read_record(&mut self, bytes: usize) -> Result<bool, DecodeError> {
        if bytes > MAX_RECORD_BYTES {
            return Err(broken(&format!("a record of {bytes} bytes: at most {MAX_RECORD_BYTES}")));
        }
        let mut record = std::mem::take(&mut self.record);
        record.resize(bytes, 0);
        let is_whole = self.fill(&mut record);
        self.record = record;
        is_whole
    }

    /// False where the file ends first.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, DecodeError> {
        match self.reader.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) => match self.guard.trouble() {
                Some(trouble) => Err(trouble),
                None if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                None => Err(DecodeError::Io(error)),
            },
        }
    }

    fn skip(&mut self, bytes: u64) -> Result<bool, DecodeError> {
        let mut left = bytes;
        let mut scratch = [0; 4_096];
        while left > 0 {
            let part = scratch.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if !self.fill(&mut scratch[..part])? {
                return Ok(false);
            }
            self.guard.packet_begins();
            left -= part as u64;
        }
        Ok(true)
    }

    /// 0 where there are not so many bytes.
    fn u32_in(&self, bytes: &[u8], at: usize) -> u32 {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn u16_in(&self, bytes: &[u8], at: usize) -> u16 {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }
}

/// A power of ten, or with the highest bit set of two.
fn ticks_per_sec(resolution: u8) -> u64 {
    let exponent = u32::from(resolution & 0x7F);
    let power = if resolution & 0x80 == 0 { 10_u64.checked_pow(exponent) } else { 2_u64.checked_pow(exponent) };
    power.unwrap_or(1_000_000)
}

fn ticks(count: u64, per_sec: u64) -> Duration {
    let nanos = u128::from(count % per_sec) * 1_000_000_000 / u128::from(per_sec);
    Duration::from_secs(count / per_sec) + Duration::from_nanos(nanos as u64)
}

fn broken(detail: &str) -> DecodeError {
    DecodeError::Undecodable { container: None, codec: None, detail: detail.to_owned() }
}
