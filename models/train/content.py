"""What is said, taken out of the encoder's outputs: each frame less the mean of frames that sound alike.

Frames are told apart softly by `CLASSES` centres (k-means on principal components of the layers' outputs); the means
are those of the least-squares fit of the frames on their class shares. What is left depends less on which sounds a clip
happens to hold, and more on how they were made.
"""

import numpy as np
import torch

import embed
import pooling

CLASSES = 64
COMPONENTS = 48
SHARPNESS = 10.0  # softmax of -SHARPNESS |distance|^2 / mean |distance to the nearest centre|^2
ROUNDS = 30
RIDGE = 1e-3  # of a class's mean count
EXAMPLE_CHUNKS = {"clean": 200, "phone": 200, "media": 200, "harsh": 200}  # clips
EXAMPLE_FRAMES = {"clean": 1000, "phone": 1000}  # clips
FRAMES_OF_CLIP = 20


def _first_chunks(features_root, clips_by_condition):
    """(chunk [400, 80], speech mask [200]) of clips spread evenly over training copies."""
    for condition, wanted in clips_by_condition.items():
        clips, rows = embed.exported_clips(features_root / f"train-{condition}")
        step = max(1, len(rows) // wanted)
        for number, (features, mask) in enumerate(clips):
            if number % step == 0:
                yield embed.chunked(features)[0].astype(np.float32), pooling.output_mask(mask)[: pooling.CHUNK_OUTPUTS]


def example_chunks(features_root):
    """[n, 400, 80] of log mel."""
    return torch.from_numpy(np.stack([chunk for chunk, _ in _first_chunks(features_root, EXAMPLE_CHUNKS)]))


def example_frames(features_root, encoder, seed=0):
    """[n, D]: outputs of `encoder` for speech frames of many clips."""
    rng, frames = np.random.default_rng(seed), []
    for chunk, mask in _first_chunks(features_root, EXAMPLE_FRAMES):
        speech = np.flatnonzero(mask)
        if len(speech) > FRAMES_OF_CLIP:
            frames.append(embed.outputs(encoder, chunk[None])[0, rng.choice(speech, FRAMES_OF_CLIP, replace=False)])
    return np.concatenate(frames)


def _nearest(points, centres):
    return (np.square(centres).sum(1) - 2 * points @ centres.T).argmin(1)


def _centres(points, rng):
    centres = points[rng.choice(len(points), CLASSES, replace=False)]
    for _ in range(ROUNDS):
        nearest = _nearest(points, centres)
        filled = [points[nearest == k].mean(0) if (nearest == k).any() else points[k] for k in range(CLASSES)]
        centres = np.stack(filled)
    return centres


def fit(frames, first, seed=0):
    """(weight [CLASSES, D - first], bias [CLASSES], means [CLASSES, D]) from speech frames [n, D] of many clips.

    Class shares of a frame x are softmax(weight @ x[first:] + bias): columns from `first` on tell sounds apart.
    """
    rng = np.random.default_rng(seed)
    mean, deviation = frames[:, first:].mean(0), frames[:, first:].std(0) + 1e-3
    scaled = (frames[:, first:] - mean) / deviation
    axes = np.linalg.svd(scaled[:: max(1, len(scaled) // 12000)], full_matrices=False)[2][:COMPONENTS].T
    points = scaled @ axes
    centres = _centres(points, rng)
    spread = np.square(points - centres[_nearest(points, centres)]).sum(1).mean()
    weight = 2 * SHARPNESS / spread * (axes @ centres.T).T / deviation
    bias = -SHARPNESS / spread * np.square(centres).sum(1) - weight @ mean
    shares = torch.softmax(torch.from_numpy((frames[:, first:] @ weight.T + bias).astype(np.float32)), 1).numpy()
    gram = shares.T @ shares + RIDGE * len(frames) / CLASSES * np.eye(CLASSES)
    means = np.linalg.solve(gram, shares.T @ frames)
    return weight.astype(np.float32), bias.astype(np.float32), means.astype(np.float32)
