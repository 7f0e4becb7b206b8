//! One row per channel, for spreadsheets. An input without channels still has its row.

use super::{
    CLIPPING_DECIMALS, DENOISED_DECIMALS, Provenance, Renderer, SECS_DECIMALS, SNR_DECIMALS, decision_key, printable,
    reason_key, rounded, rounded_llr,
};
use crate::{
    policy::{Decision, Reason},
    scan::{ChannelResult, ScanResult},
};

/// Writes CSV.
pub struct Csv(
    /// Repeated in every row.
    pub Provenance,
);

const HEADER: [&str; 23] = [
    "path",
    "sha256",
    "container",
    "codec",
    "sample_rate_hz",
    "channels",
    "duration_secs",
    "channel",
    "decision",
    "reason",
    "llr",
    "speech_secs",
    "bandwidth_hz",
    "snr_db",
    "denoised",
    "clipping_ratio",
    "stretch_start_secs",
    "stretch_end_secs",
    "stretch_llr",
    "model_id",
    "model_sha256",
    "policy_id",
    "version",
];

impl Renderer for Csv {
    fn header(&self) -> String {
        lines(|writer| writer.write_record(HEADER))
    }

    fn result(&self, result: &ScanResult) -> String {
        lines(|writer| {
            if result.channels.is_empty() {
                return writer.write_record(self.row(result, None));
            }
            result.channels.iter().try_for_each(|channel| writer.write_record(self.row(result, Some(channel))))
        })
    }
}

fn lines(write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> csv::Result<()>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    write(&mut writer).expect("every row has as many fields as the header");
    let bytes = writer.into_inner().expect("a Vec takes any bytes");
    String::from_utf8(bytes).expect("every field is UTF-8")
}

impl Csv {
    fn row(&self, result: &ScanResult, channel: Option<&ChannelResult>) -> [String; HEADER.len()] {
        let input = &result.input;
        let verdict = channel.map(|channel| &channel.verdict);
        let quality = verdict.map(|verdict| &verdict.evidence.quality);
        let stretch = verdict.and_then(|verdict| verdict.stretch);
        let (decision, reason) = spoken(result, channel);
        [
            printable(&input.path),
            input.sha256.clone(),
            shown(input.container.as_deref().map(printable)),
            shown(input.codec.as_deref().map(printable)),
            shown(input.sample_rate_hz),
            shown(input.channels),
            number(input.duration_secs, SECS_DECIMALS),
            shown(channel.map(|channel| channel.channel)),
            decision_key(decision).to_owned(),
            shown(reason.map(reason_key)),
            shown(verdict.and_then(|verdict| rounded_llr(verdict.llr))),
            number(quality.map(|quality| quality.speech_secs), SECS_DECIMALS),
            shown(quality.and_then(|quality| quality.bandwidth_hz)),
            number(quality.and_then(|quality| quality.snr_db).map(f64::from), SNR_DECIMALS),
            number(verdict.and_then(|verdict| verdict.evidence.denoised).map(f64::from), DENOISED_DECIMALS),
            number(quality.map(|quality| f64::from(quality.clipping_ratio)), CLIPPING_DECIMALS),
            number(stretch.map(|stretch| stretch.start_secs), SECS_DECIMALS),
            number(stretch.map(|stretch| stretch.end_secs), SECS_DECIMALS),
            shown(stretch.and_then(|stretch| rounded_llr(Some(stretch.llr)))),
            printable(&self.0.model_id),
            self.0.model_sha256.clone(),
            printable(&self.0.policy_id),
            self.0.version.to_owned(),
        ]
    }
}

/// A channel's own answer; but where the file was not judged to its end, a channel cannot be bona fide.
fn spoken(result: &ScanResult, channel: Option<&ChannelResult>) -> (Decision, Option<Reason>) {
    match channel {
        Some(channel) if result.detail.is_none() || channel.verdict.decision != Decision::BonaFide => {
            (channel.verdict.decision, channel.verdict.reason)
        }
        _ => (result.decision, result.reason),
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn number(value: Option<f64>, decimals: i32) -> String {
    shown(value.map(|value| rounded(value, decimals)))
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn a_row_per_channel() {
        let csv = Csv(samples::provenance());
        assert_eq!(csv.header().matches(',').count() + 1, HEADER.len());
        assert_eq!(
            csv.result(&samples::stereo()),
            "caller.mp3,cd34,mp3,mp3,44100,2,61.2,0,spoof,,-4.31,31.5,7600,24.1,0.04,0,,,,m-1,ab12,default,0.0.0\n\
             caller.mp3,cd34,mp3,mp3,44100,2,61.2,1,inconclusive,no_speech,,0,,,,0,,,,m-1,ab12,default,0.0.0\n"
        );
        assert_eq!(
            csv.result(&samples::undecodable()),
            "\"x,y.amr\",cd34,,amr,,,,,inconclusive,undecodable,,,,,,,,,,m-1,ab12,default,0.0.0\n"
        );
        assert!(csv.result(&samples::insert()).contains(",24.1,0.04,0,2,16.5,-4.31,m-1,"));
    }

    #[test]
    fn names_cannot_drive_a_terminal_that_shows_the_file() {
        let mut result = samples::spoof();
        result.input.path = "a\u{1b}[2J\nb.wav".into();
        let row = Csv(samples::provenance()).result(&result);
        assert!(row.starts_with("a\\u{1b}[2J\\nb.wav,cd34,"), "{row}");
    }
}
