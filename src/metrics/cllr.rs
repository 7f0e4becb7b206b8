//! Cllr: how much information the LLRs lose, in bits, averaged over all priors.
//!
//! Brümmer and du Preez, "Application-independent evaluation of speaker detection", Computer Speech & Language 20, 2006.

use std::f64::consts::LN_2;

use super::{Steps, pav::pool_adjacent_violators};

/// ln(1 + e^x) without overflow, in bits.
fn softplus_bits(x: f64) -> f64 {
    (x.max(0.0) + (-x.abs()).exp().ln_1p()) / LN_2
}

impl Steps {
    /// Cllr in bits: 0 is perfect, 1 is an LLR of 0 for everything, more than 1 misleads.
    pub fn cllr(&self) -> f64 {
        let (mut bona_fide_bits, mut spoof_bits) = (0.0, 0.0);
        for step in self.rising() {
            // Skips 0 × ∞ where an infinite LLR is right about its class.
            if step.bona_fide > 0.0 {
                bona_fide_bits += step.bona_fide * softplus_bits(-step.llr);
            }
            if step.spoof > 0.0 {
                spoof_bits += step.spoof * softplus_bits(step.llr);
            }
        }
        (bona_fide_bits / self.bona_fide_total() + spoof_bits / self.spoof_total()) / 2.0
    }

    /// Cllr after the best monotone recalibration: what discrimination alone loses, 0-1 bits.
    pub fn min_cllr(&self) -> f64 {
        let prior_odds = self.bona_fide_total() / self.spoof_total();
        let (mut bona_fide_bits, mut spoof_bits) = (0.0, 0.0);
        for block in pool_adjacent_violators(self.rising()) {
            // A block of one class gets an infinite LLR of the right sign and costs nothing.
            if block.bona_fide > 0.0 && block.spoof > 0.0 {
                let llr = (block.bona_fide / block.spoof / prior_odds).ln();
                bona_fide_bits += block.bona_fide * softplus_bits(-llr);
                spoof_bits += block.spoof * softplus_bits(llr);
            }
        }
        (bona_fide_bits / self.bona_fide_total() + spoof_bits / self.spoof_total()) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::softplus_bits;

    #[test]
    fn softplus_holds_at_the_ends() {
        for (x, expected) in [(0.0, 1.0), (1000.0, 1000.0 / std::f64::consts::LN_2), (-1000.0, 0.0)] {
            assert!((softplus_bits(x) - expected).abs() < 1e-9, "{x}");
        }
    }
}
