"""The rule for cloned inserts: reading segments from the program, the rule itself, and the choice of its thresholds."""

import csv
import json
import subprocess
from dataclasses import dataclass

import numpy as np


@dataclass
class Recording:
    """One file of `splice.py`, with inserts or without, as the program sees it."""

    inserts: np.ndarray  # [inserts, 2] seconds
    is_flagged: bool  # as a whole
    denoised: float
    spans: np.ndarray  # [segments, 2] seconds
    llrs: np.ndarray  # [segments], NaN where not judged

    @property
    def is_spliced(self):
        return len(self.inserts) > 0

    def windows_inside(self, least_secs=3.0):
        """[segments] of bool each: those with that much of an insert or with a whole one, and those with any of it."""
        inside, touched = np.zeros(len(self.spans), bool), np.zeros(len(self.spans), bool)
        for start, end in self.inserts:
            overlap = np.minimum(self.spans[:, 1], end) - np.maximum(self.spans[:, 0], start)
            inside |= overlap >= min(least_secs, end - start - 0.01)
            touched |= overlap > 0
        return inside, touched


def scanned(program, model_dir, folder):
    """The recordings of `splice.py`'s `folder` through `program`."""
    command = [program, "scan", str(folder), "--model", str(model_dir), "--format", "jsonl"]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True).stdout
    found = {}
    for line in output.splitlines():
        result = json.loads(line)
        if result.get("channels"):
            found[result["input"]["path"].rsplit("/", 1)[-1]] = result["channels"][0]
    with open(folder / "protocol.csv", newline="", encoding="utf-8") as file:
        return [_recording(row, found[row["path"]]) for row in csv.DictReader(file)]


def _recording(row, channel):
    segments = channel["segments"]
    spans = [tuple(map(float, span.split("-"))) for span in row["inserts"].split()]
    return Recording(
        inserts=np.array(spans).reshape(-1, 2),
        is_flagged=channel["decision"] == "spoof" and channel["stretch"] is None,
        denoised=channel["denoised"] or 0.0,
        spans=np.array([(segment["start_secs"], segment["end_secs"]) for segment in segments]),
        llrs=np.array([np.nan if segment["llr"] is None else segment["llr"] for segment in segments]),
    )


def runs(recording, min_windows):
    """(mean LLR inside, median of the rest minus that mean) of each run of judged neighbours, as `policy` has it."""
    llrs, out = recording.llrs, []
    for start in range(len(llrs) - min_windows + 1):
        inside = llrs[start : start + min_windows]
        rest = np.sort(np.delete(llrs, np.arange(start, start + min_windows)))
        rest = rest[~np.isnan(rest)]
        if len(rest) and not np.isnan(inside).any():
            out.append((inside.mean(), rest[len(rest) // 2] - inside.mean()))
    return np.array(out).reshape(-1, 2)


def is_flagged(recording, run_table, insert, cleaned):
    """`cleaned` are the thresholds for denoised speech."""
    low, drop = run_table[:, 0], run_table[:, 1]
    below = min(insert["spoof_below"], cleaned["spoof_below"] if recording.denoised > cleaned["above"] else np.inf)
    return bool(((low < below) & (drop >= insert["drop_nats"])).any())


def chosen_insert(kinds, thresholds, false_alarm_ratio):
    """The rule that finds most spliced files while at most `false_alarm_ratio` of genuine ones of each kind are flagged.

    `kinds` are lists of recordings, each of which counts alike. A stretch that decides must by itself sound as cloned as a
    recording that is called so.
    """
    best = None
    for min_windows in (2, 3):
        tables = [[(recording, runs(recording, min_windows)) for recording in recordings] for recordings in kinds]
        for drop_nats in np.arange(0.5, 6.01, 0.25):
            for below in np.arange(-4, thresholds["spoof_below"], 0.25):
                insert = {"spoof_below": float(below), "drop_nats": float(drop_nats), "min_windows": min_windows}
                wrong, right = np.array([_flagged_ratios(pairs, insert, thresholds["denoised"]) for pairs in tables]).T
                if wrong.max() <= false_alarm_ratio:
                    key = (right.mean(), -wrong.mean(), drop_nats)
                    best = max(best or (key, insert), (key, insert), key=lambda pair: pair[0])
    return best[1]


def _flagged_ratios(pairs, insert, cleaned):
    """Of genuine and of spliced recordings, each with its `runs`."""
    flags = np.array([is_flagged(*pair, insert, cleaned) for pair in pairs])
    spliced = np.array([recording.is_spliced for recording, _ in pairs])
    return flags[~spliced].mean(), flags[spliced].mean()


def file_line(name, recordings, thresholds):
    """Markdown: files flagged as a whole, by the insert rule and by either, and segments below `spoof_below`.

    First those without inserts, then those with; segments outside inserts, then those inside.
    """
    insert = thresholds["insert"]
    spliced = np.array([recording.is_spliced for recording in recordings])
    whole = np.array([recording.is_flagged for recording in recordings])
    found = [(recording, runs(recording, insert["min_windows"])) for recording in recordings]
    rule = np.array([is_flagged(*pair, insert, thresholds["denoised"]) for pair in found])
    inside, outside = [], []
    for recording in recordings:
        judged = ~np.isnan(recording.llrs)
        low = recording.llrs < insert["spoof_below"]
        covered, touched = recording.windows_inside()
        inside.append(low[judged & covered])
        outside.append(low[judged & ~touched])

    def percent(values):
        return f"{100 * np.mean(values):.0f}"

    cells = [name, f"{(~spliced).sum()} / {spliced.sum()}"]
    for rows in (~spliced, spliced):
        cells += [percent(whole[rows]), percent(rule[rows]), percent((whole | rule)[rows])]
    cells += [percent(np.concatenate(outside)), percent(np.concatenate(inside))]
    return "| " + " | ".join(cells) + " |"
