//! Every cap on what one input may cost, in one place.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Caps on one input. Reaching one ends decoding with [`super::DecodeError::Limit`], which names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes read from the source, in bytes (skipped parts do not count). Default: 4 GiB.
    pub max_bytes: u64,
    /// Bytes read before the first audio sample, in bytes: tags, pictures, tables. They are what a container makes us
    /// keep in memory. ID3 tags and FLAC pictures are skipped unread and do not count. Default: 16 MiB.
    pub max_metadata_bytes: u64,
    /// Bytes read to get at the next packet, of the audio or of a video that comes with it. Default: 16 MiB.
    pub max_packet_bytes: u64,
    /// Decoded audio, in seconds. Default: 21,600 s (6 h).
    pub max_decoded_secs: u64,
    /// Channels of the audio track. Default: 8.
    pub max_channels: u16,
    /// RTP streams of a captured call (pcap). Default: 64.
    pub max_streams: u16,
    /// Time from opening to the end, in seconds by the wall clock; the caller's own work in between counts. Default:
    /// 3,600 s (1 h).
    pub max_wall_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 4 << 30,
            max_metadata_bytes: 16 << 20,
            max_packet_bytes: 16 << 20,
            max_decoded_secs: 6 * 3_600,
            max_channels: 8,
            max_streams: 64,
            max_wall_secs: 3_600,
        }
    }
}

impl Limits {
    pub(super) fn wall(&self) -> Duration {
        Duration::from_secs(self.max_wall_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_keys_keep_their_defaults_and_unknown_keys_are_refused() {
        let limits: Limits = toml::from_str("max_channels = 2").unwrap();
        assert_eq!(limits, Limits { max_channels: 2, ..Limits::default() });
        assert!(toml::from_str::<Limits>("max_chanels = 2").is_err());
    }
}
