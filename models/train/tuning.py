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
    "media": 0.5, "media2": 0.5, "channel": 0.5, "channel2": 0.5, "denoised": 0.2, "harsh": 0.2, "babble": 0.25,
}  # fmt: skip
CROP_OUTPUTS = 128  # of a chunk's 200 outputs at a time
BATCH = 64
SCORED_CHUNKS = 96  # at a time
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
    """The tuned layer's inputs, float16, kept on disk: of each clip the chunk with the most speech, and the others with any."""

    def __init__(self):
        self.arrays, self.masks, self.starts = [], [], [0]
        self.others, self.other_masks, self.other_rows = [], [], []

    def add(self, folder, speech):
        """One condition; `speech` [clips] are the speech outputs of its clips, of which a table holds those with enough."""
        kept = np.flatnonzero(dataset.has_speech(speech))
        row_of = np.full(len(speech), -1)
        row_of[kept] = self.starts[-1] + np.arange(len(kept))
        self.arrays.append((np.load(folder / "inputs.npy", mmap_mode="r"), kept))
        self.masks.append(np.load(folder / "mask.npy")[kept])
        self.others.append(np.load(folder / "others.npy", mmap_mode="r"))
        self.other_masks.append(np.load(folder / "others-mask.npy"))
        self.other_rows.append(row_of[np.load(folder / "others-clip.npy")])
        self.starts.append(self.starts[-1] + len(kept))

    def mask(self):
        """[rows, 200] of bool."""
        return np.concatenate(self.masks)

    def __getitem__(self, rows):
        """[n, 200, width] float32."""
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        clips = ((self.arrays[part], row - self.starts[part]) for part, row in zip(parts, rows))
        return torch.from_numpy(np.stack([array[kept[at]] for (array, kept), at in clips]).astype(np.float32))

    def pieces(self, wanted):
        """Yields (rows [n], inputs [n, 200, width], masks [n, 200]) until all chunks of the rows `wanted` [rows] were given."""
        rows, first_masks = np.flatnonzero(wanted), self.mask()
        for start in range(0, len(rows), SCORED_CHUNKS):
            part = rows[start : start + SCORED_CHUNKS]
            yield part, self[part], torch.from_numpy(first_masks[part])
        for others, masks, owners in zip(self.others, self.other_masks, self.other_rows):
            at = np.flatnonzero((owners >= 0) & wanted[owners])
            for start in range(0, len(at), SCORED_CHUNKS):
                part = at[start : start + SCORED_CHUNKS]
                yield owners[part], torch.from_numpy(others[part].astype(np.float32)), torch.from_numpy(masks[part])


def _chunks(features, frame_mask):
    """[n, 400, 80] with the mask of their outputs [n, 200]: those with speech, the one with the most of it first."""
    chunks, mask = embed.chunked(features), pooling.output_mask(frame_mask)
    masks = np.pad(mask, (0, len(chunks) * pooling.CHUNK_OUTPUTS - len(mask))).reshape(len(chunks), -1)
    order = np.argsort(-masks.sum(axis=1), kind="stable")
    order = order[: max(1, np.count_nonzero(masks.any(axis=1)))]
    return chunks[order], masks[order]


