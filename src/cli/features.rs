//! `clonewatch features`: log-mel features and speech masks of a protocol's files, as the network will see them.
//!
//! Writes into the output folder
//! - `logmel.npy`: `[total_frames × 80]`, float16 or float32, files one after the other
//! - `speech.npy`: `[total_frames]`, uint8, 1 where the speech gate says speech
//! - `fine.npy`: `[files × FINE_DIMS]`, float32, statistics of the fine spectrum over each file's speech
//! - `index.csv`: a row per judged file: `row`, `frame_start`, `frames`, quality, then all columns of the protocol.
//!
//! Only channel 0 is taken: training material is mono. A file's features wait in memory for their turn, so longer files
//! than [`MAX_FILE_SECS`] are left out.

use std::{
    convert::Infallible,
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{
    engine::threads_or_cores,
    eval::protocol::{Families, Filter, Protocol, Row},
    interrupt::Interrupt,
    note,
    render::printable,
};
use crate::{
    decode::{DecodeError, Limits, first_channel_16k},
    error::{Error, Exit, Result},
    features::{FINE_DIMS, FineStats, MEL_BANDS},
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
    /// Threads to use [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// Number format of `logmel.npy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dtype {
    /// Half precision: 0.005 at the feature floor of -10.
    F16,
    /// Single precision.
    F32,
}

/// An hour's features take 58 MB at half precision.
const MAX_FILE_SECS: u64 = 3_600;

impl Dtype {
    fn encode(self, values: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Self::F16 => values.iter().for_each(|x| bytes.extend(half_bits(*x).to_le_bytes())),
            Self::F32 => values.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        }
    }
}

/// One file's features.
#[derive(Default)]
struct Extracted {
    /// [frames × bands], row-major, in the bytes of the output.
    log_mel: Vec<u8>,
    speech: Vec<u8>,
    fine: FineStats,
    quality: Quality,
}

/// Extracts every file of the protocol; files that cannot be decoded are named on standard error and left out.
///
/// # Errors
/// Unusable protocol, output that cannot be written, interruption, not one file that could be used.
pub fn run(args: &Args) -> Result<Exit> {
    let mut protocol = Protocol::read(&args.protocol)?;
    let mut selected = protocol.select(&args.filters, &Families::All)?.into_iter();
    protocol.rows.retain(|_| selected.next() == Some(true));
    let Protocol { columns, rows } = protocol;
    if rows.is_empty() {
        return Err(Error::Usage(format!("{}: no row is left after the filters", args.protocol.display())));
    }
    let io = |e: std::io::Error| Error::io(args.out.display(), e);
    std::fs::create_dir_all(&args.out).map_err(io)?;
    let mut output = Output::create(&args.out, args.dtype, &columns).map_err(io)?;
    let interrupt = Interrupt::listen()?;
    extract_all(args, &rows, &interrupt, &mut output).map_err(io)?;
    let (files, frames) = output.finish().map_err(io)?;
    note(format_args!("{files} of {} files, {frames} frames of {MEL_BANDS} bands", rows.len()));
    if interrupt.is_raised() {
        return Err(Error::Interrupted);
    }
    if files == 0 {
        return Err(Error::Usage(format!("{}: none of its files could be used", args.protocol.display())));
    }
    Ok(Exit::BonaFide)
}

/// Extracts and writes until the end, a signal, or output that cannot be written.
fn extract_all(args: &Args, rows: &[Row], interrupt: &Interrupt, output: &mut Output) -> std::io::Result<()> {
    let mut written = Ok(());
    let work = |row: &Row| extract(&row.path, args.dtype);
    ordered_map(rows, threads_or_cores(args.threads), interrupt.flag(), work, |index, extracted| {
        let row = &rows[index];
        match extracted {
            Ok(extracted) => written = output.append(&extracted, &row.fields),
            Err(reason) => {
                let line = format!("clonewatch: {}: {reason}", row.path.display());
                note(printable(&line));
            }
        }
        written.is_ok()
    });
    written
}

fn extract(path: &Path, dtype: Dtype) -> Result<Extracted, DecodeError> {
    let mut front = SpeechFront::new();
    let mut extracted = Extracted::default();
    let mut keep = |chunk: GatedChunk<'_>| -> Result<(), Infallible> {
        dtype.encode(chunk.log_mel, &mut extracted.log_mel);
        chunk.fine_blocks().iter().for_each(|block| extracted.fine.merge(block));
        extracted.speech.extend(chunk.classes.iter().map(|class| u8::from(*class == FrameClass::Speech)));
        Ok(())
    };
    let limits = Limits { max_decoded_secs: MAX_FILE_SECS, ..Limits::default() };
    first_channel_16k(path, &limits, |samples| front.push(samples, &mut keep).is_ok())?;
    let Ok(()) = front.finish(&mut keep);
    extracted.quality = front.quality();
    Ok(extracted)
}

/// The four files, written as results come.
struct Output {
    log_mel: NpyWriter,
    speech: NpyWriter,
    fine: NpyWriter,
    index: csv::Writer<File>,
    files: usize,
    frames: usize,
}

impl Output {
    fn create(dir: &Path, dtype: Dtype, columns: &[String]) -> std::io::Result<Self> {
        let descr = if dtype == Dtype::F16 { "<f2" } else { "<f4" };
        let log_mel = NpyWriter::create(&dir.join("logmel.npy"), descr, Some(MEL_BANDS))?;
        let speech = NpyWriter::create(&dir.join("speech.npy"), "|u1", None)?;
        let fine = NpyWriter::create(&dir.join("fine.npy"), "<f4", Some(FINE_DIMS))?;
        let file = File::create(dir.join("index.csv"))?;
        let mut index = csv::Writer::from_writer(file);
        let own = ["row", "frame_start", "frames", "speech_secs", "measured_bandwidth_hz", "snr_db", "level_dbfs"];
        index.write_record(own.into_iter().chain(columns.iter().map(String::as_str)))?;
        Ok(Self { log_mel, speech, fine, index, files: 0, frames: 0 })
    }

    fn append(&mut self, extracted: &Extracted, fields: &[String]) -> std::io::Result<()> {
        let Extracted { log_mel, speech, fine, quality } = extracted;
        self.log_mel.write(log_mel)?;
        self.speech.write(speech)?;
        let (mut statistics, mut bytes) = (Vec::new(), Vec::new());
        fine.write(&mut statistics);
        Dtype::F32.encode(&statistics, &mut bytes);
        self.fine.write(&bytes)?;
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
        self.fine.finish(self.files)?;
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
