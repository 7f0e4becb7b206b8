//! `clonewatch features`: what training reads is what scanning computes.

use std::{fs, path::Path, process::Command};

use clonewatch::{
    features::{FINE_DIMS, FineStats, MEL_BANDS},
    screen::SpeechFront,
    speech::FrameClass,
};

use crate::screener::sample_16k;

const CLIPS: [&str; 3] = ["genuine-ru-ivrvoice.flac", "cloned-en-piper.ulaw.wav", "cloned-en-kokoro-video.mp4"];

/// Shape and data of a version 1.0 NPY file.
fn read_npy(path: &Path, descr: &str) -> (Vec<usize>, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header_end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(header_end % 64, 0, "the format asks for alignment");
    let header = String::from_utf8(bytes[10..header_end].to_vec()).unwrap();
    assert!(header.contains(&format!("'descr': '{descr}'")) && header.ends_with('\n'), "{header}");
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape = shape.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    (shape, bytes[header_end..].to_vec())
}

fn export(protocol: &Path, out: &Path, more: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.args(["features", protocol.to_str().unwrap(), "--out", out.to_str().unwrap(), "--dtype", "f32"]).args(more);
    command.output().unwrap()
}

#[test]
fn exported_features_are_the_ones_that_scanning_computes() {
    let folder = tempfile::tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let rows: String =
        CLIPS.iter().map(|clip| format!("{},spoof,a \"quoted\" note\n", samples.join(clip).display())).collect();
    let protocol = folder.path().join("protocol.csv");
    fs::write(
        &protocol,
        format!(
            "path,label,notes\n{}missing.wav,spoof,\n",
            rows.replace("a \"quoted\" note", "\"a \"\"quoted\"\" note\"")
        ),
    )
    .unwrap();
    let run = export(&protocol, folder.path(), &["--threads", "2"]);
    assert!(run.status.success() && String::from_utf8_lossy(&run.stderr).contains("missing.wav"), "{run:?}");

    let (shape, data) = read_npy(&folder.path().join("logmel.npy"), "<f4");
    let (speech_shape, speech) = read_npy(&folder.path().join("speech.npy"), "|u1");
    assert_eq!((shape[1], speech_shape[0]), (MEL_BANDS, shape[0]));
    let (fine_shape, fine) = read_npy(&folder.path().join("fine.npy"), "<f4");
    assert_eq!(fine_shape, [CLIPS.len(), FINE_DIMS]);
    let floats = |data: &[u8]| -> Vec<f32> {
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };

    let mut expected = (Vec::new(), Vec::new());
    let mut expected_fine = Vec::new();
    for clip in CLIPS {
        let (mut front, mut stats, mut written) = (SpeechFront::new(), FineStats::default(), Vec::new());
        let mut keep = |chunk: clonewatch::screen::GatedChunk<'_>| {
            expected.0.extend_from_slice(chunk.log_mel);
            expected.1.extend(chunk.classes.iter().map(|class| u8::from(*class == FrameClass::Speech)));
            chunk.fine_blocks().iter().for_each(|block| stats.merge(block));
            Ok::<(), ()>(())
        };
        front.push(&sample_16k(clip), &mut keep).unwrap();
        front.finish(&mut keep).unwrap();
        stats.write(&mut written);
        expected_fine.extend(written);
    }
    assert!(floats(&data) == expected.0, "the exported features differ from the computed ones");
    assert!(floats(&fine) == expected_fine, "the exported statistics differ from the computed ones");
    assert_eq!(speech, expected.1);

    let mut index = csv::Reader::from_path(folder.path().join("index.csv")).unwrap();
    let columns = index.headers().unwrap().clone();
    let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = index.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), CLIPS.len());
    assert_eq!(&rows[2][at("notes")], "a \"quoted\" note");
    let frames: usize = rows.iter().map(|row| row[at("frames")].parse::<usize>().unwrap()).sum();
    assert_eq!(frames, shape[0]);
}

#[test]
fn protocols_that_cannot_be_used_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let protocol = folder.path().join("protocol.csv");
    for (text, more, expected) in [
        ("label\nspoof\n", &[][..], "no column path"),
        ("path,label\na.wav,spoof\n", &["--where", "split=val"], "no column split"),
    ] {
        fs::write(&protocol, text).unwrap();
        let run = export(&protocol, folder.path(), more);
        assert_eq!(run.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&run.stderr).contains(expected), "{run:?}");
    }
}
