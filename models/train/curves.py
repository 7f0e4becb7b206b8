"""What the kernel heads owe to sources, generators, clips and kinds of copies: Markdown tables for LOG.md.

    python curves.py --work WORK

Reads the statistics that `train.py` left under WORK. Every line trains small heads (`LANDMARKS`) on part of the training
rows and judges them on all of them, whole sources held out in turn, and on val: EER % / spoofs caught at 1 % false alarms.
"""

import argparse
import dataclasses
import zlib
from pathlib import Path

import numpy as np
import torch

import dataset
import head
import metrics
import train
from sizes import SIZES

SIZE = SIZES["standard"]
LANDMARKS = 1500
SHARES = (0.25, 0.5)
CLIPS = (1, 2, 4)  # of a source and class
HEADS = {"full": ("full", "fine"), "telephone": ("telephone", "fine-telephone")}
JUDGED = {"full": ("clean", "media"), "telephone": ("phone",)}
VAL = {"full": ("clean", "mp3-48k", "opus-16k"), "telephone": ("phone",)}


def tables(work, band):
    """Training rows of WORK and WORK/more for the heads of a band, and those of val."""
    roots = [root for root in (work, work / "more") if (root / "statistics").exists()]
    wanted = kinds_used(band) | set(JUDGED[band])
    names = [f"train-{name}" for name in train.TRAIN_CONDITIONS if name in wanted]
    parts = [dataset.load_table(root / "features", root / "statistics", names) for root in roots]
    val = [f"val-{name}" for name in VAL[band]]
    return dataset.joined(parts), dataset.load_table(work / "features", work / "statistics", val)


def kept_by_hash(names, share):
    """[rows] of bool: a share of the names, drawn by their hash."""
    return np.array([zlib.crc32(name.encode()) % 1000 < 1000 * share for name in names])


def first_clips(table, most):
    """[rows] of bool: rows of the first `most` clips of each source and class."""
    seen, keep = {}, np.zeros(len(table.path), bool)
    for row, (path, source, genuine) in enumerate(zip(table.path, table.source, table.is_genuine)):
        # Copies of a clip are named after it; clean rows have its whole path.
        clips = seen.setdefault((source, genuine), {})
        stem = Path(path).stem
        keep[row] = clips.setdefault(stem, len(clips)) < most
    return keep


def outputs(table, val, name, weights):
    """Scores of head `name` out of fold and on val, trained with `weights` [rows]."""
    settings = dataclasses.replace(SIZE.heads[name], landmarks=LANDMARKS)
    trained, scores = head.train(table, name, weights, settings)
    return scores[:, 0], trained(head.head_input(val, name))[:, 0]


def line(label, table, val, band, weights_of):
    """Prints a line; `weights_of` gives the training weight of each row for a head."""
    encoded, fine = (outputs(table, val, name, weights_of(name)) for name in HEADS[band])
    share, cells = SIZE.fine_share[band], [label]
    for side, (rows_of, conditions) in enumerate(((table, JUDGED[band]), (val, VAL[band]))):
        mixed = (1 - share) * encoded[side] + share * fine[side]
        for condition in conditions:
            rows = (rows_of.condition == condition) & rows_of.is_core & dataset.band_rows(rows_of)[band]
            mine, genuine = mixed[rows], rows_of.is_genuine[rows]
            eer, caught = metrics.equal_error_rate(mine, genuine), metrics.caught_at(mine, genuine, 0.01)
            cells.append(f"{eer:.1f} / {caught:.0f}")
    print("| " + " | ".join(cells) + " |", flush=True)


def kinds_used(band):
    """Conditions that either head of the band is trained on."""
    return {name for head_name in HEADS[band] for name in head.CONDITION_WEIGHTS[head_name]}


def curves(table, val, band):
    """Prints the lines of a band; classes weigh alike whatever part of the rows is kept."""

    def part(keep):
        def weights(name):
            kept = head.head_weights(table, name) * keep
            for side in (table.is_genuine, ~table.is_genuine):
                kept[side] /= kept[side].sum()
            return kept

        return weights

    everything = np.ones(len(table.path), bool)
    line("all", table, val, band, part(everything))
    for share in SHARES:
        line(f"{share:g} of the sources", table, val, band, part(kept_by_hash(table.source, share)))
        keep = table.is_genuine | kept_by_hash(table.system, share)
        line(f"{share:g} of the generators, all genuine clips", table, val, band, part(keep))
        keep = ~table.is_genuine | kept_by_hash(table.source, share)
        line(f"{share:g} of the genuine sources, all spoofs", table, val, band, part(keep))
    for most in CLIPS:
        line(f"{most} clips of a source and class", table, val, band, part(first_clips(table, most)))
    kinds = np.char.rstrip(table.condition, "0123456789")
    for kind in sorted({name.rstrip("0123456789") for name in kinds_used(band)}):
        line(f"without {kind} copies", table, val, band, part(kinds != kind))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(2)
    for band in HEADS:
        table, val = tables(args.work, band)
        columns = [f"CV {name}" for name in JUDGED[band]] + [f"val {name}" for name in VAL[band]]
        print(f"| {band} | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
        curves(table, val, band)


if __name__ == "__main__":
    main()
