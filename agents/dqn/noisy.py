"""Noisy networks: weights that explore, with noise whose size is learned. Fortunato et al. 2018,
arXiv 1706.10295; factorised Gaussian noise, equations 10 and 11.

    y = mu_w x + mu_b + (sigma_w * e_w) x + sigma_b * e_b      e_w[j, i] = f(e[j]) f(e[i])
    f(e) = sign(e) sqrt(|e|)                                   e_b[j] = f(e[j])

As the noise is a product, (sigma_w * e_w) x = f(e_j) * (sigma_w (f(e_i) * x)): no noisy weights are
made, and every row of a batch may have noise of its own.

Deviation: layers of the torso before its last hidden layer stay without noise.

Legend: B batch, G 1 or B.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.torso import full_precision


class NoisyLinear(nn.Linear):
    """A linear layer [B, ..., inputs] -> [B, ..., outputs], with noise where some is given."""

    def __init__(self, inputs: int, outputs: int, sigma: float) -> None:
        """``sigma`` is sigma_0 of section 3.2: every sigma begins as sigma_0 / sqrt(inputs), every
        mu uniform within 1 / sqrt(inputs), as in any linear layer of torch."""
        super().__init__(inputs, outputs)
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), sigma / inputs**0.5))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma / inputs**0.5))

    @property
    def noise_size(self) -> int:
        """Numbers in one noise: f(e) of the inputs, then of the outputs."""
        return self.in_features + self.out_features

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """With ``noise``, float [G, noise_size], from `draw_noise`; without it the mean weights."""
        y: Tensor = super().forward(x)
        if noise is None:
            return y
        if x.dim() == 3:
            noise = noise.unsqueeze(1)  # [G, 1, noise_size]
        of_inputs, of_outputs = noise[..., : self.in_features], noise[..., self.in_features :]
        spread = functional.linear(x * of_inputs, self.weight_sigma, self.bias_sigma)
        noisy: Tensor = y + of_outputs * spread
        return noisy


class Stream(nn.Sequential):
    """A hidden layer, ReLU, and an output layer: [B, ..., inputs] -> [B, ..., outputs]."""

    def __init__(self, inputs: int, units: int, outputs: int, sigma: float = 0.0) -> None:
        """Noisy layers where ``sigma`` is not 0."""
        sizes = (inputs, units), (units, outputs)
        hidden, last = (NoisyLinear(*s, sigma) if sigma else nn.Linear(*s) for s in sizes)
        super().__init__(hidden, nn.ReLU(), last)

    @property
    def noise_sizes(self) -> list[int]:
        """Numbers in the noise of each noisy layer."""
        return [layer.noise_size for layer in self if isinstance(layer, NoisyLinear)]

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """``noise``: float [G, sum of noise_sizes], where the layers are noisy; None for none."""
        hidden, activation, last = self
        if noise is None:
            return full_precision(last, activation(hidden(x)))
        size = self.noise_sizes[0]
        return full_precision(last, activation(hidden(x, noise[..., :size])), noise[..., size:])


def draw_noise(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """f(e) of Gaussian e, float32 [rows, size]."""
    noise = rng.standard_normal((rows, size), np.float32)
    return np.sign(noise) * np.sqrt(np.abs(noise))
