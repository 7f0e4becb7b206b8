"""The bundle's card: its tables are what `clonewatch eval` and `clonewatch scan` print for the finished bundle."""

import csv
import dataclasses
import json
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np

import augment
import calibrate
import corpus
import inserts
import metrics
import splice
import voices

SPLICED_FILES = {"short": 200, "long": 200, "several": 200, "lasting": 40, "reversed": 200}
LEAST_ROWS = 15  # of either class for a line of its own
CORPUS_SOURCE = ("CORPUS/manifest.csv", ("--where", "split=val"))
JOIN_8 = ("--join", "8", "--join-by", "source,system")
# Name in the table, protocol as the card shows it, further options.
MEASURES = (
    ("clean", *CORPUS_SOURCE),
    *((name, f"WORK/copies/val-{name}/protocol.csv", ()) for name in ("phone", "mp3-48k", "opus-16k")),
    *((name, f"WORK/copies/val-{name}/protocol.csv", ()) for name in ("babble-15db", "first-2s", "denoised")),
    *(
        (f"{condition}, {kind} joined", protocol, (*options, *join))
        for kind, join in (("3 clips of a voice", ("--join", "3")), ("8 clips of a source and system", JOIN_8))
        for condition, protocol, options in (
            ("clean", *CORPUS_SOURCE),
            ("phone", "WORK/copies/val-phone/protocol.csv", ()),
        )
    ),
)
LAYERED = """convolutional stem and first transformer layer of Whisper base (OpenAI, MIT), {inner_neurons} feed-forward neurons of the
  layer kept and solved again, weights rounded to 8 bits, run on chunks of 4 s normalised to their own maximum. Outputs of the
  stem and of the layer, each frame lessened by what its kind of sound usually looks like (64 soft classes)."""
TUNED = """- Tuned layer: the second layer of Whisper base, thinned likewise, run on every second frame (means of two) and trained on labels
  together with a small network ({hidden} neurons) over the statistics of its outputs. It counts {share:g} of what is read off the
  encoder, the kernel heads the rest.
"""
STEM_ALONE = """convolutional stem of Whisper base (OpenAI, MIT), weights rounded to 8 bits, run on chunks of 4 s normalised to their
  own maximum."""
STEM_IS_WEAK = """- Telephone speech, of which the stem hears less than layers do: compare the rows "phone" and "val, telephone" with those
  of the standard model's card.
"""
# Of the networks and the calibration that clonewatch-10 shares with clonewatch-9.
UNHEARD = """Measured with clonewatch-9, which has the same networks and calibration (command:
  `models/train/README.md`): through Speex, AC-3, WMA, SBC and wide-band Opus at 6-8 kbit/s the EER is 19-28 % and a fifth of the
  clones or fewer are called so; of genuine clips 3 % through Nellymoser and 25 % through Codec 2 at 3.2 kbit/s, a vocoder, are
  called cloned."""
UNHEARD_BY_LIGHT = """With the standard model the EER is 19-28 % through several of them
  (its card); it was not measured with this one, which hears less."""
BREAKDOWN = (
    "family", "language", "voice_sex", "voice_pitch", "orig_codec", "orig_sr",
    "measured_band", "measured_snr", "measured_speech",
)  # fmt: skip


class Runner:
    """Runs the program's `eval` on the finished bundle."""

    def __init__(self, args):
        self.args = args

    def eval(self, protocol, options, *more):
        path = protocol.replace("CORPUS", str(self.args.corpus)).replace("WORK", str(self.args.work))
        return self._run(path, "--model", self.args.out, *options, *more)

    def from_scores(self, scores_file, *more):
        return self._run("--from-scores", scores_file, *more)

    def _run(self, *words):
        command = [self.args.program, "eval", "--families", "core", "--format", "json", *words]
        return json.loads(subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True).stdout)


def shown_command(model, protocol, options):
    words = ["clonewatch eval", protocol, f"--model models/{model} --families core", *options, "--by unseen"]
    return " ".join(words)


def _percent(measure, digits=0):
    return "" if measure is None else f"{100 * measure['value']:.{digits}f}"


def _eer(measure):
    if measure is None:
        return ""
    interval = "" if measure["low"] is None else f" [{100 * measure['low']:.0f}-{100 * measure['high']:.0f}]"
    return f"**{_percent(measure, 1)}**{interval}"


