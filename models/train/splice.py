"""Long recordings of clips put together, with and without inserts of the other class: WAV files and a protocol.

    python splice.py CORPUS OUT SPLIT [--plan NAME] [--files N] [--fold K]

Each file is made of genuine clips of one source, 0.2-0.8 s of faint noise between them; in every second file one system's
clips of one voice are put in at a joint, at the level of what surrounds them. How many clips and inserts, and how long
these are, is the plan's (`PLANS`). In the plan "lasting" the clips of a file come from all sources; in "reversed" all files
are synthetic speech of one system, with a genuine passage in every second one. `--fold` takes only the sources of one fold
of `dataset.source_fold`. Protocol columns: path, label, source, system, inserts (as `start-end start-end`, seconds).
"""

import argparse
import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from corpus import SAMPLE_RATE_HZ, load_clips, read_samples
from dataset import FOLDS, source_fold


@dataclass(frozen=True)
class Plan:
    """How the recordings of one kind are put together; pairs are least and most."""

    clips: tuple
    inserts: tuple = (1, 1)
    insert_secs: tuple = (2.0, 10.0)
    is_reversed: bool = False
    is_mixed: bool = False  # of all sources


PLANS = {
    "short": Plan(clips=(9, 16), insert_secs=(4.0, 10.0)),
    "long": Plan(clips=(15, 45)),
    "several": Plan(clips=(15, 45), inserts=(2, 4)),
    "lasting": Plan(clips=(160, 200), is_mixed=True),
    "reversed": Plan(clips=(9, 16), is_reversed=True),
}


def in_fold(clip, fold):
    return fold is None or source_fold(clip.source, FOLDS) == fold


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


def insert_clips(voices, corpus, insert_secs, rng):
    """Clips of one voice, together `insert_secs` long, in random order, each once."""
    least_secs, most_secs = insert_secs
    wanted_secs = rng.uniform(least_secs, most_secs)
    while True:
        voice = list(voices[rng.integers(len(voices))])
        rng.shuffle(voice)
        chosen, secs = [], 0.0
        for clip in voice:
            length_secs = len(read_samples(corpus, clip)) / SAMPLE_RATE_HZ
            if secs + length_secs <= most_secs and secs < wanted_secs:
                chosen.append(clip)
                secs += length_secs
        if secs >= least_secs:
            return chosen


def with_inserts(around, voices, corpus, plan, rng):
    """`around` with inserts at joints: the clips in order, and (first, last + 1) of each insert among them."""
    fewest, most = plan.inserts
    count = int(rng.integers(fewest, most + 1)) if fewest < most else fewest
    joints = set()
    while len(joints) < count:
        joints.add(int(rng.integers(0, len(around) + 1)))
    clips, spans, taken = [], [], 0
    for joint in sorted(joints):
        clips += around[taken:joint]
        inside = insert_clips(voices, corpus, plan.insert_secs, rng)
        spans.append((len(clips), len(clips) + len(inside)))
        clips += inside
        taken = joint
    return clips + around[taken:], spans


def write_files(corpus, out, split, files, fold=None, condition=None, plan="short"):
    """Writes `files` recordings, half of them with inserts, and `protocol.csv`; seeded by split and fold.

    `condition` is a function of samples and a generator of random numbers that each finished recording goes through.
    """
    out.mkdir(parents=True, exist_ok=True)
    plan = PLANS[plan]
    clips = [clip for clip in load_clips(corpus, split) if clip.is_core and in_fold(clip, fold)]
    around = [clip for clip in clips if clip.is_genuine != plan.is_reversed]
    groups = {"all": around} if plan.is_mixed else grouped(around, lambda c: c.system if plan.is_reversed else c.source)
    groups = {name: group for name, group in groups.items() if len(group) >= plan.clips[0]}
    others = [clip for clip in clips if clip.is_genuine == plan.is_reversed]
    voices = list(grouped(others, lambda clip: (clip.source, clip.system, clip.speaker)).values())
    voices = [voice for voice in voices if len(voice) > 1]
    names, rng, rows = sorted(groups), np.random.default_rng(zlib.crc32(f"{split}/{fold}".encode())), []
    for number in range(files):
        name = names[number // 2 % len(names)]
        group = groups[name]
        count = int(rng.integers(plan.clips[0], min(plan.clips[1], len(group)) + 1))
        chosen, spans = list(rng.permutation(np.array(group, object))[:count]), []
        if number % 2:
            chosen, spans = with_inserts(chosen, voices, corpus, plan, rng)
        samples, starts = joined(corpus, chosen, rng)
        starts.append(len(samples) / SAMPLE_RATE_HZ)
        label = "spoof" if any(not clip.is_genuine for clip in chosen) else "bonafide"
        source = name if plan.is_mixed else group[0].source
        row = {"path": f"{number:04}.wav", "label": label, "source": source, "system": group[0].system}
        if spans and not plan.is_reversed:
            row["system"] = chosen[spans[0][0]].system
        if spans:
            row["inserts"] = " ".join(f"{starts[first]:.2f}-{starts[end]:.2f}" for first, end in spans)
        if condition:
            samples = condition(samples, np.random.default_rng(number))
        soundfile.write(out / row["path"], np.clip(samples, -0.99, 0.99), SAMPLE_RATE_HZ, subtype="PCM_16")
        rows.append(row)
    with open(out / "protocol.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("path", "label", "source", "system", "inserts"), restval="")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("split", choices=("train", "val"))
    parser.add_argument("--plan", choices=PLANS, default="short")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--fold", type=int)
    given = parser.parse_args()
    write_files(given.corpus, given.out, given.split, given.files, given.fold, plan=given.plan)
