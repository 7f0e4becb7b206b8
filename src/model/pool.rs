//! Pooling: statistics of embedding frames over any span of speech, made of one-second blocks that merge.

/// Embedding frames in one block of statistics: 1 s of 20 ms frames.
pub const BLOCK_EMBEDDING_FRAMES: usize = 50;

/// Which of `embedding_frames` count as speech: those with a speech frame among the two feature frames they stand for.
pub fn embedding_mask(embedding_frames: usize, is_speech: impl Fn(usize) -> bool) -> Vec<bool> {
    (0..embedding_frames).map(|j| is_speech(2 * j) || is_speech(2 * j + 1)).collect()
}

/// Mean, squared deviation and frame-to-frame change of the speech frames in a span.
///
/// Deviations are kept about the block's own mean and merged by Chan, Golub and LeVeque's update (1979),
/// since sums of squares in single precision would lose the small variances beside large means.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockStats {
    frames: u32,
    mean: Vec<f32>,
    squared_deviation: Vec<f32>,
    changes: u32,
    abs_change: Vec<f32>,
}

impl BlockStats {
    /// Statistics over nothing, for embeddings of `dims` numbers.
    pub fn empty(dims: usize) -> Self {
        let zeros = || vec![0.0; dims];
        Self { frames: 0, mean: zeros(), squared_deviation: zeros(), changes: 0, abs_change: zeros() }
    }

    /// Statistics over `range` of `embeddings` (`[frames × dims]`, row-major, one chunk) where `speech` is set.
    /// A change is counted at the later of two neighbouring speech frames, also where the earlier lies before `range`.
    pub fn of(embeddings: &[f32], dims: usize, speech: &[bool], range: std::ops::Range<usize>) -> Self {
        let mut stats = Self::empty(dims);
        let row = |frame: usize| &embeddings[frame * dims..(frame + 1) * dims];
        let speech_frames: Vec<usize> = range.filter(|frame| speech.get(*frame) == Some(&true)).collect();
        stats.frames = speech_frames.len() as u32;
        if stats.frames == 0 {
            return stats;
        }
        let weight = 1.0 / stats.frames as f32;
        for frame in &speech_frames {
            add(&mut stats.mean, row(*frame), |value, _| value * weight);
        }
        for &frame in &speech_frames {
            for ((sum, value), mean) in stats.squared_deviation.iter_mut().zip(row(frame)).zip(&stats.mean) {
                *sum += (value - mean) * (value - mean);
            }
            if frame > 0 && speech[frame - 1] {
                stats.changes += 1;
                let before = row(frame - 1);
                add(&mut stats.abs_change, row(frame), |value, i| (value - before[i]).abs());
            }
        }
        stats
    }

    /// Speech frames seen, 20 ms each.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Adds `other`'s frames to this span.
    pub fn merge(&mut self, other: &Self) {
        self.changes += other.changes;
        add(&mut self.abs_change, &other.abs_change, |value, _| value);
        let total = self.frames + other.frames;
        if other.frames == 0 {
            return;
        }
        let share = other.frames as f32 / total as f32;
        let cross = self.frames as f32 * share;
        for (i, (mean, squares)) in self.mean.iter_mut().zip(&mut self.squared_deviation).enumerate() {
            let delta = other.mean[i] - *mean;
            *mean += delta * share;
            *squares += other.squared_deviation[i] + delta * delta * cross;
        }
        self.frames = total;
    }

    /// Writes `[3 × dims]`: means, population standard deviations (at least `std_floor`), mean absolute changes.
    pub fn write(&self, std_floor: f32, out: &mut Vec<f32>) {
        out.clear();
        let (frames, changes) = (self.frames.max(1) as f32, self.changes.max(1) as f32);
        out.extend_from_slice(&self.mean);
        out.extend(self.squared_deviation.iter().map(|squares| (squares / frames).sqrt().max(std_floor)));
        out.extend(self.abs_change.iter().map(|sum| sum / changes));
    }
}

fn add(into: &mut [f32], row: &[f32], value: impl Fn(f32, usize) -> f32) {
    for (i, (sum, x)) in into.iter_mut().zip(row).enumerate() {
        *sum += value(*x, i);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_blocks_equal_the_whole_and_the_textbook() {
        let (dims, frames) = (3, 200);
        let value = |i: usize| ((i * 7919) % 101) as f32 * 0.01 + if i.is_multiple_of(dims) { 500.0 } else { 0.0 };
        let embeddings: Vec<f32> = (0..frames * dims).map(value).collect();
        let speech: Vec<bool> = (0..frames).map(|frame| frame % 11 != 0).collect();
        let mut merged = BlockStats::empty(dims);
        for start in (0..frames).step_by(BLOCK_EMBEDDING_FRAMES) {
            merged.merge(&BlockStats::of(&embeddings, dims, &speech, start..start + BLOCK_EMBEDDING_FRAMES));
        }
        let mut stats = Vec::new();
        merged.write(1e-5, &mut stats);

        let rows: Vec<usize> = (0..frames).filter(|frame| speech[*frame]).collect();
        let at = |frame: usize, dim: usize| f64::from(embeddings[frame * dims + dim]);
        let changes: Vec<usize> = rows.iter().copied().filter(|frame| *frame > 0 && speech[frame - 1]).collect();
        for dim in 0..dims {
            let mean = rows.iter().map(|r| at(*r, dim)).sum::<f64>() / rows.len() as f64;
            let var = rows.iter().map(|r| (at(*r, dim) - mean).powi(2)).sum::<f64>() / rows.len() as f64;
            let change =
                changes.iter().map(|r| (at(*r, dim) - at(r - 1, dim)).abs()).sum::<f64>() / changes.len() as f64;
            // Single precision beside a mean of 500: 2^-24 · 500 is 3e-5.
            for (got, expected) in
                [(stats[dim], mean), (stats[dims + dim], var.sqrt()), (stats[2 * dims + dim], change)]
            {
                assert!((f64::from(got) - expected).abs() < 2e-4, "dim {dim}: {got} is not {expected}");
            }
        }
    }

    #[test]
    fn no_speech_gives_zeros_and_the_floor() {
        let mut stats = Vec::new();
        BlockStats::of(&[1.0; 10], 2, &[false; 5], 0..5).write(0.5, &mut stats);
        assert_eq!(stats, [0.0, 0.0, 0.5, 0.5, 0.0, 0.0]);
    }
}
