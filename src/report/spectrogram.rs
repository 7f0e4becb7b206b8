//! A channel's spectrogram as a PNG: power per frame → at most [`MAX_COLUMNS`] columns → 32 shades.
//!
//! The length must be known beforehand, so that columns can be averaged as frames come in: memory is the picture's own,
//! about 1.2 MB, however long the channel is. 32 shades take little more than five bits each when coded, so a picture stays
//! below 225 kB, and below 300 kB in base64, whatever is in it.

use crate::features::POWER_BINS;

/// Widest picture.
pub const MAX_COLUMNS: usize = 1_500;
/// Frequency step of the bins.
const BIN_HZ: u32 = 40;
/// From the brightest shade to the darkest. Speech in a quiet room spans 50-60 dB.
const SPAN_DB: f32 = 70.0;
/// The brightest shade stands for no less than this, so that silence is dark: 70 dB below a full-scale tone.
const LEAST_TOP_DB: f32 = -30.0;
/// Share of cells that may be brighter than the brightest shade, so that a click does not darken the rest.
const CLIPPED_SHARE: f64 = 0.001;

/// 32 shades of rising lightness, from deep violet over red to pale yellow. Our own: steps of equal lightness in Oklab
/// (Björn Ottosson, "A perceptual color space for image processing", 2020), so that it is ordered without colour too.
const SHADES: [[u8; 3]; 32] = [
    [7, 8, 21],
    [13, 10, 36],
    [21, 12, 50],
    [30, 13, 62],
    [41, 14, 74],
    [53, 15, 85],
    [66, 15, 94],
    [79, 15, 101],
    [93, 15, 107],
    [107, 15, 111],
    [122, 17, 114],
    [136, 19, 114],
    [150, 24, 114],
    [164, 29, 112],
    [177, 37, 109],
    [190, 46, 105],
    [201, 56, 100],
    [211, 67, 96],
    [220, 79, 91],
    [227, 92, 88],
    [234, 106, 85],
    [238, 120, 85],
    [241, 134, 88],
    [243, 148, 94],
    [244, 162, 103],
    [244, 176, 115],
    [244, 190, 130],
    [244, 202, 147],
    [243, 214, 165],
    [244, 226, 184],
    [246, 236, 204],
    [249, 246, 223],
];

/// A picture of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Index of the channel in the source, from 0.
    pub channel: u16,
    /// Time from left to right, 0 Hz at the bottom.
    pub png: Vec<u8>,
    /// Frequency at the upper edge.
    pub top_hz: u32,
    /// Time at the right edge.
    pub end_secs: f64,
}

/// Collects the frames of one channel.
pub(super) struct Spectrogram {
    frames_per_column: usize,
    rows: usize,
    /// `[columns × rows]`, row-major: mean power.
    columns: Vec<f32>,
    /// `[rows]`: sums of the column that is not full.
    open: Vec<f32>,
    open_frames: usize,
}

impl Spectrogram {
    /// For a channel of `duration_secs` whose source has `sample_rate_hz`.
    pub(super) fn new(duration_secs: f64, sample_rate_hz: u32) -> Self {
        let frames = (duration_secs * crate::features::FRAMES_PER_SEC as f64) as usize;
        let rows = (sample_rate_hz / 2 / BIN_HZ) as usize + 1;
        let rows = rows.min(POWER_BINS);
        let frames_per_column = frames.div_ceil(MAX_COLUMNS).max(1);
        Self { frames_per_column, rows, columns: Vec::new(), open: vec![0.0; rows], open_frames: 0 }
    }

    /// Takes the next frame's power, `[POWER_BINS]`.
    pub(super) fn push(&mut self, power: &[f32]) {
        for (sum, bin) in self.open.iter_mut().zip(power) {
            *sum += bin;
        }
        self.open_frames += 1;
        if self.open_frames == self.frames_per_column {
            self.close_column();
        }
    }

    fn close_column(&mut self) {
        // A source that turns out longer than it was is cut.
        if self.open_frames > 0 && self.columns.len() < MAX_COLUMNS * self.rows {
            let frames = self.open_frames as f32;
            self.columns.extend(self.open.iter().map(|sum| sum / frames));
        }
        self.open.fill(0.0);
        self.open_frames = 0;
    }

