"""Fewer inner neurons in the encoder's feed-forward blocks: least useful first, the rest made to stand in for them.

Backward elimination with least squares, as the Optimal Brain Surgeon does for weights (Hassibi & Stork 1993), for whole
neurons: with G the covariance of the activations [frames, neurons] and W the block's output weights, leaving out neuron
j and solving for the others again adds |W_j|^2 / (G^-1)_jj to the mean squared error of the block's output.
"""

import torch
from torch import nn
from torch.nn import functional

RIDGE = 1e-4  # of the mean variance of a neuron
BATCH_CHUNKS = 32


def _parts(chunks):
    return chunks.split(BATCH_CHUNKS)


def _activations(layer, x):
    return functional.gelu(layer.ffn_in(layer.ffn_norm(x)))


def _covariance(layer, x):
    """Mean [neurons] and covariance [neurons, neurons] of the block's activations, and the spread of its output."""
    count, total, products, outputs = 0, 0.0, 0.0, []
    for part in _parts(x):
        inner = _activations(layer, part).flatten(0, 1)
        count += len(inner)
        total = total + inner.double().sum(0)
        products = products + (inner.T @ inner).double()
        outputs.append(part + layer.ffn_out(inner).reshape(part.shape))
    mean = total / count
    covariance = products / count - torch.outer(mean, mean)
    covariance += RIDGE * covariance.diagonal().mean() * torch.eye(len(mean), dtype=torch.float64)
    return mean, covariance, torch.cat(outputs).flatten(0, 1).std(0).double()


def _eliminated(weights, covariance, keep):
    """Indices of the `keep` neurons that stay, and `weights` [neurons, outputs] solved again for them."""
    weights, inverse = weights.clone(), torch.linalg.inv(covariance)
    alive = torch.ones(len(weights), dtype=torch.bool)
    for _ in range(len(weights) - keep):
        cost = weights.square().sum(1) / inverse.diagonal()
        cost[~alive] = torch.inf
        index = int(cost.argmin())
        column = inverse[:, index] / inverse[index, index]
        weights -= torch.outer(column, weights[index].clone())
        inverse -= torch.outer(column, inverse[index].clone())
        alive[index] = False
        inverse[index, index], weights[index] = 1.0, 0.0
    return torch.nonzero(alive)[:, 0], weights


@torch.inference_mode()
def thin(encoder, chunks, keep):
    """Leaves `keep` neurons in each feed-forward block of `encoder`, judged on `chunks` [n, 400, 80] of log mel."""
    x = torch.cat([encoder.stem(part) + encoder.positions for part in _parts(chunks)])
    for layer in encoder.layers:
        x = torch.cat([part + layer.attention(layer.attention_norm(part)) for part in _parts(x)])
        mean, covariance, spread = _covariance(layer, x)
        before = layer.ffn_out.weight.double().T
        kept, after = _eliminated(before / spread, covariance, keep)
        after *= spread
        inner, outer = nn.Linear(layer.ffn_in.in_features, keep), nn.Linear(keep, layer.ffn_out.out_features)
        inner.weight.copy_(layer.ffn_in.weight[kept])
        inner.bias.copy_(layer.ffn_in.bias[kept])
        outer.weight.copy_(after[kept].T)
        outer.bias.copy_(layer.ffn_out.bias + mean @ before - mean[kept] @ after[kept])
        layer.ffn_in, layer.ffn_out = inner, outer
        x = torch.cat([part + layer.ffn_out(_activations(layer, part)) for part in _parts(x)])
    return encoder
