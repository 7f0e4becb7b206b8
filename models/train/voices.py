"""Columns about the voice, for breaking errors down: the speaker's sex where it is known, and pitch for every clip.

    python voices.py SCORES.csv FOLDER     adds both to what `clonewatch eval FOLDER/... --scores` wrote

`voice_sex` is what `voices.toml` says of the speaker whom the corpus names: of a clone, the one who was cloned.
`voice_pitch` is low or high. The median fundamental frequency of voiced frames, by the peak of the normalised autocorrelation between 60 and 400 Hz. Men's
voices lie about 120 Hz and women's about 210 Hz (Titze, Principles of Voice Production, 1994); between them the border.
"""

import csv
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import soundfile

BORDER_HZ = 165
LOWEST_HZ, HIGHEST_HZ = 60, 400
FRAME_SECS, STEP_SECS = 0.04, 0.02
LEAST_PEAK = 0.6  # of the autocorrelation at 0, for a voiced frame
LEAST_FRAMES = 15


def median_f0(samples, rate):
    """Hz, or None where too little is voiced."""
    size, step = int(FRAME_SECS * rate), int(STEP_SECS * rate)
    shortest, longest = rate // HIGHEST_HZ, rate // LOWEST_HZ
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    frames = frames - frames.mean(axis=1, keepdims=True)
    spectra = np.fft.rfft(frames, 2 * size)
    correlation = np.fft.irfft(np.square(np.abs(spectra)))[:, : longest + 1]
    power = correlation[:, 0]
    # Fewer products stand behind longer lags.
    part = correlation[:, shortest:] * (size / (size - np.arange(shortest, longest + 1)))
    best = part.argmax(axis=1)
    peaks = np.take_along_axis(part, best[:, None], axis=1)[:, 0] / np.maximum(power, 1e-9)
    voiced = (peaks > LEAST_PEAK) & (power > 0.05 * np.quantile(power, 0.95))
    return float(np.median(rate / (shortest + best[voiced]))) if voiced.sum() >= LEAST_FRAMES else None


def voice_pitch(path):
    samples, rate = soundfile.read(path, dtype="float64")
    hz = median_f0(samples if samples.ndim == 1 else samples.mean(axis=1), rate)
    return "unknown" if hz is None else "low" if hz < BORDER_HZ else "high"


def known_voices():
    """Sex by the speaker's name, numbered speakers as `_plain` has them."""
    table = tomllib.loads(Path(__file__).with_name("voices.toml").read_text(encoding="utf-8"))
    sexes = {}
    for sex, groups in table.items():
        names = [f"{corpus} {number}" for corpus in ("vctk", "librispeech") for number in groups[corpus]]
        sexes |= dict.fromkeys([*names, *groups["named"]], sex)
    return sexes


def _plain(speaker):
    """The manifest's spellings of a numbered speaker as one, other names as they are."""
    if match := re.search(r"\bp(\d{3})(?!\d)", speaker):
        return f"vctk {match[1]}"
    match = re.match(r"(?i)libri[/-](\d+)$", speaker)
    return f"librispeech {match[1]}" if match else speaker


def add_columns(scores_file, folder):
    sexes = known_voices()
    with open(scores_file, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["voice_sex"] = sexes.get(_plain(row["speaker"]), "unknown")
        row["voice_pitch"] = voice_pitch(Path(folder) / row["path"])
    with open(scores_file, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    add_columns(*sys.argv[1:])