def _line(name, row, own):
    """`own` are the measures of the rows themselves, or of its spoofs against all genuine clips."""
    flags = row["measures"]
    genuine_flagged = _percent(flags["genuine_flagged"], 1) if row["bona_fide"] else ""
    inconclusive = "/".join(_percent(flags[f"{side}_inconclusive"]) for side in ("genuine", "spoof"))
    cells = [name, f"{row['bona_fide']} / {row['spoof']}", str(row["unscored"]), _eer(own["eer"]), genuine_flagged]
    cost = f"{own['cllr']['value']:.2f} / {own['calibration_loss']['value']:.2f}"
    cells += [_percent(flags["spoof_caught"]), inconclusive, cost]
    return "| " + " | ".join(cells) + " |"


HEADER = (
    "| val | genuine / spoof | unscored | EER % [95 %] | genuine called cloned % | spoofs called cloned % "
    "| inconclusive % genuine/spoof | Cllr / loss by calibration |\n|---|---|---|---|---|---|---|---|"
)


def condition_table(runner, clean_scores):
    """The lines of `MEASURES`; saves the scores of the first of them."""
    lines = [HEADER]
    for name, protocol, options in MEASURES:
        more = ("--scores", clean_scores) if name == MEASURES[0][0] else ()
        for row in runner.eval(protocol, options, "--by", "unseen", *more)["rows"]:
            if row["column"] is None:
                lines.append(_line(name, row, row["measures"]))
            elif row["value"] == "1" and row["versus_all_bona_fide"] and not row["bona_fide"]:
                lines.append(_line(f"{name}, unseen generators", row, row["versus_all_bona_fide"]))
    return "\n".join(lines)


def breakdown_table(runner, clean_scores, columns):
    """Lines of values with at least `LEAST_ROWS` of both classes, or that many spoofs and no genuine clip."""
    by = [word for column in columns for word in ("--by", column)]
    lines = [HEADER]
    for row in runner.from_scores(clean_scores, *by)["rows"]:
        own = row["versus_all_bona_fide"] if not row["bona_fide"] else row["measures"]
        least = row["spoof"] if not row["bona_fide"] else min(row["bona_fide"], row["spoof"])
        if row["column"] and least >= LEAST_ROWS and own and own["eer"]:
            lines.append(_line(f"{row['column']} {row['value']}", row, own))
    return "\n".join(lines)


def error_lists(clean_scores):
    """Sources whose genuine clips and systems whose spoofs err most often at LLR 0: name, errors of clips."""
    with open(clean_scores, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["llr"]]

    def worst(label, column, is_wrong):
        mine = [row for row in rows if row["label"] == label]
        total, wrong = Counter(row[column] for row in mine), Counter(row[column] for row in mine if is_wrong(row))
        named = [(name, count) for name, count in wrong.most_common() if total[name] > 1 and count / total[name] >= 0.4]
        return ", ".join(f"{name} ({count} of {total[name]})" for name, count in named[:16])

    return (
        worst("bonafide", "source", lambda row: float(row["llr"]) < 0),
        worst("spoof", "system", lambda row: float(row["llr"]) > 0),
    )