    /// The picture; `None` without a single frame.
    pub(super) fn finish(mut self, channel: u16) -> Option<Picture> {
        self.close_column();
        let width = self.columns.len() / self.rows;
        let shades = self.shades();
        let pixels: Vec<u8> = (0..self.rows)
            .rev()
            .flat_map(|row| shades.iter().skip(row).step_by(self.rows).copied().collect::<Vec<u8>>())
            .collect();
        let secs_per_column = self.frames_per_column as f64 / crate::features::FRAMES_PER_SEC as f64;
        let end_secs = width as f64 * secs_per_column;
        let top_hz = (self.rows as u32 - 1) * BIN_HZ;
        (width > 0).then(|| Picture { channel, png: encode(width, self.rows, &pixels), top_hz, end_secs })
    }

    /// `[columns × rows]`: index into [`SHADES`].
    fn shades(&self) -> Vec<u8> {
        let level_db = |power: &f32| 10.0 * power.max(crate::features::POWER_FLOOR).log10();
        let mut levels: Vec<f32> = self.columns.iter().map(level_db).collect();
        let mut ordered = levels.clone();
        let above = (ordered.len() as f64 * CLIPPED_SHARE) as usize;
        let top_db = match ordered.len().checked_sub(above + 1) {
            Some(place) => ordered.select_nth_unstable_by(place, f32::total_cmp).1.max(LEAST_TOP_DB),
            None => LEAST_TOP_DB,
        };
        let most = SHADES.len() as f32 - 1.0;
        for level in &mut levels {
            *level = (most + 0.5 + (*level - top_db) / SPAN_DB * most).clamp(0.0, most);
        }
        levels.into_iter().map(|shade| shade as u8).collect()
    }
}

fn encode(width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(SHADES.as_flattened());
    encoder.set_filter(png::Filter::NoFilter);
    encoder.set_compression(png::Compression::Balanced);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels));
    written.expect("a Vec takes any bytes, and the pixels fill the picture");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(secs: f64, rate_hz: u32, power: impl Fn(usize, usize) -> f32) -> Picture {
        let mut spectrogram = Spectrogram::new(secs, rate_hz);
        for frame in 0..(secs * 100.0) as usize {
            spectrogram.push(&(0..POWER_BINS).map(|bin| power(frame, bin)).collect::<Vec<f32>>());
        }
        spectrogram.finish(3).unwrap()
    }

    fn decode(png: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        (reader.info().width, reader.info().height, pixels)
    }

    #[test]
    fn shades_rise_in_lightness() {
        // Relative luminance, ITU-R BT.709 weights on linear light.
        let linear = |c: u8| (f64::from(c) / 255.0).powf(2.2);
        let luminance = |[r, g, b]: [u8; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        assert!(SHADES.map(luminance).is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn time_runs_right_and_frequency_up() {
        // 1 kHz in the first half, 3 kHz in the second, of a telephone recording.
        let tone = |frame, bin| if bin == if frame < 50 { 25 } else { 75 } { 1.0 } else { 0.0 };
        let found = picture(1.0, 8_000, tone);
        assert_eq!((found.channel, found.top_hz, found.end_secs), (3, 4_000, 1.0));
        let (width, height, pixels) = decode(&found.png);
        assert_eq!((width, height), (100, 101));
        let at = |column: usize, hz: usize| pixels[(100 - hz / 40) * 100 + column];
        assert_eq!((at(10, 1_000), at(10, 3_000), at(90, 1_000), at(90, 3_000)), (31, 0, 0, 31));
    }

    #[test]
    fn hours_take_no_more_than_a_minute_and_noise_stays_small() {
        let mut seed = 1_u64;
        let mut spectrogram = Spectrogram::new(6.0 * 3_600.0, 48_000);
        let mut power = vec![0.0; POWER_BINS];
        // One frame in a hundred is enough to tell; each stands for its column.
        spectrogram.frames_per_column = 1;
        for _ in 0..MAX_COLUMNS + 50 {
            for bin in &mut power {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *bin = 10_f32.powf((seed >> 40) as f32 / (1 << 24) as f32 * 7.0);
            }
            spectrogram.push(&power);
        }
        let found = spectrogram.finish(0).unwrap();
        assert_eq!((decode(&found.png).0, found.top_hz), (MAX_COLUMNS as u32, 8_000));
        assert!(found.png.len() < 225_000, "{} bytes", found.png.len());
        assert!(picture(6.0 * 360.0, 16_000, |_, _| 1.0).png.len() < 10_000);
    }

    #[test]
    fn silence_is_dark_and_nothing_is_no_picture() {
        let (_, _, pixels) = decode(&picture(1.0, 16_000, |_, _| 0.0).png);
        assert!(pixels.iter().all(|shade| *shade == 0));
        assert_eq!(Spectrogram::new(0.0, 16_000).finish(0), None);
    }
}
