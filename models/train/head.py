"""Trains the kernel heads, two for each band, with out-of-fold scores for calibration.

Every head's first output is the score: +1 for genuine speech, -1 for spoofs. The fine heads have a second one,
`denoised`: 1 for copies out of which a noise suppressor took noise, 0 for others.
"""

from dataclasses import dataclass

import numpy as np

import dataset
import kernel
from export import rounded

FOLDS = 5
# What a row of each condition counts in the training of each head; see LOG.md.
CONDITION_WEIGHTS = {
    "full": {
        "clean": 1.0, "offset": 1.0, "denoised": 0.3, "phone": 0.1, "phone2": 0.1, "phone3": 0.1, "harsh": 0.07,
    },
    "telephone": {
        "phone": 1.0, "phone2": 1.0, "phone3": 1.0, "clean": 1.0, "offset": 1.0,
        "channel": 0.2, "channel2": 0.2, "harsh": 0.1,
    },
    "fine": {"clean": 1.0, "offset": 1.0, "media": 0.4, "media2": 0.4, "channel": 0.2, "denoised": 0.3},
    "fine-telephone": {"phone": 1.0, "phone2": 1.0, "phone3": 1.0, "clean": 0.3, "denoised-phone": 0.3},
}  # fmt: skip
DENOISED = ("denoised", "denoised-phone")


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters, chosen by cross-validation over training sources (see LOG.md)."""

    dimensions: int = 200
    landmarks: int = 5000
    gammas: tuple = (0.5, 2.0)  # times 1 / total variance of the projected statistics
    ridge: float = 1.0
    seed: int = 0


# The fine heads lose least by being small.
SETTINGS = {
    "full": Settings(),
    "telephone": Settings(),
    "fine": Settings(dimensions=150, landmarks=4000),
    "fine-telephone": Settings(dimensions=80, landmarks=2500),
}


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


def train(table, name):
    """Head `name` and its out-of-fold outputs [rows, outputs] on `table`."""
    return train_weighted(table, name, head_weights(table, name), SETTINGS[name])


def train_weighted(table, name, weights, settings):
    """As `train`, with weights [rows] and settings of one's own."""
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

    folds = dataset.source_folds(table, FOLDS)
    without = [fitted(used[folds[used] != fold]) for fold in range(FOLDS)]
    outputs = np.zeros(targets.shape, np.float32)
    for fold, regression in enumerate(without):
        outputs[folds == fold] = regression(points[folds == fold])
    return Head(projection, fitted(used), without), outputs
