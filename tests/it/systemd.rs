//! The units of `systemd/`: accepted by systemd, and as closed as SECURITY.md says.

use super::tools::has_program;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Most that `systemd-analyze security` may find open, on its scale from 0 to 10.
const MOST_EXPOSED: [(&str, f64); 2] = [("clonewatch.service", 1.2), ("clonewatch-scan@.service", 0.5)];

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

#[test]
fn systemd_has_no_complaints() {
    if !has_program("systemd-analyze", "--version") {
        return;
    }
    // Verified with the program where it is, as the package will have it in /usr/bin.
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for name in ["clonewatch.service", "clonewatch.socket", "clonewatch-scan@.service"] {
        let text = fs::read_to_string(units().join(name)).unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text.replace("/usr/bin/clonewatch", env!("CARGO_BIN_EXE_clonewatch"))).unwrap();
        paths.push(path);
    }
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Faults of the machine's own units are none of ours.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("clonewatch")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_sandbox_is_as_tight_as_it_is_said_to_be() {
    if !has_program("systemd-analyze", "--version") {
        return;
    }
    for (name, most) in MOST_EXPOSED {
        let threshold = format!("--threshold={}", (most * 10.0) as u32);
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", &threshold])
            .arg(units().join(name))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("Overall exposure level"), "{name}: {output:?}");
        assert!(output.status.success(), "{name}: more than {most}:\n{said}");
    }
}

#[test]
fn the_units_agree_with_the_program() {
    let text = |name: &str| fs::read_to_string(units().join(name)).unwrap();
    let default = clonewatch::config::Server::default();
    assert!(text("clonewatch.socket").contains(&format!("ListenStream={}\n", default.unix_socket.display())));
    let service = text("clonewatch.service");
    assert!(service.contains(&format!("--config {}\n", clonewatch::config::DEFAULT_PATH)));
    let state = clonewatch::config::Store::default().dir;
    assert_eq!(state, Path::new("/var/lib/clonewatch"));
    assert!(service.contains("StateDirectory=clonewatch\n"));
    // The tests of the daemon's memory rest on it.
    assert!(service.contains("\nEnvironment=MALLOC_ARENA_MAX=1\n"));
    let seconds = |key: &str| -> u64 {
        let value =
            service.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key} is missing"));
        value.parse().unwrap()
    };
    assert!(seconds("TimeoutStopSec=") >= default.drain_secs + 30, "the drain must fit in");
}
