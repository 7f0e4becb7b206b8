//! SIPREC: sessions over UDP and TCP, what is refused, and sipp as a client that is not ours.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{
    CLONED, GENUINE, follow, has_program, only_call, result_of,
    rtp::{alerts, channel, free_ports, scanned, send_together, socket, spoken},
};
use crate::{
    capture::{self, Stream},
    daemon::{Daemon, Setup, sample},
    webhook::until,
};

fn daemon(port: u16, more: &str) -> Daemon {
    let media = free_ports();
    let rest = format!(
        "[live.siprec]\nlisten = '127.0.0.1:{port}'\nmedia_ports = [{media}, {}]\n{more}\n",
        media.saturating_add(60)
    );
    Daemon::start(&Setup { rest: &rest, ..Setup::default() })
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A session border controller, as far as a test needs one.
struct Client {
    wire: Wire,
    call_id: String,
    to_tag: String,
    cseq: u32,
    rest: String,
}

const TWO: &str = "v=0\r\no=SBC 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 9000 RTP/AVP 0 9 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\na=label:1\r\n\
    m=audio 9002 RTP/AVP 18 0\r\na=sendonly\r\na=label:2\r\n";
const METADATA: &str = "<?xml version=\"1.0\"?><recording xmlns='urn:ietf:params:xml:ns:recording:1'>\
    <session session_id='s'><sipSessionID>ab;remote=cd</sipSessionID></session>\
    <participant participant_id='a'><nameID aor='sip:alice@example.com'><name>Alice</name></nameID></participant>\
    <participant participant_id='b'><nameID aor='tel:+15551234'/></participant>\
    <stream stream_id='x' session_id='s'><label>1</label></stream>\
    <stream stream_id='y' session_id='s'><label>2</label></stream>\
    <participantstreamassoc participant_id='a'><send>x</send><recv>y</recv></participantstreamassoc>\
    <participantstreamassoc participant_id='b'><send>y</send><recv>x</recv></participantstreamassoc></recording>";

impl Client {
    fn udp(port: u16, call_id: &str) -> Self {
        let socket = socket();
        socket.connect(("127.0.0.1", port)).unwrap();
        Self::over(Wire::Udp(socket), call_id)
    }

    fn tcp(port: u16, call_id: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self::over(Wire::Tcp(stream), call_id)
    }

    fn over(wire: Wire, call_id: &str) -> Self {
        Self { wire, call_id: call_id.to_owned(), to_tag: String::new(), cseq: 0, rest: String::new() }
    }

    fn send_text(&mut self, text: &str) {
        match &mut self.wire {
            Wire::Udp(socket) => drop(socket.send(text.as_bytes()).unwrap()),
            // In two pieces, as a network may deliver it.
            Wire::Tcp(stream) => {
                let (head, tail) = text.split_at(text.len() / 2);
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(tail.as_bytes()).unwrap();
            }
        }
    }

    fn send(&mut self, method: &str, headers: &str, body: &str) {
        let transport = if matches!(self.wire, Wire::Udp(_)) { "UDP" } else { "TCP" };
        let Self { call_id, to_tag, cseq, .. } = self;
        let text = format!(
            "{method} sip:srs@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:5099;branch=z9hG4bK{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:src@127.0.0.1>;tag=f\r\nTo: <sip:srs@127.0.0.1>{to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:src@127.0.0.1:5099>;+sip.src\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send_text(&text);
    }

    /// The next message.
    fn receive(&mut self) -> String {
        match &mut self.wire {
            Wire::Udp(socket) => {
                let mut buffer = [0; 4_096];
                let bytes = socket.recv(&mut buffer).unwrap();
                String::from_utf8(buffer[..bytes].to_vec()).unwrap()
            }
            Wire::Tcp(stream) => loop {
                if let Some((head, body)) = self.rest.split_once("\r\n\r\n") {
                    let length = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap();
                    let length: usize = length.parse().unwrap();
                    if body.len() >= length {
                        let end = head.len() + 4 + length;
                        let message = self.rest[..end].to_owned();
                        self.rest.drain(..end);
                        return message;
                    }
                }
                let mut buffer = [0; 4_096];
                let bytes = stream.read(&mut buffer).unwrap();
                assert!(bytes > 0, "the connection was closed");
                self.rest.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
            },
        }
    }

    /// A request with a new number, and its answer.
    fn ask(&mut self, method: &str, headers: &str, body: &str) -> String {
        self.cseq += 1;
        self.send(method, headers, body);
        self.receive()
    }

    fn multipart(&mut self, method: &str, sdp: &str, metadata: &str) -> String {
        let body = format!(
            "--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n\
             Content-Disposition: recording-session\r\n\r\n{metadata}\r\n--b--\r\n"
        );
        let headers = "Require: siprec\r\nSupported: timer\r\nSession-Expires: 1800\r\nContent-Type: multipart/mixed;boundary=b\r\n";
        self.ask(method, headers, &body)
    }

    /// Begins a session; the ports that were answered.
    fn invite(&mut self, sdp: &str, metadata: &str) -> Vec<SocketAddr> {
        let answer = self.multipart("INVITE", sdp, metadata);
        assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
        let tag = answer.split("\r\nTo: ").nth(1).unwrap().lines().next().unwrap().split(";tag=").nth(1).unwrap();
        self.to_tag = format!(";tag={tag}");
        self.send("ACK", "", "");
        ports_of(&answer)
    }

    fn bye(&mut self) {
        let answer = self.ask("BYE", "", "");
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }
}

fn ports_of(answer: &str) -> Vec<SocketAddr> {
    let sections = answer.split("\r\nm=audio ").skip(1).map(|section| section.split(' ').next().unwrap());
    sections.map(|port| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))).collect()
}

