"""Writes a model bundle: graphs, manifest, golden recording and card, in the form the program loads and verifies."""

import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import soundfile

import calibrate
import dataset
import fine
import pooling
from corpus import SAMPLE_RATE_HZ
from embed import chunked
from frontend import log_mel

FEATURES = {
    "sample_rate_hz": 16000,
    "frame_samples": 400,
    "hop_samples": 160,
    "window": "hann-periodic",
    "filterbank": "mel-slaney-0-8000",
    "bands": 80,
    "scale": "log10-floor-1e-10",
}
STD_FLOOR = 1e-3
HEAD_FILES = {
    "full": "head.onnx",
    "telephone": "head-telephone.onnx",
    "fine": "head-fine.onnx",
    "fine-telephone": "head-fine-telephone.onnx",
}


def features_hash():
    """The program's hash of the feature description: SHA-256 over its `key=value` lines."""
    return hashlib.sha256("".join(f"{key}={value}\n" for key, value in FEATURES.items()).encode()).hexdigest()


def golden_recording(seed=7):
    """3.6 s of a made-up voice (pulse train through moving resonances, with pauses): int16 [samples]."""
    rng = np.random.default_rng(seed)
    count = int(3.6 * SAMPLE_RATE_HZ)
    times = np.arange(count) / SAMPLE_RATE_HZ
    pitch_hz = 120 * (1 + 0.2 * np.sin(2 * np.pi * 0.9 * times) + 0.02 * np.sin(2 * np.pi * 5.1 * times))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    out = np.zeros(count)
    for harmonic in range(1, 40):
        at_hz = harmonic * pitch_hz
        gain = sum(
            np.exp(-(((at_hz - centre_hz * (1 + 0.25 * np.sin(2 * np.pi * rate * times))) / width_hz) ** 2)) / order
            for order, (centre_hz, width_hz, rate) in enumerate(((550, 150, 1.1), (1500, 200, 0.7), (2600, 250, 1.7)), 1)
        )
        out += (gain + 0.01) * np.sin(harmonic * phase) / np.sqrt(harmonic)
    out *= np.clip(np.sin(2 * np.pi * 1.3 * times) + 0.6, 0, 1)
    out += 0.003 * rng.standard_normal(count)
    return np.round(0.5 * 32767 * out / np.abs(out).max()).astype(np.int16)


def _session(path):
    """Unoptimised: ONNX Runtime would multiply by 8-bit weights in 8 bits."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


def _write_golden(out_dir):
    soundfile.write(out_dir / "golden.wav", golden_recording(), SAMPLE_RATE_HZ, subtype="PCM_16")
    samples, _ = soundfile.read(out_dir / "golden.wav", dtype="float32")
    features = log_mel(samples)
    speech = [(20, 150), (160, 300), (303, 355)]
    mask = np.zeros(len(features), bool)
    for start, end in speech:
        mask[start:end] = True
    outputs = _session(out_dir / "encoder.onnx").run(None, {"logmel": chunked(features)})[0][0]
    fine_stats = fine.clip_statistics(samples, mask)
    mask = pooling.output_mask(mask)
    stats = pooling.statistics(*pooling.block_sums(outputs[: len(mask)], mask))
    scores = {}
    for head, name in HEAD_FILES.items():
        inputs = fine_stats if head.startswith("fine") else stats
        outputs = _session(out_dir / name).run(None, {"stats": inputs[None]})[0][0]
        scores |= {label: round(float(value), 5) for label, value in zip((head, f"{head}-denoised"), outputs)}
    points = [(frame, band) for frame in (0, 57, 123, 200, 355) for band in (0, 13, 40, 79)]
    values = [{"frame": f, "band": b, "value": round(float(features[f, b]), 5)} for f, b in points]
    golden = {"features": values, "feature_tolerance": 0.002, "speech": speech}
    golden["fine"] = [
        {"index": index, "value": round(float(fine_stats[index]), 5)} for index in range(0, len(fine_stats), 97)
    ]
    golden |= {"scores": scores, "score_tolerance": 0.01}
    (out_dir / "golden.json").write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


def _toml_value(value):
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _table(name, values):
    return [f"\n[{name}]", *(f"{key} = {_toml_value(value)}" for key, value in values.items())]


def _manifest(bundle_id, date, embedding_dims, size, bands, thresholds, hashes):
    lines = [f'id = "{bundle_id}"', f'date = "{date}"', f'features_sha256 = "{features_hash()}"']
    lines += _table("features", FEATURES)
    network = {"chunk_frames": 400, "embedding_frames": 200, "embedding_dims": embedding_dims, "std_floor": STD_FLOOR}
    network["fine_dims"] = fine.DIMENSIONS
    lines += _table("network", network)
    lines += _table("calibration", {"split_hz": dataset.TELEPHONE_BELOW_HZ, "other_share": size.other_share})
    lines += _table("calibration.fine_share", size.fine_share)
    noise = {"loud_db": calibrate.LOUD_NOISE_DB, "faint_db": calibrate.FAINT_NOISE_DB}
    lines += _table("calibration.noise", noise | {name: round(band.noise, 5) for name, band in bands.items()})
    for name, band in bands.items():
        for secs, scale in zip(calibrate.KNOTS_SECS, band.scales):
            knot = {"speech_secs": secs, "scale": round(scale, 5), "offset": round(-scale * band.neutral, 5)}
            lines += [f"\n[[calibration.{name}]]", *(f"{key} = {value!r}" for key, value in knot.items())]
    lines += _table("thresholds", {key: value for key, value in thresholds.items() if not isinstance(value, dict)})
    for name in ("denoised", "insert"):
        lines += _table(f"thresholds.{name}", thresholds[name])
    lines += ["\n[files]", *(f'"{name}" = "{value}"' for name, value in hashes.items())]
    return "\n".join(lines) + "\n"


def write_bundle(out_dir, date, size, encoder, heads, embedding_dims, bands, thresholds, card):
    """`encoder` is an ONNX model, `heads` maps the names in HEAD_FILES to such, `bands` "full" and "telephone" to `BandMap`s."""
    out_dir.mkdir(parents=True, exist_ok=True)
    onnx.save(encoder, out_dir / "encoder.onnx")
    for band, name in HEAD_FILES.items():
        onnx.save(heads[band], out_dir / name)
    _write_golden(out_dir)
    (out_dir / "CARD.md").write_text(card, encoding="utf-8")
    names = ("encoder.onnx", *HEAD_FILES.values(), "golden.wav", "golden.json", "CARD.md")
    hashes = {name: hashlib.sha256((out_dir / name).read_bytes()).hexdigest() for name in names}
    text = _manifest(out_dir.name, date, embedding_dims, size, bands, thresholds, hashes)
    (out_dir / "manifest.toml").write_text(text, encoding="utf-8")
