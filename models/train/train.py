"""From the corpus to a model bundle, in stages whose results are kept under --work and reused.

    python train.py --corpus CORPUS --work WORK --wheels WHEELS --program clonewatch --out ../clonewatch-1
"""

import argparse
import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import torch

import augment
import bundle
import calibrate
import card
import dataset
import embed
import export
import frontend
import head
import pretrained
from encoder import pretrained_encoder

TRAIN_CONDITIONS = ("clean", "phone", "offset", "media", "harsh")
VAL_CONDITIONS = ("clean", *augment.VAL)
PRETRAINED, LAYERS = "base", 2
FALSE_ALARM_RATIO = 0.006  # of out-of-fold genuine clips, leaving room below 1 % on other sources
BONA_FIDE_MISS_RATIO = 0.05


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, required=True, help="folder of the downloaded wheels, see README.md")
    parser.add_argument("--program", help="clonewatch binary that computes the features; NumPy without it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--date", required=True, help="date for the manifest, YYYY-MM-DD")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def all_conditions():
    return [f"train-{name}" for name in TRAIN_CONDITIONS] + [f"val-{name}" for name in VAL_CONDITIONS]


def make_features(args, condition):
    out = args.work / "features" / condition
    protocol = args.work / "copies" / condition / "protocol.csv"
    if (out / "index.csv").exists():
        return
    if args.program:
        command = [args.program, "features", str(protocol), "--out", str(out), "--dtype", "f16"]
        subprocess.run(command, check=True)
    else:
        frontend.export_features(protocol, out)


def quantised_encoder(args):
    """The pretrained layers with weights as the 8-bit file gives them, so that training sees what ships."""
    variables = pretrained.encoder_variables(pretrained.model_bytes(args.wheels, PRETRAINED))
    encoder = pretrained_encoder(variables, LAYERS)
    for name, value in encoder.state_dict().items():
        if name.endswith("weight") and value.ndim > 1:
            value.copy_(torch.from_numpy(export.rounded(value.numpy(), 0)))
    return encoder


def load_table(args, conditions):
    return dataset.load_table(args.work / "features", args.work / "statistics", conditions)


def calibrated(table, scores, weights):
    """Maps of both bands and decision thresholds from out-of-fold scores."""
    telephone = dataset.is_telephone_band(table)
    secs = table.speech * 0.02
    group = np.char.add(np.char.add(table.system, "/"), np.char.add(table.speaker, table.condition))
    bands, llrs = {}, np.zeros(len(scores))
    for name, rows in (("full", ~telephone), ("telephone", telephone)):
        part = (scores[rows], table.is_genuine[rows], weights[rows])
        bands[name] = calibrate.fit_band(*part, group[rows])
        llrs[rows] = calibrate.llr(bands[name], scores[rows], secs[rows])
    judged = np.isin(table.condition, ("clean", "phone"))
    part = (llrs[judged], table.is_genuine[judged], weights[judged], table.condition[judged])
    spoof_below = calibrate.spoof_threshold(*part, FALSE_ALARM_RATIO)
    above = np.quantile(llrs[judged & ~table.is_genuine], 1 - BONA_FIDE_MISS_RATIO)
    thresholds = {
        "spoof_below": round(spoof_below, 3),
        "bona_fide_above": round(float(max(above, spoof_below)), 3),
        "min_speech_secs": 2.0,
        "insert": {"spoof_below": round(spoof_below - 0.3, 3), "drop_nats": 2.5, "min_windows": 2},
    }
    return bands, thresholds


def main():
    args = arguments()
    torch.set_num_threads(1)
    for condition in all_conditions():
        split, name = condition.split("-", 1)
        augment.make_copies(args.corpus, args.work / "copies", split, name, args.workers)
        make_features(args, condition)
    encoder = quantised_encoder(args)
    for condition in all_conditions():
        embed.embed_condition(encoder, args.work / "features" / condition, args.work / "statistics" / condition)
    settings = head.Settings()
    table = load_table(args, [f"train-{name}" for name in TRAIN_CONDITIONS])
    projection, kernel_head, scores, weights = head.train(table, settings)
    bands, thresholds = calibrated(table, scores, weights)
    val = load_table(args, [f"val-{name}" for name in VAL_CONDITIONS])
    tables = card.tables(table, scores, val, kernel_head(projection(val.stats)), bands, thresholds)
    text = card.text(args.out.name, args.date, dataclasses.asdict(settings), tables)
    models = export.encoder_model(encoder), export.head_model(projection, kernel_head)
    bundle.write_bundle(args.out, args.date, *models, encoder.statistics_width // 3, bands, thresholds, text)
    np.savez(args.work / "out-of-fold.npz", scores=scores, path=table.path, condition=table.condition)
    print(tables)


if __name__ == "__main__":
    main()
