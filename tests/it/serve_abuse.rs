//! The daemon where things go wrong: clients that lie, stall or hang up, crowds, kills, full disks, broken files.

mod crash;
mod crowd;

use std::{
    fs,
    io::{self, Cursor, Read, Write},
};

use super::{
    daemon::{Daemon, Setup, sample, scan_line},
    webhook::until,
};

/// One second of speech, another one for each `index`.
fn clip(index: usize) -> Vec<u8> {
    let mut reader = hound::WavReader::open(sample("genuine-en-allison.wav")).unwrap();
    let spec = reader.spec();
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let second = spec.sample_rate as usize * usize::from(spec.channels);
    let start = index * 97 % (samples.len() - second);
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    samples[start..start + second].iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

/// The head of an upload of which `announced` bytes are promised.
fn head(announced: &str) -> String {
    format!("POST /v1/scans HTTP/1.1\r\nHost: clonewatch\r\nConnection: close\r\nContent-Length: {announced}\r\n\r\n")
}

/// A form as a browser sends it, with the file's headers as they are given.
fn form(disposition: &[u8], audio: &[u8], end: &str) -> Vec<u8> {
    [b"--XX\r\nContent-Disposition: form-data; ", disposition, b"\r\n\r\n", audio, end.as_bytes()].concat()
}

const IS_FORM: &str = "Content-Type: multipart/form-data; boundary=XX\r\n";

/// Neither escape sequences nor other control characters, which could forge lines or move a cursor.
fn assert_clean(what: &str, text: &str) {
    let dirty = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(dirty, None, "{what}: {text:?}");
}

#[test]
fn an_upload_gets_the_bytes_of_scan() {
    let daemon = Daemon::start(&Setup::default());
    let clip = sample("cloned-en-piper.m4a");
    let id = daemon.submit("?name=cloned-en-piper.m4a", &fs::read(&clip).unwrap());
    assert_eq!(daemon.finished(&id)["decision"], "spoof");
    assert_eq!(daemon.get(&format!("/v1/scans/{id}/result")).body, scan_line(&clip));
    assert_eq!(daemon.spool(), [""; 0], "no audio is kept");
}

#[test]
fn hostile_requests_are_refused_and_leave_nothing() {
    let daemon = Daemon::start(&Setup { queue: "max_upload_bytes = 1048576", ..Setup::default() });
    let get =
        |header: &str| format!("GET /v1/scans HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n").into_bytes();
    let raw: &[(&str, Vec<u8>, &[u16])] = &[
        ("negative length", head("-1").into(), &[400]),
        ("length in words", head("many").into(), &[400]),
        ("length beyond 64 bits", head("99999999999999999999999").into(), &[400]),
        ("absurd length", head("18446744073709551615").into(), &[400, 413, 431]),
        ("more than an upload may have", head("2000000").into(), &[413]),
        ("two lengths", head("5\r\nContent-Length: 6").into(), &[400]),
        (
            "bad chunk",
            b"POST /v1/scans HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
                .into(),
            &[400],
        ),
        ("huge header", get(&format!("X-Long: {}\r\n", "a".repeat(100_000))), &[431]),
        ("thousands of headers", get(&"X-Many: a\r\n".repeat(2_000)), &[431]),
        ("endless target", format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)).into(), &[414, 431]),
        ("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".into(), &[400]),
        ("NUL in a header", get("X-Request-Id: a\0b\r\n"), &[400]),
    ];
    for (what, bytes, expected) in raw {
        let reply = daemon.raw(bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(expected.contains(&reply.status), "{what}: {reply:?}");
    }
    let file = b"name=\"file\"; filename=\"a.wav\"".as_slice();
    let end = "\r\n--XX--\r\n";
    let two = [form(file, b"x", "\r\n"), form(file, b"y", end)].concat();
    let rows: &[(&str, &str, &str, Vec<u8>)] = &[
        ("no boundary", "", "Content-Type: multipart/form-data\r\n", b"--XX--".into()),
        ("no form", "", IS_FORM, b"nothing of the kind".into()),
        ("cut form", "", IS_FORM, form(file, b"abc", "")),
        ("empty form", "", IS_FORM, b"--XX--\r\n".into()),
        ("two files", "", IS_FORM, two),
        ("unknown field", "", IS_FORM, form(b"name=\"colour\"", b"red", end)),
        ("ANSI in a file name", "", IS_FORM, form(b"name=\"file\"; filename=\"a\x1b[31m.wav\"", b"x", end)),
        ("NUL in a file name", "", IS_FORM, form(b"name=\"file\"; filename=\"a\0.wav\"", b"x", end)),
        ("long field", "", IS_FORM, form(b"name=\"label\"", &[b'a'; 5_000], end)),
        ("label that is not UTF-8", "", IS_FORM, form(b"name=\"label\"", b"\xff\xfe", end)),
        ("ANSI in a name", "?name=a%1b%5b31m", "", b"x".into()),
        ("NUL in a name", "?name=a%00b", "", b"x".into()),
        ("line break in a label", "?label=a%0aINFO+forged", "", b"x".into()),
        ("no UTF-8 in a name", "?name=%ff%fe%1b", "", b"x".into()),
        ("endless name", &format!("?name={}", "a".repeat(256)), "", b"x".into()),
        ("unknown parameter", "?nmae=a", "", b"x".into()),
        ("a watched folder's source", "?source=watch:in", "", b"x".into()),
        ("unknown policy", "?policy=..%2f..", "", b"x".into()),
        ("key that is not ASCII", "", "Idempotency-Key: \u{e9}\r\n", b"x".into()),
    ];
    for (what, query, headers, body) in rows {
        let reply = daemon.send(&format!("POST /v1/scans{query}"), headers, body).unwrap();
        if *what == "no UTF-8 in a name" || what.starts_with("NUL in a file") {
            assert!(reply.status == 400 || reply.status == 202, "{what}: {reply:?}");
        } else {
            let is_policy = *what == "unknown policy";
            let expected = if is_policy { (409, "no_such_policy") } else { (400, "invalid_request") };
            assert_eq!((reply.status, reply.problem().as_str()), expected, "{what}: {reply:?}");
        }
        assert_clean(what, &reply.text());
    }
    let forged = daemon.send("GET /version", "X-Request-Id: a\"b = c\r\n", b"").unwrap();
    assert!(forged.header("x-request-id").unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()), "{forged:?}");
    for target in ["/v1/scans/..%2f..%2fetc%2fpasswd", "/v1/scans/%00", "/../../etc/passwd", "/v1/scans/a%1b%5b31m"] {
        assert_eq!(daemon.get(target).status, 404, "{target}");
    }
    assert_eq!(daemon.metric("clonewatch_inside_jobs", ""), 0.0);
    assert_eq!(daemon.spool(), [""; 0]);
    assert_eq!(daemon.metric("clonewatch_inside_bytes", ""), 0.0);
    assert_clean("log", &daemon.log());
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[test]
fn a_body_without_an_announced_end_is_cut_at_the_limit() {
    let daemon = Daemon::start(&Setup { queue: "max_upload_bytes = 1048576", ..Setup::default() });
    let mut stream = daemon.connect().unwrap();
    stream.write_all(b"POST /v1/scans HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[0x5a; 0x10000], b"\r\n"].concat();
    let sent = (0..64).try_for_each(|_| stream.write_all(&chunk));
    let mut answer = Vec::new();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_end(&mut answer).unwrap_or_else(|e| panic!("{e}, sent {sent:?}"));
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("queue.max_upload_bytes"), "{answer}");
    assert_eq!(daemon.spool(), [""; 0]);
}