def out_of_fold_rows(table, llrs, denoised, thresholds):
    """Markdown: out-of-fold LLRs and measures of denoising of each training condition, whole sources held out."""
    lines = [
        "| training sources, held out in turn | genuine / spoof | EER % [95 %] | caught % at 1 % false alarms "
        "| genuine called cloned % | spoofs called cloned % | taken for denoised % |\n|---|---|---|---|---|---|---|"
    ]
    for condition in dict.fromkeys(table.condition):
        rows = table.condition == condition
        mine, genuine = llrs[rows], table.is_genuine[rows]
        low, high = metrics.interval(metrics.equal_error_rate, mine, genuine, table.source[rows])
        called = calibrate.is_spoof(mine, denoised[rows], thresholds)
        held = denoised[rows] > thresholds["denoised"]["above"]
        eer = f"**{metrics.equal_error_rate(mine, genuine):.1f}** [{low:.0f}-{high:.0f}]"
        cells = [condition, f"{genuine.sum()} / {(~genuine).sum()}", eer]
        cells += [f"{metrics.caught_at(mine, genuine, 0.01):.0f}", f"{100 * called[genuine].mean():.1f}"]
        cells += [f"{100 * called[~genuine].mean():.0f}", f"{100 * held.mean():.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _splice_lines(args, thresholds, plans):
    lines = []
    for plan in plans:
        for band, condition in (("", None), (", telephone", augment.through_val_telephone)):
            name = "val" + ("" if plan == "short" else f", {plan}") + band
            folder = args.work / "splices" / name.replace(", ", "-")
            if not (folder / "protocol.csv").exists():
                splice.write_files(args.corpus, folder, "val", SPLICED_FILES[plan], condition=condition, plan=plan)
            recordings = inserts.scanned(args.program, args.out, folder)
            found = np.array([recording.is_found for recording in recordings])
            lines.append(inserts.file_line(name, recordings, found, thresholds["insert"]["spoof_below"]))
    return lines


def splice_table(args, thresholds, train_rows):
    """Recordings with cloned inserts; `train_rows` are those of training sources."""
    head = (
        "| recordings | genuine / spliced | genuine: as a whole % | by insert rule % | either % | spliced: as a whole % "
        "| by insert rule % | either % | genuine windows below insert.spoof_below % | cloned windows % | genuine: inconclusive % |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *train_rows, *_splice_lines(args, thresholds, ("short", "long", "several", "lasting"))])


def reversed_table(args, thresholds):
    """Cloned recordings with a genuine passage in every second one."""
    head = (
        "| recordings | without / with a genuine passage | without: as a whole % | by insert rule % | either % "
        "| with: as a whole % | by insert rule % | either % | cloned windows below insert.spoof_below % "
        "| windows of the genuine passage % | without: inconclusive % |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *_splice_lines(args, thresholds, ("reversed",))])


def data_counts(folders):
    """Clips of training in `folders`: genuine ones, their sources, synthetic ones without copy-synthesis."""
    clips = [clip for folder in folders for clip in corpus.load_clips(folder, "train") if clip.is_core]
    genuine = [clip.source for clip in clips if clip.is_genuine]
    return {"GENUINE": len(genuine), "SOURCES": len(set(genuine)), "SYNTHETIC": len(clips) - len(genuine)}


def _listed(values):
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _design(size):
    """What the card says of a `sizes.Size`."""
    networks = size.heads | ({"tuned": size.tuned} if size.tuned else {})
    settings = {name: dataclasses.asdict(values) for name, values in networks.items()}
    return {
        "UNHEARD": UNHEARD if size.layers else UNHEARD_BY_LIGHT,
        "WEAKEST": "" if size.layers else STEM_IS_WEAK,
        "ENCODER": LAYERED.format(**vars(size)) if size.layers else STEM_ALONE,
        "TUNED": TUNED.format(hidden=size.tuned.hidden, share=size.tuned_share) if size.tuned else "",
        "SETTINGS": "; ".join(f"{name}: {_listed(values)}" for name, values in settings.items()),
        "LOUD_NOISE_DB": f"{calibrate.LOUD_NOISE_DB:g}",
        "FAINT_NOISE_DB": f"{calibrate.FAINT_NOISE_DB:g}",
        "OWN_SHARE": f"{1 - size.other_share:g}",
        "OTHER_SHARE": f"{size.other_share:g}",
        "FINE_SHARE_TELEPHONE": f"{size.fine_share['telephone']:g}",
        "FINE_SHARE": f"{size.fine_share['full']:g}",
    }


def text(args, thresholds, out_of_fold, spliced_rows):
    runner, clean_scores = Runner(args), args.kept / "val-clean-scores.csv"
    conditions = condition_table(runner, clean_scores)
    voices.add_columns(clean_scores, args.corpus)
    genuine_errors, spoof_errors = error_lists(clean_scores)
    values = {
        "ID": args.out.name,
        "DATE": args.date,
        "COMMANDS": "\n".join(shown_command(args.out.name, protocol, options) for _, protocol, options in MEASURES),
        "CONDITIONS": conditions,
        "BREAKDOWN": breakdown_table(runner, clean_scores, BREAKDOWN),
        "OUT_OF_FOLD": out_of_fold,
        "SPLICED": splice_table(args, thresholds, spliced_rows),
        "REVERSED": reversed_table(args, thresholds),
        "GENUINE_ERRORS": genuine_errors,
        "SPOOF_ERRORS": spoof_errors,
    }
    folders = [folder for folder in (args.corpus, args.more) if folder]
    values |= _design(args.size)
    values |= {name: f"{count:,}" for name, count in data_counts(folders).items()}
    template = (Path(__file__).parent / "card.template.md").read_text(encoding="utf-8")
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template
