"""Long recordings of genuine clips, with and without a cloned insert: WAV files and a protocol.

    python splice.py CORPUS OUT SPLIT [--files N] [--fold K]

Each file is made of 9-16 genuine clips of one source, 0.2-0.8 s of faint noise between them; in every second file one
system's clips of one voice, 4-10 s, are put in at a joint, at the level of what surrounds them. `--fold` takes only the
sources of one fold of `dataset.source_folds`. Protocol columns: path, label, source, system, insert_start_secs,
insert_end_secs.
"""

import argparse
import csv
import zlib
from pathlib import Path

import numpy as np
import soundfile

from corpus import SAMPLE_RATE_HZ, load_clips, read_samples

LEAST_CLIPS, MOST_CLIPS = 9, 16
INSERT_SECS = (4.0, 10.0)
FOLDS = 5


def in_fold(clip, fold):
    return fold is None or zlib.crc32(f"0/{clip.source}".encode()) % FOLDS == fold


def grouped(clips, key):
    groups = {}
    for clip in clips:
        groups.setdefault(key(clip), []).append(clip)
    return groups


def at_level(samples, level=0.05):
    """Scaled to a root mean square of `level`."""
    return samples * (level / max(np.sqrt(np.mean(np.square(samples))), 1e-6))


def joined(corpus, clips, rng):
    """One array of the clips with gaps, and the seconds at which each clip starts."""
    parts, starts, position = [], [], 0
    for clip in clips:
        gap = 1e-4 * rng.standard_normal(int(SAMPLE_RATE_HZ * rng.uniform(0.2, 0.8)))
        samples = at_level(read_samples(corpus, clip))
        starts.append((position + len(gap)) / SAMPLE_RATE_HZ)
        position += len(gap) + len(samples)
        parts += [gap, samples]
    return np.concatenate(parts).astype(np.float32), starts


def insert_clips(voices, corpus, rng):
    """Clips of one synthetic voice, together `INSERT_SECS` long, in random order, each once."""
    wanted_secs = rng.uniform(*INSERT_SECS)
    while True:
        voice = list(voices[rng.integers(len(voices))])
        rng.shuffle(voice)
        chosen, secs = [], 0.0
        for clip in voice:
            length_secs = len(read_samples(corpus, clip)) / SAMPLE_RATE_HZ
            if secs + length_secs <= INSERT_SECS[1] and secs < wanted_secs:
                chosen.append(clip)
                secs += length_secs
        if secs >= INSERT_SECS[0]:
            return chosen


def write_files(corpus, out, split, files, fold=None, condition=None):
    """Writes `files` recordings, half of them with an insert, and `protocol.csv`; seeded by split and fold.

    `condition` is a function of `augment.py` that each finished recording goes through.
    """
    out.mkdir(parents=True, exist_ok=True)
    clips = [clip for clip in load_clips(corpus, split) if clip.is_core and in_fold(clip, fold)]
    sources = grouped([clip for clip in clips if clip.is_genuine], lambda clip: clip.source)
    sources = {name: group for name, group in sources.items() if len(group) >= LEAST_CLIPS}
    spoofs = [clip for clip in clips if not clip.is_genuine]
    voices = list(grouped(spoofs, lambda clip: (clip.source, clip.system, clip.speaker)).values())
    voices = [voice for voice in voices if len(voice) > 1]
    names, rng, rows = sorted(sources), np.random.default_rng(zlib.crc32(f"{split}/{fold}".encode())), []
    for number in range(files):
        source = names[number // 2 % len(names)]
        count = int(rng.integers(LEAST_CLIPS, min(MOST_CLIPS, len(sources[source])) + 1))
        genuine = list(rng.permutation(np.array(sources[source], object))[:count])
        row = {"path": f"{number:04}.wav", "label": "bonafide", "source": source, "system": "human"}
        if number % 2:
            place, inside = int(rng.integers(0, count + 1)), insert_clips(voices, corpus, rng)
            genuine[place:place] = inside
            samples, starts = joined(corpus, genuine, rng)
            end = [*starts, len(samples) / SAMPLE_RATE_HZ][place + len(inside)]
            row |= {"label": "spoof", "system": inside[0].system, "insert_start_secs": round(starts[place], 2)}
            row["insert_end_secs"] = round(end, 2)
        else:
            samples, _ = joined(corpus, genuine, rng)
        if condition:
            samples = condition(samples, np.random.default_rng(number), None)
        soundfile.write(out / row["path"], np.clip(samples, -0.99, 0.99), SAMPLE_RATE_HZ, subtype="PCM_16")
        rows.append(row)
    columns = ("path", "label", "source", "system", "insert_start_secs", "insert_end_secs")
    with open(out / "protocol.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("split", choices=("train", "val"))
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--fold", type=int)
    given = parser.parse_args()
    write_files(given.corpus, given.out, given.split, given.files, given.fold)
