"""Detection metrics with bootstrap intervals clustered by source. Scores: higher favours genuine speech."""

import numpy as np


def _rates(scores, is_genuine, weights):
    """Miss and false-alarm style error rates at every threshold between sorted scores."""
    order = np.argsort(scores, kind="stable")
    genuine = np.where(is_genuine[order], weights[order], 0.0)
    spoof = np.where(is_genuine[order], 0.0, weights[order])
    genuine_below = np.concatenate([[0], np.cumsum(genuine)]) / genuine.sum()
    spoof_above = 1 - np.concatenate([[0], np.cumsum(spoof)]) / spoof.sum()
    return genuine_below, spoof_above


def equal_error_rate(scores, is_genuine, weights=None):
    """EER in percent: genuine below = spoof above the threshold."""
    weights = np.ones(len(scores)) if weights is None else weights
    genuine_below, spoof_above = _rates(scores, is_genuine, weights)
    index = np.argmin(np.abs(genuine_below - spoof_above))
    return 50 * (genuine_below[index] + spoof_above[index])


def caught_at(scores, is_genuine, false_alarm_ratio):
    """Percent of spoofs below the threshold that calls `false_alarm_ratio` of genuine clips spoof."""
    threshold = np.quantile(scores[is_genuine], false_alarm_ratio)
    return 100 * np.mean(scores[~is_genuine] < threshold)


def cllr(llrs, is_genuine):
    """Cost of log-likelihood ratios in bits (Brummer and du Preez, 2006); `llrs` are natural logarithms."""
    genuine = np.mean(np.logaddexp(0, -llrs[is_genuine])) / np.log(2)
    spoof = np.mean(np.logaddexp(0, llrs[~is_genuine])) / np.log(2)
    return (genuine + spoof) / 2


def minimum_cllr(scores, is_genuine):
    """Cllr after the best monotone map of the scores (pool adjacent violators)."""
    from sklearn.isotonic import IsotonicRegression

    labels = is_genuine.astype(float)
    weights = np.where(is_genuine, 0.5 / is_genuine.sum(), 0.5 / (~is_genuine).sum())
    posterior = IsotonicRegression(y_min=0, y_max=1).fit_transform(scores, labels, sample_weight=weights)
    posterior = posterior.clip(1e-9, 1 - 1e-9)
    return cllr(np.log(posterior / (1 - posterior)), is_genuine)


def interval(statistic, scores, is_genuine, sources, draws=200, seed=1):
    """95 % bootstrap interval of `statistic(scores, is_genuine)`, whole sources drawn with replacement."""
    rng = np.random.default_rng(seed)
    names, index = np.unique(sources, return_inverse=True)
    members = [np.flatnonzero(index == number) for number in range(len(names))]
    values = []
    for _ in range(draws):
        rows = np.concatenate([members[number] for number in rng.integers(len(names), size=len(names))])
        if is_genuine[rows].any() and (~is_genuine[rows]).any():
            values.append(statistic(scores[rows], is_genuine[rows]))
    return tuple(np.quantile(values, [0.025, 0.975]))
