"""Pooled statistics of every clip of a condition: `STATS.npy` [clips, 3 D] and the seconds of speech behind each."""

import csv

import numpy as np
import torch

import pooling
from encoder import CHUNK_FRAMES
from frontend import LOG_FLOOR

BATCH_CHUNKS = 24


def chunked(features):
    """[chunks, 400, 80] from [frames, 80]; the last chunk is filled up with the floor."""
    missing = -len(features) % CHUNK_FRAMES
    padded = np.concatenate([features, np.full((missing, features.shape[1]), LOG_FLOOR, features.dtype)])
    return padded.reshape(-1, CHUNK_FRAMES, features.shape[1])


def outputs(encoder, chunks):
    """[n, 200, D] float32 for [n, 400, 80] of log mel."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return encoder(torch.from_numpy(chunks)).float().numpy()


def clip_statistics(encoder, clips):
    """Yields (statistics [3 D] or None, speech frames of 20 ms) for each (features, frame mask) of `clips`, in order."""
    waiting, chunks = [], []

    def flush():
        frames = outputs(encoder, np.concatenate(chunks).astype(np.float32))
        position = 0
        for count, mask in waiting:
            span = frames[position : position + count].reshape(-1, frames.shape[2])[: len(mask)]
            position += count
            yield pooling.statistics(*pooling.block_sums(span, mask)), int(mask.sum())
        waiting.clear()
        chunks.clear()

    for features, frame_mask in clips:
        pieces = chunked(features)
        waiting.append((len(pieces), pooling.output_mask(frame_mask)))
        chunks.append(pieces)
        if sum(len(piece) for piece in chunks) >= BATCH_CHUNKS:
            yield from flush()
    if waiting:
        yield from flush()


def exported_clips(features_dir):
    """(features, frame mask) of each clip of an exported feature folder, and its index rows."""
    logmel = np.load(features_dir / "logmel.npy", mmap_mode="r")
    speech = np.load(features_dir / "speech.npy", mmap_mode="r")
    with open(features_dir / "index.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    spans = [(int(row["frame_start"]), int(row["frame_start"]) + int(row["frames"])) for row in rows]
    return ((np.array(logmel[a:b], np.float32), np.array(speech[a:b], bool)) for a, b in spans), rows


def embed_condition(encoder, features_dir, out_dir):
    """`stats.npy` float32 [clips, 3 D] and `speech.npy` [clips] (speech frames of 20 ms) for one feature folder."""
    if (out_dir / "stats.npy").exists():
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    clips, rows = exported_clips(features_dir)
    stats, speech = None, np.zeros(len(rows), np.int32)
    for index, (values, frames) in enumerate(clip_statistics(encoder, clips)):
        if stats is None:
            stats = np.zeros((len(rows), encoder.statistics_width), np.float32)
        speech[index] = frames
        if values is not None:
            stats[index] = values
    np.save(out_dir / "speech.npy", speech)
    np.save(out_dir / "stats.npy", stats)
