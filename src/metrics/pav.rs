//! Pool-adjacent-violators: the best monotone map from score to posterior, of which the ROC convex hull is the picture.
//!
//! Ayer et al., "An empirical distribution function for sampling with incomplete information", 1955; its use for
//! calibration and for the hull: Brümmer and du Preez, "Application-independent evaluation of speaker detection", 2006.

use super::Step;

/// A run of neighbouring steps that the best monotone map gives one posterior.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// Weight of bona fide trials.
    pub bona_fide: f64,
    /// Weight of spoofs.
    pub spoof: f64,
}

impl Block {
    /// Share of bona fide trials, 0-1.
    pub fn bona_fide_share(&self) -> f64 {
        self.bona_fide / (self.bona_fide + self.spoof)
    }

    /// Whether the bona fide share here is no lower than in `next`. Products, so that no share is rounded first.
    fn violates(&self, next: &Block) -> bool {
        self.bona_fide * next.spoof >= next.bona_fide * self.spoof
    }
}

/// Blocks in rising order of score, with strictly rising bona fide share.
pub fn pool_adjacent_violators(rising: &[Step]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for step in rising {
        let mut block = Block { bona_fide: step.bona_fide, spoof: step.spoof };
        while let Some(previous) = blocks.pop_if(|previous| previous.violates(&block)) {
            block.bona_fide += previous.bona_fide;
            block.spoof += previous.spoof;
        }
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks_of(rows: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let steps: Vec<Step> = rows
            .iter()
            .enumerate()
            .map(|(index, &(bona_fide, spoof))| Step { llr: index as f64, bona_fide, spoof })
            .collect();
        pool_adjacent_violators(&steps).iter().map(|block| (block.bona_fide, block.spoof)).collect()
    }

    #[test]
    fn hand_computed_blocks() {
        assert_eq!(blocks_of(&[]), []);
        assert_eq!(blocks_of(&[(0.0, 1.0), (1.0, 0.0)]), [(0.0, 1.0), (1.0, 0.0)]);
        assert_eq!(blocks_of(&[(1.0, 0.0), (0.0, 1.0)]), [(1.0, 1.0)]);
        // 0, 1, 0, 1, 1: the middle pair is out of order and becomes one block of share 1/2.
        assert_eq!(
            blocks_of(&[(0.0, 1.0), (1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 0.0)]),
            [(0.0, 1.0), (1.0, 1.0), (2.0, 0.0)]
        );
    }
}
