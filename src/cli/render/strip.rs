//! A channel's segments drawn as rows of block characters, with times, LLR range and what was not judged.

use super::{
    text::{Colour, Tone, signed},
    why_not_key,
};
use crate::{
    model::{Llr, Thresholds},
    policy::Stretch,
    screen::Segment,
};

/// Segments in one row: a minute at one every 2 s.
const SEGMENTS_PER_ROW: usize = 30;
/// LLRs beyond ± this are drawn as if they were at it.
const LLR_SPAN: f32 = 6.0;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How to draw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen<'a> {
    pub(super) colour: Colour,
    pub(super) thresholds: &'a Thresholds,
}

/// What the marks mean, ended.
pub(super) fn legend(pen: Pen<'_>) -> String {
    let Thresholds { spoof_below, bona_fide_above, .. } = *pen.thresholds;
    let (low, high) = (mark_of(Llr(spoof_below)), mark_of(Llr(bona_fide_above)));
    let painted = |tone, from: char, to: char| pen.colour.paint(tone, &format!("{from}–{to}"));
    let cloned = painted(Tone::Cloned, low, BLOCKS[BLOCKS.len() - 1]);
    let (open, genuine) = (painted(Tone::Open, high, low), painted(Tone::Genuine, BLOCKS[0], high));
    format!(
        "strips: one mark per 4 s segment, every 2 s, taller = more like a clone, · = not judged\n        \
         {cloned} cloned (LLR below {}), {open} undecided, {genuine} genuine ({} or more), ^ decided\n",
        signed(spoof_below, 0),
        signed(bona_fide_above, 0)
    )
}

/// Rows for `segments`, each ended; the stretch that decided is marked below its segments.
pub(super) fn strip(segments: &[Segment], stretch: Option<&Stretch>, pen: Pen<'_>) -> String {
    let rows = segments.chunks(SEGMENTS_PER_ROW);
    rows.map(|row| draw_row(row, pen) + &stretch.map_or_else(String::new, |stretch| marked(row, stretch))).collect()
}

/// A line of `^` under the segments of `stretch`; empty where none is in `row`.
fn marked(row: &[Segment], stretch: &Stretch) -> String {
    let is_inside =
        |segment: &Segment| segment.start_secs >= stretch.start_secs && segment.end_secs <= stretch.end_secs;
    let marks: String = row.iter().map(|segment| if is_inside(segment) { '^' } else { ' ' }).collect();
    let marks = marks.trim_end();
    if marks.is_empty() { String::new() } else { format!("{:11}{marks}\n", "") }
}

fn draw_row(row: &[Segment], pen: Pen<'_>) -> String {
    let (Some(first), Some(last)) = (row.first(), row.last()) else { return String::new() };
    let marks: String = row
        .chunk_by(|a, b| tone_of(a, pen.thresholds) == tone_of(b, pen.thresholds))
        .map(|run| paint_run(run, pen))
        .collect();
    let gap = SEGMENTS_PER_ROW - row.len();
    let mut text = format!("  {:>8} {marks}{:gap$} {:<8}", clock(first.start_secs), "", clock(last.end_secs));
    text += &llr_range(row);
    let skipped = not_judged(row);
    if !skipped.is_empty() {
        text += "  ";
        text += &pen.colour.paint(Tone::Faint, &format!("not judged: {skipped}"));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// By the side of the thresholds that a segment lies on.
fn tone_of(segment: &Segment, thresholds: &Thresholds) -> Tone {
    match segment.llr {
        None => Tone::Faint,
        Some(Llr(llr)) if llr < thresholds.spoof_below => Tone::Cloned,
        Some(Llr(llr)) if llr >= thresholds.bona_fide_above => Tone::Genuine,
        Some(_) => Tone::Open,
    }
}

fn paint_run(run: &[Segment], pen: Pen<'_>) -> String {
    let marks: String = run.iter().map(mark).collect();
    run.first().map_or_else(String::new, |segment| pen.colour.paint(tone_of(segment, pen.thresholds), &marks))
}

fn mark(segment: &Segment) -> char {
    segment.llr.map_or('·', mark_of)
}

fn mark_of(Llr(llr): Llr) -> char {
    llr_mark(llr)
}

/// The block for an LLR: taller = more like a clone.
pub(crate) fn llr_mark(llr: f32) -> char {
    let share = (LLR_SPAN - llr.clamp(-LLR_SPAN, LLR_SPAN)) / (2.0 * LLR_SPAN);
    BLOCKS[((share * BLOCKS.len() as f32) as usize).min(BLOCKS.len() - 1)]
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
pub(crate) fn clock(secs: f64) -> String {
    let whole = secs.max(0.0) as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{THRESHOLDS, segment},
        *,
    };
    use crate::speech::FrameClass;

    const PLAIN: Pen<'_> = Pen { colour: Colour::Never, thresholds: &THRESHOLDS };

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
            strip(&segments, None, PLAIN),
            "      0:00 █▅▁···                         0:14     LLR  -9.00 …  +6.00  \
             not judged: 0:06–0:12 music, 0:10–0:14 too little speech\n"
        );
        assert_eq!(strip(&[], None, PLAIN), "");
        assert!(legend(PLAIN).contains("▆–█ cloned (LLR below -2.00), ▄–▆ undecided, ▁–▄ genuine (+1.00 or more)"));
        let coloured = strip(&segments, None, Pen { colour: Colour::Ansi, ..PLAIN });
        assert!(
            coloured.contains("\u{1b}[1;31m█\u{1b}[0m\u{1b}[33m▅\u{1b}[0m\u{1b}[32m▁\u{1b}[0m\u{1b}[90m···\u{1b}[0m")
        );
    }

    #[test]
    fn what_decided_is_marked_in_its_rows() {
        let segments: Vec<Segment> = (0..32).map(|index| segment(2.0 * f64::from(index), Some(1.5), None)).collect();
        let stretch = Stretch { start_secs: 56.0, end_secs: 64.0, llr: Llr(-3.0) };
        let text = strip(&segments, Some(&stretch), PLAIN);
        let marked: Vec<&str> = text.lines().filter(|line| line.contains('^')).collect();
        assert_eq!(marked, [format!("{:39}^^", ""), format!("{:11}^", "")]);
        assert_eq!(strip(&segments, None, PLAIN).lines().count(), 2);
    }

    #[test]
    fn long_channels_wrap_by_the_minute() {
        let segments: Vec<Segment> = (0..2000).map(|index| segment(2.0 * f64::from(index), Some(1.0), None)).collect();
        let text = strip(&segments, None, PLAIN);
        assert_eq!(text.lines().count(), 67);
        assert!(text.lines().nth(60).is_some_and(|row| row.trim_start().starts_with("1:00:00 ")));
    }
}
