"""The kernel head: standardise, project (PCA), and a Gaussian-kernel expansion over landmark clips.

output(x) = bias + sum_m weight_m k(|p(x) - landmark_m|^2), k(d) = mean over gammas of exp(-gamma d),
p(x) = (x - mean) / deviation projected by PCA.
Trained by weighted kernel ridge regression, with the landmarks as the only basis points (subset of regressors), so that
what is trained is what ships.
"""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass
class Projection:
    """Standardisation and PCA of pooled statistics."""

    mean: np.ndarray  # [3 D]
    deviation: np.ndarray  # [3 D]
    axes: np.ndarray  # [3 D, dimensions]

    def __call__(self, stats):
        out = np.empty((len(stats), self.axes.shape[1]), np.float32)
        for start in range(0, len(stats), 2048):
            rows = slice(start, start + 2048)
            out[rows] = ((np.asarray(stats[rows], np.float32) - self.mean) / self.deviation) @ self.axes
        return out


def fit_projection(stats, weights, dimensions, oversampling=64, seed=0):
    """Weighted standardisation and PCA by randomised subspace iteration."""
    weights = (weights / weights.sum()).astype(np.float32)
    mean = weights @ stats
    deviation = np.sqrt(np.maximum(weights @ np.square(stats) - mean**2, 1e-8)) + 1e-4
    scaled = torch.from_numpy((stats - mean) / deviation * np.sqrt(weights)[:, None])
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(stats.shape[1], dimensions + oversampling, generator=generator)
    for _ in range(3):
        basis = torch.linalg.qr(scaled.T @ (scaled @ basis)).Q
    _, _, right = torch.linalg.svd(scaled @ basis, full_matrices=False)
    axes = (basis @ right.T)[:, :dimensions]
    return Projection(mean.astype(np.float32), deviation.astype(np.float32), axes.numpy())


def squared_distances(left, right):
    """[n, m] of squared Euclidean distances."""
    product = left @ right.T
    return (left.square().sum(1)[:, None] + right.square().sum(1)[None] - 2 * product).clamp_min(0)


def kernel(left, right, gammas):
    """[n, m]: mean of Gaussian kernels of several widths."""
    distances = squared_distances(left, right)
    return sum(torch.exp(-gamma * distances) for gamma in gammas) / len(gammas)


@dataclass
class KernelHead:
    landmarks: torch.Tensor  # [m, d]
    gammas: tuple
    weights: torch.Tensor  # [m, outputs]
    bias: torch.Tensor  # [outputs]

    def __call__(self, points):
        """[n, outputs] of `points` [n, d]."""
        parts = [
            kernel(part, self.landmarks, self.gammas) @ self.weights + self.bias
            for part in torch.from_numpy(np.ascontiguousarray(points, np.float32)).split(2048)
        ]
        return torch.cat(parts).numpy()


def fit_kernel_head(points, targets, weights, landmarks, gammas, ridge):
    """Weighted ridge regression of `targets` [n, outputs] on the kernels of `points` [n, d] with `landmarks` [m, d].

    `weights` are scaled to mean 1; `ridge` is per unit of weight, as lambda in sum w (y - f)^2 + lambda |f|^2.
    """
    x, centres = torch.from_numpy(points), torch.from_numpy(landmarks)
    row_weights = torch.from_numpy((weights / weights.mean()).astype(np.float32))
    y = torch.from_numpy(targets.astype(np.float32))
    bias = row_weights @ y / row_weights.sum()
    gram = kernel(centres, centres, gammas).double()
    normal = ridge * gram
    right = torch.zeros(len(centres), y.shape[1], dtype=torch.float64)
    # Blocks are short so that float32 rounding inside a block stays below what is added to the diagonal.
    for rows in torch.arange(len(x)).split(512):
        basis = kernel(x[rows], centres, gammas)
        scaled = basis * row_weights[rows, None]
        normal += (scaled.T @ basis).double()
        right += (scaled.T @ (y[rows] - bias)).double()
    normal += (0.01 * ridge + 1e-6 * len(x)) * torch.eye(len(centres), dtype=torch.float64)
    solution = torch.cholesky_solve(right, torch.linalg.cholesky(normal))
    return KernelHead(centres, gammas, solution.float(), bias)