#[test]
fn both_parties_are_heard_under_their_names_over_udp_and_over_tcp() {
    for connect in [Client::udp, Client::tcp] {
        let port = free_ports();
        let daemon = daemon(port, "");
        let mut client = connect(port, "call-1@sbc");
        let options = client.ask("OPTIONS", "", "");
        assert!(
            options.contains("\r\nSupported: siprec, timer\r\n") && options.contains("\r\nAllow: INVITE"),
            "{options}"
        );
        let to = client.invite(TWO, METADATA);
        let call = only_call(&daemon);
        let id = call["id"].as_str().unwrap();
        assert_eq!((&call["external_id"], &call["transport"]), (&"call-1@sbc".into(), &"siprec".into()));
        let follower = follow(&daemon, id);
        let (agent, caller) = (socket(), socket());
        let packets = [spoken(GENUINE, "127.0.0.1:3"), spoken(CLONED, "127.0.0.1:4")];
        let [genuine, cloned] = packets;
        send_together(&daemon, &[(&agent, to[0], genuine), (&caller, to[1], cloned)]);
        client.bye();

        let result = result_of(&daemon, id);
        assert_eq!(channel(&result, 0), channel(&scanned(&sample(GENUINE)), 0));
        assert_eq!(channel(&result, 1), channel(&scanned(&sample(CLONED)), 0));
        assert_eq!(alerts(&follower.join().unwrap()), ["+15551234"]);
        let call = daemon.get(&format!("/v1/calls/{id}")).json();
        assert_eq!(call["party_names"], serde_json::json!(["Alice", "+15551234"]));
        assert_eq!(call["metadata"]["participant.1"], "Alice, sip:alice@example.com");
        assert_eq!(call["metadata"]["session_id"], "ab;remote=cd");
        assert_eq!(call["ending"], "completed");
    }
}

#[test]
fn what_is_offered_is_answered_stream_by_stream() {
    let port = free_ports();
    let _daemon = daemon(port, "");
    let mut client = Client::udp(port, "call-2");
    let answer = client.multipart("INVITE", TWO, METADATA);
    let sections: Vec<&str> = answer.split("\r\nm=").skip(1).collect();
    assert!(sections[0].contains("RTP/AVP 0 9 101\r\n") && sections[0].contains("a=label:1\r\na=recvonly"), "{answer}");
    assert!(sections[1].contains("RTP/AVP 0\r\n") && sections[1].contains("a=label:2\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nSession-Expires: 1800;refresher=uac\r\n") && answer.contains(";+sip.srs\r\n"),
        "{answer}"
    );
    // Not acknowledged, it comes again by itself, and at once where the INVITE comes again.
    assert_eq!(client.receive(), answer);
    let again = client.multipart_again();
    assert_eq!(again, answer);
}

impl Client {
    fn multipart_again(&mut self) -> String {
        self.cseq -= 1;
        self.multipart("INVITE", TWO, METADATA)
    }
}