def keep_inputs(encoder, features_dir, out_dir):
    """For one feature folder `inputs.npy` float16 [clips, 200, width] with `mask.npy` [clips, 200], and `others.npy`.

    The others are [chunks, 200, width], with `others-mask.npy` and, whose they are, `others-clip.npy` [chunks].
    """
    if (out_dir / "others-clip.npy").exists():
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    clips, rows = embed.exported_clips(features_dir)
    shape = (len(rows), pooling.CHUNK_OUTPUTS, encoder.width)
    inputs = np.lib.format.open_memmap(out_dir / "inputs.npy", mode="w+", dtype=np.float16, shape=shape)
    masks, waiting = np.zeros(shape[:2], bool), []
    others, other_masks, owners = [], [], []

    def flush():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            chunks = np.stack([chunk for _, _, chunk in waiting]).astype(np.float32)
            outputs = encoder.last_outputs(torch.from_numpy(chunks)).float().numpy().astype(np.float16)
        for (index, is_first, _), output in zip(waiting, outputs):
            if is_first:
                inputs[index] = output
            else:
                others.append(output)
        waiting.clear()

    for index, (features, frame_mask) in enumerate(clips):
        chunks, chunk_masks = _chunks(features, frame_mask)
        masks[index] = chunk_masks[0]
        other_masks.extend(chunk_masks[1:])
        owners.extend([index] * (len(chunks) - 1))
        for number, chunk in enumerate(chunks):
            waiting.append((index, number == 0, chunk))
            if len(waiting) == embed.BATCH_CHUNKS:
                flush()
    if waiting:
        flush()
    inputs.flush()
    np.save(out_dir / "mask.npy", masks)
    np.save(out_dir / "others.npy", np.array(others, np.float16).reshape(-1, *shape[1:]))
    np.save(out_dir / "others-mask.npy", np.array(other_masks, bool).reshape(-1, shape[1]))
    np.save(out_dir / "others-clip.npy", np.array(owners, int))


def sums(outputs, mask):
    """Additive over chunks: counts [n, 2] and sums [n, 3 D] of `outputs` [n, frames, D] where `mask` [n, frames].

    As `pooling.block_sums` has them.
    """
    speech = mask.float()[..., None]
    steps = speech[:, 1:] * speech[:, :-1]
    counts = torch.cat([speech.sum(1), steps.sum(1)], 1)
    values = (outputs * speech).sum(1), (outputs.square() * speech).sum(1)
    return counts, torch.cat([*values, ((outputs[:, 1:] - outputs[:, :-1]).abs() * steps).sum(1)], 1)


def pooled(counts, totals):
    """[n, 3 D] statistics of `sums`, as `pooling.statistics` has them."""
    frames, steps = counts.clamp_min(1)[..., None].unbind(1)
    values, squares, differences = totals.chunk(3, 1)
    mean = values / frames
    variance = squares / frames - mean.square()
    return torch.cat([mean, variance.clamp_min(pooling.VARIANCE_FLOOR).sqrt(), differences / steps], 1)


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

    def sums(self, inputs, mask):
        with torch.autocast("cpu", torch.bfloat16):
            outputs = at_half_rate(self.layer, inputs)
        return sums(outputs.float(), mask)

    def statistics(self, counts, totals):
        """[n, 3 D], standardised."""
        return (pooled(counts, totals) - self.mean) / self.deviation

    def logits(self, statistics):
        """[n] of standardised statistics [n, 3 D]."""
        return self.out(self.dropout(functional.gelu(self.hidden(self.dropout(statistics)))))[:, 0]

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
        first = torch.cat([model.statistics(*model.sums(*drawn()[1:])) for _ in range(24)])
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
        statistics = model.statistics(*model.sums(parts, speech))
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


@torch.no_grad()
def scores(model, inputs, wanted):
    """Scores by all chunks of the rows `wanted` [rows] of bool: about +1 for genuine speech and -1 for spoofs."""
    counts, totals = torch.zeros(len(wanted), 2), torch.zeros(len(wanted), model.hidden.in_features)
    for rows, parts, masks in inputs.pieces(wanted):
        some_counts, some_totals = model.sums(parts, masks)
        counts.index_add_(0, torch.from_numpy(rows), some_counts)
        totals.index_add_(0, torch.from_numpy(rows), some_totals)
    kept = torch.from_numpy(np.flatnonzero(wanted))
    return (model.logits(model.statistics(counts[kept], totals[kept])) / model.unit).numpy()


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
            torch.save((model, scores(model, inputs, held)), path)
        return torch.load(path, weights_only=False)

    for fold in range(dataset.FOLDS):
        model, out_of_fold[folds == fold] = kept(f"tuned-without-fold-{fold}", folds == fold)
        without.append(model)
    whole, _ = kept("tuned", np.zeros(len(folds), bool))
    return whole, without, out_of_fold
