//! One JSON object per input, schema `clonewatch/1`: the keys and their order are a contract with scripts.

use serde::Serialize;

use super::{
    CLIPPING_DECIMALS, DENOISED_DECIMALS, LLR_DECIMALS, Provenance, Renderer, SECS_DECIMALS, SNR_DECIMALS,
    decision_key, reason_key, rounded, rounded_llr, why_not_key,
};
use crate::{
    policy::Stretch,
    scan::{ChannelResult, InputInfo, ScanResult},
    screen::Segment,
};

/// Writes JSONL.
pub struct Jsonl(
    /// Repeated in every object, so that each stands for itself.
    pub Provenance,
);

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    input: Input<'a>,
    decision: &'static str,
    reason: Option<&'static str>,
    llr: Option<f64>,
    channels: Vec<Channel>,
    model: Model<'a>,
    policy: Policy<'a>,
    version: &'static str,
}

#[derive(Serialize)]
struct Input<'a> {
    path: &'a str,
    sha256: &'a str,
    container: Option<&'a str>,
    codec: Option<&'a str>,
    sample_rate_hz: Option<u32>,
    channels: Option<u16>,
    duration_secs: Option<f64>,
}

#[derive(Serialize)]
struct Channel {
    channel: u16,
    decision: &'static str,
    reason: Option<&'static str>,
    llr: Option<f64>,
    speech_secs: f64,
    bandwidth_hz: Option<u32>,
    snr_db: Option<f64>,
    denoised: Option<f64>,
    clipping_ratio: f64,
    segments: Vec<Part>,
    stretch: Option<Decisive>,
}

/// The stretch that decided, where the channel as a whole would not have: an insert, or a doubt.
#[derive(Serialize)]
struct Decisive {
    start_secs: f64,
    end_secs: f64,
    llr: f64,
}

#[derive(Serialize)]
struct Part {
    start_secs: f64,
    end_secs: f64,
    llr: Option<f64>,
    judged: bool,
    why_not: Option<&'static str>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    sha256: &'a str,
}

#[derive(Serialize)]
struct Policy<'a> {
    id: &'a str,
}

impl Renderer for Jsonl {
    fn header(&self) -> String {
        String::new()
    }

    fn result(&self, result: &ScanResult) -> String {
        let Provenance { model_id, model_sha256, policy_id, version } = &self.0;
        let line = Line {
            schema: "clonewatch/1",
            input: Input::of(&result.input),
            decision: decision_key(result.decision),
            reason: result.reason.map(reason_key),
            llr: rounded_llr(result.llr),
            channels: result.channels.iter().map(Channel::of).collect(),
            model: Model { id: model_id, sha256: model_sha256 },
            policy: Policy { id: policy_id },
            version,
        };
        let mut text = serde_json::to_string(&line).expect("plain structs of strings and numbers");
        text.push('\n');
        text
    }
}

impl<'a> Input<'a> {
    fn of(input: &'a InputInfo) -> Self {
        Self {
            path: &input.path,
            sha256: &input.sha256,
            container: input.container.as_deref(),
            codec: input.codec.as_deref(),
            sample_rate_hz: input.sample_rate_hz,
            channels: input.channels,
            duration_secs: input.duration_secs.map(|secs| rounded(secs, SECS_DECIMALS)),
        }
    }
}

impl Channel {
    fn of(result: &ChannelResult) -> Self {
        let evidence = &result.verdict.evidence;
        Self {
            channel: result.channel,
            decision: decision_key(result.verdict.decision),
            reason: result.verdict.reason.map(reason_key),
            llr: rounded_llr(result.verdict.llr),
            speech_secs: rounded(evidence.quality.speech_secs, SECS_DECIMALS),
            bandwidth_hz: evidence.quality.bandwidth_hz,
            snr_db: evidence.quality.snr_db.map(|snr_db| rounded(f64::from(snr_db), SNR_DECIMALS)),
            denoised: evidence.denoised.map(|measure| rounded(f64::from(measure), DENOISED_DECIMALS)),
            clipping_ratio: rounded(f64::from(evidence.quality.clipping_ratio), CLIPPING_DECIMALS),
            segments: evidence.segments.iter().map(Part::of).collect(),
            stretch: result.verdict.stretch.as_ref().map(Decisive::of),
        }
    }
}

impl Decisive {
    fn of(stretch: &Stretch) -> Self {
        Self {
            start_secs: rounded(stretch.start_secs, SECS_DECIMALS),
            end_secs: rounded(stretch.end_secs, SECS_DECIMALS),
            llr: rounded(f64::from(stretch.llr.0), LLR_DECIMALS),
        }
    }
}

impl Part {
    fn of(segment: &Segment) -> Self {
        Self {
            start_secs: rounded(segment.start_secs, SECS_DECIMALS),
            end_secs: rounded(segment.end_secs, SECS_DECIMALS),
            llr: segment.llr.map(|llr| rounded(f64::from(llr.0), LLR_DECIMALS)),
            judged: segment.llr.is_some(),
            why_not: segment.llr.is_none().then(|| why_not_key(segment.why_not)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn keys_order_and_numbers_are_the_contract() {
        let jsonl = Jsonl(samples::provenance());
        assert_eq!(
            jsonl.result(&samples::spoof()),
            concat!(
                r#"{"schema":"clonewatch/1","input":{"path":"caller.mp3","sha256":"cd34","container":"mp3","codec":"mp3","#,
                r#""sample_rate_hz":44100,"channels":1,"duration_secs":61.2},"#,
                r#""decision":"spoof","reason":null,"llr":-4.31,"channels":[{"channel":0,"decision":"spoof","reason":null,"#,
                r#""llr":-4.31,"speech_secs":31.5,"bandwidth_hz":7600,"snr_db":24.1,"denoised":0.04,"clipping_ratio":0.0,"segments":["#,
                r#"{"start_secs":0.0,"end_secs":4.0,"llr":-4.31,"judged":true,"why_not":null},"#,
                r#"{"start_secs":2.0,"end_secs":6.0,"llr":null,"judged":false,"why_not":"music"}],"stretch":null}],"#,
                r#""model":{"id":"m-1","sha256":"ab12"},"policy":{"id":"default"},"version":"0.0.0"}"#,
                "\n"
            )
        );
        let line = jsonl.result(&samples::insert());
        assert!(line.contains(r#"}],"stretch":{"start_secs":2.0,"end_secs":16.5,"llr":-4.31}}],"model""#), "{line}");
        assert_eq!(
            jsonl.result(&samples::undecodable()),
            concat!(
                r#"{"schema":"clonewatch/1","input":{"path":"x,y.amr","sha256":"cd34","container":null,"codec":"amr","#,
                r#""sample_rate_hz":null,"channels":null,"duration_secs":null},"#,
                r#""decision":"inconclusive","reason":"undecodable","llr":null,"channels":[],"#,
                r#""model":{"id":"m-1","sha256":"ab12"},"policy":{"id":"default"},"version":"0.0.0"}"#,
                "\n"
            )
        );
    }
}