#[test]
fn what_it_cannot_do_is_refused_and_says_why() {
    let port = free_ports();
    let daemon = daemon(port, "max_calls = 1");
    let sdp = "Content-Type: application/sdp\r\n";
    let line = |media: &str| format!("v=0\r\nc=IN IP4 127.0.0.1\r\n{media}\r\n");
    let cases: [(&str, &str, String, &str, &str); 9] = [
        ("INVITE", "Require: siprec, 100rel\r\n", String::new(), "420 ", "Unsupported: 100rel"),
        ("INVITE", sdp, line("m=audio 9000 RTP/SAVP 0"), "488 ", "SRTP is not supported"),
        ("INVITE", sdp, line("m=audio 9000 RTP/AVP 18"), "488 ", "none of the codecs"),
        ("INVITE", sdp, line("m=video 9000 RTP/AVP 99"), "488 ", "no audio is offered"),
        ("INVITE", "", String::new(), "488 ", "an offer is needed"),
        ("INVITE", "Content-Type: text/plain\r\n", "hello".to_owned(), "415 ", "Accept: application/sdp"),
        ("BYE", "", String::new(), "481 ", ""),
        ("CANCEL", "", String::new(), "481 ", ""),
        ("REGISTER", "", String::new(), "405 ", "Allow: INVITE"),
    ];
    for (index, (method, headers, body, status, said)) in cases.iter().enumerate() {
        let answer = Client::udp(port, &format!("refused-{index}")).ask(method, headers, body);
        assert!(answer.starts_with(&format!("SIP/2.0 {status}")) && answer.contains(said), "{index}: {answer}");
    }
    let mut first = Client::udp(port, "first");
    first.invite(TWO, "<broken");
    let busy = Client::udp(port, "second").multipart("INVITE", TWO, METADATA);
    assert!(busy.starts_with("SIP/2.0 503 ") && busy.contains("\r\nRetry-After: 10\r\n"), "{busy}");
    first.bye();
    let mut third = Client::udp(port, "third");
    third.invite(TWO, METADATA);
    // The service stops: we hear of it, and the call has its result.
    daemon.signal("-TERM");
    let bye = third.receive();
    assert!(bye.starts_with("BYE sip:src@127.0.0.1:5099 SIP/2.0\r\n"), "{bye}");
    assert!(daemon.ended().success());
}

#[test]
fn strangers_are_forbidden() {
    let port = free_ports();
    let daemon = daemon(port, "allow = ['10.0.0.0/8']");
    let answer = Client::udp(port, "x").multipart("INVITE", TWO, METADATA);
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
    assert!(daemon.get("/v1/calls").json()["calls"].as_array().unwrap().is_empty());
}

#[test]
fn a_new_codec_a_hold_and_a_new_name_take_effect_in_the_middle() {
    let Some(folder) = crate::screener::ffmpeg_folder() else { return };
    let port = free_ports();
    let daemon = daemon(port, "");
    let mut client = Client::udp(port, "call-3");
    let dynamic = |name: &str| {
        format!("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 9000 RTP/AVP 0 96\r\na=rtpmap:96 {name}/8000\r\na=label:1\r\n")
    };
    let to = client.invite(&dynamic("PCMA"), METADATA)[0];
    let sender = socket();
    let source = sender.local_addr().unwrap();
    let mut packets = Stream::new(0, &source.to_string(), "127.0.0.1:1", capture::wav_data(&sample(CLONED))).packets();
    // From the 200th packet on, the same as G.722: silence of its own, but another codec and rate.
    let count = packets.len();
    packets.iter_mut().skip(200).for_each(|(_, packet)| packet[1] = 96);
    let datagrams: Vec<Vec<u8>> = packets.iter().map(|(_, packet)| packet.clone()).collect();
    send_together(&daemon, &[(&sender, to, datagrams[..200].to_vec())]);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    // Packets that still wait in the socket are none of type 96, the only one whose meaning changes.
    until("most packets to be heard", || {
        let call = daemon.get(&format!("/v1/calls/{id}")).json();
        call["parties"][0]["audio_secs"].as_f64().is_some_and(|secs| secs >= 3.0)
    });
    let answer = client.multipart("INVITE", &dynamic("G722"), &METADATA.replace("Alice", "Eve"));
    assert!(answer.contains("a=rtpmap:96 g722/8000\r\n") && ports_of(&answer) == [to], "{answer}");
    client.send("ACK", "", "");
    let held = format!("{}a=inactive\r\n", dynamic("G722"));
    let answer = client.multipart("UPDATE", &held, METADATA);
    assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains("a=inactive\r\n"), "{answer}");
    send_together(&daemon, &[(&sender, to, datagrams[200..].to_vec())]);
    client.bye();

    let result = result_of(&daemon, &id);
    let framed = packets.iter().map(|(at, packet)| (*at, capture::frame(source, to, packet)));
    let media = format!("m=audio {} RTP/AVP 96\r\na=rtpmap:96 G722/8000\r\n", to.port());
    let frames: Vec<_> = [capture::invite("127.0.0.1", &media)].into_iter().chain(framed).collect();
    let path = folder.path().join("call.pcap");
    std::fs::write(&path, capture::pcap(&frames)).unwrap();
    assert_eq!(channel(&result, 0), channel(&scanned(&path), 0), "{count} packets");
    let call = daemon.get(&format!("/v1/calls/{id}")).json();
    assert_eq!((&call["metadata"]["hold.1"], &call["party_names"]), (&"true".into(), &serde_json::json!(["Alice"])));
}

