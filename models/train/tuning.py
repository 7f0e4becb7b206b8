"""The tuned layer: one more layer trained on labels, with a small network over its pooled outputs.

It runs at half the frame rate on the last layer's outputs, which are kept, and starts as the pretrained layer that follows
there. What it learns and what the kernel heads read in layers that know nothing of the task err apart: see LOG.md.
Like the heads it is trained on all sources, and without each fold's for the scores that calibration sees.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import dataset
import embed
import pooling
from encoder import at_half_rate
from export import rounded

# What a row of each condition counts in training.
CONDITION_WEIGHTS = {
    "clean": 1.0, "offset": 1.0, "speed": 0.7, "speed2": 0.7, "phone": 1.0, "phone2": 1.0, "phone3": 1.0, "speed-phone": 1.0,
    "media": 0.5, "media2": 0.5, "channel": 0.5, "channel2": 0.5, "denoised": 0.2, "harsh": 0.1,
}  # fmt: skip
CROP_OUTPUTS = 128  # of a chunk's 200 outputs at a time
BATCH = 64
SCORED_ROWS = 96  # at a time
LAYER_RATE, HEAD_RATE, HEAD_DECAY = 1e-4, 1e-3, 0.1
WARM_UP_STEPS = 100
SMOOTHING = 0.05  # of labels
MIXUP = 0.4  # parameters of the beta distribution
AVERAGING = 0.998  # of the weights, over steps
NATS_OF_SCORE = 4.0  # logits are divided by this: then they spread about as much as the kernel heads' scores


@dataclass(frozen=True)
class TunedSettings:
    hidden: int  # neurons of the network over the pooled outputs
    clips: int  # drawn in training, with repetition
    dropout: float = 0.3
    seed: int = 0


class Inputs:
    """The tuned layer's inputs: of each clip the chunk with the most speech, float16, kept on disk."""

    def __init__(self):
        self.arrays, self.masks, self.starts = [], [], [0]

    def add(self, folder, speech):
        """One condition; `speech` [clips] are the speech outputs of its clips, of which a table holds those with enough."""
        kept = np.flatnonzero(dataset.has_speech(speech))
        self.arrays.append((np.load(folder / "inputs.npy", mmap_mode="r"), kept))
        self.masks.append(np.load(folder / "mask.npy")[kept])
        self.starts.append(self.starts[-1] + len(kept))

    def mask(self):
        """[rows, 200] of bool."""
        return np.concatenate(self.masks)

    def __getitem__(self, rows):
        """[n, 200, width] float32."""
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        clips = ((self.arrays[part], row - self.starts[part]) for part, row in zip(parts, rows))
        return torch.from_numpy(np.stack([array[kept[at]] for (array, kept), at in clips]).astype(np.float32))


def keep_inputs(encoder, features_dir, out_dir):
    """`inputs.npy` float16 [clips, 200, width] and `mask.npy` [clips, 200] for one feature folder."""
    if (out_dir / "mask.npy").exists():
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    clips, rows = embed.exported_clips(features_dir)
    shape = (len(rows), pooling.CHUNK_OUTPUTS, encoder.width)
    inputs = np.lib.format.open_memmap(out_dir / "inputs.npy", mode="w+", dtype=np.float16, shape=shape)
    masks, waiting = np.zeros(shape[:2], bool), []

    def flush():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            chunks = np.stack([chunk for _, chunk in waiting]).astype(np.float32)
            outputs = encoder.last_outputs(torch.from_numpy(chunks)).float().numpy()
        inputs[[index for index, _ in waiting]] = outputs.astype(np.float16)
        waiting.clear()

    for index, (features, frame_mask) in enumerate(clips):
        chunks, mask = embed.chunked(features), pooling.output_mask(frame_mask)
        mask = np.pad(mask, (0, len(chunks) * pooling.CHUNK_OUTPUTS - len(mask))).reshape(len(chunks), -1)
        best = mask.sum(axis=1).argmax()
        masks[index] = mask[best]
        waiting.append((index, chunks[best]))
        if len(waiting) == embed.BATCH_CHUNKS:
            flush()
    if waiting:
        flush()
    inputs.flush()
    np.save(out_dir / "mask.npy", masks)


def pooled(outputs, mask):
    """[n, 3 D] statistics of `outputs` [n, frames, D] where `mask` [n, frames], as `pooling.statistics` has them."""
    speech = mask.float()[..., None]
    steps = speech[:, 1:] * speech[:, :-1]
    count = speech.sum(1).clamp_min(1)
    mean = (outputs * speech).sum(1) / count
    variance = ((outputs - mean[:, None]).square() * speech).sum(1) / count
    change = ((outputs[:, 1:] - outputs[:, :-1]).abs() * steps).sum(1) / steps.sum(1).clamp_min(1)
    return torch.cat([mean, variance.clamp_min(pooling.VARIANCE_FLOOR).sqrt(), change], 1)


