//! Model bundles: what is whole loads, what is not is refused with a reason.

use std::borrow::Cow;

use clonewatch::model::{BundleFiles, ModelBundle, embedded_files, embedded_light_files, sha256_hex};

fn refusal(files: &BundleFiles) -> String {
    ModelBundle::load(files).err().map_or_else(|| "it loaded".into(), |e| e.to_string())
}

/// Replaces a file and, so that only the replacement can be at fault, its hash in the manifest.
fn replace(files: &mut BundleFiles, name: &str, bytes: Vec<u8>) {
    let old = sha256_hex(&files[name]);
    let manifest = String::from_utf8(files["manifest.toml"].to_vec()).unwrap();
    let manifest = manifest.replace(&old, &sha256_hex(&bytes));
    files.insert("manifest.toml".into(), Cow::Owned(manifest.into_bytes()));
    files.insert(name.into(), Cow::Owned(bytes));
}

fn edit_manifest(files: &mut BundleFiles, from: &str, to: &str) {
    let manifest = String::from_utf8(files["manifest.toml"].to_vec()).unwrap();
    assert!(manifest.contains(from), "the manifest has no {from:?}");
    files.insert("manifest.toml".into(), Cow::Owned(manifest.replacen(from, to, 1).into_bytes()));
}

#[test]
fn the_embedded_bundles_load_and_pass_their_golden_self_tests() {
    for (files, id, most_bytes) in
        [(embedded_files(), "clonewatch-10", 12_000_000), (embedded_light_files(), "clonewatch-10-light", 5_000_000)]
    {
        let bundle = ModelBundle::load(&files).unwrap();
        assert_eq!(bundle.manifest().id, id);
        assert_eq!(bundle.sha256(), sha256_hex(&files["manifest.toml"]));
        let size: usize = files.values().map(|bytes| bytes.len()).sum();
        assert!(size <= most_bytes, "{id} has {size} bytes, more than {most_bytes}");
    }
}

#[test]
fn a_bundle_from_before_sums_were_known_asks_for_none() {
    let mut files = embedded_files();
    edit_manifest(&mut files, "sum_below = ", "# ");
    assert_eq!(ModelBundle::load(&files).unwrap().manifest().thresholds.insert.sum_below, 0.0);
}

#[test]
fn a_changed_byte_in_any_file_is_refused_by_its_hash() {
    for name in embedded_files().into_keys().filter(|name| name != "manifest.toml") {
        let mut files = embedded_files();
        let mut bytes = files[&name].to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        files.insert(name.clone(), Cow::Owned(bytes));
        assert!(refusal(&files).contains(&format!("{name}: SHA-256 is")), "{name}: {}", refusal(&files));
    }
}

#[test]
fn a_missing_file_is_named() {
    for name in embedded_files().into_keys().filter(|name| name != "CARD.md") {
        let mut files = embedded_files();
        files.remove(&name);
        assert!(refusal(&files).contains(&format!("{name}: missing")), "{name}: {}", refusal(&files));
    }
}

#[test]
fn manifests_that_do_not_fit_this_program_are_refused() {
    for (from, to, expected) in [
        ("hop_samples = 160", "hop_samples = 200", "features.hop_samples"),
        ("chunk_frames = 400", "chunk_frames = 300", "network.chunk_frames"),
        ("std_floor", "std_flor", "std_flor"),
        ("[thresholds]", "[thresholds]\nsurprise = 1", "surprise"),
        ("min_speech_secs = ", "min_speech_secs = -", "thresholds.min_speech_secs"),
        ("\nabove = ", "\nabove = nan # ", "thresholds.denoised.above"),
        ("drop_nats = ", "drop_nats = -", "thresholds.insert.drop_nats"),
        ("sum_below = ", "sum_below = inf # ", "thresholds.insert.sum_below"),
        ("fine_dims = 2771", "fine_dims = 2770", "network.fine_dims"),
        ("features_sha256 = \"", "features_sha256 = \"0", "features_sha256"),
    ] {
        let mut files = embedded_files();
        edit_manifest(&mut files, from, to);
        assert!(refusal(&files).contains(expected), "{to}: {}", refusal(&files));
    }
}

#[test]
fn networks_that_are_none_or_of_another_shape_are_refused() {
    let mut files = embedded_files();
    replace(&mut files, "head.onnx", b"not a network".to_vec());
    assert!(refusal(&files).contains("head.onnx"), "{}", refusal(&files));

    let mut files = embedded_files();
    let encoder = files["encoder.onnx"].to_vec();
    replace(&mut files, "head.onnx", encoder);
    assert!(refusal(&files).contains("head.onnx"), "{}", refusal(&files));
}

#[test]
fn a_score_that_differs_from_the_golden_one_is_refused() {
    for output in ["full", "telephone", "fine", "fine-denoised", "fine-telephone", "fine-telephone-denoised"] {
        let mut files = embedded_files();
        let mut golden: serde_json::Value = serde_json::from_slice(&files["golden.json"]).unwrap();
        golden["scores"][output] = serde_json::json!(golden["scores"][output].as_f64().unwrap() + 0.5);
        replace(&mut files, "golden.json", golden.to_string().into_bytes());
        assert!(refusal(&files).contains(&format!("self-test: the {output} output is")), "{}", refusal(&files));
    }
}

#[test]
fn features_that_differ_from_the_golden_ones_are_refused() {
    for (key, expected) in [("features", "self-test: feature"), ("fine", "self-test: fine statistic")] {
        let mut files = embedded_files();
        let mut golden: serde_json::Value = serde_json::from_slice(&files["golden.json"]).unwrap();
        golden[key][0]["value"] = serde_json::json!(golden[key][0]["value"].as_f64().unwrap() + 0.05);
        replace(&mut files, "golden.json", golden.to_string().into_bytes());
        assert!(refusal(&files).contains(expected), "{}", refusal(&files));
    }
}
