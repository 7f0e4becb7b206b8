"""Trains the kernel heads, two for each band, with out-of-fold scores for calibration.

Every head's first output is the score: +1 for genuine speech, -1 for spoofs. The fine heads have a second one,
`denoised`: 1 for copies out of which a noise suppressor took noise, 0 for others.
"""

from dataclasses import dataclass

import numpy as np

import dataset
import kernel
from export import rounded

# What a row of each condition counts in the training of each head; see LOG.md.
CONDITION_WEIGHTS = {
    "full": {
        "clean": 1.0, "offset": 1.0, "speed": 0.5, "speed2": 0.5, "denoised": 0.3, "harsh": 0.07, "babble": 0.15,
        "phone": 0.1, "phone2": 0.1, "phone3": 0.1,
    },
    "telephone": {
        "phone": 1.0, "phone2": 1.0, "phone3": 1.0, "speed-phone": 1.0, "clean": 1.0, "offset": 1.0,
        "channel": 0.2, "channel2": 0.2, "harsh": 0.1,
    },
    "fine": {
        "clean": 1.0, "offset": 1.0, "speed": 0.5, "speed2": 0.5, "media": 0.4, "media2": 0.4, "channel": 0.2,
        "denoised": 0.3,
    },
    "fine-telephone": {
        "phone": 1.0, "phone2": 1.0, "phone3": 1.0, "speed-phone": 1.0, "clean": 0.3, "denoised-phone": 0.3,
    },
}  # fmt: skip
DENOISED = ("denoised", "denoised-phone")


@dataclass
class Head:
    """A projection, the regression trained on all rows, and those trained without the sources of each fold."""

    projection: kernel.Projection
    regression: kernel.KernelHead
    without: list  # `kernel.KernelHead` by the fold it has not seen

    def __call__(self, stats):
        return self.regression(self.projection(stats))


def chosen_landmarks(count, weights, rows, seed):
    rng = np.random.default_rng(seed)
    share = weights[rows] / weights[rows].sum()
    return rows[rng.choice(len(rows), min(count, len(rows)), replace=False, p=share)]


def head_weights(table, name):
    """Training weight of each row: balanced by source, times its condition's; 0 where it is not used."""
    by_condition = CONDITION_WEIGHTS[name]
    return dataset.balanced_weights(table) * np.array([by_condition.get(value, 0.0) for value in table.condition])


def head_input(table, name):
    """The statistics that head `name` reads, one row per row of `table`."""
    return table.fine if name.startswith("fine") else table.stats


def head_targets(table, name):
    """[rows, outputs] that head `name` is to give."""
    targets = [np.where(table.is_genuine, 1.0, -1.0)]
    if name.startswith("fine"):
        targets.append(np.isin(table.condition, DENOISED).astype(float))
    return np.stack(targets, axis=1)


def train(table, name, weights, settings):
    """Head `name` of `sizes.HeadSettings` and its out-of-fold outputs [rows, outputs] on `table`, with `weights` [rows]."""
    stats = head_input(table, name)
    used = np.flatnonzero(weights > 0)
    projection = kernel.fit_projection(stats[used], weights[used], settings.dimensions, seed=settings.seed)
    projection.axes = rounded(projection.axes, 1)
    points = projection(stats)
    targets = head_targets(table, name)
    spread = float(points[used].var(axis=0).sum())
    gammas = tuple(gamma / spread for gamma in settings.gammas)

    def fitted(rows):
        marks = points[chosen_landmarks(settings.landmarks, weights, rows, settings.seed)]
        marks = np.ascontiguousarray(rounded(marks, 0))
        return kernel.fit_kernel_head(points[rows], targets[rows], weights[rows], marks, gammas, settings.ridge)

    folds = dataset.source_folds(table, dataset.FOLDS)
    without = [fitted(used[folds[used] != fold]) for fold in range(dataset.FOLDS)]
    outputs = np.zeros(targets.shape, np.float32)
    for fold, regression in enumerate(without):
        outputs[folds == fold] = regression(points[folds == fold])
    return Head(projection, fitted(used), without), outputs
