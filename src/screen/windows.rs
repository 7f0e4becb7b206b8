//! Windows of a channel: one-second blocks of embedding statistics, pooled into a score for 4 s every 2 s.

use std::collections::VecDeque;

use super::{Heard, Segment};
use crate::{
    features::{FRAMES_PER_SEC, FineStats},
    model::{
        BLOCK_EMBEDDING_FRAMES, BandScores, BlockStats, CmScore, HeadScores, ModelBundle, ModelError, embedding_mask,
    },
    speech::{FrameClass, Quality},
};

/// Blocks (seconds) in a window.
const WINDOW_BLOCKS: usize = 4;
/// Blocks (seconds) from one window to the next.
const HOP_BLOCKS: usize = 2;
/// A window with less speech than this is not judged by itself.
const MIN_WINDOW_SPEECH_SECS: f64 = 0.8;
/// Classes other than speech, in order of preference where two fill a window alike.
const WHY_NOT: [FrameClass; 4] = [FrameClass::Music, FrameClass::Noise, FrameClass::Tone, FrameClass::Silence];

/// The windows of one channel, scored as soon as they are complete.
#[derive(Clone)]
pub(super) struct Windows {
    dims: usize,
    /// The newest blocks, at most [`WINDOW_BLOCKS`].
    blocks: VecDeque<Block>,
    /// Blocks seen in all.
    total_blocks: usize,
    scored: Vec<Window>,
}

#[derive(Clone)]
struct Block {
    stats: BlockStats,
    fine: FineStats,
    classes: Vec<FrameClass>,
}

#[derive(Clone)]
struct Window {
    start_block: usize,
    speech_secs: f64,
    scores: Option<HeadScores>,
    why_not: Option<FrameClass>,
}

impl Windows {
    pub(super) fn new(dims: usize) -> Self {
        Self { dims, blocks: VecDeque::with_capacity(WINDOW_BLOCKS + 1), total_blocks: 0, scored: Vec::new() }
    }

    /// Adds one chunk; `classes` per 10 ms frame.
    pub(super) fn take(
        &mut self,
        model: &ModelBundle,
        heard: &Heard,
        classes: &[FrameClass],
    ) -> Result<(), ModelError> {
        let Heard { embeddings, fine } = heard;
        let is_speech = |frame: usize| !embeddings.is_empty() && classes.get(frame) == Some(&FrameClass::Speech);
        let speech = embedding_mask(classes.len().div_ceil(2), is_speech);
        for (block, classes) in classes.chunks(FRAMES_PER_SEC).enumerate() {
            let range = block * BLOCK_EMBEDDING_FRAMES..(block + 1) * BLOCK_EMBEDDING_FRAMES;
            let stats = BlockStats::of(embeddings, self.dims, &speech, range);
            let fine = fine.get(block).cloned().unwrap_or_default();
            self.push_block(model, Block { stats, fine, classes: classes.to_vec() })?;
        }
        Ok(())
    }

    fn push_block(&mut self, model: &ModelBundle, block: Block) -> Result<(), ModelError> {
        self.blocks.push_back(block);
        self.total_blocks += 1;
        if self.blocks.len() > WINDOW_BLOCKS {
            self.blocks.pop_front();
        }
        let due = self.next_start() + WINDOW_BLOCKS;
        if self.total_blocks == due { self.score_window(model) } else { Ok(()) }
    }

    /// Scores what the last full window left over.
    pub(super) fn finish(&mut self, model: &ModelBundle) -> Result<(), ModelError> {
        let covered = self.scored.last().map_or(0, |window| window.start_block + WINDOW_BLOCKS);
        if self.total_blocks > covered { self.score_window(model) } else { Ok(()) }
    }

    fn next_start(&self) -> usize {
        self.scored.len() * HOP_BLOCKS
    }

    fn score_window(&mut self, model: &ModelBundle) -> Result<(), ModelError> {
        let start_block = self.next_start();
        let first_kept = self.total_blocks - self.blocks.len();
        let members = self.blocks.iter().skip(start_block - first_kept);
        let (mut stats, mut fine) = (BlockStats::empty(self.dims), FineStats::default());
        let mut tally = [0_usize; WHY_NOT.len()];
        let mut speech_frames = 0;
        for block in members {
            stats.merge(&block.stats);
            fine.merge(&block.fine);
            speech_frames += block.classes.iter().filter(|class| **class == FrameClass::Speech).count();
            for (count, class) in tally.iter_mut().zip(&WHY_NOT) {
                *count += block.classes.iter().filter(|found| *found == class).count();
            }
        }
        let speech_secs = speech_frames as f64 / FRAMES_PER_SEC as f64;
        let judged = speech_secs >= MIN_WINDOW_SPEECH_SECS;
        let scores = if judged { Some(model.score(&stats, &fine)?) } else { None };
        let most = tally.iter().copied().max().unwrap_or(0);
        let fullest = WHY_NOT.into_iter().zip(tally).find(|(_, count)| *count == most).map(|(class, _)| class);
        let why_not = fullest.filter(|_| !judged && most > speech_frames);
        self.scored.push(Window { start_block, speech_secs, scores, why_not });
        Ok(())
    }

    /// Mean scores of the judged windows, weighted by their speech.
    pub(super) fn mean_scores(&self) -> Option<HeadScores> {
        mean_of(&self.scored).map(|(scores, _)| scores)
    }

    /// [`Windows::mean_scores`] of the windows that begin in the last `secs`, with about the seconds of speech in them.
    pub(super) fn recent_scores(&self, secs: usize) -> Option<(HeadScores, f64)> {
        let first = self.total_blocks.saturating_sub(secs);
        let recent = self.scored.iter().rposition(|window| window.start_block < first).map_or(0, |last| last + 1);
        mean_of(&self.scored[recent..])
    }

    /// The windows as segments with LLRs, given the channel's quality and length.
    pub(super) fn segments(&self, model: &ModelBundle, quality: &Quality, duration_secs: f64) -> Vec<Segment> {
        let segment = |window: &Window| Segment {
            start_secs: window.start_block as f64,
            end_secs: ((window.start_block + WINDOW_BLOCKS) as f64).min(duration_secs),
            speech_secs: window.speech_secs,
            llr: window.scores.map(|scores| model.llr(scores, quality, window.speech_secs)),
            why_not: window.why_not,
        };
        self.scored.iter().map(segment).collect()
    }
}

/// Mean scores of the judged ones among `windows`, weighted by their speech, and seconds of speech in all of these: windows
/// overlap by half, so that is half of their sum.
fn mean_of(windows: &[Window]) -> Option<(HeadScores, f64)> {
    let judged = || windows.iter().filter_map(|window| window.scores.map(|scores| (scores, window.speech_secs)));
    let weight: f64 = judged().map(|(_, secs)| secs).sum();
    let mean = |of: &dyn Fn(HeadScores) -> f32| {
        (judged().map(|(scores, secs)| f64::from(of(scores)) * secs).sum::<f64>() / weight) as f32
    };
    let band = |of: fn(HeadScores) -> BandScores| BandScores {
        encoded: CmScore(mean(&|scores| of(scores).encoded.0)),
        fine: CmScore(mean(&|scores| of(scores).fine.0)),
        denoised: mean(&|scores| of(scores).denoised),
    };
    let scores = || HeadScores { full: band(|scores| scores.full), telephone: band(|scores| scores.telephone) };
    (weight > 0.0).then(|| (scores(), weight * HOP_BLOCKS as f64 / WINDOW_BLOCKS as f64))
}
