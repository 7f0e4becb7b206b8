//! AAC configuration: makes a decoder for AAC-LC take HE-AAC streams too, by their core.
//!
//! HE-AAC is AAC-LC at half the sample rate plus data from which a receiver guesses the upper half of the spectrum.
//! The core alone (typically up to 11 or 12 kHz) holds all that was recorded rather than guessed.

/// Object types, ISO/IEC 14496-3, table 1.17.
const LOW_COMPLEXITY: u32 = 2;
const BAND_REPLICATION: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;

/// The AudioSpecificConfig (ISO/IEC 14496-3, clause 1.6.2.1) of the AAC-LC core; anything else comes back unchanged.
pub(super) fn core_config(config: &[u8]) -> Vec<u8> {
    rewrite(config).unwrap_or_else(|| config.to_vec())
}

fn rewrite(config: &[u8]) -> Option<Vec<u8>> {
    let mut bits = Bits { bytes: config, position: 0 };
    let outer_type = bits.take(5)?;
    let rate_index = bits.take(4)?;
    let channel_config = bits.take(4)?;
    const EXPLICIT_RATE: u32 = 15;
    if rate_index == EXPLICIT_RATE {
        return None;
    }
    let flags = match outer_type {
        LOW_COMPLEXITY => bits.take(3)?,
        BAND_REPLICATION | PARAMETRIC_STEREO => {
            if bits.take(4)? == EXPLICIT_RATE {
                bits.take(24)?;
            }
            if bits.take(5)? != LOW_COMPLEXITY {
                return None;
            }
            bits.take(3)?
        }
        _ => return None,
    };
    let word = LOW_COMPLEXITY << 11 | rate_index << 7 | channel_config << 3 | flags;
    // Without a channel configuration or with a flag set, more fields follow.
    (channel_config != 0 && flags == 0).then(|| vec![(word >> 8) as u8, word as u8])
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = *self.bytes.get(self.position / 8)?;
            let bit = byte >> (7 - self.position % 8) & 1;
            self.position += 1;
            Some(value << 1 | u32::from(bit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_reduce_to_their_core() {
        let cases: [(&[u8], &[u8]); 6] = [
            // AAC-LC, 44.1 kHz, stereo: unchanged.
            (&[0x12, 0x10], &[0x12, 0x10]),
            // The same with a band replication extension appended.
            (&[0x12, 0x10, 0x56, 0xE5, 0x00], &[0x12, 0x10]),
            // HE-AAC, core 22.05 kHz, output 44.1 kHz, stereo.
            (&[0x2B, 0x92, 0x08, 0x00], &[0x13, 0x90]),
            // HE-AAC v2, core 22.05 kHz, mono.
            (&[0xEB, 0x8A, 0x08, 0x00], &[0x13, 0x88]),
            // AAC Main stays as it is, and so does a cut configuration.
            (&[0x0A, 0x10], &[0x0A, 0x10]),
            (&[0x12], &[0x12]),
        ];
        for (config, expected) in cases {
            assert_eq!(core_config(config), expected, "{config:02x?}");
        }
    }
}