#[test]
fn paths_as_names_are_only_names() {
    let daemon = Daemon::start(&Setup::default());
    let audio = clip(0);
    for name in
        ["..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fshadow", "C:%5cboot.ini", "CON", "..", "-rf", "%22%3e%3cscript%3e"]
    {
        let id = daemon.submit(&format!("?name={name}"), &audio);
        assert_eq!(daemon.finished(&id)["state"], "done", "{name}");
    }
    let name = "name=\"file\"; filename=\"../../../../tmp/owned.wav\"";
    let body = form(name.as_bytes(), &audio, "\r\n--XX--\r\n");
    let id = daemon.send("POST /v1/scans", IS_FORM, &body).unwrap().id();
    let scan = daemon.finished(&id);
    assert_eq!(scan["result"]["input"]["path"], "../../../../tmp/owned.wav");
    let mut left: Vec<String> = fs::read_dir(daemon.path("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["clonewatch.db", "clonewatch.db-shm", "clonewatch.db-wal", "lock", "spool"]);
    assert_eq!(daemon.spool(), [""; 0]);
    assert!(!std::path::Path::new("/tmp/owned.wav").exists());
    assert_clean("log", &daemon.log());
}

#[test]
fn slow_and_half_requests_are_dropped_while_others_are_served() {
    let server = "header_timeout_secs = 1\nbody_idle_secs = 1\nbody_timeout_secs = 3";
    let daemon = Daemon::start(&Setup { server, ..Setup::default() });
    let mut silent = daemon.connect().unwrap();
    let mut dripping = daemon.connect().unwrap();
    let mut half = daemon.connect().unwrap();
    let mut gone = daemon.connect().unwrap();
    dripping.write_all(b"POST /v1/scans HTTP/1.1\r\nX-Slow: ").unwrap();
    for stream in [&mut half, &mut gone] {
        stream.write_all(head("100000").as_bytes()).unwrap();
        stream.write_all(&[0x5a; 10_000]).unwrap();
    }
    until("two spool files", || daemon.spool().len() == 2);
    drop(gone);
    until("one spool file", || daemon.spool().len() == 1);
    // One byte at a time keeps no header open.
    until("the end of the dripping one", || {
        (&dripping).write_all(b"a").is_err() || {
            assert_eq!(daemon.get("/healthz").status, 200, "others are served");
            false
        }
    });
    let id = daemon.submit("", &clip(1));
    assert_eq!(daemon.finished(&id)["state"], "done");
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("came too slowly"), "{answer}");
    let mut nothing = Vec::new();
    silent.read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty() || nothing.starts_with(b"HTTP/1.1 408 "), "{nothing:?}");
    until("an empty spool", || daemon.spool().is_empty());
    until("an empty house", || daemon.metric("clonewatch_inside_jobs", "") == 0.0);
}