const SCENARIO: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="SIPREC">
  <send retrans="500"><![CDATA[
      INVITE sip:srs@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:src@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:srs@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:src@[local_ip]:[local_port]>;+sip.src
      Require: siprec
      Max-Forwards: 70
      Content-Type: multipart/mixed;boundary=b
      Content-Length: [len]

      --b
      Content-Type: application/sdp

      v=0
      o=sipp 1 1 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
      a=sendonly
      a=label:1

      --b
      Content-Type: application/rs-metadata+xml
      Content-Disposition: recording-session

      <recording xmlns='urn:ietf:params:xml:ns:recording:1'><participant participant_id='a'><nameID aor='sip:NAME@example.com'/></participant><stream stream_id='x' session_id='s'><label>1</label></stream><participantstreamassoc participant_id='a'><send>x</send></participantstreamassoc></recording>
      --b--
  ]]></send>
  <recv response="200" rtd="true" />
  <send><![CDATA[
      ACK sip:srs@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:src@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:srs@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  <nop><action><exec play_pcap_audio="PCAP"/></action></nop>
  <pause milliseconds="PAUSE"/>
  <send retrans="500"><![CDATA[
      BYE sip:srs@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:src@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:srs@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  <recv response="200"/>
</scenario>
"#;

/// sipp calls, plays the clip in real time, and hangs up.
fn sipp(folder: &std::path::Path, name: &str, clip: &str, port: u16) -> thread::JoinHandle<()> {
    let stream = Stream::new(0, "127.0.0.1:6000", "127.0.0.1:6002", capture::wav_data(&sample(clip)));
    let pcap = folder.join(format!("{name}.pcap"));
    let frames = capture::frames(std::slice::from_ref(&stream));
    std::fs::write(&pcap, capture::pcap(&frames)).unwrap();
    let pause = frames.len() * 20 + 500;
    let scenario = SCENARIO.replace("PCAP", &pcap.display().to_string());
    let scenario = scenario.replace("NAME", name).replace("PAUSE", &pause.to_string());
    let file = folder.join(format!("{name}.xml"));
    std::fs::write(&file, scenario).unwrap();
    let (own, media) = (free_ports(), free_ports());
    let mut sipp = Command::new("sipp");
    sipp.current_dir(folder).arg("-sf").arg(&file).args(["-m", "1", "-nostdin", "-i", "127.0.0.1", "-mi", "127.0.0.1"]);
    sipp.args(["-p", &own.to_string(), "-mp", &media.to_string(), "-timeout", "90", &format!("127.0.0.1:{port}")]);
    thread::spawn(move || {
        let output = sipp.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    })
}

#[test]
fn sipp_records_a_genuine_and_a_cloned_caller() {
    if !has_program("sipp", "-v") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports();
    let daemon = daemon(port, "");
    for (name, clip, alerted) in [("mario", GENUINE, 0), ("piper", CLONED, 1)] {
        let sipp = sipp(folder.path(), name, clip, port);
        let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
        let follower = follow(&daemon, &id);
        sipp.join().unwrap();
        let result = result_of(&daemon, &id);
        assert_eq!(channel(&result, 0), channel(&scanned(&sample(clip)), 0), "{clip}");
        let events: Vec<Value> = follower.join().unwrap();
        assert_eq!(alerts(&events), [name; 1][..alerted], "{clip}");
        until("the end", || daemon.get("/v1/calls").json()["calls"].as_array().unwrap().is_empty());
    }
}
