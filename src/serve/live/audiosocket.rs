//! Asterisk's AudioSocket: one TCP connection per call, messages of a type, a length and a payload.
//!
//! A message is one byte of type, two of length (big-endian) and the payload: 0x00 hang-up, 0x01 the call's UUID (16 bytes),
//! 0x03 a DTMF digit, 0x10 and up signed linear audio (16 bits, little-endian, mono), 0xff an error. Source: Asterisk's
//! `res_audiosocket` and its documentation. There is no authentication: the port is bound and filtered instead. Nothing is
//! sent back but a hang-up.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{Call, Ending, NewCall, Party, Refused, Transport, digits::Digits};
use crate::{
    config::{AudioSocket, is_allowed},
    decode::parts::SampleCoding,
    serve::core::Core,
};

/// Longest time for the first message.
const GREETING: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Our own goodbye.
const HANG_UP: [u8; 3] = [0x00, 0, 0];

/// Takes connections until the daemon stops, and awaits them all.
pub(super) async fn serve(listener: TcpListener, core: Arc<Core>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = core.stopping() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                connections.spawn(connection(stream, address.ip(), Arc::clone(&core)));
            }
            Err(error) => {
                warn!(%error, "an AudioSocket connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, address: IpAddr, core: Arc<Core>) {
    let in_force = core.in_force();
    let Some(config) = in_force.config.live.audiosocket.as_ref() else { return };
    if !is_allowed(address, &config.allow) {
        core.metrics.count("clonewatch_refused_total", &[("reason", "network")]);
        return warn!(%address, "an AudioSocket connection is refused: its network is not in live.audiosocket.allow");
    }
    let mut stream = BufReader::new(stream);
    let greeting = tokio::select! {
        greeting = timeout(GREETING, Message::read(&mut stream)) => greeting,
        () = core.stopping() => return,
    };
    let Ok(Ok(Message { kind: 0x01, payload })) = greeting else {
        return debug!(%address, "an AudioSocket connection did not begin with a UUID");
    };
    let new = NewCall {
        transport: Transport::AudioSocket,
        external_id: uuid_text(&payload),
        peer: address.to_string(),
        metadata: Default::default(),
        policy: None,
        actor: "audiosocket".into(),
    };
    match core.open_call(new) {
        Err(refused) => info!(%address, %refused, "an AudioSocket call is refused"),
        Ok(call) => {
            let ending = hear(&call, config, &mut stream).await;
            if !matches!(ending, Ending::Completed | Ending::Disconnected) {
                // The other side may be gone.
                let _ = stream.get_mut().write_all(&HANG_UP).await;
            }
            call.end(ending);
        }
    }
}

async fn hear(call: &Call, config: &AudioSocket, stream: &mut BufReader<TcpStream>) -> Ending {
    let mut ear = Ear { call, config, party: None, digits: Digits::default(), samples: Vec::new() };
    loop {
        let message = tokio::select! {
            message = Message::read(stream) => message,
            ending = call.ended() => return ending,
        };
        let Ok(message) = message else { return Ending::Disconnected };
        if let Some(ending) = ear.take(&message) {
            return ending;
        }
    }
}

/// What listens to one connection.
struct Ear<'a> {
    call: &'a Call,
    config: &'a AudioSocket,
    party: Option<Party>,
    digits: Digits,
    samples: Vec<f32>,
}

impl Ear<'_> {
    /// How the call ends, if `message` ends it.
    fn take(&mut self, message: &Message) -> Option<Ending> {
        match message.kind {
            0x00 => return Some(Ending::Completed),
            0x03 => {
                let digits: String = message.payload.iter().map(|byte| char::from(*byte)).collect();
                self.digits.press(self.call, &digits);
            }
            0xff => {
                let code = message.payload.first().copied().unwrap_or(0);
                return Some(Ending::ProtocolFault(format!("the other side reports error {code:#04x}")));
            }
            kind => {
                // Types that are not known may come with newer versions: they are no audio of ours.
                let rate_hz = self.config.rate_hz(kind)?;
                if let Err(refused) = self.hear(rate_hz, &message.payload) {
                    return Some(Ending::ProtocolFault(refused.to_string()));
                }
            }
        }
        None
    }

    fn hear(&mut self, rate_hz: u32, payload: &[u8]) -> Result<(), Refused> {
        let party = match &mut self.party {
            Some(party) => party,
            none => none.insert(self.call.party(&self.config.party, rate_hz)?),
        };
        party.set_rate(rate_hz)?;
        self.samples.clear();
        SampleCoding::S16le.decode_channel(payload, 0, 1, &mut self.samples);
        party.push(&self.samples);
        Ok(())
    }
}

/// One message, at most 64 KiB long by its nature.
struct Message {
    kind: u8,
    payload: Vec<u8>,
}

impl Message {
    /// Reads the next one. Not to be given up half-way, except for good.
    async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Self> {
        let kind = stream.read_u8().await?;
        let mut payload = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut payload).await?;
        Ok(Self { kind, payload })
    }
}

/// `40325ec2-5efd-4bd3-805f-53576e581d13`.
fn uuid_text(bytes: &[u8]) -> Option<String> {
    let hex = crate::model::hex(bytes);
    let parts = [hex.get(..8)?, hex.get(8..12)?, hex.get(12..16)?, hex.get(16..20)?, hex.get(20..32)?];
    (bytes.len() == 16).then(|| parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_read_as_asterisk_writes_them() {
        let bytes: Vec<u8> = (0..16).map(|n| n * 16 + n).collect();
        assert_eq!(uuid_text(&bytes).as_deref(), Some("00112233-4455-6677-8899-aabbccddeeff"));
        assert_eq!(uuid_text(&bytes[1..]), None);
    }

    #[test]
    fn rates_are_asterisks_unless_the_configuration_says_otherwise() {
        let text = "listen = '127.0.0.1:1'\nrates_hz = { '0x12' = 24000, '0x20' = 11025 }";
        let config: AudioSocket = toml::from_str(text).unwrap();
        let rates = [0x10, 0x12, 0x16, 0x20, 0x21].map(|kind| config.rate_hz(kind));
        assert_eq!(rates, [Some(8_000), Some(24_000), Some(48_000), Some(11_025), None]);
    }
}
