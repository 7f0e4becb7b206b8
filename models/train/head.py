"""Trains the kernel head on pooled statistics, with out-of-fold scores for calibration."""

from dataclasses import dataclass

import numpy as np

import dataset
import kernel
from export import rounded

FOLDS = 5


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters, chosen by cross-validation over training sources (see LOG.md)."""

    dimensions: int = 256
    landmarks: int = 2000
    gamma: float = 0.3  # times 1 / total variance of the projected statistics
    ridge: float = 1.0
    seed: int = 0


def chosen_landmarks(count, weights, rows, seed):
    rng = np.random.default_rng(seed)
    share = weights[rows] / weights[rows].sum()
    return rows[rng.choice(len(rows), min(count, len(rows)), replace=False, p=share)]


def train(table, settings):
    """Returns (projection, head, out-of-fold scores [rows], weights [rows])."""
    weights = dataset.balanced_weights(table)
    projection = kernel.fit_projection(table.stats, weights, settings.dimensions, seed=settings.seed)
    projection.axes = rounded(projection.axes, 1)
    points = projection(table.stats)
    targets = np.where(table.is_genuine, 1.0, -1.0)
    gamma = settings.gamma / float(points.var(axis=0).sum())

    def fitted(rows):
        marks = points[chosen_landmarks(settings.landmarks, weights, rows, settings.seed)]
        marks = np.ascontiguousarray(rounded(marks, 0))
        return kernel.fit_kernel_head(points[rows], targets[rows], weights[rows], marks, gamma, settings.ridge)

    folds = dataset.source_folds(table, FOLDS)
    scores = np.zeros(len(points), np.float32)
    for fold in range(FOLDS):
        inside = np.flatnonzero(folds == fold)
        scores[inside] = fitted(np.flatnonzero(folds != fold))(points[inside])
    return projection, fitted(np.arange(len(points))), scores, weights
