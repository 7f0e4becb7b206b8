//! A channel's segments drawn as rows of block characters, with times, LLR range and what was not judged.

use super::{
    text::{Colour, Tone, signed},
    why_not_key,
};
use crate::{model::Llr, screen::Segment};

/// Segments in one row: a minute at one every 2 s.
const SEGMENTS_PER_ROW: usize = 30;
/// LLRs beyond ± this are drawn as if they were at it.
const LLR_SPAN: f32 = 6.0;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Rows for `segments`, each ended.
pub(super) fn strip(segments: &[Segment], colour: Colour) -> String {
    segments.chunks(SEGMENTS_PER_ROW).map(|row| draw_row(row, colour)).collect()
}

fn draw_row(row: &[Segment], colour: Colour) -> String {
    let (Some(first), Some(last)) = (row.first(), row.last()) else { return String::new() };
    let marks: String = row.chunk_by(|a, b| tone_of(a) == tone_of(b)).map(|run| paint_run(run, colour)).collect();
    let gap = SEGMENTS_PER_ROW - row.len();
    let mut text = format!("  {:>8} {marks}{:gap$} {:<8}", clock(first.start_secs), "", clock(last.end_secs));
    text += &llr_range(row);
    let skipped = not_judged(row);
    if !skipped.is_empty() {
        text += "  ";
        text += &colour.paint(Tone::Faint, &format!("not judged: {skipped}"));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Green above 0, red below.
fn tone_of(segment: &Segment) -> Tone {
    match segment.llr {
        None => Tone::Faint,
        Some(Llr(llr)) if llr < 0.0 => Tone::Cloned,
        Some(_) => Tone::Genuine,
    }
}

fn paint_run(run: &[Segment], colour: Colour) -> String {
    let marks: String = run.iter().map(mark).collect();
    run.first().map_or_else(String::new, |segment| colour.paint(tone_of(segment), &marks))
}

fn mark(segment: &Segment) -> char {
    segment.llr.map_or('·', |Llr(llr)| {
        let share = (LLR_SPAN - llr.clamp(-LLR_SPAN, LLR_SPAN)) / (2.0 * LLR_SPAN);
        BLOCKS[((share * BLOCKS.len() as f32) as usize).min(BLOCKS.len() - 1)]
    })
}

fn llr_range(row: &[Segment]) -> String {
    let llrs = || row.iter().filter_map(|segment| segment.llr).map(|Llr(llr)| llr);
    match (llrs().reduce(f32::min), llrs().reduce(f32::max)) {
        (Some(low), Some(high)) => format!(" LLR {} … {}", signed(low, 6), signed(high, 6)),
        _ => format!(" {:19}", ""),
    }
}

/// Neighbouring segments that were not judged for one reason become one stretch.
fn not_judged(row: &[Segment]) -> String {
    let why = |segment: &Segment| segment.llr.is_none().then(|| why_not_key(segment.why_not));
    let stretches = row.chunk_by(|a, b| why(a) == why(b)).filter_map(|run| {
        let reason = why(run.first()?)?.replace('_', " ");
        Some(format!("{}–{} {reason}", clock(run.first()?.start_secs), clock(run.last()?.end_secs)))
    });
    stretches.collect::<Vec<_>>().join(", ")
}

/// `m:ss`, or `h:mm:ss` from an hour on.
pub(super) fn clock(secs: f64) -> String {
    let whole = secs.max(0.0) as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::{super::samples::segment, *};
    use crate::speech::FrameClass;

    #[test]
    fn rows_show_times_levels_and_gaps() {
        let segments = [
            segment(0.0, Some(-9.0), None),
            segment(2.0, Some(-0.1), None),
            segment(4.0, Some(6.0), None),
            segment(6.0, None, Some(FrameClass::Music)),
            segment(8.0, None, Some(FrameClass::Music)),
            segment(10.0, None, None),
        ];
        assert_eq!(
            strip(&segments, Colour::Never),
            "      0:00 █▅▁···                         0:14     LLR  -9.00 …  +6.00  \
             not judged: 0:06–0:12 music, 0:10–0:14 too little speech\n"
        );
        assert_eq!(strip(&[], Colour::Never), "");
        let coloured = strip(&segments, Colour::Ansi);
        assert!(coloured.contains("\u{1b}[1;31m█▅\u{1b}[0m\u{1b}[32m▁\u{1b}[0m\u{1b}[90m···\u{1b}[0m"));
    }

    #[test]
    fn long_channels_wrap_by_the_minute() {
        let segments: Vec<Segment> = (0..2000).map(|index| segment(2.0 * f64::from(index), Some(1.0), None)).collect();
        let text = strip(&segments, Colour::Never);
        assert_eq!(text.lines().count(), 67);
        assert!(text.lines().nth(60).is_some_and(|row| row.trim_start().starts_with("1:00:00 ")));
    }
}
