"""Compares PyTorch in float32 with the program on the clips of one condition, LLR by LLR.

    python parity.py --work WORK --program clonewatch --model BUNDLE [--size light] [--condition val-clean] [--clips N]

Reads the features that the program exported in float32, and encoder, tuned layer and heads from WORK; clips of at most one
window (4 s) count. Prints the largest difference and fails above 1e-3.
"""

import argparse
import csv
import subprocess
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import torch

import bundle
import calibrate
import embed
import pooling
from sizes import SIZES

LIMIT = 1e-3
WINDOW_SECS = 4.0


def program_rows(args, protocol):
    with tempfile.TemporaryDirectory() as folder:
        scores, features = Path(folder) / "scores.csv", Path(folder) / "features"
        command = [args.program, "eval", protocol, "--model", args.model, "--by", "none", "--scores", scores]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        command = [args.program, "features", protocol, "--out", features, "--dtype", "f32"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        clips, index = embed.exported_clips(features)
        fine = np.load(features / "fine.npy")[: args.clips]
        with open(scores, newline="", encoding="utf-8") as file:
            by_path = {row["path"]: row for row in csv.DictReader(file)}
        return list(clips)[: args.clips], fine, [by_path[row["path"]] for row in index][: args.clips]


def head_scores(heads, stats, fine_stats, mixed):
    """Scores by name, of statistics [3, D] and those of the fine spectrum; `mixed` are the tuned layer, or None, and its share."""
    tuned, share = mixed
    scores = {name: head(fine_stats[None])[0, 0] for name, head in heads.items() if name.startswith("fine")}
    for name in ("full", "telephone"):
        own = len(heads[name].projection.mean) // 3
        scores[name] = heads[name](stats[:, :own].reshape(1, -1))[0, 0]
        if tuned is not None:
            learned = tuned.logits(torch.from_numpy(stats[:, own:].reshape(1, -1)))
            scores[name] = (1 - share) * scores[name] + share * float(learned[0])
    return scores


def expected_llr(manifest, scores, row):
    """As `Calibration::llr`: `scores` by all heads."""
    is_full = float(row["measured_bandwidth_hz"] or 0) >= manifest["calibration"]["split_hz"]
    knots = manifest["calibration"]["full" if is_full else "telephone"]
    at = [np.log(knot["speech_secs"]) for knot in knots]
    secs = np.log(float(row["exact_speech_secs"]))
    scale, offset = (np.interp(secs, at, [knot[name] for knot in knots]) for name in ("scale", "offset"))
    band = "full" if is_full else "telephone"
    share, fine_share = manifest["calibration"]["other_share"], manifest["calibration"]["fine_share"]
    score = calibrate.mixed(scores, band, share, fine_share)
    if noise := manifest["calibration"].get("noise"):
        score -= noise[band] * calibrate.noise_share(float(row["snr_db"] or "nan"), noise["loud_db"], noise["faint_db"])
    return scale * score + offset


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--work", "--program", "--model"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="standard")
    parser.add_argument("--condition", default="val-clean")
    parser.add_argument("--clips", type=int, default=1100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    manifest = tomllib.loads((args.model / "manifest.toml").read_text(encoding="utf-8"))
    size = SIZES[args.size]
    kept = args.work / size.folder
    heads = {name: torch.load(kept / f"head-{name}.pt", weights_only=False)[0] for name in bundle.HEAD_FILES}
    encoder, following = torch.load(kept / "encoder.pt", weights_only=False)
    tuned = None
    if following is not None:
        tuned, _ = torch.load(kept / "tuned.pt", weights_only=False)
        encoder = encoder.with_tuned(tuned.layer)
    clips, fine, rows = program_rows(args, args.work / "copies" / args.condition / "protocol.csv")
    differences = []
    for (features, mask), fine_stats, row in zip(clips, fine, rows):
        if not row["llr"] or len(features) > WINDOW_SECS * 100:
            continue
        with torch.inference_mode():
            outputs = encoder(torch.from_numpy(embed.chunked(features))).numpy()[0]
        speech = pooling.output_mask(mask)
        stats = pooling.statistics(*pooling.block_sums(outputs[: len(speech)], speech)).reshape(3, -1)
        row["exact_speech_secs"] = mask.sum() / 100
        scores = head_scores(heads, stats, fine_stats, (tuned, size.tuned_share))
        llr = expected_llr(manifest, scores, row)
        differences.append(abs(llr - float(row["llr"])))
    differences = np.array(differences)
    median, largest = np.median(differences), differences.max()
    print(f"{len(differences)} clips: median |difference| {median:.1e} LLR, largest {largest:.1e}")
    if largest > LIMIT:
        raise SystemExit(f"more than {LIMIT} LLR")


if __name__ == "__main__":
    main()
