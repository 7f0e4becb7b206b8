"""The corpus manifest as plain records: which clips there are, what they are, and which are left out of training."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE_HZ = 16000
COPY_SYNTHESIS = ("vocoder", "codec")


@dataclass(frozen=True)
class Clip:
    """One line of the corpus manifest."""

    path: str
    is_genuine: bool
    split: str
    system: str
    family: str
    is_unseen: bool
    speaker: str
    source: str
    language: str
    pair_id: str

    @property
    def is_core(self):
        """Genuine speech, or a spoof that is not copy-synthesis: the clips of the headline figures."""
        return self.family not in COPY_SYNTHESIS

    @property
    def stem(self):
        return Path(self.path).stem


def load_clips(corpus_dir, split):
    """The clips of one split ("train" or "val"), in the order of the manifest."""
    with open(Path(corpus_dir) / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return [
        Clip(
            path=row["path"],
            is_genuine=row["label"] == "bonafide",
            split=row["split"],
            system=row["system"],
            family=row["family"],
            is_unseen=row["unseen"] == "1",
            speaker=row["speaker"],
            source=row["source"],
            language=row["language"],
            pair_id=row["pair_id"],
        )
        for row in rows
    ]


def read_samples(corpus_dir, clip):
    """Samples of one clip: float32 [samples] at 16 kHz, full scale 1.0."""
    samples, rate = soundfile.read(Path(corpus_dir) / clip.path, dtype="float32")
    if rate != SAMPLE_RATE_HZ or samples.ndim != 1:
        raise ValueError(f"{clip.path}: {rate} Hz, {samples.ndim} axes - must be {SAMPLE_RATE_HZ} Hz mono")
    return np.ascontiguousarray(samples)
