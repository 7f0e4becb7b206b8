"""The rule for cloned inserts: reading segments from the program, the rule itself, and the choice of its thresholds."""

import csv
import itertools
import json
import subprocess
from dataclasses import dataclass

import numpy as np

# As in `policy`: most windows of a run, and judged windows of a channel of a minute, beyond which more is asked.
MAX_WINDOWS, MINUTE_WINDOWS = 30, 30
# Rules among which one is chosen, in nats of LLR. A mean above -ln 10 (-2.303) would be weak evidence.
MIN_WINDOWS = (2, 3)
MEANS = (-2.31, -2.5, -2.75, -3.0)
SUMS = tuple(np.arange(-2.5, -6.51, -0.25).tolist())
DROPS = tuple(np.arange(0.5, 4.01, 0.25).tolist())


@dataclass
class Recording:
    """One file of `splice.py`, with inserts or without, as the program sees it."""

    inserts: np.ndarray  # [inserts, 2] seconds
    is_flagged: bool  # as a whole
    is_found: bool  # by the bundle's own rule for inserts
    is_inconclusive: bool
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
        is_found=channel["decision"] == "spoof" and channel["stretch"] is not None,
        is_inconclusive=channel["decision"] == "inconclusive",
        denoised=channel["denoised"] or 0.0,
        spans=np.array([(segment["start_secs"], segment["end_secs"]) for segment in segments]),
        llrs=np.array([np.nan if segment["llr"] is None else segment["llr"] for segment in segments]),
    )


def runs(recording):
    """Of each run of judged neighbours [windows, mean LLR, its LLRs added up, median of the rest minus the mean].

    As `policy` has them: the sum counts the halves in which windows overlap once, and is less by what a long channel needs
    beyond one of a minute.
    """
    llrs, out = recording.llrs, []
    judged = np.sort(llrs[~np.isnan(llrs)])
    length_nats = max(0.0, np.log(max(len(judged), 1) / MINUTE_WINDOWS))
    for windows in range(min(MIN_WINDOWS), min(MAX_WINDOWS, len(judged) - 1) + 1):
        for inside in np.lib.stride_tricks.sliding_window_view(llrs, windows):
            mean = inside.mean()
            if mean < max(MEANS):  # not NaN either
                rest = np.delete(judged, _positions(judged, np.sort(inside)))
                out.append((windows, mean, mean * (windows + 1) / 2 + length_nats, rest[len(rest) // 2] - mean))
    return np.array(out).reshape(-1, 4)


def _positions(judged, inside):
    """Where the sorted values `inside` stand in the sorted `judged`, each one at a place of its own."""
    first = np.searchsorted(judged, inside)
    return first + np.arange(len(inside)) - np.searchsorted(inside, inside)


def is_flagged(recording, run_table, insert, cleaned):
    """`cleaned` are the thresholds for denoised speech."""
    windows, mean, total, drop = run_table.T
    below = min(insert["spoof_below"], cleaned["spoof_below"] if recording.denoised > cleaned["above"] else np.inf)
    low = (mean < below) & (total < insert["sum_below"]) & (drop >= insert["drop_nats"])
    return bool((low & (windows >= insert["min_windows"])).any())


def chosen_insert(kinds, thresholds, false_alarm_ratio):
    """The rule that finds most spliced files while at most `false_alarm_ratio` of genuine ones of each kind are flagged.

    `kinds` are lists of recordings, each of which counts alike; one genuine file of a kind may always be flagged. The LLRs
    of a stretch that decides must add up to no less evidence than a recording needs that is called cloned.
    """
    tables = [[(recording, runs(recording)) for recording in recordings] for recordings in kinds]
    most = [max(false_alarm_ratio, 1 / sum(not x.is_spliced for x in recordings)) for recordings in kinds]
    best = None
    for min_windows, below, total, drop_nats in itertools.product(MIN_WINDOWS, MEANS, SUMS, DROPS):
        insert = {"spoof_below": below, "sum_below": total, "drop_nats": drop_nats, "min_windows": min_windows}
        if total > thresholds["spoof_below"]:
            continue
        wrong, right = np.array([_flagged_ratios(pairs, insert, thresholds["denoised"]) for pairs in tables]).T
        if (wrong <= most).all():
            key = (right.mean(), -wrong.mean(), -total, -below, min_windows, drop_nats)  # of equals the strictest
            best = max(best or (key, insert), (key, insert), key=lambda pair: pair[0])
    return best[1]


def _flagged_ratios(pairs, insert, cleaned):
    """Of genuine and of spliced recordings, each with its `runs`."""
    flags = np.array([is_flagged(*pair, insert, cleaned) for pair in pairs])
    spliced = np.array([recording.is_spliced for recording, _ in pairs])
    return flags[~spliced].mean(), flags[spliced].mean()


def found_by(thresholds, recordings):
    """[recordings] of bool: in which the rule in `thresholds` finds a stretch."""
    pairs = [(recording, runs(recording)) for recording in recordings]
    return np.array([is_flagged(*pair, thresholds["insert"], thresholds["denoised"]) for pair in pairs])


def file_line(name, recordings, found, spoof_below):
    """Markdown: files flagged as a whole, `found` [recordings] and either; segments below `spoof_below`; files left open.

    First those without inserts, then those with; segments outside inserts, then those inside; files without inserts.
    """
    spliced = np.array([recording.is_spliced for recording in recordings])
    whole = np.array([recording.is_flagged for recording in recordings])
    inconclusive = np.array([recording.is_inconclusive for recording in recordings])
    inside, outside = [], []
    for recording in recordings:
        judged = ~np.isnan(recording.llrs)
        low = recording.llrs < spoof_below
        covered, touched = recording.windows_inside()
        inside.append(low[judged & covered])
        outside.append(low[judged & ~touched])

    def percent(values):
        return f"{100 * np.mean(values):.0f}"

    cells = [name, f"{(~spliced).sum()} / {spliced.sum()}"]
    for rows in (~spliced, spliced):
        cells += [percent(whole[rows]), percent(found[rows]), percent((whole | found)[rows])]
    cells += [percent(np.concatenate(outside)), percent(np.concatenate(inside))]
    cells.append(percent((inconclusive & ~found)[~spliced]))
    return "| " + " | ".join(cells) + " |"
