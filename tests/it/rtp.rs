//! Properties of the RTP receiver: order and repetition do not matter, and no bytes are too strange.

use std::time::Duration;

use clonewatch::rtp::{Event, Flow, Format, Packet, PayloadMap, Receiver, Routed, Session, WINDOW_PACKETS};
use proptest::prelude::*;

/// What a receiver gave, put together.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    rates_hz: Vec<u32>,
    samples: Vec<f32>,
    gap_samples: u64,
    digits: String,
}

impl Heard {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Rate(rate_hz) => self.rates_hz.push(rate_hz),
            Event::Samples(samples) => self.samples.extend(samples),
            Event::Gap(samples) => {
                self.gap_samples += samples;
                self.samples.extend(std::iter::repeat_n(0.0, samples as usize));
            }
            Event::Dtmf(digit) => self.digits.push(digit),
        }
    }
}

/// 20 ms of audio each, at 8,000 ticks per second, across the wraps of sequence and timestamp.
fn packets(payload_type: u8, count: usize) -> Vec<Vec<u8>> {
    let packet = |i: usize| {
        let payload: Vec<u8> = (0..160).map(|k| (i * 37 + k * 11) as u8).collect();
        Packet {
            marker: i == 0,
            payload_type,
            sequence: 65_500_u16.wrapping_add(i as u16),
            timestamp: (u32::MAX - 3_000).wrapping_add(160 * i as u32),
            ssrc: 7,
            payload: &payload,
        }
        .to_bytes()
    };
    (0..count).map(packet).collect()
}

fn receive<'a>(datagrams: impl IntoIterator<Item = &'a Vec<u8>>, spacing: Duration) -> Heard {
    let mut heard = Heard::default();
    let mut receiver = Receiver::new(PayloadMap::default());
    for (datagram, i) in datagrams.into_iter().zip(0..) {
        receiver.push(&Packet::parse(datagram).unwrap(), spacing * i, &mut |event| heard.take(event));
    }
    receiver.finish(&mut |event| heard.take(event));
    heard
}

proptest! {
    #[test]
    fn any_order_and_repetition_within_the_window_gives_the_same_samples(
        delays in prop::collection::vec((0..WINDOW_PACKETS as usize, prop::option::of(0..WINDOW_PACKETS as usize)), 1..120),
        payload_type in prop::sample::select(vec![0_u8, 8, 9]),
    ) {
        let sent = packets(payload_type, delays.len());
        let mut order: Vec<(usize, usize)> = Vec::new();
        for (i, (delay, repeated)) in delays.iter().enumerate() {
            order.push((i + delay, i));
            order.extend(repeated.map(|delay| (i + delay, i)));
        }
        order.sort();
        let shuffled = receive(order.iter().map(|(_, i)| &sent[*i]), Duration::from_millis(2));
        let straight = receive(&sent, Duration::from_millis(20));
        prop_assert_eq!(shuffled, straight);
    }

    #[test]
    fn any_split_of_lost_packets_keeps_the_time(lost in prop::collection::btree_set(1_usize..99, 0..80)) {
        let sent = packets(0, 100);
        let heard = receive(sent.iter().enumerate().filter(|(i, _)| !lost.contains(i)).map(|(_, d)| d), Duration::from_millis(20));
        prop_assert_eq!(heard.samples.len(), 100 * 160);
        prop_assert_eq!(heard.gap_samples, 160 * lost.len() as u64);
    }

    #[test]
    fn no_bytes_are_too_strange(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..200)) {
        let mut payloads = PayloadMap::default();
        payloads.set(96, Format::parse("opus/48000/2").unwrap());
        payloads.set(97, Format::parse("l16/48000/2").unwrap());
        let mut flow = Flow::new(payloads);
        let mut sequence = 0_u16;
        for (mut datagram, i) in datagrams.into_iter().zip(0_u32..) {
            // Half of them look like RTP of one sender.
            if i % 2 == 0 && datagram.len() > 12 {
                sequence = sequence.wrapping_add(u16::from(datagram[3] % 3));
                datagram[0] = 0x80;
                datagram[1] = [0, 3, 9, 96, 97, 101, 13][usize::from(datagram[1]) % 7];
                datagram[2..4].copy_from_slice(&sequence.to_be_bytes());
                datagram[8..12].copy_from_slice(&[1; 4]);
            }
            flow.push(&datagram, Duration::from_millis(u64::from(i)), &mut |_, event| {
                if let Event::Samples(samples) = event {
                    assert!(samples.iter().all(|sample| sample.is_finite()));
                }
            });
        }
        flow.finish(&mut |_, _| {});
    }

    #[test]
    fn no_description_is_too_strange(text in "(?s)([mcav]=[ -~]{0,40}\r?\n|.{0,20}){0,30}") {
        if let Some(session) = Session::parse(&text) {
            assert!(session.media.iter().all(|media| media.payload_types.iter().all(|number| *number < 128)));
        }
    }
}

