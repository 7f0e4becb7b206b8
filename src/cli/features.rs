//! `clonewatch features`: log-mel features and speech masks of a protocol's files, as the network will see them.
//!
//! Writes into the output folder
//! - `logmel.npy`: `[total_frames × 80]`, float16 or float32, files one after the other
//! - `speech.npy`: `[total_frames]`, uint8, 1 where the speech gate says speech
//! - `index.csv`: a row per judged file: `row`, `frame_start`, `frames`, quality, then all columns of the protocol.
//!
//! Only channel 0 is taken: training material is mono.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use crate::{
    audio::Resampler,
    decode::{DecodeError, Decoder, Limits, OpenOptions},
    error::{Error, Exit, Result},
    features::MEL_BANDS,
    pool::ordered_map,
    screen::SpeechFront,
    speech::{FrameClass, Quality},
};

/// Arguments of `clonewatch features`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV with header; needs a column `path`, relative to the file
    pub protocol: PathBuf,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Take only rows with this value in this column; may be repeated
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub filters: Vec<String>,
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
    let (header, rows) = read_protocol(&args.protocol, &args.filters)?;
    let folder = args.protocol.parent().unwrap_or(Path::new("")).to_owned();
    let path_column = header.iter().position(|name| name == "path");
    let path_column =
        path_column.ok_or_else(|| Error::Config(format!("{}: no column path", args.protocol.display())))?;
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io(args.out.display(), e))?;
    let mut output = Output::create(&args.out, args.dtype, &header)?;
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut failure = None;
    let extract_row = |row: &csv::StringRecord| extract(&folder.join(row.get(path_column).unwrap_or("")));
    ordered_map(&rows, threads, &AtomicBool::new(false), extract_row, |index, extracted| {
        let row = &rows[index];
        let written = match extracted {
            Ok(extracted) => output.append(&extracted, row),
            Err(reason) => {
                eprintln!("{}: {reason}", row.get(path_column).unwrap_or(""));
                Ok(())
            }
        };
        failure = written.err();
        failure.is_none()
    });
    failure.map_or(Ok(()), |e| Err(Error::io(args.out.display(), e)))?;
    let (files, frames) = output.finish().map_err(|e| Error::io(args.out.display(), e))?;
    eprintln!("{files} of {} files, {frames} frames of {MEL_BANDS} bands", rows.len());
    Ok(Exit::BonaFide)
}

fn read_protocol(path: &Path, filters: &[String]) -> Result<(csv::StringRecord, Vec<csv::StringRecord>)> {
    let bad = |e: csv::Error| Error::Config(format!("{}: {e}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(bad)?;
    let header = reader.headers().map_err(bad)?.clone();
    let mut wanted: BTreeMap<usize, &str> = BTreeMap::new();
    for filter in filters {
        let parsed = filter
            .split_once('=')
            .and_then(|(name, value)| header.iter().position(|column| column == name).map(|column| (column, value)));
        let (column, value) = parsed.ok_or_else(|| {
            Error::Usage(format!("--where {filter}: expected COLUMN=VALUE with a column of the file"))
        })?;
        wanted.insert(column, value);
    }
    let keep = |row: &csv::StringRecord| wanted.iter().all(|(column, value)| row.get(*column) == Some(*value));
    let rows = reader.records().filter(|row| row.as_ref().map_or(true, keep)).collect::<Result<Vec<_>, _>>();
    Ok((header, rows.map_err(bad)?))
}

fn extract(path: &Path) -> std::result::Result<Extracted, String> {
    let reason = |e: DecodeError| e.to_string();
    let file = File::open(path).map_err(|e| e.to_string())?;
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let options = OpenOptions { raw: None, extension };
    let mut decoder = Decoder::open(Box::new(file), &options, &Limits::default()).map_err(reason)?;
    let mut resampler = Resampler::new(decoder.info().sample_rate_hz).map_err(|e| e.to_string())?;
    let mut front = SpeechFront::new();
    let mut extracted = Extracted { log_mel: Vec::new(), speech: Vec::new(), quality: Quality::default() };
    let mut keep = |chunk: crate::screen::GatedChunk<'_>| {
        extracted.log_mel.extend_from_slice(chunk.log_mel);
        extracted.speech.extend(chunk.classes.iter().map(|class| u8::from(*class == FrameClass::Speech)));
        Ok::<(), String>(())
    };
    let mut at_16k = Vec::new();
    while let Some(block) = decoder.next_block().map_err(reason)? {
        at_16k.clear();
        resampler.push(block.channel(0), &mut at_16k);
        front.push(&at_16k, &mut keep)?;
    }
    at_16k.clear();
    resampler.finish(&mut at_16k);
    front.push(&at_16k, &mut keep)?;
    front.finish(&mut keep)?;
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
    fn create(dir: &Path, dtype: Dtype, header: &csv::StringRecord) -> Result<Self> {
        let io = |e: std::io::Error| Error::io(dir.display(), e);
        let descr = if dtype == Dtype::F16 { "<f2" } else { "<f4" };
        let log_mel = NpyWriter::create(&dir.join("logmel.npy"), descr, Some(MEL_BANDS)).map_err(io)?;
        let speech = NpyWriter::create(&dir.join("speech.npy"), "|u1", None).map_err(io)?;
        let file = File::create(dir.join("index.csv")).map_err(io)?;
        let mut index = csv::Writer::from_writer(file);
        let own = ["row", "frame_start", "frames", "speech_secs", "measured_bandwidth_hz", "snr_db", "level_dbfs"];
        index.write_record(own.into_iter().chain(header)).map_err(|e| io(e.into()))?;
        Ok(Self { log_mel, speech, index, dtype, files: 0, frames: 0 })
    }

    fn append(&mut self, extracted: &Extracted, row: &csv::StringRecord) -> std::io::Result<()> {
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
        self.index.write_record(own.iter().map(String::as_str).chain(row)).map_err(std::io::Error::from)?;
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