#[test]
fn whole_bodies_that_drip_end_too() {
    let server = "body_idle_secs = 5\nbody_timeout_secs = 1";
    let daemon = Daemon::start(&Setup { server, ..Setup::default() });
    let mut stream = daemon.connect().unwrap();
    stream.write_all(head("100000").as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let answer = std::cell::RefCell::new(Vec::new());
    until("the end of the body", || {
        let _ = (&stream).write(b"a");
        let mut piece = [0; 1_024];
        match (&stream).read(&mut piece) {
            Ok(0) => true,
            Ok(bytes) => {
                answer.borrow_mut().extend_from_slice(&piece[..bytes]);
                false
            }
            Err(e) => e.kind() != io::ErrorKind::WouldBlock,
        }
    });
    assert!(answer.borrow().starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    until("an empty spool", || daemon.spool().is_empty());
}

#[test]
fn clients_that_hang_up_leave_no_job_behind() {
    let daemon = Daemon::start(&Setup::default());
    let count = 60;
    for index in 0..count {
        let audio = clip(index);
        let mut stream = daemon.connect().unwrap();
        stream.write_all(&[head(&audio.len().to_string()).as_bytes(), &audio].concat()).unwrap();
        // Gone at once, or a little later each time.
        std::thread::sleep(std::time::Duration::from_micros(150 * index as u64));
    }
    until("an empty house", || daemon.metric("clonewatch_inside_jobs", "") == 0.0);
    let page = daemon.get("/v1/scans?limit=500").json();
    let scans = page["scans"].as_array().unwrap();
    assert!(scans.len() <= count && scans.iter().all(|scan| scan["state"] == "done"), "{scans:?}");
    assert_eq!(daemon.spool(), [""; 0]);
}
