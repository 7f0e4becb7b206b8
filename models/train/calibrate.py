"""From raw scores to log-likelihood ratios: affine maps by band, noise and seconds of speech, and decision thresholds.

Everything here is fitted on out-of-fold scores of training sources.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

KNOTS_SECS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
LEAST_CLIPS = 500  # genuine ones of a kind, to read a tail from
LOUD_NOISE_DB, FAINT_NOISE_DB = 18.0, 25.0  # SNRs up to which all of noise's shift counts, and from which on none; see LOG.md
NOISE_BINS_DB = (10.0, 15.0, 20.0, 25.0, 30.0, 40.0)  # SNRs between which the classes are balanced
CLIP_SECS = 3.5  # usual speech in one clip, the length at which scale and offset are fitted


@dataclass
class BandMap:
    """LLR = scale (score - neutral - noise * noise_share(SNR)), the scale at each of `KNOTS_SECS`."""

    neutral: float
    scales: list
    noise: float


def logistic_fit(scores, is_genuine, weights):
    """Scale and offset of the affine map with the least weighted Cllr, classes balanced."""
    weights = weights.copy()
    for side in (is_genuine, ~is_genuine):
        weights[side] *= 0.5 / weights[side].sum()
    return _least_cllr([scores, np.ones(len(scores))], is_genuine, weights)


def _least_cllr(inputs, is_genuine, weights):
    """Factors of `inputs` (lists of [rows], the scores first) whose sum, as LLRs, has the least weighted Cllr."""
    inputs, sign = np.stack(inputs), np.where(is_genuine, 1.0, -1.0)

    def cost(factors):
        margin = sign * (factors @ inputs)
        return weights @ np.logaddexp(0, -margin), inputs @ (-weights * sign / (1 + np.exp(margin)))

    start = np.array([2.0] + [0.0] * (len(inputs) - 1))
    return minimize(cost, start, jac=True, method="L-BFGS-B").x


def noise_share(snr_db, loud_db=LOUD_NOISE_DB, faint_db=FAINT_NOISE_DB):
    """Share of noise's shift that counts at `snr_db`: 0-1, linear between; 0 where it is NaN."""
    share = (faint_db - snr_db) / (faint_db - loud_db)
    return np.clip(np.nan_to_num(share, nan=0.0), 0.0, 1.0)


def noise_shift(scores, is_genuine, weights, snr_db):
    """What loud noise adds to `scores`, at least 0.

    Both classes count alike in each of `NOISE_BINS_DB`, so that the SNR itself says nothing about the class.
    """
    weights = weights.copy()
    bins = np.digitize(np.nan_to_num(snr_db, nan=np.inf), NOISE_BINS_DB)
    for number in np.unique(bins):
        for side in (is_genuine, ~is_genuine):
            rows = (bins == number) & side
            weights[rows] *= np.mean(bins == number) / max(weights[rows].sum(), 1e-9)
    scale, _, shift = _least_cllr([scores, np.ones(len(scores)), -noise_share(snr_db)], is_genuine, weights)
    return max(0.0, float(shift / scale))


def variance_shares(scores, group):
    """Variance of scores between groups (one speaker of one system) and within, per clip of usual length."""
    within, pairs, means = 0.0, 0, []
    for name in np.unique(group):
        rows = np.flatnonzero(group == name)
        if len(rows) > 1:
            within += np.sum((scores[rows] - scores[rows].mean()) ** 2)
            pairs += len(rows) - 1
        means.append(scores[rows].mean())
    within /= max(pairs, 1)
    return max(np.var(scores) - within, 0.1 * np.var(scores)), within


def fit_band(scores, is_genuine, weights, group, noise):
    """The map of one band, `scores` being without what `noise` adds.

    Averaging n clips leaves the variance between speakers and divides that within by n.
    """
    scale, offset = logistic_fit(scores, is_genuine, weights)
    shares = [variance_shares(scores[side], group[side]) for side in (is_genuine, ~is_genuine)]
    between, within = np.mean([share[0] for share in shares]), np.mean([share[1] for share in shares])
    usual = between + within
    scales = [float(scale * usual / (between + within * CLIP_SECS / secs)) for secs in KNOTS_SECS]
    return BandMap(neutral=float(-offset / scale), scales=scales, noise=noise)


def moderated(band, factor):
    """`band` with all LLRs multiplied by `factor`."""
    return replace(band, scales=[factor * scale for scale in band.scales])


def llr(band, scores, speech_secs, snr_db):
    """LLRs as the program computes them: scale and offset linear in ln(seconds) between knots."""
    scale = np.interp(np.log(np.maximum(speech_secs, 1e-3)), np.log(KNOTS_SECS), band.scales)
    return scale * (scores - band.neutral - band.noise * noise_share(snr_db))


def mixed(scores, band, other_share, fine_share):
    """The score of a band's channels, from `scores` by all heads as they ship; `fine_share` by band."""
    other, fine = ("telephone", "fine") if band == "full" else ("full", "fine-telephone")
    encoded = (1 - other_share) * scores[band] + other_share * scores[other]
    return (1 - fine_share[band]) * encoded + fine_share[band] * scores[fine]


def is_spoof(llrs, denoised, thresholds):
    """[rows] of bool, as the policy decides: what sounds denoised needs more evidence."""
    cleaned = thresholds["denoised"]
    return (llrs < thresholds["spoof_below"]) & ((denoised <= cleaned["above"]) | (llrs < cleaned["spoof_below"]))


def spoof_threshold(llrs, is_genuine, weights, kinds, false_alarm_ratio):
    """LLR below which at most `false_alarm_ratio` of genuine clips lie, in every kind of copies and by weight too."""
    lowest = []
    for kind in np.unique(kinds):
        rows = is_genuine & (kinds == kind)
        if rows.sum() < LEAST_CLIPS:
            continue
        order = np.argsort(llrs[rows])
        share = np.cumsum(weights[rows][order]) / weights[rows].sum()
        lowest.append(llrs[rows][order][np.searchsorted(share, false_alarm_ratio)])
        lowest.append(np.quantile(llrs[rows], false_alarm_ratio))
    return float(min(lowest))
