//! `scan --report`: what the page says, that it asks for nothing, and that no file can write into it.

mod browser;

use std::{fs, path::Path};

use crate::cli::{Folder, code, run, silence, text, write_wav};

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name).display().to_string()
}

/// Runs `scan PATHS --report` and gives the page.
fn page_of(folder: &Folder, paths: &[&str], more: &[&str]) -> String {
    let page = folder.arg("page.html");
    let output = run(&[&["scan", "--report", &page], more, paths].concat());
    assert!([0, 1, 3].contains(&code(&output)), "{output:?}");
    assert_sound(&fs::read_to_string(&page).expect("written"))
}

/// What holds for every page.
fn assert_sound(page: &str) -> String {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "the page is whole");
    assert_eq!(page.matches("<h1").count(), 1, "one answer on top");
    for word in ["http:", "https:", "//cdn", "src=", "@import", "style=\"", "onload", "onclick"] {
        assert!(!page.contains(word), "the page holds {word}");
    }
    for address in page.split(" href=\"").skip(1) {
        assert!(address.starts_with("data:") || address.starts_with("#file-"), "{}", &address[..40]);
    }
    assert!(page.contains("default-src 'none'") && page.contains("What this does not say"));
    page.to_owned()
}

#[test]
fn one_file_is_answered_with_place_certainty_and_provenance() {
    let folder = Folder::new();
    let page = page_of(&folder, &[&sample("spliced-podcast.mp3")], &[]);
    for words in [
        "A passage is likely cloned",
        "59 s of 59 s judged",
        "0:32–0:42; the rest sounds different.",
        "a clone explains this passage",
        "genuine recordings were wrongly said to hold a cloned passage; ",
        "full band, 30-80 s, with or without a cloned passage of 4-10 s",
        "telephone, ten minutes of many voices, with or without a cloned passage of 2-10 s",
        "feee57b330edf36b2257550d5d1e9af44ab1e84f91f304ad767c0392136b5dc2",
        "Lavf59.27.100",
        "speech up to",
        "Content Credentials</dt><dd>not found",
        "All 29 segments",
        "full band, about 10 s of one voice",
        "played over a loudspeaker",
        "class=\"stretch\"",
        "--report report.html",
    ] {
        assert!(page.contains(words), "{words} is missing");
    }
    assert_eq!(page.matches("data:image/png;base64,").count(), 1);
    assert_eq!(page.matches("<script").count(), 0, "nothing to sort");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = Folder::new();
    let paths = [sample("call-agent-left-caller-right.wav"), sample("hold-music.mp3"), sample("cloned-en-piper.m4a")];
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let first = page_of(&folder, &paths, &["--threads", "1"]);
    let again = page_of(&folder, &paths, &["--threads", "3", "--format", "jsonl"]);
    assert!(first == again, "threads and format change nothing");
    assert!(
        first.contains("<h1>") && first.contains("3 recordings: 2 likely cloned, 1 inconclusive and 0 likely genuine")
    );
    assert_eq!(first.matches("data:image/png;base64,").count(), 4, "a picture per judged channel");
    assert!(first.contains("Channel 0: Likely genuine") && first.contains("Channel 1: Likely cloned"));
    assert!(first.contains("Moderate evidence (LLR −4."), "how sure is on top, for each channel");
    assert_eq!(first.matches("id=\"file-").count(), 3);
}

