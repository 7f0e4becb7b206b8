"""Statistics of encoder frames over spans of speech: the same numbers the program computes.

A span's statistics are [3 D]: mean, standard deviation and mean |difference| of its speech frames. They are formed from
additive sums, so that windows can be put together from one-second blocks. A difference counts when both neighbouring
frames are speech and lie in the same chunk; it belongs to the block of the later frame.
"""

import numpy as np

CHUNK_OUTPUTS = 200
BLOCK_OUTPUTS = 50
VARIANCE_FLOOR = 1e-6


def output_mask(frame_mask):
    """Speech mask of encoder outputs [ceil(frames / 2)] from that of 10 ms frames: either frame suffices."""
    padded = np.concatenate([frame_mask, np.zeros(len(frame_mask) % 2, frame_mask.dtype)])
    return padded.reshape(-1, 2).any(axis=1)


def block_sums(outputs, mask):
    """Additive sums of each one-second block.

    outputs: [n, D] of consecutive chunks from the start of the stream, mask: [n] of bool.
    Returns counts [blocks, 2] (frames, differences) and sums [blocks, 3 D] (values, squares, |differences|).
    """
    blocks = -(-len(outputs) // BLOCK_OUTPUTS)
    counts = np.zeros((blocks, 2), np.float32)
    sums = np.zeros((blocks, 3 * outputs.shape[1]), np.float32)
    for block in range(blocks):
        start, end = block * BLOCK_OUTPUTS, min((block + 1) * BLOCK_OUTPUTS, len(outputs))
        speech = outputs[start:end][mask[start:end]]
        first = start if start % CHUNK_OUTPUTS == 0 else start - 1
        pair = mask[first + 1 : end] & mask[first : end - 1]
        steps = np.abs(outputs[first + 1 : end] - outputs[first : end - 1])[pair]
        counts[block] = len(speech), len(steps)
        sums[block] = np.concatenate([speech.sum(0), np.square(speech).sum(0), steps.sum(0)])
    return counts, sums


def statistics(counts, sums):
    """[3 D] statistics of the blocks given, or None without a speech frame."""
    frames, steps = counts.sum(axis=0)
    if frames < 1:
        return None
    values, squares, differences = np.split(sums.sum(axis=0, dtype=np.float64), 3)
    mean = values / frames
    deviation = np.sqrt(np.maximum(squares / frames - mean**2, VARIANCE_FLOOR))
    return np.concatenate([mean, deviation, differences / max(steps, 1)]).astype(np.float32)
