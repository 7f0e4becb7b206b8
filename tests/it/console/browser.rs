//! The console in a real browser: handed in, seen, heard, overridden, found again; at both widths, light and dark.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::{ALL, port, sample, tokens, with_tcp};

fn project(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// False, with a word on it, where something is missing; in CI that is a failure.
fn has_tools(axe: &Path) -> bool {
    let tools = ["node", "chromium"];
    let missing = tools.into_iter().find(|name| Command::new(name).arg("--version").output().is_err());
    let missing = missing.map(str::to_owned).or_else(|| (!axe.exists()).then(|| "axe-core (made by .ci/run)".into()));
    if let Some(name) = &missing {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is missing");
        eprintln!("{name} is missing: skipped");
    }
    missing.is_none()
}

#[test]
fn a_person_hands_in_hears_overrides_and_finds_again() {
    let axe = project("target/axe/node_modules/axe-core/axe.min.js");
    if !has_tools(&axe) {
        return;
    }
    let daemon = with_tcp(&tokens(&ALL));
    let pictures = project("target/console");
    fs::create_dir_all(&pictures).unwrap();
    let mut command = Command::new("node");
    command.arg(project("tests/browser/console.mjs")).arg(format!("http://127.0.0.1:{}", port(&daemon)));
    let output = command.args(["chief"]).arg(sample("spliced-podcast.mp3")).arg(&pictures).arg(&axe).output().unwrap();
    assert!(output.status.success(), "{output:?}; {}", daemon.log());
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let step = |name: &str| lines.iter().find(|line| line["step"] == name).unwrap();

    assert_eq!(
        (&step("sign-in")["asked"], &step("sign-in")["arrived"]),
        (&"/console/sign-in?next=%2Fconsole%2Fscans".into(), &"/console/scans".into())
    );
    let handed = step("hand-in");
    let path = handed["path"].as_str().unwrap();
    assert!(path.starts_with("/console/scans/") && handed["image"] == format!("{path}/pictures/0"), "{handed}");
    assert_eq!((&handed["bars"], &handed["buttons"]), (&29.into(), &29.into()), "{handed}");
    let heard = step("hear");
    assert!(heard["row"] == true && heard["slider"] == "0:02", "{heard}");
    assert!(heard["note"].as_str().unwrap().starts_with("This is your browser's own copy"), "{heard}");
    let end = heard["end"].as_f64().unwrap();
    assert!((8.0..20.0).contains(&end), "it stops where the segment ends: {heard}");
    let overruled = step("override");
    assert!(overruled["notice"] == "Overridden." && overruled["italics"] == 0, "{overruled}");
    assert!(overruled["person"].as_str().unwrap().contains("Likely genuinethe speaker <i>called back</i>chief"));
    assert!(overruled["player"].as_str().unwrap().starts_with("The audio was not kept."), "{overruled}");
    let sides = step("sides")["heard"].as_array().unwrap();
    let [agent, caller] = [0, 1].map(|index: usize| sides[index].as_f64().unwrap());
    assert!(agent > 0.05 && caller < 0.001, "each side by itself: {sides:?}");
    let rows = step("find")["rows"].as_array().unwrap();
    assert!(rows[0].as_str().unwrap().contains("Person: Likely genuine"), "{rows:?}");

    let views: Vec<&Value> = lines.iter().filter(|line| line["step"].is_null()).collect();
    assert_eq!(views.len(), 4 + 4 * 3);
    for view in &views {
        assert_eq!(view["barriers"], serde_json::json!([]), "{view}");
        assert_eq!(view["overflow"], 0, "nothing sticks out: {view}");
        assert_eq!(view["complaints"], serde_json::json!([]), "{view}");
        let landmarks = if view["name"] == "sign-in" { 2 } else { 3 };
        assert_eq!(view["landmarks"].as_array().unwrap().len(), landmarks, "{view}");
    }
    let ground = |dark: bool| views.iter().find(|view| view["dark"] == dark).unwrap()["background"].clone();
    assert_ne!(ground(false), ground(true), "light and dark");
}