#[test]
fn what_cannot_be_judged_is_said_so() {
    let folder = Folder::new();
    silence(&folder.path("silent.wav"), 6.0);
    silence(&folder.path("blip.wav"), 0.01);
    write_wav(&folder.path("short.wav"), 1, 0.5, |_, at| (at * 900.0).sin() * (at * 40.0).sin() * 0.4);
    let samples = hound::WavReader::open(sample("genuine-en-allison.wav")).expect("a WAV");
    let (rate_hz, spec) = (samples.spec().sample_rate, samples.spec());
    let mut word = hound::WavWriter::create(folder.path("word.wav"), spec).expect("a writable folder");
    for value in samples.into_samples::<i16>().take(rate_hz as usize * 3 / 2) {
        word.write_sample(value.expect("whole")).expect("a writable file");
    }
    word.finalize().expect("a writable file");
    fs::write(folder.path("noise.mp3"), [0x5a; 5_000]).expect("a writable folder");
    fs::write(folder.path("call.amr"), b"#!AMR\n<\x91").expect("a writable folder");
    for (name, words) in [
        ("silent.wav", &["Inconclusive: no speech", "silence (0:00–0:06)", "data:image/png", "url(#hatch-quiet)"][..]),
        ("blip.wav", &["Inconclusive: no speech", "Too short for a picture."]),
        ("short.wav", &["Inconclusive: "]),
        (
            "word.wav",
            &["s of speech is too little", "There is too little speech to say.", "at least 2 s of speech are needed"],
        ),
        ("noise.mp3", &["Inconclusive: cannot be decoded", "Not heard whole: "]),
        ("call.amr", &["Inconclusive: cannot be decoded", "amr_nb"]),
    ] {
        let page = page_of(&folder, &[&folder.arg(name)], &[]);
        for word in words {
            assert!(page.contains(word), "{name}: {word} is missing");
        }
    }
}

#[test]
fn a_batch_lists_what_could_not_be_read_too() {
    let folder = Folder::new();
    let page = folder.arg("page.html");
    let paths = [folder.arg("gone.wav"), sample("hold-music.mp3")];
    let output = run(&["scan", "--report", &page, &paths[0], &paths[1]]);
    assert_eq!(code(&output), 2);
    let page = assert_sound(&fs::read_to_string(page).expect("written"));
    assert!(page.contains("2 recordings: 0 likely cloned, 1 inconclusive, 0 likely genuine and 1 could not be read"));
    assert!(page.contains("could not be read: ") && page.contains("gone.wav"));
}

#[test]
fn a_large_batch_shows_evidence_where_it_matters() {
    let folder = Folder::with_batch(2);
    for index in 0..25 {
        let name = format!("genuine-{index:02}.wav");
        fs::copy(sample("genuine-en-allison.wav"), folder.path(&name)).expect("a writable folder");
    }
    let page = page_of(&folder, &[&folder.arg("")], &[]);
    assert!(page.contains("27 recordings: 0 likely cloned, 2 inconclusive and 25 likely genuine"));
    assert!(page.contains("the likely genuine ones are in the table only"));
    assert_eq!(page.matches("id=\"file-").count(), 2);
    assert_eq!(page.matches("data:image/png;base64,").count(), 2);
    assert!(page.matches("genuine-07.wav").count() == 1 && !page.contains("href=\"#file-9\""));
}

#[test]
fn pictures_stay_small_whatever_is_in_the_recording() {
    let folder = Folder::new();
    let mut seed = 1_u64;
    let noise: Vec<u8> = (0..8_000 * 600)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .collect();
    fs::write(folder.path("noise.ul"), noise).expect("a writable folder");
    let page = page_of(&folder, &[&folder.arg("noise.ul")], &[]);
    let picture = page.split("data:image/png;base64,").nth(1).and_then(|rest| rest.split('"').next()).expect("drawn");
    assert!(picture.len() < 300_000, "{} bytes", picture.len());
    assert!(page.len() < 500_000, "{} bytes", page.len());
}

#[test]
fn a_run_that_came_to_nothing_leaves_the_earlier_page() {
    use clonewatch::{model, policy::Policy, report};
    let folder = Folder::new();
    fs::write(folder.path("page.html"), "earlier").expect("a writable folder");
    let bundle = model::ModelBundle::load(&model::embedded_files()).expect("the embedded bundle");
    let policy = Policy::default_of(&bundle.manifest().thresholds);
    let plan = report::Plan {
        path: folder.path("page.html"),
        input_count: 2,
        basis: report::Basis::of(&bundle, &policy),
        command: String::new(),
    };
    report::ReportWriter::begin(plan).expect("a writable folder").finish().expect("nothing to write");
    assert_eq!(fs::read_to_string(folder.path("page.html")).expect("still there"), "earlier");
    assert_eq!(fs::read_dir(folder.path("")).expect("a folder").count(), 1, "nothing else stays");
}