/// One packet of 20 ms of PCMU.
fn voice(ssrc: u32, i: u16) -> Vec<u8> {
    let payload = [0xFF; 160];
    let timestamp = u32::from(i) * 160;
    Packet { marker: false, payload_type: 0, sequence: i, timestamp, ssrc, payload: &payload }.to_bytes()
}

fn voices_of(datagrams: &[(Vec<u8>, u64)]) -> Vec<usize> {
    let mut samples = Vec::new();
    let mut flow = Flow::new(PayloadMap::default());
    let mut sink = |voice: usize, event: Event<'_>| {
        samples.resize(samples.len().max(voice + 1), 0);
        match event {
            Event::Samples(heard) => samples[voice] += heard.len(),
            Event::Gap(passed) => samples[voice] += passed as usize,
            _ => {}
        }
    };
    for (datagram, at_ms) in datagrams {
        flow.push(datagram, Duration::from_millis(*at_ms), &mut sink);
    }
    flow.finish(&mut sink);
    samples
}

#[test]
fn a_new_ssrc_goes_on_with_a_voice_that_fell_silent_and_is_a_new_one_beside_one_that_speaks() {
    let first = (0..50_u16).map(|i| (voice(1, i), 20 * u64::from(i)));
    let second = (0..50_u16).map(|i| (voice(2, 900 + i), 1_500 + 20 * u64::from(i)));
    // Half a second between them is kept.
    let changed: Vec<_> = first.clone().chain(second.clone()).collect();
    assert_eq!(voices_of(&changed), [100 * 160 + 4_000]);
    let beside: Vec<_> = (0..50_u16).flat_map(|i| [1, 2].map(|ssrc| (voice(ssrc, i), 20 * u64::from(i)))).collect();
    assert_eq!(voices_of(&beside), [50 * 160, 50 * 160]);
}

#[test]
fn stray_datagrams_make_no_voice() {
    let mut flow = Flow::new(PayloadMap::default());
    for (i, sequence) in [(0_u32, 5_u16), (1, 5), (2, 900), (3, 4_000)] {
        let routed =
            flow.push(&voice(3, sequence), Duration::from_millis(u64::from(i)), &mut |_, _| panic!("no voice"));
        assert_eq!(routed, Routed::Waiting);
    }
    assert_eq!(flow.push(b"\x80\xC8\x00\x06", Duration::ZERO, &mut |_, _| {}), Routed::Refused);
}

#[test]
fn pauses_digits_and_a_change_of_codec_come_out_as_such() {
    let mut heard = Heard::default();
    let mut receiver = Receiver::new(PayloadMap::default());
    let mut sequence = 0;
    let mut send = |payload_type: u8, timestamp: u32, payload: &[u8]| {
        let packet = Packet { marker: false, payload_type, sequence, timestamp, ssrc: 1, payload };
        receiver.push(&packet, Duration::from_millis(u64::from(timestamp) / 8), &mut |event| heard.take(event));
        sequence += 1;
    };
    for i in 0..20 {
        send(0, 160 * i, &[0xFF; 160]);
    }
    send(13, 3_200, &[60]);
    for _ in 0..3 {
        send(101, 4_000, &[5, 10, 0, 160]);
    }
    send(101, 4_800, &[11, 0x8A, 0, 160]);
    send(0, 19_200, &[0xFF; 160]);
    send(18, 19_360, &[0; 20]);
    send(9, 19_520, &[0; 160]);
    receiver.finish(&mut |event| heard.take(event));
    assert_eq!((heard.digits.as_str(), heard.rates_hz.as_slice()), ("5#", &[8_000, 16_000][..]));
    // 2 s of pause at 8 kHz, and 20 ms that could not be decoded at 16 kHz.
    assert_eq!(heard.gap_samples, 16_000 + 320);
    assert_eq!(receiver.tally().undecodable_packets.get(&18), Some(&1));
}
