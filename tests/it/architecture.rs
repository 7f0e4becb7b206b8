//! The invariants of `src/lib.rs` that a reading of the sources can enforce.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let entries = fs::read_dir(place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
    entries.flat_map(|entry| sources(&entry.unwrap().path())).collect()
}

/// Source text up to the unit tests, without comments.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn pure_modules_touch_no_files_clocks_sockets_or_logs() {
    let banned = [
        "tokio",
        "std::fs",
        "std::net",
        "std::time",
        "std::env",
        "Instant::",
        "SystemTime",
        "println!",
        "tracing",
        "log::",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let pure = ["audio", "features", "speech", "model", "screen", "policy.rs", "metrics", "rtp"];
    let files: Vec<PathBuf> = pure.iter().flat_map(|name| sources(&root.join(name))).collect();
    assert!(files.len() > 15, "the pure modules have moved: {files:?}");
    for file in files {
        let code = code_of(&file);
        for word in banned {
            assert!(!code.contains(word), "{}: a pure module names `{word}`", file.display());
        }
    }
}

#[test]
fn the_entry_point_stays_small() {
    let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs")).unwrap();
    assert!(main.lines().count() <= 60, "main.rs parses, runs and maps to an exit code, no more");
}
