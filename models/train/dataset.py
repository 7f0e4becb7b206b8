"""Pooled statistics of several conditions as one table, with sampling weights and folds by source."""

import csv
import zlib
from dataclasses import dataclass

import numpy as np

TELEPHONE_BELOW_HZ = 5500  # telephone copies measure up to 5,000 Hz, wide-band clips from 7,000
LEAST_SPEECH_OUTPUTS = 25  # half a second of 20 ms outputs
COPY_SYNTHESIS = ("vocoder", "codec")
FOLDS = 5


@dataclass
class Table:
    """Rows of pooled statistics and what they are; all arrays have one entry per row."""

    stats: np.ndarray  # [rows, 3 D] float32
    fine: np.ndarray  # [rows, 2771] float32, see fine.py
    speech: np.ndarray  # 20 ms outputs of speech
    is_genuine: np.ndarray
    is_unseen: np.ndarray
    family: np.ndarray
    source: np.ndarray
    system: np.ndarray
    speaker: np.ndarray
    condition: np.ndarray
    bandwidth_hz: np.ndarray  # as the program measures it; 0 where it could not
    snr_db: np.ndarray  # likewise; NaN where it could not
    path: np.ndarray

    def take(self, rows):
        return Table(**{name: values[rows] for name, values in vars(self).items()})

    @property
    def is_core(self):
        return ~np.isin(self.family, COPY_SYNTHESIS)


def has_speech(outputs):
    """Whether so many 20 ms outputs of speech are enough for statistics."""
    return outputs >= LEAST_SPEECH_OUTPUTS


def load_table(features_root, stats_root, conditions):
    """Rows with enough speech of every condition, in order."""
    parts, rows = [], []
    for condition in conditions:
        with open(features_root / condition / "index.csv", newline="", encoding="utf-8") as file:
            index = list(csv.DictReader(file))
        stats = np.load(stats_root / condition / "stats.npy", mmap_mode="r")
        speech = np.load(stats_root / condition / "speech.npy")
        keep = np.flatnonzero(has_speech(speech))
        fine = np.load(features_root / condition / "fine.npy", mmap_mode="r")
        parts.append((np.array(stats[keep]), speech[keep], np.array(fine[keep])))
        rows += [index[number] for number in keep]

    def column(name):
        return np.array([row[name] for row in rows])

    return Table(
        stats=np.concatenate([stats for stats, _, _ in parts]),
        fine=np.concatenate([fine for _, _, fine in parts]),
        speech=np.concatenate([speech for _, speech, _ in parts]),
        is_genuine=column("label") == "bonafide",
        is_unseen=column("unseen") == "1",
        family=column("family"),
        source=column("source"),
        system=column("system"),
        speaker=column("speaker"),
        condition=column("condition"),
        bandwidth_hz=np.array([float(row["measured_bandwidth_hz"] or 0) for row in rows]),
        snr_db=np.array([float(row["snr_db"] or "nan") for row in rows]),
        path=column("path"),
    )


def joined(tables):
    """One table of the rows of all."""
    return Table(**{name: np.concatenate([vars(table)[name] for table in tables]) for name in vars(tables[0])})


def balanced_weights(table, power=0.5, genuine_share=0.5):
    """Weight of each row: its source and class count as (rows of both) ** power; classes sum to fixed shares."""
    group = np.char.add(table.source.astype(str), np.where(table.is_genuine, "+", "-"))
    _, inverse, counts = np.unique(group, return_inverse=True, return_counts=True)
    weights = counts[inverse].astype(np.float64) ** (power - 1)
    genuine = table.is_genuine
    weights[genuine] *= genuine_share / weights[genuine].sum()
    weights[~genuine] *= (1 - genuine_share) / weights[~genuine].sum()
    return weights * len(weights)


def source_fold(source, folds, seed=0):
    """Fold number of a source, dealt out by a hash of its name."""
    return zlib.crc32(f"{seed}/{source}".encode()) % folds


def source_folds(table, folds, seed=0):
    """Fold number of each row: whole sources."""
    return np.array([source_fold(source, folds, seed) for source in table.source])


def band_rows(table):
    """Rows of each band, as the program tells them apart: band -> [rows] of bool."""
    telephone = table.bandwidth_hz < TELEPHONE_BELOW_HZ
    return {"full": ~telephone, "telephone": telephone}