const OVERRIDE: char = '\u{202e}';

/// A WAV of one silent second with an INFO list of these tags.
fn wav_with_tags(path: &Path, tags: &[(&[u8; 4], &str)]) {
    let chunk = |name: &[u8], body: &[u8]| {
        let mut bytes = [name, &(body.len() as u32).to_le_bytes(), body].concat();
        bytes.resize(bytes.len() + body.len() % 2, 0);
        bytes
    };
    let info: Vec<u8> = tags.iter().flat_map(|(name, value)| chunk(*name, value.as_bytes())).collect();
    let format =
        [&1_u16.to_le_bytes()[..], &[1, 0], &8_000_u32.to_le_bytes(), &16_000_u32.to_le_bytes(), &[2, 0, 16, 0]];
    let body = [
        b"WAVE".to_vec(),
        chunk(b"fmt ", &format.concat()),
        chunk(b"LIST", &[b"INFO", info.as_slice()].concat()),
        chunk(b"data", &[0; 16_000]),
    ];
    fs::write(path, chunk(b"RIFF", &body.concat())).expect("a writable folder");
}

/// Writes a recording whose tags and name attack whoever shows them; gives its name.
fn hostile_recording(folder: &Folder) -> &'static str {
    let name = "\"><img src=x onerror=alert(1)>\u{202e}gpj.'&\n.wav";
    wav_with_tags(
        &folder.path(name),
        &[
            (b"ISFT", "<script>alert(document.domain)</script>"),
            (
                b"ICMT",
                &format!("'\"><svg onload=alert(2)>{OVERRIDE}\u{1b}[2J\u{7}</dd></style>{}", "é".repeat(500_000)),
            ),
            (b"IENC", "</title><meta http-equiv=refresh content='0;url=//evil'>"),
        ],
    );
    name
}

#[cfg(unix)]
#[test]
fn hostile_tags_and_names_are_only_text() {
    let folder = Folder::new();
    let name = hostile_recording(&folder);
    silence(&folder.path("other.wav"), 0.5);
    let batch = [folder.arg(name), folder.arg("other.wav")];
    for paths in [&[batch[0].as_str()][..], &[batch[0].as_str(), batch[1].as_str()]] {
        let page = folder.arg("page.html");
        assert_eq!(code(&run(&[&["scan", "--report", &page], paths].concat())), 3);
        let page = fs::read_to_string(page).expect("written");
        for word in ["<img", "<script>alert", "<svg onload", "<meta http-equiv=refresh", "</dd></style>"] {
            assert!(!page.contains(word), "the page holds {word}");
        }
        assert!(page.contains("&lt;script&gt;alert(document.domain)&lt;/script&gt;"), "it is shown as text");
        let is_driving = |c: char| c.is_control() && c != '\n' || c == OVERRIDE;
        assert!(!page.contains(is_driving), "nothing drives the reader's display");
        assert!(page.contains("bytes more") && page.len() < 100_000, "{} bytes", page.len());
        assert!(page.contains("\\U0000202e"), "the command can be pasted");
    }
}

#[test]
fn what_is_not_a_page_is_not_replaced() {
    let folder = Folder::with_batch(2);
    let recording = fs::read(folder.path("001.wav")).expect("written");
    let output = run(&["scan", "--report", &folder.arg("001.wav"), &folder.arg("000.wav")]);
    assert!(code(&output) == 2 && text(&output.stderr).contains("must end in .html"), "{output:?}");
    assert_eq!(fs::read(folder.path("001.wav")).expect("still there"), recording);
    fs::create_dir(folder.path("folder.html")).expect("a writable folder");
    for place in ["folder.html", "gone/page.html"] {
        let output = run(&["scan", "--report", &folder.arg(place), &folder.arg("000.wav")]);
        assert!(code(&output) == 2 && text(&output.stderr).contains(place), "{output:?}");
        assert!(output.stdout.is_empty(), "refused before any work");
    }
    let names = fs::read_dir(folder.path("")).expect("a folder").count();
    assert_eq!(names, 3, "no half-written page stays behind");
}
