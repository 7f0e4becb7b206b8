//! `/v1/live/…`: calls that come over a WebSocket. Who may bring them, [`super::visit`] says.

use axum::response::Response;

use super::{
    problem::{CallAnswers, Result},
    visit::{Manner, Visit},
};
use crate::serve::live::{Transport, asterisk_ws, genesys, pcm, twilio};

/// Screen a call: PCM over a WebSocket
///
/// After the upgrade the client sends one text message of JSON (`rate`, `channels`, `format`, `parties`, `external_id`,
/// `metadata`, `policy`, `verdicts`), or says the same in the query, and then audio in binary messages of any size.
#[utoipa::path(
    get, path = "/v1/live/pcm", tag = "live",
    params(
        ("rate" = Option<u32>, Query, description = "Samples per second of each channel"),
        ("channels" = Option<u16>, Query, description = "1 or 2, interleaved"),
        ("format" = Option<String>, Query, description = "s16le (default), s16be, mulaw, alaw or f32le"),
        ("parties" = Option<String>, Query, description = "Names of the channels' parties, with commas"),
        ("external_id" = Option<String>, Query, description = "The client's name for the call"),
        ("policy" = Option<String>, Query, description = "Name of the policy"),
        ("verdicts" = Option<bool>, Query, description = "Whether the call's events come back as text"),
    ),
    responses(CallAnswers)
)]
pub(super) async fn pcm(mut visit: Visit) -> Result<Response> {
    let client = visit.by_token().await?;
    let opening = pcm::Opening::of_query(visit.query());
    let manner = Manner { protocols: &pcm::SUBPROTOCOLS, max_message_bytes: pcm::MAX_MESSAGE_BYTES };
    visit.open(&manner, |core, socket| pcm::hear(core, socket, opening, client))
}

/// Screen a call: Twilio Media Streams
///
/// Known by `X-Twilio-Signature` where `[live.twilio]` is configured. The stream's parameters become the call's metadata;
/// one named `policy` chooses the policy.
#[utoipa::path(get, path = "/v1/live/twilio", tag = "live", responses(CallAnswers))]
pub(super) async fn twilio(mut visit: Visit) -> Result<Response> {
    let client = visit.by_twilio().await?;
    let manner = Manner { protocols: &[], max_message_bytes: twilio::MAX_MESSAGE_BYTES };
    visit.open(&manner, |core, socket| twilio::hear(core, socket, Transport::Twilio, client))
}

/// Screen a call: Telnyx media streaming
///
/// PCMU, PCMA, G.722, L16 or Opus; pieces may come out of order.
#[utoipa::path(
    get, path = "/v1/live/telnyx", tag = "live",
    params(("token" = Option<String>, Query, description = "A token, where no header can be sent")),
    responses(CallAnswers)
)]
pub(super) async fn telnyx(mut visit: Visit) -> Result<Response> {
    let client = visit.by_query_token().await?;
    let manner = Manner { protocols: &[], max_message_bytes: twilio::MAX_MESSAGE_BYTES };
    visit.open(&manner, |core, socket| twilio::hear(core, socket, Transport::Telnyx, client))
}

/// Screen a call: Genesys AudioHook
///
/// Version 2 of the protocol, PCMU. Known by the HTTP message signature where `[live.genesys]` is configured.
#[utoipa::path(get, path = "/v1/live/genesys", tag = "live", responses(CallAnswers))]
pub(super) async fn genesys(mut visit: Visit) -> Result<Response> {
    let client = visit.by_genesys().await?;
    let [session_id, organization_id] =
        ["audiohook-session-id", "audiohook-organization-id"].map(|name| visit.header(name));
    let claim = genesys::Claim { session_id, organization_id };
    let manner = Manner { protocols: &[], max_message_bytes: genesys::MAX_MESSAGE_BYTES };
    visit.open(&manner, |core, socket| genesys::hear(core, socket, claim, client))
}

/// Screen a call: Asterisk's WebSocket channel
///
/// `chan_websocket` with the subprotocol `media` and control messages as plain text or JSON. What else the query says becomes
/// the call's metadata.
#[utoipa::path(
    get, path = "/v1/live/asterisk", tag = "live",
    params(
        ("party" = Option<String>, Query, description = "Name of the one party, `caller` unless told"),
        ("external_id" = Option<String>, Query, description = "The client's name for the call"),
        ("policy" = Option<String>, Query, description = "Name of the policy"),
    ),
    responses(CallAnswers)
)]
pub(super) async fn asterisk(mut visit: Visit) -> Result<Response> {
    let client = visit.by_token().await?;
    let wishes = asterisk_ws::Wishes::of_query(visit.query());
    let manner = Manner { protocols: &asterisk_ws::SUBPROTOCOLS, max_message_bytes: asterisk_ws::MAX_MESSAGE_BYTES };
    visit.open(&manner, |core, socket| asterisk_ws::hear(core, socket, wishes, client))
}