class Tuned(nn.Module):
    """`layer` and, over the standardised statistics of its outputs, one hidden layer."""

    def __init__(self, layer, settings):
        super().__init__()
        width = 3 * layer.ffn_out.out_features
        self.layer = layer.requires_grad_(True)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("unit", torch.tensor(NATS_OF_SCORE))
        self.hidden, self.out = nn.Linear(width, settings.hidden), nn.Linear(settings.hidden, 1)
        self.dropout = nn.Dropout(settings.dropout)

    def statistics(self, inputs, mask):
        with torch.autocast("cpu", torch.bfloat16):
            outputs = at_half_rate(self.layer, inputs)
        return (pooled(outputs.float(), mask) - self.mean) / self.deviation

    def logits(self, statistics):
        """[n] of standardised statistics [n, 3 D]."""
        return self.out(self.dropout(functional.gelu(self.hidden(self.dropout(statistics)))))[:, 0]

    @torch.no_grad()
    def scores(self, inputs, mask):
        """[n], about +1 for genuine speech and -1 for spoofs."""
        return self.logits(self.statistics(inputs, mask)) / self.unit

    @torch.no_grad()
    def as_shipped(self):
        """With the standardisation inside the hidden layer and weights as 8 bits give them."""
        self.hidden.weight /= self.deviation
        for parameter in (*self.layer.parameters(), self.hidden.weight):
            if parameter.ndim > 1:
                parameter.copy_(torch.from_numpy(rounded(parameter.numpy(), 0)))
        self.hidden.bias -= self.hidden.weight @ self.mean
        self.out.weight /= self.unit
        self.out.bias /= self.unit
        self.unit.fill_(1.0)
        self.mean.zero_()
        self.deviation.fill_(1.0)
        return self.requires_grad_(False).eval()


def _cropped(inputs, masks, rng):
    """Half a chunk or so of each of `inputs` [n, 200, D] and `masks` [n, 200], where there is speech."""
    starts = np.zeros(len(masks), int)
    for index, mask in enumerate(masks):
        for _ in range(4):
            starts[index] = 2 * rng.integers((masks.shape[1] - CROP_OUTPUTS) // 2 + 1)
            if dataset.has_speech(mask[starts[index] :][:CROP_OUTPUTS].sum()):
                break
    spans = [slice(start, start + CROP_OUTPUTS) for start in starts]
    parts = torch.stack([part[span] for part, span in zip(inputs, spans)])
    return parts, torch.from_numpy(np.stack([mask[span] for mask, span in zip(masks, spans)]))


def _averaged(average, model, step):
    with torch.no_grad():
        for mine, new in zip(average.parameters(), model.parameters()):
            mine.lerp_(new, 1 - min(AVERAGING, (2 + step) / (11 + step)))


def train(inputs, table, weights, layer, settings):
    """A `Tuned` that starts from `layer`, trained on rows of `table` drawn by `weights` [rows]; rows of 0 are not seen."""
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    masks, share = inputs.mask(), weights / weights.sum()
    steps = settings.clips // BATCH

    def drawn():
        rows = rng.choice(len(weights), BATCH, p=share)
        return rows, *_cropped(inputs[rows], masks[rows], rng)

    model = Tuned(copy.deepcopy(layer), settings)
    with torch.no_grad():
        first = torch.cat([model.statistics(*drawn()[1:]) for _ in range(24)])
        model.mean.copy_(first.mean(0))
        model.deviation.copy_(first.std(0) + 1e-3)
    average = copy.deepcopy(model)
    head = [*model.hidden.parameters(), *model.out.parameters()]
    groups = [
        {"params": list(model.layer.parameters()), "lr": LAYER_RATE},
        {"params": head, "lr": HEAD_RATE, "weight_decay": HEAD_DECAY},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARM_UP_STEPS) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
    )
    for step in range(steps):
        rows, parts, speech = drawn()
        target = torch.from_numpy(table.is_genuine[rows].astype(np.float32)) * (1 - 2 * SMOOTHING) + SMOOTHING
        statistics = model.statistics(parts, speech)
        kept, other = torch.from_numpy(rng.beta(MIXUP, MIXUP, BATCH).astype(np.float32)), rng.permutation(BATCH)
        statistics = kept[:, None] * statistics + (1 - kept[:, None]) * statistics[other]
        target = kept * target + (1 - kept) * target[other]
        loss = functional.binary_cross_entropy_with_logits(model.logits(statistics), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        _averaged(average, model, step)
    return average.as_shipped()


def scores(model, inputs, rows):
    """[rows] of the tuned layer's scores."""
    masks, out = inputs.mask(), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), SCORED_ROWS):
        part = rows[start : start + SCORED_ROWS]
        out[start : start + SCORED_ROWS] = model.scores(inputs[part], torch.from_numpy(masks[part])).numpy()
    return out


def trained(folder, inputs, table, layer, settings):
    """(`Tuned` of all sources, those by the fold they have not seen, out-of-fold scores [rows]), kept in `folder`."""
    weights = dataset.balanced_weights(table) * np.array([CONDITION_WEIGHTS.get(name, 0.0) for name in table.condition])
    weights[~dataset.has_speech(inputs.mask().sum(axis=1))] = 0.0
    folds = dataset.source_folds(table, dataset.FOLDS)
    assert inputs.starts[-1] == len(folds), "inputs are of other rows than the table"
    out_of_fold, without = np.zeros(len(folds), np.float32), []

    def kept(name, held):
        path = folder / f"{name}.pt"
        if not path.exists():
            model = train(inputs, table, np.where(held, 0.0, weights), layer, settings)
            torch.save((model, scores(model, inputs, np.flatnonzero(held))), path)
        return torch.load(path, weights_only=False)

    for fold in range(dataset.FOLDS):
        model, out_of_fold[folds == fold] = kept(f"tuned-without-fold-{fold}", folds == fold)
        without.append(model)
    whole, _ = kept("tuned", np.zeros(len(folds), bool))
    return whole, without, out_of_fold
