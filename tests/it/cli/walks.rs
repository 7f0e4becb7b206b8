//! What folder walks find, and what they say of the rest.

use std::fs;

use super::{Folder, code, json_lines, run, silence, text};

#[test]
fn folders_without_audio_are_named_in_every_format() {
    let folder = Folder::new();
    fs::create_dir(folder.path("empty")).expect("a writable folder");
    for format in ["text", "jsonl", "csv"] {
        let output = run(&["scan", "--format", format, &folder.arg("empty")]);
        assert_eq!(code(&output), 2, "nothing judged is not 'all genuine'");
        assert_eq!(text(&output.stderr), format!("clonewatch: no audio found in {}\n", folder.arg("empty")));
    }
}

#[cfg(unix)]
#[test]
fn what_is_passed_over_is_counted_in_every_format() {
    let folder = Folder::new();
    for name in ["call.wav", ".hidden.wav", "notes.txt"] {
        silence(&folder.path(name), 0.3);
    }
    std::os::unix::fs::symlink(folder.path("call.wav"), folder.path("link.wav")).expect("a writable folder");
    let passed_over =
        "3 passed over (1 not audio by name, 1 symbolic link that --follow-symlinks would take, 1 hidden)";
    for format in ["text", "jsonl", "csv"] {
        let output = run(&["scan", "--format", format, &folder.arg("")]);
        assert_eq!(code(&output), 3);
        assert!(text(&output.stderr).contains(passed_over), "{output:?}");
    }
    let output = run(&["scan", "--format", "jsonl", "--follow-symlinks", &folder.arg("")]);
    assert_eq!(json_lines(&output).len(), 2);
    assert!(text(&output.stderr).contains("2 passed over (1 not audio by name, 1 hidden)"), "{output:?}");
}
