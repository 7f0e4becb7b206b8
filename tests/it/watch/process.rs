//! `clonewatch watch` as its users meet it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{Place, put, until, wav};

fn clonewatch(place: &Place) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.current_dir(place.path("")).env("XDG_STATE_HOME", place.path("state")).stdin(Stdio::null());
    command
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

fn end(mut child: Child) -> (String, String) {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    until(
        "the end",
        || matches!(fs::read_to_string(format!("/proc/{}/stat", child.id())), Ok(s) if s.contains(") Z ")),
    );
    let (mut out, mut errors) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{errors}");
    (out, errors)
}

#[test]
fn genuine_cloned_and_broken_files_are_told_apart_with_the_bytes_of_scan() {
    let place = Place::new();
    let clips = [
        ("genuine-es-allison.m4a", "accepted", "likely genuine"),
        ("cloned-en-piper.m4a", "flagged", "likely cloned"),
        ("broken.mp3", "review", "inconclusive"),
    ];
    fs::write(place.path("broken.mp3"), [0x5a; 5_000]).unwrap();
    let source = |name: &str| if name == "broken.mp3" { place.path(name) } else { sample(name) };
    // The same names, so that the results can be the same to the byte.
    clips.iter().for_each(|(name, ..)| fs::copy(source(name), place.path("in").join(name)).map(drop).unwrap());
    let scan =
        |name: &str| clonewatch(&place).args(["scan", "--format", "jsonl", &format!("in/{name}")]).output().unwrap();
    let expected = clips.map(|(name, ..)| scan(name).stdout);
    let child = clonewatch(&place)
        .args(["watch", "in", "--settle", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("three results", || clips.iter().all(|(name, folder, _)| place.path("in").join(folder).join(name).exists()));
    let (out, errors) = end(child);
    for ((name, folder, words), line) in clips.iter().zip(expected) {
        let moved = place.path("in").join(folder).join(name);
        assert_eq!(fs::read(moved.with_file_name(format!("{name}.json"))).unwrap(), line, "{name}");
        assert_eq!(fs::read(moved).unwrap(), fs::read(source(name)).unwrap());
        let shown = out.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {out}"));
        assert!(shown.starts_with(words) && shown.ends_with(&format!("in/{name}  → in/{folder}/{name}")), "{shown}");
    }
    assert!(errors.contains("finishing the files in progress"), "{errors}");
    // Nothing is left to do for a second run, and its own outputs are none of its business.
    let mut again = clonewatch(&place);
    let child = again.args(["watch", "in", "--format", "jsonl"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    put(&place.path("in/last.wav"), &wav(1));
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("in/last.wav"), "{line}");
    end(child);
}

#[test]
fn unusable_arguments_are_refused() {
    let place = Place::new();
    for (args, words) in [
        (vec!["watch", "gone"], "gone: "),
        (vec!["watch", "in", "--tag", "--review", "x"], "cannot be used with"),
        (vec!["watch", "in", "--poll", "0"], "--poll"),
        (vec!["watch", "in", "--flagged", "."], "holds the watched folder"),
        (vec!["watch", "in", "--state", "in"], "in: "),
    ] {
        let output = clonewatch(&place).args(&args).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && errors.contains(words), "{args:?}: {errors}");
    }
}

#[test]
fn one_folder_has_one_watcher() {
    let place = Place::new();
    let start =
        || clonewatch(&place).args(["watch", "in"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = start();
    until("its folders", || place.path("in/review").exists());
    let second = start().wait_with_output().unwrap();
    let errors = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.code() == Some(2) && errors.contains("in use by another clonewatch"), "{errors}");
    end(first);
}

#[test]
fn an_unreadable_file_is_named_once_and_stays() {
    const NOBODY: u32 = 65_534;
    let place = Place::new();
    for name in ["closed.wav", "open.wav"] {
        put(&place.path("in").join(name), &wav(1));
    }
    fs::set_permissions(place.path("in/closed.wav"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = clonewatch(&place);
    // Permissions bind everybody but root.
    if fs::File::open(place.path("in/closed.wav")).is_ok() {
        for path in ["", "in", "in/open.wav"] {
            chown(place.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let started = command.args(["watch", "in", "--settle", "0"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(child) = started else {
        eprintln!("the program cannot be started by another user from where it is: skipped");
        return;
    };
    until("the other file", || place.path("in/review/open.wav").exists());
    let (_, errors) = end(child);
    let said = errors.lines().filter(|line| line.contains("in/closed.wav: ") && line.contains("tried again later"));
    assert_eq!(said.count(), 1, "{errors}");
    assert!(place.path("in/closed.wav").exists());
}
