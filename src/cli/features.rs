//! `clonewatch features`: log-mel features and speech masks of a protocol's files, as the network will see them.
//!
//! Writes into the output folder
//! - `logmel.npy`: `[total_frames × 80]`, float16 or float32, files one after the other
//! - `speech.npy`: `[total_frames]`, uint8, 1 where the speech gate says speech
//! - `index.csv`: a row per judged file: `row`, `frame_start`, `frames`, quality, then all columns of the protocol.
//!
//! Only channel 0 is taken: training material is mono.

use std::{
    convert::Infallible,
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use super::{
    eval::protocol::{Families, Filter, Protocol},
    note,
};
use crate::{
    decode::{DecodeError, Limits, first_channel_16k},
    error::{Error, Exit, Result},
    features::MEL_BANDS,
    pool::ordered_map,
    screen::{GatedChunk, SpeechFront},
    speech::{FrameClass, Quality},
};

/// Arguments of `clonewatch features`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV with header; needs columns path (relative to the file) and label (bonafide or spoof)
    pub protocol: PathBuf,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Take only rows where this holds (COLUMN=VALUE or COLUMN!=VALUE); may be repeated
    #[arg(long = "where", value_name = "FILTER")]
    pub filters: Vec<Filter>,
    /// Number format of the features
    #[arg(long, value_enum, default_value_t = Dtype::F16)]
    pub dtype: Dtype,
    /// Threads to use (default: one per core)
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Number format of `logmel.npy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dtype {
    /// Half precision: 0.005 at the feature floor of -10.
    F16,
    /// Single precision.
    F32,
}

/// One file's features.
struct Extracted {
    log_mel: Vec<f32>,
    speech: Vec<u8>,
    quality: Quality,
}

/// Extracts every file of the protocol; files that cannot be decoded are named on standard error and left out.
///
/// # Errors
/// Unusable protocol, output that cannot be written.
pub fn run(args: &Args) -> Result<Exit> {
    let mut protocol = Protocol::read(&args.protocol)?;
    let mut selected = protocol.select(&args.filters, &Families::All)?.into_iter();
    protocol.rows.retain(|_| selected.next() == Some(true));
    let Protocol { columns, rows } = protocol;
    let io = |e: std::io::Error| Error::io(args.out.display(), e);
    std::fs::create_dir_all(&args.out).map_err(io)?;
    let mut output = Output::create(&args.out, args.dtype, &columns).map_err(io)?;
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut failure = None;
    ordered_map(
        &rows,
        threads,
        &AtomicBool::new(false),
        |row| extract(&row.path),
        |index, extracted| {
            let row = &rows[index];
            match extracted {
                Ok(extracted) => failure = output.append(&extracted, &row.fields).err(),
                Err(reason) => note(format_args!("{}: {reason}", row.path.display())),
            }
            failure.is_none()
        },
    );
    failure.map_or(Ok(()), |e| Err(io(e)))?;
    let (files, frames) = output.finish().map_err(io)?;
    note(format_args!("{files} of {} files, {frames} frames of {MEL_BANDS} bands", rows.len()));
    Ok(Exit::BonaFide)
}

fn extract(path: &Path) -> Result<Extracted, DecodeError> {
    let mut front = SpeechFront::new();
    let mut extracted = Extracted { log_mel: Vec::new(), speech: Vec::new(), quality: Quality::default() };
    let mut keep = |chunk: GatedChunk<'_>| -> Result<(), Infallible> {
        extracted.log_mel.extend_from_slice(chunk.log_mel);
        extracted.speech.extend(chunk.classes.iter().map(|class| u8::from(*class == FrameClass::Speech)));
        Ok(())
    };
    first_channel_16k(path, &Limits::default(), |samples| front.push(samples, &mut keep).is_ok())?;
    let Ok(()) = front.finish(&mut keep);
    extracted.quality = front.quality();
    Ok(extracted)
}

/// The three files, written as results come.
struct Output {
    log_mel: NpyWriter,
    speech: NpyWriter,
    index: csv::Writer<File>,
    dtype: Dtype,
    files: usize,
    frames: usize,
}

impl Output {
    fn create(dir: &Path, dtype: Dtype, columns: &[String]) -> std::io::Result<Self> {
        let descr = if dtype == Dtype::F16 { "<f2" } else { "<f4" };
        let log_mel = NpyWriter::create(&dir.join("logmel.npy"), descr, Some(MEL_BANDS))?;
        let speech = NpyWriter::create(&dir.join("speech.npy"), "|u1", None)?;
        let file = File::create(dir.join("index.csv"))?;
        let mut index = csv::Writer::from_writer(file);
        let own = ["row", "frame_start", "frames", "speech_secs", "measured_bandwidth_hz", "snr_db", "level_dbfs"];
        index.write_record(own.into_iter().chain(columns.iter().map(String::as_str)))?;
        Ok(Self { log_mel, speech, index, dtype, files: 0, frames: 0 })
    }

    fn append(&mut self, extracted: &Extracted, fields: &[String]) -> std::io::Result<()> {
        let Extracted { log_mel, speech, quality } = extracted;
        match self.dtype {
            Dtype::F16 => log_mel.iter().try_for_each(|x| self.log_mel.write(&half_bits(*x).to_le_bytes()))?,
            Dtype::F32 => log_mel.iter().try_for_each(|x| self.log_mel.write(&x.to_le_bytes()))?,
        }
        self.speech.write(speech)?;
        let number = |value: Option<f32>| value.map_or_else(String::new, |v| format!("{v:.1}"));
        let own = [
            self.files.to_string(),
            self.frames.to_string(),
            speech.len().to_string(),
            format!("{:.2}", quality.speech_secs),
            quality.bandwidth_hz.map_or_else(String::new, |hz| hz.to_string()),
            number(quality.snr_db),
            number(quality.level_dbfs),
        ];
        self.index.write_record(own.iter().chain(fields))?;
        self.files += 1;
        self.frames += speech.len();
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<(usize, usize)> {
        self.log_mel.finish(self.frames)?;
        self.speech.finish(self.frames)?;
        self.index.flush()?;
        Ok((self.files, self.frames))
    }
}

/// NumPy's array file, format 1.0, whose length is filled in at the end.
struct NpyWriter {
    file: BufWriter<File>,
    descr: &'static str,
    columns: Option<usize>,
}

/// Header length that leaves room for any frame count, magic and version included.
const NPY_HEADER_BYTES: usize = 128;

impl NpyWriter {
    fn create(path: &Path, descr: &'static str, columns: Option<usize>) -> std::io::Result<Self> {
        let mut writer = Self { file: BufWriter::new(File::create(path)?), descr, columns };
        writer.header(0)?;
        Ok(writer)
    }

    fn header(&mut self, rows: usize) -> std::io::Result<()> {
        let shape = self.columns.map_or_else(|| format!("({rows},)"), |columns| format!("({rows}, {columns})"));
        let text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}", self.descr);
        let text_bytes = NPY_HEADER_BYTES - 10;
        self.file.write_all(b"\x93NUMPY\x01\x00")?;
        self.file.write_all(&(text_bytes as u16).to_le_bytes())?;
        self.file.write_all(format!("{text:<width$}\n", width = text_bytes - 1).as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)
    }

    fn finish(&mut self, rows: usize) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.header(rows)?;
        self.file.flush()
    }
}

/// IEEE 754 binary16 of `value`, round to nearest even, for features: finite, |value| well under 65,504.
fn half_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = f32::from_bits(bits & 0x7fff_ffff);
    // Below 2^-14 the half is subnormal: steps of 2^-24.
    if magnitude < 6.103_515_6e-5 {
        return sign | (magnitude * 16_777_216.0).round_ties_even() as u16;
    }
    let rebased = magnitude.to_bits().wrapping_sub(112 << 23);
    let rounded = rebased.wrapping_add(0x0fff + ((rebased >> 13) & 1)) >> 13;
    sign | rounded.min(0x7c00) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_match_ieee_754() {
        for (value, bits) in [
            (0.0, 0x0000),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-10.0, 0xc900),
            (0.1, 0x2e66),
            (65_504.0, 0x7bff),
            (6e-8, 0x0001),
            (1.000_976_6, 0x3c01),
            (2_049.0, 0x6800),
            (1e9, 0x7c00),
        ] {
            assert_eq!(half_bits(value), bits, "{value}");
        }
    }
}
