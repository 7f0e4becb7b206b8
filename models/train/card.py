"""The bundle's card: data, training and measured tables."""

from pathlib import Path

import numpy as np

import calibrate
import dataset
import metrics


def _line(name, scores, llrs, genuine, source, thresholds):
    low, high = metrics.interval(metrics.equal_error_rate, scores, genuine, source)
    spoof = llrs < thresholds["spoof_below"]
    cost, least = metrics.cllr(llrs, genuine), metrics.minimum_cllr(llrs, genuine)
    cells = (
        name,
        f"{genuine.sum()} / {(~genuine).sum()}",
        f"**{metrics.equal_error_rate(scores, genuine):.1f}** [{low:.0f}-{high:.0f}]",
        f"{metrics.caught_at(scores, genuine, 0.01):.0f}",
        f"{100 * spoof[genuine].mean():.1f}",
        f"{100 * spoof[~genuine].mean():.0f}",
        f"{cost:.2f} / {cost - least:.2f}",
    )
    return "| " + " | ".join(cells) + " |"


def _rows(table, scores, bands, thresholds, split):
    telephone = dataset.is_telephone_band(table)
    secs = table.speech * 0.02
    maps = [calibrate.llr(bands[name], scores, secs) for name in ("full", "telephone")]
    llrs = np.where(telephone, maps[1], maps[0])
    for condition in dict.fromkeys(table.condition):
        core = (table.condition == condition) & table.is_core
        unseen = core & (table.is_genuine | table.is_unseen)
        for name, rows in (("", core), (", unseen generators", unseen)):
            if split == "val" or not name:
                part = (scores[rows], llrs[rows], table.is_genuine[rows], table.source[rows])
                yield _line(f"{split} {condition}{name}", *part, thresholds)


def tables(train, train_scores, val, val_scores, bands, thresholds):
    """Markdown tables: out-of-fold scores of train sources, then val; one clip (at most 4 s) per trial."""
    head = (
        "| protocol | genuine / spoof | EER % [95 %] | caught % at 1 % false alarms | genuine called spoof % "
        "| spoofs called spoof % | Cllr / loss by calibration |\n|---|---|---|---|---|---|---|"
    )
    rows = list(_rows(train, train_scores, bands, thresholds, "train"))
    rows += _rows(val, val_scores, bands, thresholds, "val")
    return "\n".join([head, *rows])


def text(bundle_id, date, settings, measured):
    template = (Path(__file__).parent / "card.template.md").read_text(encoding="utf-8")
    values = {"ID": bundle_id, "DATE": date, "TABLES": measured}
    values["SETTINGS"] = ", ".join(f"{name} {value}" for name, value in settings.items())
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template
